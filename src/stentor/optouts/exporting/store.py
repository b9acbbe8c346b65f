"""What an export reads of the database."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.optouts.hashing import HashName

PAGE = 20_000
"""Rows that are read at a time."""


class Sql(QuerySet, file="exports.sql", package=__package__):
    stores: Statement
    segments: Statement
    runs: Statement
    removals: Statement
    erasures: Statement
    recents: Statement


class ExportedStore(NamedTuple):
    """A list in which entries lie; those from `lapsed_at` or before hold no more."""

    id: UUID
    brand_id: UUID
    hash: HashName
    lapsed_at: datetime | None


class ExportedSegment(NamedTuple):
    """A file of entries, and up to which generation removals were taken out of it."""

    id: UUID
    entries: int
    cleared: int


class SingleEntry(NamedTuple):
    """An entry in the database."""

    digest: bytes
    address: str | None
    hash: bytes | None
    collected: bool
    at: datetime
    campaign: str
    affiliate: str
    sub_affiliate: str
    ip: str


async def stores_of(conn: Connection, brand_id: UUID, list_id: UUID) -> list[ExportedStore]:
    """Where the entries of the list lie, each place once; none where there is no such list."""
    rows = await Sql.stores.tuples(conn, brand_id=brand_id, list_id=list_id)
    return list({row[0]: ExportedStore(*row) for row in rows}.values())


async def segments_of(conn: Connection, store: ExportedStore) -> list[ExportedSegment]:
    """The files of the list's entries now, in the order in which they came."""
    rows = await Sql.segments.tuples(conn, list_id=store.id, brand_id=store.brand_id)
    return [ExportedSegment(*row) for row in rows]


async def runs_of(conn: Connection, store: ExportedStore) -> list[UUID]:
    """The digest indexes of what the list's files hold now."""
    return await Sql.runs.column(conn, list_id=store.id, brand_id=store.brand_id)


async def removals_of(conn: Connection, store: ExportedStore) -> AsyncIterator[list[tuple[bytes, int]]]:
    """Digests that were removed from files of up to that generation, some at a time."""
    async for rows in Sql.removals.batches(conn, PAGE, list_id=store.id, brand_id=store.brand_id):
        yield [(digest, generation) for digest, generation in rows]


async def erasures_of(conn: Connection, store: ExportedStore) -> AsyncIterator[list[bytes]]:
    """Digests whose addresses are nobody's to read, some at a time."""
    async for rows in Sql.erasures.batches(conn, PAGE, list_id=store.id, brand_id=store.brand_id):
        yield [digest for (digest,) in rows]


async def recents_of(conn: Connection, store: ExportedStore) -> AsyncIterator[list[SingleEntry]]:
    """Single entries by their digest, some at a time."""
    async for rows in Sql.recents.batches(conn, PAGE, list_id=store.id, brand_id=store.brand_id):
        yield [SingleEntry(*row) for row in rows]
