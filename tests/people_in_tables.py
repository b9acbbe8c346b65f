"""Somebody in every table that may hold something of a person, whatever columns it has, so that each can be searched for them."""

from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from erasure_world import Erasing
from stentor.db.pool import Database
from stentor.domain.address import email_digest, phone_digest
from stentor.domain.ids import new_id, part_of

NAME = "markus-77"
EMAIL = "markus@markerson.example"
PHONE = "+4915112345678"
SAID = "Markerson"
IP = "203.0.113.77"

EMPTIED = {
    "address_owner",
    "cast_member",
    "clearance",
    "connector_person",
    "connector_refused",
    "consent_event",
    "contact",
    "customer",
    "customer_event",
    "customer_merged",
    "customer_past",
    "customer_tag",
    "delivery_event",
    "execution",
    "idempotency_key",
    "import_reject",
    "notice",
    "optout_lifted",
    "optout_recent",
    "provider_event",
    "pull_row",
    "revocation",
    "sandbox_message",
    "sandbox_skeleton",
    "send",
    "send_context",
    "send_revocation",
    "step_wait",
    "subscription",
}
"""Where something of a person may be kept. An erasure deletes it, or empties it of all words."""

OF_IDS_ALONE = {
    "address_owner",
    "cast_member",
    "clearance",
    "contact",
    "customer_past",
    "customer_tag",
    "pull_row",
    "revocation",
    "send",
    "send_revocation",
    "step_wait",
    "subscription",
}
"""Of these, whose columns have no words."""

# What a table's own rules leave no room to say anything in.
CLOSED: dict[tuple[str, str], Any] = {
    ("consent_event", "kind"): "agreed",
    ("consent_event", "source"): "api",
    ("consent_event", "topic_id"): None,
    ("consent_event", "channels"): 2,
    ("consent_event", "text_version"): "2026-11",
    ("consent_event", "until"): None,
    ("contact", "tags"): ["campaign tag"],
    ("customer", "external_id"): NAME,
    ("customer_merged", "external_id"): NAME,
    ("customer_past", "place"): PHONE[:5],
    ("delivery_event", "kind"): "rejected",
    ("provider_event", "kind"): "bounced",
    ("provider_event", "provider"): "sandbox",
    ("provider_event", "event_id"): "by our id of the send",
    ("provider_event", "shard"): 0,
    ("provider_event", "applied_at"): "now",
    ("optout_recent", "cause"): "api",
    ("optout_recent", "hash"): None,
    ("optout_recent", "channel"): 1,
    ("optout_lifted", "cause"): "api",
    ("optout_lifted", "channel"): 1,
    ("idempotency_key", "key"): "a-key",
    ("idempotency_key", "request_hash"): bytes(32),
    ("idempotency_key", "status"): 200,
    ("idempotency_key", "headers"): Jsonb({}),
    ("idempotency_key", "body"): f'{{"external_id":"{NAME}","email":"{EMAIL}","name":"{SAID}"}}'.encode(),
    ("import_reject", "reason"): f"The address {EMAIL!r} of {SAID} is none.",
    ("sandbox_message", "skeleton_id"): b"skeleton",
    ("sandbox_skeleton", "skeleton_id"): b"skeleton",
    ("sandbox_skeleton", "used_at"): "yesterday",
    ("cast_member", "routes"): 1,
    ("revocation", "reason"): 2,
    ("step_wait", "step"): 1,
    ("send", "state"): 2,
    ("notice", "event"): "trigger_met",
    ("notice", "outcome"): "delivered",
}
# Made as they come to be, before the others.
MADE = {"address_owner", "customer", "customer_merged", "execution", "subscription"}


async def rows(db: Database, query: str, values: Any = ()) -> list[tuple[Any, ...]]:
    async with db.read() as conn:
        return await (await conn.execute(query.encode(), values)).fetchall()


async def columns_of(db: Database, table: str) -> list[tuple[str, str]]:
    return await rows(
        db,
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped AND attgenerated = '' AND attidentity = ''",
        [table],
    )


class Filling:
    """Puts the marked person into tables, whatever columns those have."""

    def __init__(self, erasing: Erasing, ids: dict[str, Any]) -> None:
        self._erasing = erasing
        self._ids = ids
        self.marked: set[tuple[str, str]] = set()

    async def put_into(self, table: str) -> None:
        """One row that says of the person whatever it can."""
        row = {column: self._value(table, column, kind) for column, kind in await columns_of(self._erasing.db, table)}
        async with self._erasing.db.transaction() as conn:
            await conn.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(map(sql.Identifier, row)),
                    sql.SQL(", ").join(sql.Placeholder() for _ in row),
                ),
                list(row.values()),
            )

    def _value(self, table: str, column: str, kind: str) -> Any:
        if (table, column) in CLOSED:
            return CLOSED[table, column]
        if column in self._ids:
            return self._ids[column]
        if kind in {"text", "jsonb", "bytea", "inet", "text[]"}:
            self.marked.add((table, column))
        by_kind: dict[str, Any] = {
            "text": f"{SAID} <{EMAIL}> {PHONE}",
            "text[]": [SAID],
            "jsonb": Jsonb({"name": SAID, "address": EMAIL}),
            "bytea": EMAIL.encode(),
            "inet": IP,
            "uuid": new_id(),
            "boolean": False,
            "timestamp with time zone": "now",
        }
        return by_kind.get(kind, 1 if column == "channel" else 0)


async def people_tables(db: Database) -> set[str]:
    """The tables whose comment says that they grow with people."""
    found = await rows(
        db,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace AND obj_description(oid, 'pg_class') ~ '^kind: (people|lookup)'",
    )
    return {table for (table,) in found}


async def everywhere(erasing: Erasing, person: UUID) -> tuple[Filling, UUID]:
    """That person, who is there, in each table that may hold something of one; with the id of the import that names them."""
    db, world, brand_id = erasing.db, erasing.world, erasing.brand_id
    execution_id = await world.execution(await world.publication(), context={"name": SAID, "to": EMAIL})
    ((list_id,),) = await rows(db, "SELECT id FROM optout_list WHERE brand_id = %s", [brand_id])
    job_id, tag_id = new_id(), new_id()
    async with db.transaction() as conn:
        await conn.execute("UPDATE execution SET recipients = 1, state = 'cancelled'")
        await conn.execute(
            "INSERT INTO import_job (id, brand_id, kind, format, source, state, created_at, updated_at)"
            " VALUES (%s, %s, 'customers', 'csv', 'people.csv', 'succeeded', 'now', 'now')",
            [job_id, brand_id],
        )
        await conn.execute(
            "INSERT INTO subscription (part, customer_id, topic_id, brand_id, channels, changed_at)"
            " VALUES (%s, %s, %s, %s, 2, 'now')",
            [part_of(person), person, world.topic_id, brand_id],
        )
    listener_id = await _a_listener(erasing)
    pull_id = await _a_pull(erasing, execution_id)
    filling = Filling(
        erasing,
        {
            "brand_id": brand_id,
            "customer_id": person,
            "part": part_of(person),
            "execution_id": execution_id,
            "list_id": list_id,
            "job_id": job_id,
            "tag_id": tag_id,
            "sender_id": None,
            "listener_id": listener_id,
            "pull_id": pull_id,
            "topic_id": world.topic_id,
            "digest": email_digest(EMAIL),
            "email_digest": email_digest(EMAIL),
            "phone_digest": phone_digest(PHONE),
            "doubted_at": None,
        },
    )
    for table in sorted(EMPTIED - MADE):
        await filling.put_into(table)
    return filling, job_id


async def _a_listener(erasing: Erasing) -> UUID:
    """Of a client that is told of people."""
    client_id, listener_id = new_id(), new_id()
    async with erasing.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO hub_client (id, brand_id, name, username, password, key_digest, created_at, updated_at)"
            " VALUES (%s, %s, 'Texter', 'texter', 'x', %s, 'now', 'now')",
            [client_id, erasing.brand_id, client_id.bytes * 2],
        )
        await conn.execute(
            "INSERT INTO listener (id, brand_id, client_id, event, url, created_at, updated_at)"
            " VALUES (%s, %s, %s, 'trigger_met', 'https://hooks.example.org/', 'now', 'now')",
            [listener_id, erasing.brand_id, client_id],
        )
    return listener_id


async def _a_pull(erasing: Erasing, execution_id: UUID) -> UUID:
    """Of a list that a service pulls."""
    pull_id = new_id()
    async with erasing.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO pulled_run (execution_id, channel_number, brand_id, channel, watched_until)"
            " VALUES (%s, 505, %s, 2, 'now')",
            [execution_id, erasing.brand_id],
        )
        await conn.execute(
            "INSERT INTO pull (id, brand_id, execution_id, channel_number, puller_id, puller, started_at, frozen_at)"
            " VALUES (%s, %s, %s, 505, %s, 'Texter', 'now', 'now')",
            [pull_id, erasing.brand_id, execution_id, new_id()],
        )
    return pull_id
