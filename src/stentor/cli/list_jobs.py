"""Jobs of opt-out lists that a command asks for and waits for, whether a worker is there to do them or not.

What is asked for lies in the database and what is sent in the storage, so a command that was killed goes on when it is given
again: with what has not been sent, with who works on it by now, or with what was made.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import msgspec
from rich.progress import Progress

from stentor.cli.installation import brand_or_only
from stentor.cli.list_files import Source, SourceChanged, Target
from stentor.cli.output import Exit, fail, print_json, say
from stentor.clock import boottime_s
from stentor.optouts.jobs.model import Job, ResultFile
from stentor.optouts.storage import NotStored
from stentor.wiring.core import Core, accounts
from stentor.wiring.roles import lister, worker_name
from stentor.wiring.services import services

if TYPE_CHECKING:
    from rich.progress import TaskID

ASKED_BY = "command line"

_LOOK_EVERY_S = 0.2
_BEAT_S = 1.0
# A worker that has nothing to do looks once a second.
_PATIENCE_S = 1.5
# What an export or a scrub made is as old as its end; who comes later wants it anew.
_FETCHED_WITHIN = timedelta(hours=1)


class Shown:
    """How far a job is, in a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._stage = ""
        self._rows_before: int | None = None

    def begin(self, stage: str, total: int | None = None, completed: int = 0) -> None:
        """Something else goes on from now, of so many bytes."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._stage, self._rows_before = stage, None
        self._task = self._progress.add_task(
            stage, total=total, completed=completed, unit="bytes", rows=0, refused=None
        )

    def reach(self, completed: int) -> None:
        """So many bytes of it are done."""
        if self._task is not None:
            self._progress.update(self._task, completed=completed)

    def tell(self, job: Job) -> None:
        """What whoever works on the job says of it."""
        told = job.progress if job.state == "running" else {}
        stage = str(told.get("stage", "beginning")) if job.state == "running" else "waiting for its turn"
        if stage != self._stage:
            self.begin(stage)
        if self._task is None or not told:
            return
        done, of, rows, unit = (
            ("entries", "entries_total", "entries", "entries")
            if "entries" in told
            else ("bytes_read", "bytes_total", "lines", "bytes")
        )
        reached = int(told.get(rows, 0))
        if self._rows_before is None:
            self._rows_before = reached
        self._progress.update(
            self._task,
            total=told.get(of),
            completed=told.get(done, 0),
            unit=unit,
            rows=reached - self._rows_before,
            refused=told.get("malformed"),
        )


class ListDesk:
    """One brand's lists and jobs, as a command has them."""

    def __init__(self, core: Core, brand_id: UUID) -> None:
        made = services(core)
        self._core = core
        self.brand_id = brand_id
        self.lists = made.optout_lists
        self.checks = made.optout_checks
        self.jobs = made.optout_jobs
        self._uploads = made.optout_uploads

    @classmethod
    async def opened(cls, core: Core, brand: str | None) -> Self:
        """Of the brand of that name, or the only one."""
        return cls(core, (await brand_or_only(accounts(core), brand)).id)

    async def check_not_paused(self) -> None:
        """Ends the command in a restored copy that nobody has let go: no job is done there."""
        if (await accounts(self._core).installation()).paused_at is not None:
            fail(
                "This is a restored copy that is paused: nothing is done to its lists. Let it go with `stentor resume`."
            )

    async def job(self, command: str, make: Callable[[], Awaitable[Job]]) -> Job:
        """What the same command asked for before, where that goes on, or a new job."""
        job = await self.jobs.of_command(self.brand_id, command)
        return job if job is not None and _goes_on(job) else await make()

    async def finished(self, job: Job, progress: Progress, source: Source | None = None) -> Job:
        """The job when it has succeeded. Ends the command when it has not."""
        shown = Shown(progress)
        try:
            if job.state == "uploading" and source is not None:
                await self._send(job, source, shown)
            return await self._over(await self.jobs.get(self.brand_id, job.id), shown)
        except asyncio.CancelledError:
            if source is not None and source.stamp is None and await self._withdrawn(job):
                say("Interrupted; nothing comes of what was read.")
            else:
                say("Interrupted. The same command goes on from here.")
            raise

    async def fetch(
        self, job: Job, files: Mapping[str, Target], progress: Progress, *, clears_away: bool = False
    ) -> None:
        """Writes those files of the job that there are, by their names: all of them, or none. Ends the command if it cannot.

        With `clears_away` the job and its files are removed when all of them are in place.
        """
        shown = Shown(progress)
        fetched = [(job.results[name], target) for name, target in files.items() if name in job.results]
        for result, target in fetched:
            await self._fetch(job, result, target, shown)
        for _, target in fetched:
            target.put_in_place(job.id)
        if clears_away:
            await self.jobs.remove(self.brand_id, job.id)
        for _, target in fetched:
            target.let_go(job.id)

    async def _fetch(self, job: Job, result: ResultFile, target: Target, shown: Shown) -> None:
        shown.begin("writing", result.bytes)
        try:
            await target.fetch(job.id, result, self.jobs.read, shown.reach)
        except NotStored:
            target.let_go(job.id)
            fail("What was made is gone from the storage by now. Give the command again.")
        except OSError as error:
            fail(f"{target.path} cannot be written: {error.strerror}. Give the command again when it can.")

    async def _send(self, job: Job, source: Source, shown: Shown) -> None:
        # Of a pipe all comes, or it has to come anew.
        offset = None if source.stamp is None else job.received_bytes
        reached = offset or 0
        if reached:
            say(f"Going on at byte {reached:,} of {source.size:,}.")
        shown.begin("sending", source.size, reached)

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal reached
            # Each time before it waits for more: a pipe may never say anything.
            _check_not_interrupted()
            async for piece in source.pieces(reached):
                yield piece
                reached += len(piece)
                shown.reach(reached)
                _check_not_interrupted()

        try:
            await self._uploads.receive(self.brand_id, job.id, chunks(), offset=offset, declared_bytes=source.size)
        except SourceChanged:
            await self._withdrawn(job)
            fail(f"{source.path} was changed while it was read. Give the command again when nobody writes to it.")

    async def _withdrawn(self, job: Job) -> bool:
        """Takes back a job whose file will never be whole; False when it was by then."""
        if (await self.jobs.get(self.brand_id, job.id)).state != "uploading":
            return False
        await self.jobs.remove(self.brand_id, job.id)
        return True

    async def _over(self, job: Job, shown: Shown) -> Job:
        """Waits for the job's end; when nobody takes it, it is done here, as far as others before it let it."""
        stop = asyncio.Event()
        helping: asyncio.Task[None] | None = None
        waits_since_s = boottime_s()
        try:
            while not job.is_over:
                shown.tell(job)
                _check_not_interrupted()
                await asyncio.sleep(_LOOK_EVERY_S)
                if helping is not None and helping.done():
                    helping.result()
                elif helping is None and not await self.jobs.is_waiting(self.brand_id, job.id):
                    waits_since_s = boottime_s()
                elif helping is None and boottime_s() - waits_since_s >= _PATIENCE_S:
                    role = lister(self._core, worker_name(), beat_s=_BEAT_S)
                    helping = asyncio.create_task(role.run(stop))
                job = await self.jobs.get(self.brand_id, job.id)
        finally:
            stop.set()
            if helping is not None:
                await helping
        return job


def check_succeeded(job: Job, told: Mapping[str, Any] | None) -> None:
    """Ends the command for a job that has not succeeded; `told` is what is printed in JSON before."""
    if job.state == "success":
        return
    if told is not None:
        print_json(told)
    fail(
        job.message or "The job was removed before its end. Give the command again if that was not meant.", Exit.FAILED
    )


def command_key(*what: object) -> str:
    """What a job is known by when the same command is given again."""
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:32]


def _check_not_interrupted() -> None:
    # Before Python 3.12 a cancellation is lost that meets the very moment at which what `wait_for` waits for is there, and each
    # answer of the database is waited for so.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _goes_on(job: Job) -> bool:
    match job.state:
        case "uploading":
            return job.is_begun or not job.is_too_late
        case "queued" | "running":
            return True
        case "success":
            is_new = job.ended_at is not None and job.now - job.ended_at < _FETCHED_WITHIN
            return job.kind != "import" and is_new
        case _:
            return False
