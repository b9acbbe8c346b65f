"""What an export reads of the database."""

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
    removals: Statement
    erasures: Statement
    recents: Statement


class ExportedStore(NamedTuple):
    """A list in which entries lie; those from `lapsed_at` or before hold no more."""

    id: UUID
    brand_id: UUID
    hash: HashName
    lapsed_at: datetime | None


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


async def segments_of(conn: Connection, store: ExportedStore) -> list[tuple[UUID, int]]:
    """The files of the list's entries now, in the order in which they came, and how many each has."""
    rows = await Sql.segments.tuples(conn, list_id=store.id, brand_id=store.brand_id)
    return [(segment_id, entries) for segment_id, entries in rows]


async def removals_of(conn: Connection, store: ExportedStore, *, after: bytes) -> list[tuple[bytes, int]]:
    """Digests behind `after` that were removed from files of up to that generation."""
    rows = await Sql.removals.tuples(conn, list_id=store.id, brand_id=store.brand_id, after=after, limit=PAGE)
    return [(digest, generation) for digest, generation in rows]


async def erasures_of(conn: Connection, store: ExportedStore, *, after: bytes) -> list[bytes]:
    """Digests behind `after` whose addresses are nobody's to read."""
    return await Sql.erasures.column(conn, list_id=store.id, brand_id=store.brand_id, after=after, limit=PAGE)


async def recents_of(conn: Connection, store: ExportedStore, *, after: bytes) -> list[SingleEntry]:
    """Single entries behind the digest `after`."""
    rows = await Sql.recents.tuples(conn, list_id=store.id, brand_id=store.brand_id, after=after, limit=PAGE)
    return [SingleEntry(*row) for row in rows]
