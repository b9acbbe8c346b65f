"""The catalogue of a list's files, as compaction reads and changes it. Nothing here commits."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.optouts.compaction import choosing
from stentor.optouts.compaction.model import CatalogueFile, CompactedList, FileKind, NewFile, Removed


class ListSql(QuerySet, file="lists.sql", package=__package__):
    in_need: Statement
    find: Statement
    due: Statement
    removals: Statement
    erasures: Statement
    lock: Statement
    next_generation: Statement
    note_generation: Statement
    forget_erasures: Statement


class FileSql(QuerySet, file="files.sql", package=__package__):
    live: Mapping[FileKind, Statement]
    replace: Mapping[FileKind, Statement]
    insert: Mapping[FileKind, Statement]
    note_cleared: Mapping[FileKind, Statement]
    replace_lapsed: Mapping[FileKind, Statement]
    deletable: Mapping[FileKind, Statement]
    forget: Mapping[FileKind, Statement]
    known: Mapping[FileKind, Statement]


class Patience(msgspec.Struct, frozen=True):
    """How long files keep what holds no more, before a compaction is made for that alone."""

    removed_within: timedelta
    removed_max: int
    erased_within: timedelta
    kept_days: int
    deleted_days: int


class Due(msgspec.Struct, frozen=True):
    """What shall be taken out of a list's files by now."""

    removed: bool
    erased: bool


async def lists_in_need(conn: Connection, patience: Patience) -> list[CompactedList]:
    """Lists that have too many files, or something to take out."""
    return await ListSql.in_need.rows(
        conn,
        CompactedList,
        runs_max=choosing.RUNS_MAX,
        small_run_entries=choosing.SMALL_RUN_ENTRIES,
        small_runs_max=choosing.SMALL_RUNS_MAX,
        small_segment_entries=choosing.SMALL_SEGMENT_ENTRIES,
        small_segments_max=choosing.SMALL_SEGMENTS_MAX,
        **msgspec.structs.asdict(patience),
    )


async def find(conn: Connection, brand_id: UUID, list_id: UUID) -> CompactedList | None:
    """The list; a deleted one too."""
    return await ListSql.find.first(conn, CompactedList, brand_id=brand_id, list_id=list_id)


async def due(conn: Connection, a_list: CompactedList, patience: Patience) -> Due:
    """What shall be taken out of the list's files by now."""
    (found,) = await ListSql.due.rows(
        conn,
        Due,
        **_keys(a_list),
        removed_within=patience.removed_within,
        removed_max=patience.removed_max,
        erased_within=patience.erased_within,
    )
    return found


async def removals(conn: Connection, a_list: CompactedList, *, limit: int) -> list[Removed]:
    """The removals, in the order of their generations: so many, and all others of the last one's generation."""
    return await ListSql.removals.rows(conn, Removed, **_keys(a_list), limit=limit)


async def erasures(conn: Connection, a_list: CompactedList, *, limit: int) -> list[bytes]:
    """Digests whose addresses must go."""
    return await ListSql.erasures.column(conn, **_keys(a_list), limit=limit)


async def forget_erasures(
    conn: Connection, a_list: CompactedList, digests: Sequence[bytes], searched: Sequence[UUID]
) -> int:
    """Forgets those that were carried out in all the list's segments, which are these."""
    return await ListSql.forget_erasures.run(conn, **_keys(a_list), digests=list(digests), searched=list(searched))


async def lock(conn: Connection, a_list: CompactedList) -> None:
    """Locks the list; who adds or removes files of it waits."""
    await ListSql.lock.run(conn, **_keys(a_list))


async def note_generation(conn: Connection, a_list: CompactedList, what: str) -> None:
    """The list's files have changed."""
    generation = await ListSql.next_generation.value(conn, **_keys(a_list))
    await ListSql.note_generation.run(conn, **_keys(a_list), generation=generation, what=what)


async def live(conn: Connection, a_list: CompactedList, kind: FileKind) -> list[CatalogueFile]:
    """The list's live files, the oldest first."""
    return await FileSql.live[kind].rows(conn, CatalogueFile, **_keys(a_list))


async def replace(conn: Connection, a_list: CompactedList, kind: FileKind, ids: Sequence[UUID]) -> int:
    """These are live no more; returns how many of them were."""
    return await FileSql.replace[kind].run(conn, **_keys(a_list), ids=list(ids))


async def insert(conn: Connection, a_list: CompactedList, kind: FileKind, new: NewFile) -> None:
    """The file is live."""
    await FileSql.insert[kind].run(conn, **_keys(a_list), **msgspec.structs.asdict(new))


async def note_cleared(
    conn: Connection, a_list: CompactedList, kind: FileKind, ids: Sequence[UUID], cleared: int
) -> None:
    """Nothing that was removed up to that generation is in these files."""
    await FileSql.note_cleared[kind].run(conn, **_keys(a_list), ids=list(ids), cleared=cleared)


async def replace_lapsed(conn: Connection, a_list: CompactedList, kind: FileKind, *, kept_days: int) -> int:
    """Of an expiring list, puts an end to files whose entries have all lapsed so many days ago; of a deleted one, to all."""
    return await FileSql.replace_lapsed[kind].run(conn, **_keys(a_list), kept_days=kept_days)


async def deletable(conn: Connection, kind: FileKind, *, kept: timedelta, limit: int) -> list[UUID]:
    """Files that were replaced so long ago that nobody opens them any more, and that no running job may still read."""
    return await FileSql.deletable[kind].column(conn, kept=kept, limit=limit)


async def forget(conn: Connection, kind: FileKind, ids: Sequence[UUID]) -> int:
    """Takes files out of the catalogue that are deleted."""
    return await FileSql.forget[kind].run(conn, ids=list(ids))


async def known(conn: Connection, kind: FileKind, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these files the catalogue has."""
    return set(await FileSql.known[kind].column(conn, ids=list(ids)))


def _keys(a_list: CompactedList) -> dict[str, Any]:
    return {"list_id": a_list.list_id, "brand_id": a_list.brand_id}
