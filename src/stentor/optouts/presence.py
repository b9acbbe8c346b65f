"""Which files lists need, and whether they are there: for backups, and for whoever looks after the installation."""

from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.optouts.compaction.model import FileKind
from stentor.optouts.names import index_name, segment_name
from stentor.optouts.storage import Storage


class Sql(QuerySet, file="presence.sql", package=__package__):
    live_files: Statement
    awaited_parts: Statement


class ListFile(msgspec.Struct, frozen=True):
    """A file that a list goes by (its digests, kind run), or that has its entries (segment)."""

    kind: FileKind
    id: UUID
    bytes: int
    entries: int
    list: str
    brand_id: UUID

    @property
    def name(self) -> str:
        """What it is called in the storage."""
        return index_name(self.id) if self.kind == "run" else segment_name(self.id)


class NamedFile(NamedTuple):
    """A file in the storage, and how long it should be."""

    name: str
    bytes: int


async def live_files(conn: Connection) -> list[ListFile]:
    """The files of all lists of all brands."""
    return await Sql.live_files.rows(conn, ListFile)


async def needed_files(conn: Connection) -> list[NamedFile]:
    """The files of all lists, and what was received for jobs that have not read it yet."""
    files = [NamedFile(file.name, file.bytes) for file in await live_files(conn)]
    return files + [NamedFile(*row) for row in await Sql.awaited_parts.tuples(conn)]


async def absent_files(conn: Connection, storage: Storage) -> list[ListFile]:
    """The files of lists that are not in the storage, or are not as long as they should be.

    While a run is away, its list cannot be asked, and messages that go by it wait; a segment is missed by exports alone.
    """
    there = {found.name: found.bytes for area in ("runs", "segments") async for found in storage.names(area)}
    return [file for file in await live_files(conn) if there.get(file.name) != file.bytes]
