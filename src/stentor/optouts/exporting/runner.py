"""A list becomes a file: all that holds when the job begins, in the columns and the format that were asked for.

Children copy the segments side by side, and what they write follows each other in order; last come the single entries, which
lie in the database. Whoever goes on after a crash begins anew: an export takes seconds.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from stentor.db.pool import Database
from stentor.db.reserve import NOTHING_RESERVED, DiskReserve
from stentor.errors import Unavailable
from stentor.failpoints import failpoint
from stentor.optouts.assembling import Assembly, InOrder
from stentor.optouts.crew import Crew, cores
from stentor.optouts.exporting import store
from stentor.optouts.exporting.model import ExportSpec
from stentor.optouts.exporting.store import ExportedStore, SingleEntry
from stentor.optouts.exporting.writing import Source, Writing, write
from stentor.optouts.jobs.model import JobKind, ResultFile
from stentor.optouts.jobs.working import ClaimedJob, Counts, JobFailed, Lost, Workplace, finish
from stentor.optouts.names import segment_name
from stentor.optouts.storage import NotStored, Storage

CHILD_MEMORY_BYTES = 1 << 30
_DUCKDB_BYTES = 400 << 20
_TRIES_MAX = 5


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
            sources, entries = await self._sources(job, directory, stack)
            crew = await stack.enter_async_context(Crew(memory_bytes=CHILD_MEMORY_BYTES))
            export = _Export(self._reserve, spec, workplace, directory, entries)
            if spec.format == "parquet":
                await export.write_whole(crew, sources)
            else:
                await export.write_pieces(crew, sources)
            export.file.close()
        result = await export.file.stored(self._storage, job, spec.file_name)
        await self._finish(job, spec, result, export.rows)

    async def _sources(self, job: ClaimedJob, directory: Path, stack: AsyncExitStack) -> tuple[list[Source], int]:
        """All files that the export reads, and how many entries about they have."""
        if job.list_id is None:
            raise JobFailed("The export names no list.")
        async with self._db.read() as conn:
            stores = await store.stores_of(conn, job.brand_id, job.list_id)
        if not stores:
            raise JobFailed("The list was deleted, or nothing that it is made of is enabled. Export another one.")
        sources: list[Source] = []
        entries = 0
        for one in stores:
            found, count = await self._of_store(one, directory, stack, is_own=one.brand_id == job.brand_id)
            sources += found
            entries += count
        return sources, entries

    async def _of_store(
        self, one: ExportedStore, directory: Path, stack: AsyncExitStack, *, is_own: bool
    ) -> tuple[list[Source], int]:
        # Before the segments: compaction forgets removals together with the rows that they were about.
        removals = await self._spooled(directory / f"{one.id}.removals", self._removals(one))
        erasures = await self._spooled(directory / f"{one.id}.erasures", self._erasures(one))
        single = await self._spooled(directory / f"{one.id}.ndjson", self._recents(one))
        base = Source(path=directory, hash=one.hash, tells_ip=is_own, lapsed_at=_in_utc(one.lapsed_at))
        paths, entries = await self._segments(one, stack)
        sources = [
            msgspec.structs.replace(
                base,
                path=path,
                removals=removals.path if removals.rows else None,
                erasures=erasures.path if erasures.rows else None,
            )
            for path in paths
        ]
        if single.rows:
            sources.append(msgspec.structs.replace(base, path=single.path, are_single=True))
        return sources, entries + single.rows

    async def _segments(self, one: ExportedStore, stack: AsyncExitStack) -> tuple[list[Path], int]:
        missing = ""
        for _ in range(_TRIES_MAX):
            async with self._db.read() as conn:
                segments = await store.segments_of(conn, one)
            try:
                paths = [
                    await stack.enter_async_context(self._storage.local(segment_name(segment_id)))
                    for segment_id, _ in segments
                ]
            except NotStored as gone:
                missing = str(gone)
                continue
            return paths, sum(entries for _, entries in segments)
        raise Unavailable("A file of the list is not there. Restore it, or wait for the storage.", reason=missing)

    async def _spooled(self, path: Path, pages: AsyncIterator[list[bytes]]) -> _Piece:
        rows = 0
        with path.open("wb") as file:
            async for page in pages:
                file.writelines(page)
                rows += len(page)
        return _Piece(path, rows)

    async def _removals(self, one: ExportedStore) -> AsyncIterator[list[bytes]]:
        after = b""
        while True:
            async with self._db.read() as conn:
                rows = await store.removals_of(conn, one, after=after)
            if not rows:
                return
            yield [f"{digest.hex()},{generation}\n".encode() for digest, generation in rows]
            after = rows[-1][0]

    async def _erasures(self, one: ExportedStore) -> AsyncIterator[list[bytes]]:
        after = b""
        while True:
            async with self._db.read() as conn:
                rows = await store.erasures_of(conn, one, after=after)
            if not rows:
                return
            yield [f"{digest.hex()}\n".encode() for digest in rows]
            after = rows[-1]

    async def _recents(self, one: ExportedStore) -> AsyncIterator[list[bytes]]:
        after = b""
        while True:
            async with self._db.read() as conn:
                rows = await store.recents_of(conn, one, after=after)
            if not rows:
                return
            yield [_line(row, one) for row in rows]
            after = rows[-1].digest

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
                return _Piece(path, await crew.call(write, self._writing([source], path)))

            return written

        async with InOrder(cores() + 1, self._add) as in_order:
            for number, source in enumerate(sources):
                self._reserve.check()
                await in_order.begin(work(number, source))

    async def write_whole(self, crew: Crew, sources: Sequence[Source]) -> None:
        """Writes a format of which files cannot be put behind each other."""
        path = self._directory / "whole.piece"
        self._reserve.check()
        rows = await crew.call(write, self._writing(sources, path, threads=cores()))
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


def _line(entry: SingleEntry, one: ExportedStore) -> bytes:
    whole = entry.digest if entry.hash is None and one.hash == "md5" else entry.hash
    row = {
        "address": None if entry.address is None else entry.address.removeprefix("+"),
        "hash": None if whole is None else whole.hex(),
        "collected": entry.collected,
        "at": _in_utc(entry.at),
        "campaign": entry.campaign,
        "affiliate": entry.affiliate,
        "sub_affiliate": entry.sub_affiliate,
        "ip": entry.ip,
    }
    return msgspec.json.encode(row) + b"\n"


def _in_utc(at: datetime | None) -> datetime | None:
    """As files have it: in UTC, without saying so."""
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None)


def _emptied(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
