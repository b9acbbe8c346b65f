"""Compaction: of many files of a list few are made, without what was removed and without the addresses of the erased.

Nobody waits for it. What it reads never changes; what it makes is in the storage before the catalogue names it; and one short
transaction, under the lock on the list's row, puts the new file in the place of exactly those that were read. When one of
them is live no more by then, somebody else was faster, and what was made is thrown away. A crash before that transaction
leaves a file that nobody knows, one behind it files that nobody opens; `clearing` removes both.
"""

import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import UUID

import structlog

from stentor.clock import Clock, boottime_s
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import NoRoom, NotFound
from stentor.failpoints import failpoint
from stentor.optouts.compaction import store
from stentor.optouts.compaction.choosing import runs_to_merge, segments_to_merge
from stentor.optouts.compaction.model import (
    CatalogueFile,
    Compacted,
    CompactedList,
    FileKind,
    LiveFiles,
    NewFile,
)
from stentor.optouts.compaction.rewriting import Rewriting, Taken, holds_removed, merged_runs, rewritten
from stentor.optouts.compaction.store import Due, Patience
from stentor.optouts.crew import Crew
from stentor.optouts.names import index_name, segment_name
from stentor.optouts.runs.merging import Source
from stentor.optouts.storage import Storage, make_private

log = structlog.get_logger(__name__)

CHILD_MEMORY_BYTES = 768 << 20
_DUCKDB_MEMORY_BYTES = 384 << 20

PATIENCE = Patience(
    removed_within=timedelta(days=7),
    removed_max=100_000,
    erased_within=timedelta(days=7),
    kept_days=7,
    deleted_days=30,
)
"""An erased person is gone from all files within 30 days: three weeks are left for what may stand in the way."""

REMOVED_AT_ONCE_MAX = 500_000
ERASED_AT_ONCE_MAX = 100_000

SWAPPED_WITHIN_S = 3_600.0
"""How old a file may be that becomes live; a day old, and named by nobody, it would be deleted."""

WORK_PREFIX = "compaction-"
_RETRY_AFTER_S = 3_600
_MB = 1_000_000

T = TypeVar("T")


class Compactor:
    """Compacts lists, one after the other. Several at once do each other no harm, only the same work twice."""

    def __init__(
        self,
        db: Database,
        storage: Storage,
        *,
        min_free_bytes: int,
        patience: Patience = PATIENCE,
        removed_at_once: int = REMOVED_AT_ONCE_MAX,
        swapped_within_s: float = SWAPPED_WITHIN_S,
        free_bytes: Callable[[Path], int] = lambda place: shutil.disk_usage(place).free,
    ) -> None:
        """`min_free_bytes` stay free on the disk that is worked on; `removed_at_once`: so many removals are taken out.

        `swapped_within_s`: how old a file may be that becomes live.
        """
        self._db = db
        self._storage = storage
        self._patience = patience
        self._removed_at_once = removed_at_once
        self._swapped_within_s = swapped_within_s
        self._min_free_bytes = min_free_bytes
        self._free_bytes = free_bytes
        self._clock = Clock(db.shift)

    async def lists_in_need(self) -> list[CompactedList]:
        """Lists that have too many files, or something to take out or to drop, of all brands."""
        async with self._db.read() as conn:
            return await store.lists_in_need(conn, self._patience)

    async def files(self, brand_id: UUID, list_id: UUID) -> LiveFiles:
        """How many files a list has now. Raises NotFound."""
        async with self._db.read() as conn:
            a_list = await store.find(conn, brand_id, list_id)
            if a_list is None:
                raise _missing(list_id)
            runs = await store.live(conn, a_list, "run")
            segments = await store.live(conn, a_list, "segment")
        size = sum(file.bytes for file in (*runs, *segments))
        return LiveFiles(len(runs), len(segments), size, sum(file.entries for file in runs))

    async def compact(self, brand_id: UUID, list_id: UUID, *, everything: bool = False) -> Compacted:
        """Does what there is to do for a list. With `everything` all its runs become one, as far as they lapse together.

        Raises NotFound; NoRoom when the disk has no room for another copy of what is merged; ChildDied.
        """
        async with self._db.read() as conn:
            a_list = await store.find(conn, brand_id, list_id)
            if a_list is None:
                raise _missing(list_id)
            if everything:
                due = Due(removed=True, erased=True)
            else:
                due = await store.due(conn, a_list, self._patience)
        lapsed = await self._drop_lapsed(a_list)
        async with self._workplace() as work, Crew(memory_bytes=CHILD_MEMORY_BYTES, size=1) as crew:
            compacting = _Compacting(
                self._db,
                self._storage,
                crew,
                a_list,
                work=work,
                check_room=self._check_room,
                swapped_within_s=self._swapped_within_s,
            )
            await compacting.begin(self._lapsed_before(a_list), self._removed_at_once)
            done = await compacting.merge(everything=everything)
            done = done.plus(await compacting.take_out(due))
        return done.plus(lapsed)

    async def _drop_lapsed(self, a_list: CompactedList) -> Compacted:
        if a_list.expiry_days is None and not a_list.is_deleted:
            return Compacted()
        async with self._db.transaction() as conn:
            await store.lock(conn, a_list)
            runs = await store.replace_lapsed(conn, a_list, "run", kept_days=self._patience.kept_days)
            segments = await store.replace_lapsed(conn, a_list, "segment", kept_days=self._patience.kept_days)
            if runs or segments:
                await store.note_generation(conn, a_list, "lapsed")
            failpoint("lapse.before_commit")
        failpoint("lapse.after_commit")
        return Compacted(expired=runs + segments)

    def _lapsed_before(self, a_list: CompactedList) -> datetime | None:
        if a_list.expiry_days is None:
            return None
        kept = timedelta(days=a_list.expiry_days + self._patience.kept_days)
        try:
            return (self._clock.now() - kept).astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            return None

    def _check_room(self, needed: int) -> None:
        free = self._free_bytes(self._storage.work)
        if free < needed + self._min_free_bytes:
            raise NoRoom(
                f"Compacting the list takes {needed // _MB:,} MB more for a while, and {free // _MB:,} MB are free in"
                f" {self._storage.work}, of which {self._min_free_bytes // _MB:,} MB are kept free. Make room.",
                retry_after_s=_RETRY_AFTER_S,
            )

    @asynccontextmanager
    async def _workplace(self) -> AsyncIterator[Path]:
        work = self._storage.work / f"{WORK_PREFIX}{new_id()}"
        make_private(work)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _missing(list_id: UUID) -> NotFound:
    return NotFound(f"This brand has no opt-out list {str(list_id)!r}.")


class _Remade(NamedTuple):
    """What became of files that were to be made anew: `made` is the one in their place, if there is another one now.

    Without `is_done` they are as they were, with all that was to be taken out.
    """

    made: UUID | None
    is_done: bool


class _Compacting:
    """One compaction of one list."""

    def __init__(
        self,
        db: Database,
        storage: Storage,
        crew: Crew,
        a_list: CompactedList,
        *,
        work: Path,
        check_room: Callable[[int], None],
        swapped_within_s: float,
    ) -> None:
        self._db = db
        self._storage = storage
        self._crew = crew
        self._list = a_list
        self._work = work
        self._check_room = check_room
        self._swapped_within_s = swapped_within_s

    async def begin(self, lapsed_before: datetime | None, removed_at_once: int) -> None:
        """Reads which files there are, and then what is to be taken out of them.

        In this order: what is removed later is removed in a generation that no file among these has, and goes on to hold for
        whatever is made of them.
        """
        async with self._db.read() as conn:
            self._runs = await store.live(conn, self._list, "run")
            self._segments = await store.live(conn, self._list, "segment")
            removed = await store.removals(conn, self._list, limit=removed_at_once)
            self._erased = await store.erasures(conn, self._list, limit=ERASED_AT_ONCE_MAX)
        # A merged run is of the generation of its youngest: what is still to be taken out of the others would hold again.
        self._merges_runs = len(removed) < removed_at_once
        self._cleared = removed[-1].generation if removed else 0
        self._taken = Taken.written(self._work, removed, self._erased)
        self._lapsed_before = lapsed_before

    async def merge(self, *, everything: bool) -> Compacted:
        """Makes one file of each group that there is to merge."""
        done = Compacted()
        runs = self._runs if self._merges_runs else []
        for group in runs_to_merge(runs, self._list.expiry_days, everything=everything):
            if (await self._remake("run", group)).made:
                done = done.plus(Compacted(runs_read=len(group), runs_made=1))
        for group in segments_to_merge(self._segments, self._list.expiry_days, everything=everything):
            if (await self._remake("segment", group)).made:
                done = done.plus(Compacted(segments_read=len(group), segments_made=1))
        return done

    async def take_out(self, due: Due) -> Compacted:
        """Makes those files anew that still have what was removed or who was erased, where that is due."""
        done = Compacted()
        if due.removed:
            for run in await self._uncleared("run"):
                done = done.plus(await self._clear_run(run))
        segments: list[CatalogueFile] = []
        if due.erased:
            # Not the uncleared ones alone: who was erased may be in any of them.
            segments = await self._live("segment")
        elif due.removed:
            segments = await self._uncleared("segment")
        remade = [await self._remake("segment", [segment], only_where_needed=True) for segment in segments]
        made = [one.made for one in remade if one.made is not None]
        if due.erased:
            searched = [segment.id for segment, one in zip(segments, remade, strict=True) if one.is_done]
            await self._forget_erasures([*searched, *made])
        return done.plus(Compacted(segments_read=len(made), segments_made=len(made)))

    async def _forget_erasures(self, searched: Sequence[UUID]) -> None:
        async with self._db.transaction() as conn:
            # Whoever adds a segment meanwhile waits: it is either searched or seen here.
            await store.lock(conn, self._list)
            await store.forget_erasures(conn, self._list, self._erased, searched)
            failpoint("erased.before_commit")
        failpoint("erased.after_commit")

    async def _clear_run(self, run: CatalogueFile) -> Compacted:
        async with self._storage.local(index_name(run.id)) as path:
            holds = await self._crew.call(holds_removed, Source(path, run.generation), self._taken)
        if not holds:
            await self._note_cleared("run", run)
            return Compacted()
        remade = await self._remake("run", [run])
        return Compacted(runs_read=1, runs_made=1) if remade.made else Compacted()

    async def _live(self, kind: FileKind) -> list[CatalogueFile]:
        async with self._db.read() as conn:
            return await store.live(conn, self._list, kind)

    async def _uncleared(self, kind: FileKind) -> list[CatalogueFile]:
        return [file for file in await self._live(kind) if file.cleared < self._cleared]

    async def _note_cleared(self, kind: FileKind, file: CatalogueFile) -> None:
        async with self._db.autocommit() as conn:
            await store.note_cleared(conn, self._list, kind, [file.id], self._cleared)

    async def _remake(
        self, kind: FileKind, group: Sequence[CatalogueFile], *, only_where_needed: bool = False
    ) -> _Remade:
        """Makes one file of these and puts it in their place."""
        self._check_room(sum(file.bytes for file in group))
        name = index_name if kind == "run" else segment_name
        made, target = new_id(), self._work / "made"
        async with AsyncExitStack() as opened:
            paths = [await opened.enter_async_context(self._storage.local(name(file.id))) for file in group]
            if kind == "run":
                entries = await self._merged(group, paths, target)
            else:
                entries = await self._rewritten(paths, target, only_where_needed=only_where_needed)
        if entries is None:
            await self._note_cleared(kind, group[0])
            return _Remade(None, is_done=True)
        new = NewFile(
            id=made,
            generation=max(file.generation for file in group),
            entries=entries,
            bytes=target.stat().st_size,
            cleared=max(self._cleared, min(file.cleared for file in group)),
            learned_at=max(file.learned_at for file in group),
        )
        begun_s = boottime_s()
        if entries:
            await self._storage.put(name(made), target)
        failpoint("compact.stored")
        if await self._swap(kind, group, new, begun_s):
            log.info("list.compacted", list_id=str(self._list.list_id), kind=kind, files=len(group), entries=entries)
            return _Remade(made, is_done=True)
        await self._storage.delete([name(made)])
        return _Remade(None, is_done=False)

    async def _merged(self, group: Sequence[CatalogueFile], paths: Sequence[Path], target: Path) -> int:
        sources = [Source(path, run.generation) for run, path in zip(group, paths, strict=True)]
        generation = max(run.generation for run in group)
        return await self._crew.call(merged_runs, sources, self._taken, target, self._list.hash, generation)

    async def _rewritten(self, paths: Sequence[Path], target: Path, *, only_where_needed: bool) -> int | None:
        task = Rewriting(
            sources=list(paths),
            target=target,
            hash=self._list.hash,
            taken=self._taken,
            lapsed_before=self._lapsed_before,
            only_where_needed=only_where_needed,
            memory_bytes=_DUCKDB_MEMORY_BYTES,
        )
        return await self._crew.call(rewritten, task)

    async def _swap(self, kind: FileKind, group: Sequence[CatalogueFile], new: NewFile, begun_s: float) -> bool:
        """One transaction: the new file is live and those it was made of are not.

        False when one of them was not any more; and when this machine slept for so long since it was put into the storage
        that it may have been swept away as left behind.
        """
        async with self._db.transaction() as conn:
            await store.lock(conn, self._list)
            live = {file.id for file in await store.live(conn, self._list, kind)}
            is_first = all(file.id in live for file in group) and boottime_s() < begun_s + self._swapped_within_s
            if is_first:
                await store.replace(conn, self._list, kind, [file.id for file in group])
                if new.entries:
                    await store.insert(conn, self._list, kind, new)
                await store.note_generation(conn, self._list, "compaction")
            failpoint("compact.before_commit")
        failpoint("compact.after_commit")
        return is_first
