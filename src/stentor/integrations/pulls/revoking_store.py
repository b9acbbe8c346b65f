"""Revocations, and what was said no to lately, in the database."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.equal_bytes import EqualBytes
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import ChannelKind, Reason
from stentor.guard.store import digest_shard
from stentor.integrations.pulls.model import Pull, PulledRun, Revocation
from stentor.optouts.model import listed_as


class Sql(QuerySet, file="revoking.sql", package=__package__):
    take_numbers: Statement
    lock_run: Statement
    known: Statement
    add: Statement
    skip: Statement
    page: Statement
    of_person: Statement
    watched: Statement
    channels: Statement
    advance: Statement
    begin_sweep: Statement
    to_sweep: Statement
    note_swept: Statement
    said_no: Statement
    erased: Statement
    merged: Statement
    barred: Statement
    entered: Statement
    owners: Statement
    cast_in: Statement
    named_in: Statement
    held_in: Statement
    held_wide: Statement
    everybody_in: Statement
    size: Statement


class Watched(NamedTuple):
    """A run whose people are watched."""

    execution_id: UUID
    channel_number: int


async def watched(conn: Connection) -> dict[UUID, datetime]:
    """The brands of which something is watched, and up to when each was looked at."""
    return dict(await Sql.watched.tuples(conn))


async def page(conn: Connection, pull: Pull | PulledRun, *, after: int, limit: int) -> list[Revocation]:
    """The revocations of that run on its channel after that number, in the order in which they became known."""
    rows = await Sql.page.tuples(
        conn,
        brand_id=pull.brand_id,
        execution_id=pull.execution_id,
        channel_number=pull.channel_number,
        after=after,
        limit=limit,
    )
    return [Revocation(number, customer, name, Reason(reason), at) for number, customer, name, reason, at in rows]


async def of_person(conn: Connection, brand_id: UUID, execution_id: UUID, customer: UUID) -> dict[int, Revocation]:
    """That somebody was revoked, by the numbers of the partner channels."""
    rows = await Sql.of_person.tuples(
        conn, brand_id=brand_id, execution_id=execution_id, part=part_of(customer), customer_id=customer
    )
    return {
        channel: Revocation(number, person, name, Reason(reason), at)
        for channel, number, person, name, reason, at in rows
    }


async def owners(
    conn: Connection, brand_id: UUID, channel: ChannelKind, digests: Sequence[bytes]
) -> dict[bytes, list[UUID]]:
    """Who of the brand has the addresses of these md5 digests; those that nobody has are absent."""
    rows = await Sql.owners.tuples(
        conn,
        brand_id=brand_id,
        channel=int(listed_as(channel)),
        shards=[digest_shard(digest) for digest in digests],
        digests=EqualBytes(digests),
    )
    return dict(rows)


async def held_in(conn: Connection, brand_id: UUID, customers: Sequence[UUID]) -> dict[Watched, list[UUID]]:
    """Whom of these people watched runs wait for or have handed over, and did not revoke; runs without any are absent."""
    people = {"parts": [part_of(customer) for customer in customers], "customer_ids": list(customers)}
    rows = await Sql.held_wide.tuples(conn, brand_id=brand_id, **people)
    narrow = {
        *await Sql.cast_in.tuples(conn, brand_id=brand_id, **people),
        *await Sql.named_in.tuples(conn, brand_id=brand_id, **people),
    }
    if narrow:
        columns = ("execution_ids", "channel_numbers", "channels", "parts", "customer_ids")
        asked = {name: list(column) for name, column in zip(columns, zip(*narrow, strict=True), strict=True)}
        rows += await Sql.held_in.tuples(conn, brand_id=brand_id, **asked)
    held: defaultdict[Watched, list[UUID]] = defaultdict(list)
    for execution_id, number, customer in sorted(rows):
        held[Watched(execution_id, number)].append(customer)
    return held
