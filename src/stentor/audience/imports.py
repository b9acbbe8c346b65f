"""Imports of customers and subscriptions: streamed, resumable after a crash, and without effect the second time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import structs

from stentor.audience import import_store
from stentor.audience.customer_events import EventTimes
from stentor.audience.import_blocks import Prepared, Preparer
from stentor.audience.import_store import REJECTS_KEPT_MAX, Resume, Standing, Tally
from stentor.audience.lines import BlockReader
from stentor.audience.model import Act, FileKind, ImportFormat, ImportJob, ImportKind, Reject, Source
from stentor.audience.tables import Layout, read_layout
from stentor.audience.upsert import until_settled
from stentor.clock import Clock
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.reserve import NOTHING_RESERVED, DiskReserve
from stentor.domain.address import is_region
from stentor.domain.ids import new_id
from stentor.errors import Conflict, Invalid, NotFound
from stentor.failpoints import failpoint

PAGE_MAX = 1000
EVENT_DAYS = 400
SOURCE_CHARS_MAX = 1000
# So many rows make the planner's statistics wrong enough for bad plans: 127,450 new people cost a wave of 500 seconds.
TIDY_ABOVE = 10_000
# While one block is being stored the next one is read, and stored beside it: a third would only wait for the disk.
_IN_FLIGHT_MAX = 2


Ending: TypeAlias = Callable[[Connection, UUID, ImportJob], Awaitable[None]]


class ImportService:
    """Runs imports and tells where they stand.

    A file is CSV with a header or NDJSON, in UTF-8. Customers have the fields external_id, email, phone, push_tokens (with
    spaces between them in CSV), locale, time_zone and attributes (in CSV: JSON, or a column `attributes.x` for each);
    every other column or key is an attribute. Events are NDJSON, with external_id, name, at, id and properties. Subscriptions have external_id, topic (its key or id), channels (none: all
    of the topic's) and subscribed (true unless said). Lines that cannot be taken are rejected one by one, the others go on.
    """

    def __init__(
        self,
        db: Database,
        reserve: DiskReserve = NOTHING_RESERVED,
        *,
        endings: Mapping[ImportKind, Ending] | None = None,
        event_days: int = EVENT_DAYS,
    ) -> None:
        """`endings`: what is done in the transaction in which an import of that kind comes to its good end.

        `event_days`: how long events are kept.
        """
        self._db = db
        self._reserve = reserve
        self._endings = endings or {}
        self._times = EventTimes(Clock(), event_days)

    async def begin(
        self,
        brand_id: UUID,
        kind: FileKind,
        file_format: ImportFormat,
        source: str,
        *,
        bytes_total: int | None = None,
        region: str | None = None,
    ) -> ImportJob:
        """An import to be run: the one of the same source and size that never came to its end, or else a new one.

        `source` names the file so that the same file has the same name; `region` (`DE`) is where phone numbers without a
        country code belong. Raises Invalid.
        """
        if not source or len(source) > SOURCE_CHARS_MAX or "\x00" in source:
            raise Invalid.field("/source", "invalid-source", f"A source has 1 to {SOURCE_CHARS_MAX} characters.")
        if region is not None and not is_region(region):
            raise Invalid.field("/region", "invalid-country", f"{region!r} is no country; write its code, as DE.")
        if kind == "events" and file_format == "csv":
            text = "Events come as NDJSON, with an object on each line: their properties have no columns."
            raise Invalid.field("/format", "no-csv", text)
        async with self._db.transaction() as conn:
            job_id = await import_store.unfinished_job(
                conn, brand_id, kind=kind, file_format=file_format, source=source, bytes_total=bytes_total
            )
            if job_id is None:
                job_id = new_id()
                await import_store.insert_job(
                    conn,
                    brand_id,
                    job_id,
                    kind=kind,
                    file_format=file_format,
                    source=source,
                    bytes_total=bytes_total,
                    resume=Resume(region=region),
                )
            job = await _found(conn, brand_id, job_id)
            failpoint("import_begin.before_commit")
        failpoint("import_begin.after_commit")
        return job

    async def run(
        self,
        brand_id: UUID,
        job_id: UUID,
        chunks: AsyncIterator[bytes],
        *,
        offset: int | None = None,
        on_progress: Callable[[ImportJob], None] | None = None,
        on_rejects: Callable[[Sequence[Reject]], None] | None = None,
    ) -> ImportJob:
        """Imports the bytes and answers with the import at its end.

        The chunks begin at `offset`, by default where the import stands (`bytes_done`); what is done already is passed
        over. Whoever runs an import takes it from whoever ran it before. `on_progress` and `on_rejects` are called after
        each block, in the order of the file; a block's rejects are sorted by line.

        Raises NotFound; Conflict for an import that has ended, is taken over by another run, or stands before `offset`,
        and for a file that is shorter or longer than announced, which does not end it; Invalid for a file that cannot be
        read as a whole, which ends it as failed; NoRoom when the disk is nearly full, which does not end it either.
        """
        job, resume = await self._take_over(brand_id, job_id)
        start = job.bytes_done if offset is None else offset
        if start > job.bytes_done:
            raise Conflict(f"The import stands at byte {job.bytes_done}; send the file from there.")

        newest = job

        def report(done: _Done) -> None:
            nonlocal newest
            # Of two blocks in flight the later one may have been stored first.
            newest = max(newest, done.job, key=lambda seen: seen.updated_at)
            if on_rejects and done.rejects:
                on_rejects(sorted(done.rejects, key=lambda reject: reject.line))
            if on_progress:
                on_progress(newest)

        rest = _rest(chunks, start, job.bytes_done, job.bytes_total, _stored_to(job, resume))
        reader = BlockReader(rest, offset=job.bytes_done, lines_before=job.lines_done)
        try:
            await _Run(self._db, self._reserve, brand_id, job, resume, times=self._times).go(reader, report)
        except Invalid as problem:
            await self._end(brand_id, job_id, resume.runner, "failed", problem.detail)
            raise
        ended = await self._end(brand_id, job_id, resume.runner, "succeeded")
        if ended.added + ended.changed > TIDY_ABOVE:
            async with self._db.autocommit() as conn:
                await import_store.tidy(conn, ended.kind)
        return ended

    async def stop(self, brand_id: UUID, job_id: UUID) -> None:
        """Makes whoever runs the import leave it off after the block that it stores; it can be gone on with.

        Raises NotFound, and Conflict for one that has ended.
        """
        async with self._db.transaction() as conn:
            standing = await import_store.lock_job(conn, brand_id, job_id)
            if standing is None:
                raise _missing(job_id)
            if standing.state != "running":
                raise Conflict(f"The import has {standing.state} already.")
            standing.resume.runner = None
            await _write(conn, brand_id, job_id, standing, Tally())

    async def cancel(self, brand_id: UUID, job_id: UUID, *, asked_by: str) -> None:
        """Ends the import for good; what is stored stays. Raises NotFound, and Conflict for one that has ended, or is a batch's."""
        async with self._db.transaction() as conn:
            job = await _found(conn, brand_id, job_id)
            if job.kind == "profiles":
                raise Conflict("This is the stream of a batch. Cancel the batch.")
            if not await cancel_import(
                conn, brand_id, job_id, f"Cancelled by {asked_by}. What was stored until then stays."
            ):
                raise Conflict(f"The import has {job.state} already.")

    async def said_again(
        self, brand_id: UUID, job_id: UUID, chunks: AsyncIterator[bytes], *, offset: int | None = None
    ) -> ImportJob:
        """The import, which has come to its end: its bytes are read once more, from `offset` on, and nothing is stored.

        Raises NotFound, and Conflict for bytes that are more or fewer than it had.
        """
        job = await self.get(brand_id, job_id)
        place = job.bytes_done if offset is None else offset
        async for chunk in chunks:
            place += len(chunk)
            if place > job.bytes_done:
                break
        if place != job.bytes_done:
            raise Conflict(
                f"The source {job.source!r} came in as {job.bytes_done} bytes, and what you sent is not as long: it is another "
                "one. Choose another source for it."
            )
        return job

    async def get(self, brand_id: UUID, job_id: UUID) -> ImportJob:
        """The import as it stands. Raises NotFound."""
        async with self._db.read() as conn:
            return await _found(conn, brand_id, job_id)

    async def page(self, brand_id: UUID, *, before: UUID | None = None, limit: int = PAGE_MAX) -> list[ImportJob]:
        """Up to 1,000 imports, newest first, from before the id `before`."""
        async with self._db.read() as conn:
            return await import_store.page_of_jobs(conn, brand_id, before=before, limit=min(limit, PAGE_MAX))

    async def rejects(self, brand_id: UUID, job_id: UUID, *, after: int = 0, limit: int = PAGE_MAX) -> list[Reject]:
        """Up to 1,000 rejected lines from behind the line `after`; 100,000 are kept of an import. Raises NotFound."""
        async with self._db.read() as conn:
            await _found(conn, brand_id, job_id)
            return await import_store.page_of_rejects(conn, brand_id, job_id, after=after, limit=min(limit, PAGE_MAX))

    async def _take_over(self, brand_id: UUID, job_id: UUID) -> tuple[ImportJob, Resume]:
        async with self._db.transaction() as conn:
            standing = await import_store.lock_job(conn, brand_id, job_id)
            if standing is None:
                raise _missing(job_id)
            if standing.state != "running":
                raise Conflict(f"The import has {standing.state}; begin a new one.")
            resume = standing.resume
            resume.runner = new_id()
            await _write(conn, brand_id, job_id, standing, Tally())
            job = await _found(conn, brand_id, job_id)
            failpoint("import_take_over.before_commit")
        failpoint("import_take_over.after_commit")
        return job, resume

    async def _end(
        self,
        brand_id: UUID,
        job_id: UUID,
        runner: UUID | None,
        state: Literal["succeeded", "failed"],
        problem: str = "",
    ) -> ImportJob:
        async with self._db.transaction() as conn:
            await _locked_by(conn, brand_id, job_id, runner)
            await import_store.end_job(conn, brand_id, job_id, state, problem)
            ended = await _found(conn, brand_id, job_id)
            if state == "succeeded" and (ending := self._endings.get(ended.kind)) is not None:
                await ending(conn, brand_id, ended)
            failpoint("import_end.before_commit")
        failpoint("import_end.after_commit")
        return ended


async def cancel_import(conn: Connection, brand_id: UUID, job_id: UUID, problem: str) -> bool:
    """Ends an import for good, in the caller's transaction, which holds it from here on; False for one that has ended."""
    standing = await import_store.lock_job(conn, brand_id, job_id)
    if standing is None or standing.state != "running":
        return False
    standing.resume.is_cancelled = True
    await _write(conn, brand_id, job_id, standing, Tally())
    await import_store.end_job(conn, brand_id, job_id, "failed", problem)
    return True


class _Done(msgspec.Struct, frozen=True):
    """A block that is stored: how the import stands now, and the block's rejects."""

    job: ImportJob
    rejects: list[Reject]


class _Span(msgspec.Struct, frozen=True):
    """Where a block lies: its first byte, the byte behind it, and the number of its last line."""

    start: int
    end: int
    last_line: int


class _Run:
    """One run of an import, until the end of its bytes or until another run takes over."""

    def __init__(
        self, db: Database, reserve: DiskReserve, brand_id: UUID, job: ImportJob, resume: Resume, *, times: EventTimes
    ) -> None:
        self._db = db
        self._times = times
        self._reserve = reserve
        self._brand_id = brand_id
        self._job = job
        self._resume = resume

    async def go(self, reader: BlockReader, report: Callable[[_Done], None]) -> None:
        """Stores block after block, two at a time, and reports them in their order."""
        preparer, skip = await self._preparer(reader)
        stored: deque[asyncio.Task[_Done]] = deque()
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    while block := await reader.block():
                        if known := self._resume.ahead.get(block.offset):
                            reader.advance(known[1] - reader.lines_before)
                            continue
                        self._reserve.check()
                        # In a thread, so that meanwhile the statements of the blocks before go on.
                        prepared = await asyncio.to_thread(preparer.prepare, block, skip=skip)
                        skip = 0
                        reader.advance(prepared.consumed)
                        span = _Span(block.offset, reader.offset, reader.lines_before)
                        if len(stored) == _IN_FLIGHT_MAX:
                            report(await stored.popleft())
                        stored.append(group.create_task(self._store(span, prepared)))
                finally:
                    # Also when the bytes stop coming: what has come so far need not come again.
                    while stored:
                        report(await stored.popleft())
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None

    async def _preparer(self, reader: BlockReader) -> tuple[Preparer, int]:
        """What reads the blocks, and how many lines of the next one are the header."""
        job, layout, header_lines = self._job, self._resume.layout, 0
        # As long as the first block is not stored the header comes again, also to whoever knows it from an earlier run.
        if job.format == "csv" and job.bytes_done == 0:
            block = await reader.block()
            if block is None:
                raise Invalid("The file is empty; it needs a header line.")
            layout, header_lines = read_layout(block)
        source = Source.BATCH if job.kind == "profiles" else Source.IMPORT
        act = Act(source=source, actor=str(job.id), note=job.source)
        preparer = Preparer(
            self._brand_id, job.kind, structs.replace(self._resume, layout=layout), act, times=self._times
        )
        if header_lines:
            await self._remember(layout)
        return preparer, header_lines

    async def _remember(self, layout: Layout | None) -> None:
        async with self._db.transaction() as conn:
            standing = await self._mine(conn)
            standing.resume.layout = layout
            await _write(conn, self._brand_id, self._job.id, standing, Tally())
            failpoint("import_layout.before_commit")
        failpoint("import_layout.after_commit")

    async def _store(self, span: _Span, prepared: Prepared) -> _Done:
        async def work(conn: Connection) -> _Done:
            outcome = await prepared.store(conn)
            standing = await self._mine(conn)
            room = max(0, REJECTS_KEPT_MAX - standing.rejected)
            if kept := outcome.rejects[:room]:
                await import_store.insert_rejects(conn, self._brand_id, self._job.id, kept)
            await _write(conn, self._brand_id, self._job.id, _advanced(standing, span), outcome.tally)
            return _Done(await _found(conn, self._brand_id, self._job.id), outcome.rejects)

        return await until_settled(self._db, work)

    async def _mine(self, conn: Connection) -> Standing:
        return await _locked_by(conn, self._brand_id, self._job.id, self._resume.runner)


def _advanced(standing: Standing, span: _Span) -> Standing:
    """The standing with this block done; the import stands where the first block that is not done begins."""
    ahead = {**standing.resume.ahead, span.start: (span.end, span.last_line)}
    done = standing.bytes_done, standing.lines_done
    while done[0] in ahead:
        done = ahead.pop(done[0])
    return structs.replace(
        standing, bytes_done=done[0], lines_done=done[1], resume=structs.replace(standing.resume, ahead=ahead)
    )


async def _write(conn: Connection, brand_id: UUID, job_id: UUID, standing: Standing, tally: Tally) -> None:
    await import_store.write_job(
        conn,
        brand_id,
        job_id,
        bytes_done=standing.bytes_done,
        lines_done=standing.lines_done,
        tally=tally,
        resume=standing.resume,
    )


def _stored_to(job: ImportJob, resume: Resume) -> int:
    """The byte behind the last one that is stored, out of turn or not."""
    return max([job.bytes_done, *(end for end, _ in resume.ahead.values())])


async def _rest(
    chunks: AsyncIterator[bytes], start: int, done: int, total: int | None, stored: int
) -> AsyncIterator[bytes]:
    """What is behind byte `done` of chunks that begin at byte `start`.

    Raises Conflict when they are not `total` bytes, or end before the byte `stored`.
    """
    place = start
    async for chunk in chunks:
        new = chunk[max(0, done - place) :]
        place += len(chunk)
        if total is not None and place > total:
            raise Conflict(f"The file was announced with {total} bytes and goes on; begin an import of its true size.")
        if new:
            yield new
    if total is not None and place < total:
        raise Conflict(f"The file ends at byte {place} of {total}; send what is missing to go on.")
    if place < stored:
        raise Conflict(
            f"What you sent ends at byte {place}, and {stored} bytes under this source are stored already: it is another "
            "one. Send the same again, or choose another source for this one."
        )


async def _locked_by(conn: Connection, brand_id: UUID, job_id: UUID, runner: UUID | None) -> Standing:
    """Locks the import. Raises Conflict when it is not, or no longer, this runner's."""
    standing = await import_store.lock_job(conn, brand_id, job_id)
    if standing is not None and standing.resume.is_cancelled:
        raise Conflict("This import was cancelled, with whatever was to run for its people; it stops here.")
    if standing is None or standing.state != "running" or standing.resume.runner != runner:
        raise Conflict("Another run has taken this import over; this one stops.")
    return standing


async def _found(conn: Connection, brand_id: UUID, job_id: UUID) -> ImportJob:
    job = await import_store.find_job(conn, brand_id, job_id)
    if job is None:
        raise _missing(job_id)
    return job


def _missing(job_id: UUID) -> NotFound:
    return NotFound(f"This brand has no import {job_id}.")
