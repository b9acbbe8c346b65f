"""People, their words and their erasures in the database."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of
from stentor.erasures.model import Erasure


class Sql(QuerySet, file="queries.sql", package=__package__):
    survivors: Statement
    merged_into: Statement
    who: Statement
    tombstones: Statement
    lock_people: Statement
    earlier_digests: Statement
    drop_people: Statement
    drop_tombstones: Statement
    drop_past: Statement
    drop_subscriptions: Statement
    drop_tags: Statement
    drop_told: Statement
    drop_notices: Statement
    drop_clearances: Statement
    drop_send_revocations: Statement
    blank_consents: Statement
    blank_contexts: Statement
    add_erasures: Statement
    newest_of: Statement
    page: Statement
    brand_erasure: Statement


class WordSql(QuerySet, file="words.sql", package=__package__):
    last_of_answers: Statement
    blank_answers: Statement
    blank_rejects: Statement


class HistorySql(QuerySet, file="histories.sql", package=__package__):
    naming: Statement
    casting: Statement
    chosen: Statement
    of_topics: Statement


class SweepSql(QuerySet, file="sweep.sql", package=__package__):
    claim: Statement
    made_anew: Statement
    drop_messages: Statement
    drop_shown: Statement
    drop_skeletons: Statement
    drop_contacts: Statement
    drop_connector_people: Statement
    drop_connector_refused: Statement
    drop_told: Statement
    drop_tags: Statement
    blank_reports: Statement
    named_in: Statement
    left_of: Statement
    blank_executions: Statement
    blank_events: Statement
    pulled_lists: Statement
    blank_pulled: Statement
    is_on_the_wire: Statement
    go_on: Statement
    again_later: Statement
    complete: Statement
    waiting: Statement


class Known(NamedTuple):
    """A person who is to be erased, as far as it takes that: their addresses, and the channels that they object to (masks)."""

    customer_id: UUID
    external_id: str
    email: str | None
    phone: str | None
    email_digest: str | None
    phone_digest: str | None
    agreed_mask: int
    refused_mask: int
    complained_mask: int
    bounced_mask: int
    created_at: datetime


class Claimed(NamedTuple):
    """An erasure whose history is being swept. `may_end`: it is old enough to be complete after this pass."""

    id: UUID
    brand_id: UUID
    customer_id: UUID
    erased_at: datetime
    swept_to: UUID | None
    counts: dict[str, int]
    may_end: bool


def keys(customers: Sequence[UUID]) -> dict[str, Any]:
    """These people, as statements take them."""
    return {"parts": [part_of(customer) for customer in customers], "customer_ids": list(customers)}


async def family(conn: Connection, brand_id: UUID, customers: Sequence[UUID]) -> list[UUID]:
    """These people with everybody who was merged with one of them, in the order of their ids."""
    survivors = dict(await Sql.survivors.tuples(conn, brand_id=brand_id, **keys(customers)))
    roots = {survivors.get(customer, customer) for customer in customers}
    merged = await Sql.merged_into.column(conn, brand_id=brand_id, customer_ids=list(roots))
    return sorted(roots.union(merged))


async def who(conn: Connection, brand_id: UUID, customers: Sequence[UUID]) -> list[Known]:
    """Those of these people who are there, and those who were merged into one of them, without a lock; in id order."""
    return await _known(conn, Sql.who, brand_id, customers)


async def lock_people(conn: Connection, brand_id: UUID, customers: Sequence[UUID]) -> list[Known]:
    """The same, locked to the end of the transaction: whom somebody was merged into holds them too."""
    return await _known(conn, Sql.lock_people, brand_id, customers)


async def _known(conn: Connection, statement: Statement, brand_id: UUID, customers: Sequence[UUID]) -> list[Known]:
    found = [
        Known(*row)
        for each in (statement, Sql.tombstones)
        for row in await each.tuples(conn, brand_id=brand_id, **keys(customers))
    ]
    return sorted(found, key=lambda one: one.customer_id)


async def earlier_digests(conn: Connection, brand_id: UUID, customers: Sequence[UUID]) -> list[bytes]:
    """Of all addresses that they had before the present ones."""
    return await Sql.earlier_digests.column(conn, brand_id=brand_id, **keys(customers))


async def add_erasures(
    conn: Connection,
    brand_id: UUID,
    *,
    asked_by: str,
    ids: Sequence[UUID],
    digests: Sequence[bytes],
    counts: Sequence[dict[str, int]],
    customers: Sequence[UUID],
) -> list[Erasure]:
    """Records these erasures, each with what there was of the person."""
    return await Sql.add_erasures.rows(
        conn,
        Erasure,
        brand_id=brand_id,
        asked_by=asked_by,
        ids=list(ids),
        digests=list(digests),
        counts=[Jsonb(one) for one in counts],
        customer_ids=list(customers),
    )


async def newest_of(conn: Connection, brand_id: UUID, digests: Sequence[bytes]) -> dict[bytes, Erasure]:
    """The last erasure of each of these people who has one."""
    found = await Sql.newest_of.rows(conn, Erasure, brand_id=brand_id, digests=list(digests))
    return {erasure.digest: erasure for erasure in found}


async def page(conn: Connection, brand_id: UUID, *, before: UUID | None, limit: int) -> list[Erasure]:
    """A brand's erasures, newest first, from before that one."""
    return await Sql.page.rows(conn, Erasure, brand_id=brand_id, before=before, limit=limit)


async def brand_erasure(conn: Connection, brand_id: UUID, erasure_id: UUID) -> Erasure | None:
    """That erasure, if it is the brand's."""
    return await Sql.brand_erasure.first(conn, Erasure, brand_id=brand_id, id=erasure_id)


async def claim(conn: Connection, *, rest: timedelta, limit: int) -> list[Claimed]:
    """Erasures of one brand that have come equally far and are due; locked."""
    return [Claimed(*row) for row in await SweepSql.claim.tuples(conn, rest=rest, limit=limit)]


async def page_of_executions(
    conn: Connection, brand_id: UUID, customers: Sequence[UUID], *, after: UUID, limit: int
) -> list[UUID]:
    """Executions in which there may be something of these people, in order, from behind `after`."""
    people, page = keys(customers), {"brand_id": brand_id, "after": after, "limit": limit}
    topics = await HistorySql.chosen.column(conn, brand_id=brand_id, **people)
    found = {
        *await HistorySql.naming.column(conn, **page, **people),
        *await HistorySql.casting.column(conn, **page, **people),
        *(await HistorySql.of_topics.column(conn, **page, topic_ids=topics) if topics else ()),
    }
    return sorted(found)[:limit]


async def go_on(conn: Connection, brand_id: UUID, claimed: Sequence[Claimed], *, swept_to: UUID | None) -> None:
    """Notes how far these came, and what was found on the way."""
    await SweepSql.go_on.run(
        conn,
        brand_id=brand_id,
        swept_to=swept_to,
        ids=[one.id for one in claimed],
        counts=[Jsonb(one.counts) for one in claimed],
    )
