"""Removes what nobody needs any more: files that were replaced, files that a crash left behind, and what the catalogue says of both.

In an installation that was restored from a backup and is still paused nothing is removed: its storage may be another's.
"""

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from stentor.db.batches import until_short
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.failpoints import failpoint
from stentor.optouts.compaction import store
from stentor.optouts.compaction.compacting import PATIENCE, WORK_PREFIX
from stentor.optouts.compaction.model import FileKind
from stentor.optouts.names import index_name, segment_name
from stentor.optouts.storage import Storage

REPLACED_KEPT = timedelta(hours=1)
"""How long a file that was replaced is kept for those who have just read of it."""

STRANGERS_KEPT = timedelta(days=1)
"""How long a file that nobody names is kept: whoever made it may be about to name it."""

FILES_AT_ONCE_MAX = 1_000
ROWS_AT_ONCE_MAX = 10_000

_NAMES: dict[FileKind, Callable[[UUID], str]] = {"run": index_name, "segment": segment_name}
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


class Sql(QuerySet, file="clearing.sql", package=__package__):
    may_delete: Statement
    forget_removals: Statement
    forget_recents: Statement
    forget_lifted: Statement
    forget_generations: Statement
    strangers_until: Statement
    known_parts: Statement
    known_results: Statement
    jobs_under_way: Statement


async def delete_replaced(db: Database, storage: Storage) -> int:
    """Deletes files that were replaced over an hour ago and that no job reads that was running then; returns how many.

    The file goes first: a crash in between leaves a row whose file is gone, and of which nobody but this asks. Then, if any
    went, the removals that no file needs any more.
    """
    deleted = 0
    for kind, name in _NAMES.items():
        async with db.read() as conn:
            if not await Sql.may_delete.value(conn):
                return 0
            ids = await store.deletable(conn, kind, kept=REPLACED_KEPT, limit=FILES_AT_ONCE_MAX)
        if ids:
            await storage.delete([name(each) for each in ids])
            failpoint("replaced.deleted")
            async with db.autocommit() as conn:
                deleted += await store.forget(conn, kind, ids)
    if deleted:
        await forget_removals(db)
    return deleted


async def forget_removals(db: Database) -> int:
    """Forgets the removals that no file needs any more; returns how many. Reads all that there are, so not to be called often.

    `delete_replaced` does so too; but also files that stay may have been searched for what was removed, or lists have lost
    their last one.
    """
    async with db.read() as conn:
        if not await Sql.may_delete.value(conn):
            return 0
    return await until_short(lambda: _step(db, Sql.forget_removals), ROWS_AT_ONCE_MAX)


async def forget_old(db: Database, *, days: int) -> int:
    """Forgets what was taken off lists, and what made their generations, before the history began, so many days ago.

    And the single entries of lists that were deleted a month ago. Returns how many rows that were.
    """
    async with db.read() as conn:
        if not await Sql.may_delete.value(conn):
            return 0
    forgotten = 0
    for statement, kept_days in (
        (Sql.forget_lifted, days),
        (Sql.forget_generations, days),
        (Sql.forget_recents, PATIENCE.deleted_days),
    ):
        forgotten += await until_short(
            lambda statement=statement, kept_days=kept_days: _step(db, statement, days=kept_days), ROWS_AT_ONCE_MAX
        )
    return forgotten


async def _step(db: Database, statement: Statement, **bound: int) -> int:
    async with db.autocommit() as conn:
        return await statement.run(conn, limit=ROWS_AT_ONCE_MAX, **bound)


async def sweep_machine(db: Database, storage: Storage) -> int:
    """Deletes what lies on this machine's disk alone: what killed compactions left there, and copies that nobody here uses."""
    async with db.read() as conn:
        if not await Sql.may_delete.value(conn):
            return 0
    return await asyncio.to_thread(_sweep_work, storage.work) + await storage.drop_old_copies()


async def sweep_strangers(db: Database, storage: Storage) -> int:
    """Deletes what lies in the storage for over a day without anybody naming it; returns how many files that were."""
    async with db.read() as conn:
        if not await Sql.may_delete.value(conn):
            return 0
        until = await Sql.strangers_until.value(conn, kept=STRANGERS_KEPT)
    swept = 0
    for area in ("runs", "segments", "uploads", "results"):
        async for names in _old_names(storage, area, until):
            async with db.read() as conn:
                known = await _known(conn, area, names)
            strangers = [name for name in names if name not in known]
            await storage.delete(strangers)
            swept += len(strangers)
    return swept


async def _old_names(storage: Storage, area: str, until: datetime) -> AsyncIterator[list[str]]:
    names: list[str] = []
    async for found in storage.names(area):
        if found.modified < until:
            names.append(found.name)
        if len(names) == FILES_AT_ONCE_MAX:
            yield names
            names = []
    if names:
        yield names


async def _known(conn: Connection, area: str, names: Sequence[str]) -> set[str]:
    """Which of these files of one area are named by the catalogue or by a job, or may be before long."""
    ids = {name: UUID(found[0]) for name in names if (found := _ID.match(name.split("/")[1]))}
    if area in {"runs", "segments"}:
        kind: FileKind = "run" if area == "runs" else "segment"
        found_ids = await store.known(conn, kind, list(ids.values()))
        return {_NAMES[kind](each) for each in found_ids}
    under_way = set(await Sql.jobs_under_way.column(conn, job_ids=list(set(ids.values()))))
    if area == "uploads":
        named = set(await Sql.known_parts.column(conn, names=list(names)))
    else:
        named = set(await Sql.known_results.column(conn, job_ids=list(set(ids.values()))))
    return named | {name for name, job_id in ids.items() if job_id in under_way}


def _sweep_work(work: Path) -> int:
    """Removes what compactions left behind that were killed; returns how many those were."""
    if not work.is_dir():
        return 0
    oldest_s = time.time() - STRANGERS_KEPT.total_seconds()
    places = [left for left in work.glob(f"{WORK_PREFIX}*") if left.stat().st_mtime < oldest_s]
    for left in places:
        shutil.rmtree(left, ignore_errors=True)
    return len(places)
