"""A load in the database: what it reads of its list, and what it adds to it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.optouts.hashing import HashName


class Sql(QuerySet, file="loading.sql", package=__package__):
    begin: Statement
    live_runs: Statement
    recents: Statement
    removals: Statement
    recents_since: Statement
    lock_list: Statement
    insert_run: Statement
    insert_segments: Statement
    insert_generation: Statement
    next_generation: Statement
    give_way: Statement


class Target(msgspec.Struct, frozen=True):
    """The list that is loaded into, and what was decided at the beginning: the load's generation and time."""

    kind: str
    hash: HashName
    channels: int
    expiry_days: int | None
    generation: int
    at: datetime


class LiveRun(msgspec.Struct, frozen=True):
    """A run that holds entries."""

    id: UUID
    generation: int
    entries: int


class MadeFile(msgspec.Struct, frozen=True):
    """A run or a segment that was made."""

    id: UUID
    entries: int
    bytes: int
    learned_at: datetime


async def begin(conn: Connection, brand_id: UUID, list_id: UUID) -> Target | None:
    """Takes the list's next generation; None where the brand has no such list that holds entries."""
    return await Sql.begin.first(conn, Target, brand_id=brand_id, list_id=list_id)


async def live_runs(conn: Connection, brand_id: UUID, list_id: UUID) -> list[LiveRun]:
    """The runs in which an entry of the file may be already."""
    return await Sql.live_runs.rows(conn, LiveRun, brand_id=brand_id, list_id=list_id)


async def recents(conn: Connection, brand_id: UUID, list_id: UUID, *, after: bytes, limit: int) -> list[bytes]:
    """Digests of single entries, in order, from behind one."""
    return await Sql.recents.column(conn, brand_id=brand_id, list_id=list_id, after=after, limit=limit)


async def removals(
    conn: Connection, brand_id: UUID, list_id: UUID, *, after: bytes, limit: int
) -> list[tuple[bytes, int]]:
    """Digests that were removed, in order, from behind one, and up to which generation."""
    rows = await Sql.removals.tuples(conn, brand_id=brand_id, list_id=list_id, after=after, limit=limit)
    return [(digest, generation) for digest, generation in rows]


async def recents_since(
    conn: Connection, brand_id: UUID, list_id: UUID, *, since: datetime, after: bytes, limit: int
) -> list[bytes]:
    """Digests of single entries that came since then, in order, from behind one."""
    return await Sql.recents_since.column(
        conn, brand_id=brand_id, list_id=list_id, since=since, after=after, limit=limit
    )


async def lock_list(conn: Connection, brand_id: UUID, list_id: UUID) -> bool:
    """Locks the list until the transaction ends; False where it was deleted."""
    return bool(await Sql.lock_list.value(conn, brand_id=brand_id, list_id=list_id))


async def add_files(
    conn: Connection,
    brand_id: UUID,
    list_id: UUID,
    *,
    generation: int,
    run: MadeFile,
    segments: Sequence[MadeFile],
) -> None:
    """Adds the run and its segments to a locked list, as that generation."""
    files = {"brand_id": brand_id, "list_id": list_id, "generation": generation}
    await Sql.insert_run.run(conn, **files, id=run.id, entries=run.entries, bytes=run.bytes, learned_at=run.learned_at)
    await Sql.insert_segments.run(
        conn,
        **files,
        ids=[segment.id for segment in segments],
        entries=[segment.entries for segment in segments],
        bytes=[segment.bytes for segment in segments],
        learned_at=[segment.learned_at for segment in segments],
    )
    await Sql.insert_generation.run(conn, **files)


async def give_way(conn: Connection, brand_id: UUID, list_id: UUID, digests: Sequence[bytes]) -> None:
    """Lets the single entries of these digests hold instead of those of the runs of a locked list, in its next generation."""
    list_of_brand = {"brand_id": brand_id, "list_id": list_id}
    generation = await Sql.next_generation.value(conn, **list_of_brand)
    await Sql.give_way.run(conn, **list_of_brand, generation=generation, digests=list(digests))
