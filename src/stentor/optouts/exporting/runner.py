"""A list becomes a file: all that holds when the job begins, in the columns and the format that were asked for.

Children copy the segments side by side, and what they write follows each other in order; last come the single entries, which
lie in the database. Whoever goes on after a crash begins anew: an export takes seconds.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from stentor.db.pool import Database
from stentor.db.reserve import NOTHING_RESERVED, DiskReserve
from stentor.errors import Unavailable
from stentor.failpoints import failpoint
from stentor.optouts.assembling import Assembly, InOrder
from stentor.optouts.crew import Crew, cores
from stentor.optouts.exporting.model import ExportSpec
from stentor.optouts.exporting.reading import Planned, SinglesOf, plan
from stentor.optouts.exporting.writing import Singles, Source, Writing, write, write_told
from stentor.optouts.jobs.model import JobKind, ResultFile
from stentor.optouts.jobs.working import ClaimedJob, Counts, JobFailed, Lost, Workplace, finish
from stentor.optouts.names import index_name
from stentor.optouts.storage import NotStored, Storage

CHILD_MEMORY_BYTES = 1 << 30
_DUCKDB_BYTES = 400 << 20


class _Piece(NamedTuple):
    """What one child wrote."""

    path: Path
    rows: int


class ExportRunner:
    """Exports lists. Of the job's counts `submitted` and `added` are the entries that the file has."""

    kind: JobKind = "export"

    def __init__(self, db: Database, storage: Storage, reserve: DiskReserve = NOTHING_RESERVED) -> None:
        self._db = db
        self._storage = storage
        self._reserve = reserve

    async def run(self, job: ClaimedJob, workplace: Workplace) -> None:
        """Makes the file of the export. Raises JobFailed, NoRoom, ChildDied, Lost, Unavailable."""
        directory = workplace.directory / "export"
        await asyncio.to_thread(_emptied, directory)
        spec = ExportSpec.from_json(job.spec)
        async with AsyncExitStack() as stack:
            crew = await stack.enter_async_context(Crew(memory_bytes=CHILD_MEMORY_BYTES))
            sources, entries = await self._sources(job, crew, directory, stack)
            export = _Export(self._reserve, spec, workplace, directory, entries)
            # Also where it comes to nothing: as long as somebody has the file open, it takes its room on the disk.
            stack.callback(export.file.close)
            if spec.format == "parquet" or len({source.store for source in sources}) > 1:
                await export.write_whole(crew, sources)
            else:
                await export.write_pieces(crew, sources)
        result = await export.file.stored(self._storage, job, spec.file_name)
        workplace.is_ending = True
        await self._finish(job, spec, result, export.rows)

    async def _sources(
        self, job: ClaimedJob, crew: Crew, directory: Path, stack: AsyncExitStack
    ) -> tuple[list[Source], int]:
        """All files that the export reads, and how many entries about they have."""
        if job.list_id is None:
            raise JobFailed("The export names no list.")
        planned = await plan(self._db, job.brand_id, job.list_id, directory)
        if planned is None:
            raise JobFailed("The list was deleted, or nothing that it is made of is enabled. Export another one.")
        told = {one.store: await self._told(one, crew, directory, stack) for one in planned.singles}
        sources = [await self._opened(one, stack) for one in planned.sources]
        return (
            [
                source if source.are_single else msgspec.structs.replace(source, told=told.get(source.store))
                for source in sources
            ],
            sum(one.entries for one in planned.sources),
        )

    async def _told(self, one: SinglesOf, crew: Crew, directory: Path, stack: AsyncExitStack) -> Path | None:
        """A file of the single entries that files of the list have, too: the entry says more. None for none.

        The indexes are asked for it: to hash all rows takes longer than all the rest.
        """
        try:
            runs = tuple(
                [await stack.enter_async_context(self._storage.local(index_name(each))) for each in one.run_ids]
            )
        except NotStored:
            runs = None
        path = directory / f"{one.store}.told"
        return path if await crew.call(write_told, Singles(one.digests, one.hash, runs), path) else None

    async def _opened(self, one: Planned, stack: AsyncExitStack) -> Source:
        if not one.name:
            return one.source
        try:
            # A file that compaction has replaced since is kept as long as this job is under way.
            path = await stack.enter_async_context(self._storage.local(one.name))
        except NotStored as gone:
            why = "A file of the list is not there. Restore it, or wait for the storage."
            raise Unavailable(why, reason=str(gone)) from gone
        return msgspec.structs.replace(one.source, path=path)

    async def _finish(self, job: ClaimedJob, spec: ExportSpec, result: ResultFile, rows: int) -> None:
        failpoint("list_export.stored")
        async with self._db.transaction() as conn:
            ended = await finish(
                conn, job, "success", counts=Counts(submitted=rows, added=rows), results={spec.file_name: result}
            )
            failpoint("list_export.before_commit")
        failpoint("list_export.after_commit")
        if not ended:
            await self._storage.delete([result.name])
            raise Lost


class _Export:
    """One export: its file as it grows."""

    def __init__(
        self, reserve: DiskReserve, spec: ExportSpec, workplace: Workplace, directory: Path, entries: int
    ) -> None:
        self._reserve = reserve
        self._spec = spec
        self._workplace = workplace
        self._directory = directory
        self._entries = entries
        head = f"{','.join(spec.header)}\n".encode() if spec.format == "csv" else b""
        self.file = Assembly(directory / spec.file_name, head)
        self.rows = 0

    async def write_pieces(self, crew: Crew, sources: Sequence[Source]) -> None:
        """Writes each source by itself, one behind the other."""

        def work(number: int, source: Source) -> Callable[[], Awaitable[_Piece]]:
            async def written() -> _Piece:
                path = self._directory / f"{number:06}.piece"
                return _Piece(path, await self._reserve.beside(crew.call(write, self._writing([source], path))))

            return written

        async with InOrder(cores() + 1, self._add) as in_order:
            for number, source in enumerate(sources):
                await in_order.begin(work(number, source))

    async def write_whole(self, crew: Crew, sources: Sequence[Source]) -> None:
        """Writes all sources at once: a format of which files cannot be put behind each other, and lists that have entries in common."""
        path = self._directory / "whole.piece"
        rows = await self._reserve.beside(crew.call(write, self._writing(sources, path, threads=cores())))
        await self._add(_Piece(path, rows))

    def _writing(self, sources: Sequence[Source], target: Path, *, threads: int = 1) -> Writing:
        return Writing(
            sources=tuple(sources), spec=self._spec, target=target, memory_bytes=_DUCKDB_BYTES, threads=threads
        )

    async def _add(self, piece: _Piece) -> None:
        await self.file.append(piece.path)
        self.rows += piece.rows
        self._workplace.report(
            {
                "stage": "exporting",
                "entries": self.rows,
                "entries_total": self._entries,
                "bytes_written": self.file.bytes,
            }
        )


def _emptied(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
