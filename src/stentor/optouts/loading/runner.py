"""An uploaded file becomes part of its list: all of it at one moment, or nothing.

The file is cut into chunks, and children read them side by side: entries, their digests, what is malformed. In the order of
the file each chunk then finds out which of its digests came before, in earlier chunks, in the list's runs or among its single
entries, and the others become a segment and a digest index. In the end the indexes are merged into one run, and a short
transaction adds it to the list together with the counts. Until then nobody sees anything of it, and whoever goes on after a
crash on the same machine begins behind the last chunk that was done.
"""

import asyncio
import itertools
import shutil
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.db.pool import Database
from stentor.db.reserve import NOTHING_RESERVED, DiskReserve
from stentor.domain.ids import new_id
from stentor.failpoints import failpoint
from stentor.optouts.crew import Crew, cores
from stentor.optouts.hashing import DIGEST_BYTES
from stentor.optouts.jobs import store as job_store
from stentor.optouts.jobs.model import JobKind, Part, ResultFile
from stentor.optouts.jobs.working import (
    ClaimedJob,
    Counts,
    JobFailed,
    Lost,
    Workplace,
    finish,
    is_tried_again,
)
from stentor.optouts.loading import merging, reading, splitting, store
from stentor.optouts.loading.earlier import Earlier
from stentor.optouts.loading.inflate import MAGIC_BYTES, Unreadable, encoding_of
from stentor.optouts.loading.manifest import VERSION, DoneChunk, Manifest, Plan
from stentor.optouts.loading.reading import Known
from stentor.optouts.loading.rows import Order
from stentor.optouts.loading.splitting import CHUNK_BYTES, CHUNK_LINES, Chunk
from stentor.optouts.loading.store import MadeFile, Target
from stentor.optouts.names import index_name, result_name, segment_name
from stentor.optouts.runs.held import write_recents
from stentor.optouts.storage import Storage

REJECTS_MAX = 1_000_000
"""Of a file, kept with line and reason; all are counted."""

REJECTS_FILE = "rejects.csv"

CHILD_MEMORY_BYTES = 1200 << 20
_DUCKDB_MEMORY_BYTES = 400 << 20
_READERS_MAX = 3
_SMALL_CHUNK_LINES = 500_000
_PAGE = 100_000
_BYTES_PER_LINE = 20
# Addresses compress to a quarter, some much better; a bitmap that is too small costs time alone.
_INSIDE_PER_BYTE = 5
_PUT_AT_ONCE = 4

HOPELESS_LINES = 1_000_000
HOPELESS_SHARE = 0.9
"""Of a file of which so much is malformed after so many lines the rest is not read: it is something else."""


class ImportRunner:
    """Loads uploaded files into lists. What is loaded is what was received: a path on some machine is none of its sources."""

    kind: JobKind = "import"

    def __init__(
        self,
        db: Database,
        storage: Storage,
        reserve: DiskReserve = NOTHING_RESERVED,
        *,
        chunk_lines: int = CHUNK_LINES,
        chunk_bytes: int = CHUNK_BYTES,
        hopeless_lines: int = HOPELESS_LINES,
    ) -> None:
        self._db = db
        self._storage = storage
        self._reserve = reserve
        self._chunk_lines, self._chunk_bytes, self._hopeless_lines = chunk_lines, chunk_bytes, hopeless_lines

    async def run(self, job: ClaimedJob, workplace: Workplace) -> None:
        """Loads the file of an import. Raises JobFailed, NoRoom, ChildDied, Lost, Unavailable."""
        if job.list_id is None:
            raise JobFailed("The import names no list.")
        if job.declared_bytes not in {None, job.received_bytes}:
            raise JobFailed(
                f"The file was announced with {job.declared_bytes} bytes, and {job.received_bytes} came. Send it again."
            )
        manifest = Manifest(workplace.directory)
        plan = manifest.plan()
        fresh = (VERSION, job.received_bytes, *self._chunk_size(job))
        if plan is None or (plan.version, plan.received_bytes, plan.chunk_lines, plan.chunk_bytes) != fresh:
            await asyncio.to_thread(_clear, workplace.directory)
            target = await self._begun(job.brand_id, job.list_id)
            plan = Plan(*fresh, target=target, run_id=new_id())
            await asyncio.to_thread(manifest.begin, plan)
        async with self._db.read() as conn:
            parts = await job_store.parts(conn, job.brand_id, job.id)
        load = _Load(
            self._db,
            self._storage,
            self._reserve,
            job=job,
            list_id=job.list_id,
            workplace=workplace,
            plan=plan,
            hopeless_lines=self._hopeless_lines,
        )
        try:
            await load.run(parts)
        except Unreadable as unreadable:
            raise JobFailed(str(unreadable)) from None

    def _chunk_size(self, job: ClaimedJob) -> tuple[int, int]:
        """How many lines and bytes a chunk has at most. A small file may have much in it, compressed."""
        # Ten chunks of a large file at least, so that no core waits long for the last of another.
        chunk_bytes = min(self._chunk_bytes, max(self._chunk_bytes // 10, job.received_bytes // 10))
        return min(self._chunk_lines, _SMALL_CHUNK_LINES) if job.is_small else self._chunk_lines, chunk_bytes

    async def _begun(self, brand_id: UUID, list_id: UUID) -> Target:
        async with self._db.transaction() as conn:
            target = await store.begin(conn, brand_id, list_id)
            failpoint("list_load_begin.before_commit")
        failpoint("list_load_begin.after_commit")
        if target is None:
            raise JobFailed("The list was deleted, or holds no entries itself. Import into one that does.")
        return target


def _encoding_of(part: Path) -> str:
    with part.open("rb") as file:
        return encoding_of(file.read(MAGIC_BYTES))


def _clear(directory: Path) -> None:
    """Removes what another plan left."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


async def _written(path: Path, pages: AsyncIterator[list[bytes]]) -> int:
    """Writes what is on the pages, one thing behind the other, and returns how many that are."""
    written = 0
    with path.open("wb") as file:
        async for page in pages:
            file.writelines(page)
            written += len(page)
    return written


def _joined(path: Path, files: Sequence[Path]) -> int:
    """Writes the first REJECTS_MAX rejects of all chunks, in order, below one header; answers with the bytes."""
    left = REJECTS_MAX
    with path.open("wb") as joined:
        joined.write(b"line,reason\r\n")
        for each in files:
            with each.open("rb") as file:
                # Chunks that are read at once each keep as many as if they were the last.
                for line in itertools.islice(file, left):
                    joined.write(line)
                    left -= 1
        return joined.tell()


def _counts(chunks: Sequence[DoneChunk]) -> Counts:
    submitted, added, malformed = (
        sum(chunk.submitted for chunk in chunks),
        sum(chunk.added for chunk in chunks),
        sum(chunk.malformed for chunk in chunks),
    )
    return Counts(submitted, added, submitted - added - malformed, malformed)


def _check_any(counts: Counts, rejects: dict[str, ResultFile]) -> None:
    """Raises JobFailed where all lines are malformed: whoever sent them believes that people are on the list now."""
    if not counts.submitted or counts.malformed < counts.submitted:
        return
    lines = counts.submitted
    these = (
        "The only line of this file is no entry"
        if lines == 1
        else f"None of the {lines:,} lines of this file is an entry"
    )
    raise JobFailed(
        f"{these} of this list; {REJECTS_FILE} says why. The list takes addresses, numbers or hashes of its own kind, one per"
        " line, or columns below a header line that calls theirs email, phone, md5 … or address.",
        counts,
        rejects,
    )


@asynccontextmanager
async def _one_error() -> AsyncIterator[None]:
    """Of several tasks that failed together the first error, as if there had been one task."""
    try:
        yield
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


class _Held(NamedTuple):
    """Where digests may be that a chunk has too."""

    known: Sequence[Known]
    removals: Path | None
    earlier: Earlier


class _Load:
    """One load, with what was decided for it."""

    def __init__(
        self,
        db: Database,
        storage: Storage,
        reserve: DiskReserve,
        *,
        job: ClaimedJob,
        list_id: UUID,
        workplace: Workplace,
        plan: Plan,
        hopeless_lines: int,
    ) -> None:
        self._db, self._storage, self._reserve = db, storage, reserve
        self._job, self._list_id, self._hopeless_lines = job, list_id, hopeless_lines
        self._workplace, self._manifest, self._plan = workplace, Manifest(workplace.directory), plan
        target = plan.target
        self._order = Order(
            directory=workplace.directory,
            hash_name=target.hash,
            channels=target.channels,
            keeps_hashes=target.kind != "plain",
            at=target.at,
            generation=target.generation,
            memory_bytes=_DUCKDB_MEMORY_BYTES,
        )
        self._done = {chunk.number: chunk for chunk in self._manifest.done()}
        self._turn = asyncio.Condition()
        self._bytes_read = 0
        self._lines = sum(chunk.submitted for chunk in self._done.values())
        self._malformed = sum(chunk.malformed for chunk in self._done.values())
        self._rejects_left = REJECTS_MAX - sum(chunk.rejects_kept for chunk in self._done.values())

    async def run(self, parts: Sequence[Part]) -> None:
        """Loads the file that these parts are."""
        readers = 1 if self._job.is_small else min(cores(), _READERS_MAX)
        async with AsyncExitStack() as stack:
            crew = await stack.enter_async_context(Crew(memory_bytes=CHILD_MEMORY_BYTES, size=readers + 1))
            known = await self._known(crew, stack)
            removals = await self._removals()
            expected = await self._size_inside(parts) // _BYTES_PER_LINE
            earlier = Earlier(self._manifest, crew, self._order.hash_name, self._order.generation)
            earlier.found(self._done)
            seeds = [*(file.path for file in known), *earlier.files(len(self._done))]
            await crew.call(reading.seed, self._bitmap, expected, seeds)
            await self._read_all(crew, readers, parts, _Held(known, removals, earlier))
            chunks = [self._done[number] for number in range(len(self._done))]
            counts = _counts(chunks)
            self._report("merging")
            if counts.added:
                self._reserve.check(DIGEST_BYTES * counts.added)
                async with _one_error():
                    await self._reserve.beside(
                        merging.make_run(
                            crew,
                            earlier.files(len(chunks)),
                            self._run_path,
                            self._order.hash_name,
                            self._order.generation,
                            shares=readers,
                        )
                    )
            given_way = await self._opted_out_since(crew) if counts.added else []
        await self._add(chunks, counts, given_way)
        await self._drop_upload(parts)

    # --- what the list has ------------------------------------------------------------------------------------------

    @property
    def _bitmap(self) -> Path:
        return self._workplace.directory / "bitmap"

    @property
    def _run_path(self) -> Path:
        return self._workplace.directory / "run.index"

    async def _size_inside(self, parts: Sequence[Part]) -> int:
        """About how many bytes the file has once it is no longer compressed."""
        if not parts:
            return 0
        async with self._storage.local(parts[0].name) as path:
            encoding = await asyncio.to_thread(_encoding_of, path)
        return self._job.received_bytes * (_INSIDE_PER_BYTE if encoding else 1)

    async def _known(self, crew: Crew, stack: AsyncExitStack) -> list[Known]:
        """The files that hold entries of the list: its runs, and one of its single entries as they are now."""
        async with self._db.read() as conn:
            runs = await store.live_runs(conn, self._job.brand_id, self._list_id)
        known = [
            Known(await stack.enter_async_context(self._storage.local(index_name(run.id))), run.generation)
            for run in runs
        ]
        recents = self._workplace.directory / "recents.index"
        if await _written(recents.with_suffix(".raw"), self._recents()):
            await crew.call(write_recents, recents.with_suffix(".raw"), recents, self._order.hash_name)
            known.append(Known(recents, reading.NEVER_REMOVED))
        return known

    async def _recents(self) -> AsyncIterator[list[bytes]]:
        after = b""
        while True:
            async with self._db.read() as conn:
                page = await store.recents(conn, self._job.brand_id, self._list_id, after=after, limit=_PAGE)
            if not page:
                return
            yield page
            after = page[-1]

    async def _removals(self) -> Path | None:
        """A file of what was removed from the list's runs, and up to which generation; None for none."""
        path = self._workplace.directory / "removals"
        return path if await _written(path, self._removed()) else None

    async def _removed(self) -> AsyncIterator[list[bytes]]:
        after = b""
        while True:
            async with self._db.read() as conn:
                page = await store.removals(conn, self._job.brand_id, self._list_id, after=after, limit=_PAGE)
            if not page:
                return
            yield [digest + struct.pack("<Q", generation) for digest, generation in page]
            after = page[-1][0]

    # --- the chunks -------------------------------------------------------------------------------------------------

    async def _read_all(self, crew: Crew, readers: int, parts: Sequence[Part], held: _Held) -> None:
        chunks: asyncio.Queue[Chunk | None] = asyncio.Queue(maxsize=1)

        async def work() -> None:
            while chunk := await chunks.get():
                await self._load_chunk(crew, chunk, held)
            await chunks.put(None)

        async with _one_error(), asyncio.TaskGroup() as group:
            group.create_task(self._split(crew, parts, chunks))
            for _ in range(readers):
                group.create_task(work())

    async def _split(self, crew: Crew, parts: Sequence[Part], chunks: asyncio.Queue[Chunk | None]) -> None:
        plan = self._plan
        async with crew.child() as splitter:

            async def pass_on() -> None:
                while chunk := await splitter.call(splitting.next_chunk):
                    if chunk.number in self._done:
                        self._check_same(chunk)
                    else:
                        await chunks.put(chunk)

            await splitter.call(
                splitting.begin,
                self._workplace.directory,
                len(self._done),
                plan.chunk_lines,
                plan.chunk_bytes,
                lowers=True,
            )
            for part in parts:
                async with self._storage.local(part.name) as path:
                    await splitter.call(splitting.feed, path)
                    await pass_on()
                self._bytes_read += part.bytes
                self._report("reading")
            await splitter.call(splitting.end)
            await pass_on()
        await chunks.put(None)

    def _check_same(self, chunk: Chunk) -> None:
        done = self._done[chunk.number]
        if (done.first_line, done.lines) != (chunk.first_line, chunk.lines):
            raise RuntimeError(f"Chunk {chunk.number} was {done}, and is {chunk} now.")

    async def _load_chunk(self, crew: Crew, chunk: Chunk, held: _Held) -> None:
        manifest, number, segment_id = self._manifest, chunk.number, new_id()
        self._reserve.check()
        async with crew.child() as child:
            read = await child.call(
                reading.read, self._order, chunk, manifest.rejects(number), max(0, self._rejects_left)
            )
            self._rejects_left -= read.rejects_kept
            self._lines += read.submitted
            self._malformed += read.malformed
            self._report("reading")
            async with self._turn:
                await self._turn.wait_for(lambda: len(self._done) == number)
                with held.earlier.asked(number) as files:
                    known = [*held.known, *(Known(path, reading.NEVER_REMOVED) for path in files)]
                    written = await child.call(
                        reading.write,
                        self._bitmap,
                        known,
                        held.removals,
                        manifest.segment(number),
                        manifest.digests(number),
                    )
                done = DoneChunk(
                    number=number,
                    first_line=chunk.first_line,
                    lines=chunk.lines,
                    segment_id=segment_id,
                    submitted=read.submitted,
                    added=written.added,
                    malformed=read.malformed,
                    rejects_kept=read.rejects_kept,
                    segment_bytes=written.bytes,
                )
                await asyncio.to_thread(manifest.add, done)
                self._done[number] = done
                await self._give_up_if_hopeless()
                self._turn.notify_all()
        failpoint("list_load.chunk_done")
        await held.earlier.add(number)

    async def _give_up_if_hopeless(self) -> None:
        chunks = [self._done[number] for number in range(len(self._done))]
        counts = _counts(chunks)
        if counts.submitted > self._hopeless_lines and counts.malformed > counts.submitted * HOPELESS_SHARE:
            raise JobFailed(
                f"Of the first {counts.submitted:,} lines {counts.malformed:,} are no entries of this list; {REJECTS_FILE} says"
                " why. Only these were read and are counted, and nothing was added. See whether it is the right file, and whether"
                " the list takes what is in it (addresses, or hashes of its own kind).",
                msgspec.structs.replace(counts, added=0),
                results=await self._rejects(chunks),
            )

    def _report(self, stage: str) -> None:
        self._workplace.report(
            {
                "stage": stage,
                "bytes_read": self._bytes_read,
                "bytes_total": self._job.received_bytes,
                "lines": self._lines,
                "malformed": self._malformed,
            }
        )

    # --- the end ----------------------------------------------------------------------------------------------------

    async def _opted_out_since(self, crew: Crew) -> list[bytes]:
        """Who is in the file, and has opted out by themselves since the load began."""
        found: list[bytes] = []
        after = b""
        while True:
            async with self._db.read() as conn:
                digests = await store.recents_since(
                    conn, self._job.brand_id, self._list_id, since=self._plan.target.at, after=after, limit=_PAGE
                )
            if not digests:
                return found
            found += await crew.call(reading.among, self._run_path, digests)
            after = digests[-1]

    async def _add(self, chunks: Sequence[DoneChunk], counts: Counts, given_way: Sequence[bytes]) -> None:
        segments = [chunk for chunk in chunks if chunk.added]
        names = [index_name(self._plan.run_id), *(segment_name(chunk.segment_id) for chunk in segments)]
        results = await self._rejects(chunks)
        _check_any(counts, results)
        try:
            run = await self._store_files(segments, counts)
            await self._commit(run, segments, counts, given_way, results)
        except Exception as error:
            # Whoever goes on later looks for them there.
            if not is_tried_again(error):
                await self._storage.delete([*names, *(result.name for result in results.values())])
            raise

    async def _rejects(self, chunks: Sequence[DoneChunk]) -> dict[str, ResultFile]:
        if not any(chunk.rejects_kept for chunk in chunks):
            return {}
        path = self._workplace.directory / REJECTS_FILE
        files = [self._manifest.rejects(chunk.number) for chunk in chunks]
        size = await asyncio.to_thread(_joined, path, files)
        name = result_name(self._job.id, self._job.epoch, REJECTS_FILE)
        await self._storage.put(name, path)
        return {REJECTS_FILE: ResultFile(name, size, f"{self._job.id.hex}-{self._job.epoch}")}

    async def _store_files(self, segments: Sequence[DoneChunk], counts: Counts) -> MadeFile | None:
        """Puts the run and its segments into the storage, where nobody looks for them yet."""
        if not counts.added:
            return None
        limit = asyncio.Semaphore(_PUT_AT_ONCE)

        async def put(name: str, path: Path) -> int:
            async with limit:
                # Whoever worked here before may have come as far.
                if path.exists():  # noqa: ASYNC240  as short as any look at a directory
                    await self._storage.put(name, path)
                stored = await self._storage.size(name)
                if stored is None:
                    raise RuntimeError(f"{name} is neither here nor in the storage.")
                return stored

        puts = [
            asyncio.create_task(put(index_name(self._plan.run_id), self._run_path)),
            *(
                asyncio.create_task(put(segment_name(chunk.segment_id), self._manifest.segment(chunk.number)))
                for chunk in segments
            ),
        ]
        # Each to its end, also beside one that failed: what is moved in then would be there behind who clears up.
        await asyncio.gather(*puts, return_exceptions=True)
        index_bytes, *_ = [each.result() for each in puts]
        failpoint("list_load.stored")
        return MadeFile(self._plan.run_id, counts.added, index_bytes, self._order.at)

    async def _commit(
        self,
        run: MadeFile | None,
        segments: Sequence[DoneChunk],
        counts: Counts,
        given_way: Sequence[bytes],
        results: dict[str, ResultFile],
    ) -> None:
        """The moment from which on the entries hold."""
        brand_id, list_id, generation = self._job.brand_id, self._list_id, self._order.generation
        # They lapse by when the file came: what it says of the time before that is for exports.
        made = [MadeFile(chunk.segment_id, chunk.added, chunk.segment_bytes, self._order.at) for chunk in segments]
        self._workplace.is_ending = True
        async with self._db.transaction() as conn:
            if not await store.lock_list(conn, brand_id, list_id):
                raise JobFailed("The list was deleted while the file was being loaded.")
            if run is not None:
                await store.add_files(conn, brand_id, list_id, generation=generation, run=run, segments=made)
            if given_way:
                await store.give_way(conn, brand_id, list_id, given_way)
            if not await finish(conn, self._job, "success", counts=counts, results=results):
                raise Lost
            failpoint("list_load.before_commit")
        failpoint("list_load.after_commit")

    async def _drop_upload(self, parts: Sequence[Part]) -> None:
        """Nobody reads the uploaded file again. Where this does not come to its end, the keeper finds what is left by its rows."""
        await self._storage.delete([part.name for part in parts])
        async with self._db.transaction() as conn:
            await job_store.drop_parts(conn, self._job.brand_id, self._job.id)
            failpoint("list_load_upload.before_commit")
        failpoint("list_load_upload.after_commit")
