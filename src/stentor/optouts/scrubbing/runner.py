"""A file held against lists: what they do not hold becomes one file, what they hold another, in the order of the file.

The file is cut into blocks as an import's is, and children part the lines of each. Lists are asked as they stand when the job
begins. Whoever goes on after a crash begins anew: a scrub takes seconds.
"""

import asyncio
import gzip
import itertools
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import NamedTuple

from stentor.db.pool import Database
from stentor.db.reserve import NOTHING_RESERVED, DiskReserve
from stentor.failpoints import failpoint
from stentor.optouts.assembling import Assembly, InOrder
from stentor.optouts.crew import Crew, cores
from stentor.optouts.held_files import HeldFiles
from stentor.optouts.jobs import store as job_store
from stentor.optouts.jobs.model import JobKind, Part, ResultFile
from stentor.optouts.jobs.working import ClaimedJob, Counts, JobFailed, Lost, Workplace, finish
from stentor.optouts.loading import splitting
from stentor.optouts.loading.inflate import Unreadable
from stentor.optouts.loading.layout import Layout
from stentor.optouts.loading.splitting import Chunk
from stentor.optouts.scrubbing.asked import AskedList
from stentor.optouts.scrubbing.model import CLEAN_FILE, REJECTS_FILE, REMOVED_FILE, ScrubSpec
from stentor.optouts.scrubbing.sifting import Block, Sifted, sift
from stentor.optouts.storage import Storage

REJECTS_MAX = 1_000_000
"""Of a file, kept with line and reason; all are counted."""

BLOCK_LINES = 1_000_000
BLOCK_BYTES = 16 << 20
_SMALL_BLOCK_BYTES = 4 << 20

CHILD_MEMORY_BYTES = 800 << 20
_TOLD_MAX = 10


class ReadBlock(NamedTuple):
    """A block of the file, and how many bytes of the file were read before the part in which it ends."""

    chunk: Chunk
    bytes_read: int


class _Done(NamedTuple):
    """A block whose lines are parted."""

    block: ReadBlock
    task: Block
    sifted: Sifted


class ScrubRunner:
    """Scrubs files.

    Of the job's counts `submitted` are the lines, `added` those that are clean, `duplicate` those that a list holds.
    """

    kind: JobKind = "scrub"

    def __init__(
        self,
        db: Database,
        storage: Storage,
        reserve: DiskReserve = NOTHING_RESERVED,
        *,
        block_lines: int = BLOCK_LINES,
        block_bytes: int = BLOCK_BYTES,
        rejects_max: int = REJECTS_MAX,
    ) -> None:
        self._db = db
        self._storage = storage
        self._reserve = reserve
        self._rejects_max = rejects_max
        self._block_lines, self._block_bytes = block_lines, block_bytes

    async def run(self, job: ClaimedJob, workplace: Workplace) -> None:
        """Makes the files of the scrub. Raises JobFailed, NoRoom, ChildDied, Lost, Unavailable."""
        directory = workplace.directory / "scrub"
        await asyncio.to_thread(_emptied, directory)
        spec = ScrubSpec.from_json(job.spec)
        async with self._db.read() as conn:
            parts = await job_store.parts(conn, job.brand_id, job.id)
        at_once = 1 if job.is_small else cores() + 1
        block_bytes = min(self._block_bytes, _SMALL_BLOCK_BYTES) if job.is_small else self._block_bytes
        scrub = _Scrub(job, spec, workplace, directory, self._rejects_max)
        try:
            async with AsyncExitStack() as stack:
                crew = await stack.enter_async_context(Crew(memory_bytes=CHILD_MEMORY_BYTES, size=max(2, at_once)))
                files = HeldFiles(self._db, self._storage, crew, directory, stack)
                lists = await self._lists(job, spec, files)
                blocks = await stack.enter_async_context(aclosing(self._blocks(crew, directory, parts, block_bytes)))
                await scrub.run(crew, lists, blocks, self._reserve, at_once)
            results = await scrub.stored(self._storage)
            workplace.is_ending = True
            await self._finish(job, scrub.counts, results)
        except Unreadable as unreadable:
            raise JobFailed(str(unreadable)) from None
        finally:
            scrub.close()

    async def _lists(self, job: ClaimedJob, spec: ScrubSpec, files: HeldFiles) -> tuple[AskedList, ...]:
        found = await files.of(job.brand_id, spec.against)
        if unasked := await files.unasked(job.brand_id, spec.against, (store for store, _ in found)):
            more = len(unasked) - _TOLD_MAX
            names = ", ".join(map(repr, unasked[:_TOLD_MAX])) + (f" and {more} more" if more > 0 else "")
            raise JobFailed(
                f"What is disabled, deleted, not granted any more or a group of nothing cannot be asked: {names}. Enable it, or"
                " leave it out, also of the groups that it is in."
            )
        asked = {AskedList(held, store.channels) for store, held in found}
        # Several of them may be links to the same one.
        return tuple(sorted(asked, key=repr))

    async def _blocks(
        self, crew: Crew, directory: Path, parts: Sequence[Part], block_bytes: int
    ) -> AsyncGenerator[ReadBlock, None]:
        """The blocks of the file in order."""
        bytes_read = 0
        async with crew.child() as splitter:
            await splitter.call(splitting.begin, directory, 0, self._block_lines, block_bytes, lowers=False)
            for part in parts:
                async with self._storage.local(part.name) as path:
                    await splitter.call(splitting.feed, path)
                    while block := await splitter.call(splitting.next_chunk):
                        yield ReadBlock(block, bytes_read)
                bytes_read += part.bytes
            await splitter.call(splitting.end)
            while block := await splitter.call(splitting.next_chunk):
                yield ReadBlock(block, bytes_read)

    async def _finish(self, job: ClaimedJob, counts: Counts, results: dict[str, ResultFile]) -> None:
        failpoint("list_scrub.stored")
        async with self._db.transaction() as conn:
            ended = await finish(conn, job, "success", counts=counts, results=results)
            failpoint("list_scrub.before_commit")
        failpoint("list_scrub.after_commit")
        if not ended:
            await self._storage.delete([result.name for result in results.values()])
            raise Lost


class _Scrub:
    """One scrub: its files as they grow."""

    def __init__(
        self, job: ClaimedJob, spec: ScrubSpec, workplace: Workplace, directory: Path, rejects_max: int
    ) -> None:
        self._job = job
        self._spec = spec
        self._workplace = workplace
        self._directory = directory
        self._rejects_max = rejects_max
        self._files: dict[str, Assembly] = {}
        self._clean = self._removed = self._malformed = 0

    @property
    def counts(self) -> Counts:
        """Of all lines so far."""
        return Counts(
            self._clean + self._removed + self._malformed,
            self._clean,
            duplicate=self._removed,
            malformed=self._malformed,
        )

    async def run(
        self,
        crew: Crew,
        lists: tuple[AskedList, ...],
        blocks: AsyncIterator[ReadBlock],
        reserve: DiskReserve,
        at_once: int,
    ) -> None:
        """Parts the lines of all blocks, so many at a time."""

        def work(block: ReadBlock) -> Callable[[], Awaitable[_Done]]:
            task = self._task(block.chunk, lists)

            async def sifted() -> _Done:
                return _Done(block, task, await crew.call(sift, task))

            return sifted

        async with InOrder(at_once, self._add) as in_order:
            async for block in blocks:
                if not self._files:
                    self._begin(block.chunk.layout)
                reserve.check()
                await in_order.begin(work(block))
        if not self._files:
            self._begin(None)

    async def stored(self, storage: Storage) -> dict[str, ResultFile]:
        """Moves its files into the storage; that of rejects only where there are any."""
        if not self._malformed:
            self._files.pop(REJECTS_FILE).close()
        return {
            self._named(name): await file.stored(storage, self._job, self._named(name))
            for name, file in self._files.items()
        }

    def close(self) -> None:
        """Lets go of its files."""
        for file in self._files.values():
            file.close()

    def _named(self, name: str) -> str:
        return name if name == REJECTS_FILE else self._spec.file_name(name)

    def _begin(self, layout: Layout | None) -> None:
        head = b"" if layout is None else f"{layout.header}\n".encode()
        if head and self._spec.gzipped:
            head = gzip.compress(head)
        for name in (CLEAN_FILE, REMOVED_FILE):
            self._files[name] = Assembly(self._directory / name, head)
        self._files[REJECTS_FILE] = Assembly(self._directory / REJECTS_FILE, b"line,reason\n")

    def _task(self, chunk: Chunk, lists: tuple[AskedList, ...]) -> Block:
        return Block(
            path=chunk.path,
            first_line=chunk.first_line,
            lists=lists,
            layout=chunk.layout,
            clean=chunk.path.with_suffix(".clean"),
            removed=chunk.path.with_suffix(".removed"),
            rejects=chunk.path.with_suffix(".rejects"),
            gzipped=self._spec.gzipped,
        )

    async def _add(self, done: _Done) -> None:
        await self._files[CLEAN_FILE].append(done.task.clean)
        await self._files[REMOVED_FILE].append(done.task.removed)
        left = max(0, self._rejects_max - self._malformed)
        if done.sifted.malformed > left:
            await asyncio.to_thread(_shorten, done.task.rejects, left)
        await self._files[REJECTS_FILE].append(done.task.rejects)
        self._clean += done.sifted.clean
        self._removed += done.sifted.removed
        self._malformed += done.sifted.malformed
        self._workplace.report(
            {
                "stage": "scrubbing",
                "bytes_read": done.block.bytes_read,
                "bytes_total": self._job.received_bytes,
                "lines": self.counts.submitted,
                "malformed": self._malformed,
            }
        )


def _shorten(path: Path, lines: int) -> None:
    """Leaves of a file its first lines, so many."""
    with path.open("r+b") as file:
        for _ in itertools.islice(iter(file.readline, b""), lines):
            pass
        file.truncate(file.tell())


def _emptied(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
