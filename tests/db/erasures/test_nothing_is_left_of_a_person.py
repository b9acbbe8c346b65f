"""A person is put into every place where something of people may be kept, and erased: nothing anywhere says who it was."""

from typing import Any
from uuid import UUID

import pytest
import structlog
from psycopg import sql
from psycopg.types.json import Jsonb

from erasure_world import Erasing, found_in, tables
from stentor.db.pool import Database
from stentor.domain.address import email_digest, phone_digest
from stentor.domain.ids import new_id, part_of

pytestmark = pytest.mark.anyio

NAME = "markus-77"
EMAIL = "markus@markerson.example"
PHONE = "+4915112345678"
SAID = "Markerson"
IP = "203.0.113.77"
MARKS = (NAME, EMAIL, PHONE, SAID, IP)

EMPTIED = {
    "address_owner",
    "cast_member",
    "consent_event",
    "contact",
    "customer",
    "customer_event",
    "customer_past",
    "customer_tag",
    "delivery_event",
    "execution",
    "idempotency_key",
    "import_reject",
    "optout_lifted",
    "optout_recent",
    "provider_event",
    "sandbox_message",
    "sandbox_skeleton",
    "send",
    "send_context",
    "subscription",
}
"""Where something of a person may be kept. An erasure deletes it, or empties it of all words."""

OF_IDS_ALONE = {"address_owner", "cast_member", "contact", "customer_past", "customer_tag", "send", "subscription"}
"""Of these, whose columns have no words."""

NOBODY = {
    "It is about users, who sign in and are nobody's customers.": {
        "account_letter",
        "account_user",
        "attempt_bucket",
        "invitation",
        "membership",
        "oidc_identity",
        "second_factor",
        "sign_in_link",
        "user_session",
    },
    "It says how the installation is set up, and who works with it.": {
        "api_key",
        "api_key_use",
        "audit_entry",
        "brand",
        "brand_policy_version",
        "campaign",
        "event_generator",
        "installation",
        "organisation",
        "optout_grant",
        "optout_list",
        "publication",
        "sandbox_chaos",
        "schedule",
        "schema_migration",
        "segment",
        "sender",
        "tag",
        "template",
        "template_version",
        "topic",
    },
    "It coordinates work, by ids and numbers.": {
        "batch",
        "chunk",
        "event_claim",
        "import_job",
        "occurrence",
        "optout_generation",
        "optout_job",
        "optout_part",
        "optout_run",
        "optout_segment",
        "reconciliation",
        "rate_window",
        "remedy",
        "role_lease",
        "run_bucket",
        "sender_bucket",
        "slice",
        "wave",
    },
    "It counts.": {"daily_total", "reconciliation_line", "tally", "topic_counter"},
    "It suppresses, by hashes; the second goes with its execution.": {
        "optout_removed",
        "optout_erasure",
        "address_claim",
    },
    "It is what is left, by a keyed hash.": {"erasure"},
}
"""Tables that hold nothing of people in words, and why."""

# What a table's own rules leave no room to say anything in.
CLOSED: dict[tuple[str, str], Any] = {
    ("consent_event", "kind"): "agreed",
    ("consent_event", "source"): "api",
    ("consent_event", "topic_id"): None,
    ("consent_event", "channels"): 2,
    ("consent_event", "text_version"): "2026-11",
    ("contact", "tags"): ["campaign tag"],
    ("customer", "external_id"): NAME,
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
    ("send", "state"): 2,
}
# Made as they come to be, before the others.
MADE = {"address_owner", "customer", "execution", "subscription"}


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


async def test_every_table_is_known_to_hold_something_of_people_or_nothing(db: Database):
    known = EMPTIED.union(*NOBODY.values())

    # A table that is new: have an erasure empty it (stentor.erasures) and name it in EMPTIED, or say why it holds nobody.
    assert set(await tables(db)) == known
    assert not EMPTIED & set().union(*NOBODY.values())


async def test_every_table_of_people_is_emptied_that_can_say_anything(db: Database):
    of_people = await rows(
        db,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace AND obj_description(oid, 'pg_class') ~ '^kind: (people|lookup)'",
    )

    assert {table for (table,) in of_people} - EMPTIED == {"address_claim"}


async def test_whoever_is_erased_is_in_no_table_no_file_and_no_log(erasing: Erasing):
    db, brand_id, person = erasing.db, erasing.brand_id, erasing.id_of(NAME)
    filling, job_id = await everywhere(erasing, person)
    everybody_else = await found_in(db, "quentin")

    before = await found_in(db, *MARKS)
    assert set(before) == EMPTIED - OF_IDS_ALONE
    assert ("delivery_event", "answer") in filling.marked

    with structlog.testing.capture_logs() as logged:
        erased = await erasing.erase(NAME)
        await erasing.complete()

    assert await found_in(db, *MARKS) == {}
    # What is counted and what is proved stays under an id that names nobody.
    assert set(await found_in(db, str(person))) == {
        "cast_member",
        "consent_event",
        "delivery_event",
        "provider_event",
        "send",
        "send_context",
    }
    digests = [email_digest(EMAIL).hex(), phone_digest(PHONE).hex()]
    assert set(await found_digests(db, digests)) == {"optout_recent", "optout_lifted"}
    for file in erasing.lists.rglob("*"):
        if file.is_file():
            assert not any(mark.encode() in file.read_bytes() for mark in (*MARKS, str(person)))
    assert not any(mark in repr(logged) for mark in MARKS)
    assert await found_in(db, "quentin") == everybody_else
    assert await rows(db, "SELECT status FROM idempotency_key") == [(410,)]
    assert await rows(db, "SELECT count(*) FROM import_reject WHERE job_id = %s", [job_id]) == [(1,)]
    assert erased.erasure.brand_id == brand_id


async def found_digests(db: Database, digests: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for table in await tables(db):
        query = f'SELECT count(*) FROM "{table}" t WHERE EXISTS (SELECT FROM unnest(%s::text[]) n WHERE strpos(t::text, n) > 0)'  # noqa: S608
        ((count,),) = await rows(db, query, [digests])
        if count:
            found[table] = count
    return found


async def everywhere(erasing: Erasing, person: UUID) -> tuple[Filling, UUID]:
    """The marked person in each table that may hold something of one, beside somebody who is not erased."""
    db, world, brand_id = erasing.db, erasing.world, erasing.brand_id
    await erasing.add(NAME, email=EMAIL, phone=PHONE, push_tokens=[f"{SAID}-token"], attributes={"name": SAID})
    await erasing.add("quentin", email="quentin@example.org", attributes={"name": "quentin"})
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
