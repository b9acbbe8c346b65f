"""The lister's role: works on files of opt-out lists, on each machine one job at a time, and one with a small file beside it."""

import asyncio
import errno
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import UUID

import structlog

from stentor.db.locks import held_alone
from stentor.db.pool import Database
from stentor.errors import Problem, Unavailable
from stentor.optouts.crew import ChildDied
from stentor.optouts.jobs import working
from stentor.optouts.jobs.model import JobKind
from stentor.optouts.jobs.working import ClaimedJob, JobFailed, JobRunner, Lost, Workplace
from stentor.optouts.storage import make_private
from stentor.worker.keeper import Chore, Chores
from stentor.worker.loop import Bell, repeat

log = structlog.get_logger(__name__)

_REST_S = 1.0
_SWEEP_EVERY_S = 3_600.0

_OURS = (
    "Something went wrong here that is no fault of the file; it is in the worker's log. Send it again, and tell whoever runs"
    " this installation if that does not help."
)
_NEARLY_FULL_BYTES = 16 << 20
_FULL = "The disk on which files of lists are made is full. Make room, and send it again."


def _free_bytes(place: Path) -> int:
    return shutil.disk_usage(place).free


class ListerRole:
    """Claims jobs and runs them, each with the runner of its kind; what it cannot do ends as failed, with a sentence.

    A job is memory: while one is under way on this machine, its other workers leave the rest to other machines. Only what
    a worker lost, who may stand still and still have his turn, is taken without one. A small file has little of it, and waits for
    small ones alone.
    """

    def __init__(
        self,
        db: Database,
        worker: str,
        runners: Mapping[JobKind, JobRunner],
        work: Path,
        *,
        beat_s: float = working.BEAT_S,
        chores: Sequence[Chore] = (),
        free_bytes: Callable[[Path], int] = _free_bytes,
    ) -> None:
        """`chores` are those of this machine's disk; with them workplaces are removed whose jobs have ended.

        `free_bytes` tells how much room is left where a path lies.
        """
        self._free_bytes = free_bytes
        self._db = db
        self._beat_s = beat_s
        self._worker = worker
        self._runners = runners
        self._work = work
        self._chores = Chores([Chore("sweep_workplaces", _SWEEP_EVERY_S, self._sweep), *chores])

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; what is at hand is given back then, and goes on where it was with the next worker here."""

        async def step() -> bool:
            await self._chores.do_due()
            return await self._step(stop)

        async def small_step() -> bool:
            return await self._step(stop, small=True)

        async with asyncio.TaskGroup() as group:
            for lane in (step, small_step):
                group.create_task(repeat("lister", lane, stop=stop, bell=Bell(), rest_s=_REST_S))

    async def _step(self, stop: asyncio.Event, *, small: bool = False) -> bool:
        if not await working.anything_to_do(self._db, small=small):
            return False
        make_private(self._work)
        with held_alone(self._work / ("lister.small.lock" if small else "lister.lock")) as turn:
            if not turn and (small or not await working.anything_left_behind(self._db)):
                return False
            job = await working.claim_next(self._db, self._worker, small=small, left_behind=not turn)
            if job is None:
                return False
            await self.work_on(job, stop)
        return True

    async def work_on(self, job: ClaimedJob, stop: asyncio.Event) -> None:
        """Does a job that this worker has claimed, to its end or until `stop`."""
        with ExitStack() as stack:
            try:
                place = self._place(job, stack)
            except OSError as error:
                if not _is_full(error):
                    raise
                await working.fail(self._db, job, _FULL)
                return
            log.info("list_job.begun", job=str(job.id), kind=job.kind, epoch=job.epoch)
            goes_on = await self._ended(job, Workplace(place), stop)
            if not goes_on:
                await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    def _place(self, job: ClaimedJob, stack: ExitStack) -> Path:
        """Where to work on the job, and nobody else as long as the stack is open."""
        place = self._work / str(job.id)
        make_private(place)
        if not stack.enter_context(held_alone(place / "lock")):
            # Whoever had the job before may come to himself again, and write there until he learns better.
            place = self._work / f"{job.id}-{job.epoch}"
            make_private(place)
            stack.enter_context(held_alone(place / "lock"))
        return place

    async def _ended(self, job: ClaimedJob, workplace: Workplace, stop: asyncio.Event) -> bool:
        """Runs the job; whether it goes on, with another worker or later."""
        try:
            await self._run(job, workplace, stop)
        except _Stopped:
            await working.release(self._db, job)
            return True
        except Lost:
            log.warning("list_job.lost", job=str(job.id), epoch=job.epoch)
        except ChildDied as death:
            log.warning("list_job.child_died", job=str(job.id), why=str(death))
            # What it had mapped of a file without room, the kernel ends it for.
            if self._free_bytes(workplace.directory) >= _NEARLY_FULL_BYTES:
                await working.leave_behind(self._db, job)
                return True
            await working.fail(self._db, job, _FULL)
        except Exception as error:
            if working.is_tried_again(error):
                await working.release(self._db, job)
                raise
            await self._fail(job, error)
        return False

    async def _fail(self, job: ClaimedJob, error: Exception) -> None:
        """Ends the job with a sentence for whoever asked for it."""
        match error:
            case JobFailed():
                await working.fail(self._db, job, error.sentence, error.counts, error.results)
            case Problem():
                await working.fail(self._db, job, error.detail)
            case OSError() if _is_full(error):
                log.warning("list_job.disk_full", job=str(job.id), kind=job.kind)
                await working.fail(self._db, job, _FULL)
            case _:
                log.error("list_job.failed", job=str(job.id), kind=job.kind, exc_info=error)
                await working.fail(self._db, job, _OURS)

    async def _run(self, job: ClaimedJob, workplace: Workplace, stop: asyncio.Event) -> None:
        """Runs the job to its end. Raises what its runner raises, _Stopped and Lost."""
        over = asyncio.Event()
        workplace.over_when(over.is_set)
        running = asyncio.create_task(self._runners[job.kind].run(job, workplace))
        stopping = asyncio.create_task(stop.wait())
        lost = False
        try:
            while not (running.done() or stop.is_set() or lost):
                lost = not (await self._kept(job, workplace) or workplace.is_ending)
                if not lost:
                    await asyncio.wait({running, stopping}, timeout=self._beat_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.set()
            stopping.cancel()
            running.cancel()
            await asyncio.wait({running})
        if running.cancelled():
            raise Lost if lost else _Stopped
        running.result()

    async def _kept(self, job: ClaimedJob, workplace: Workplace) -> bool:
        """Whether the job is still ours, as far as anybody says."""
        try:
            return await working.beat(self._db, job, workplace.progress)
        except Unavailable:
            # If somebody else has it by then, it cannot be finished here, and the next beat says so.
            return True

    async def _sweep(self) -> int:
        """Removes the workplaces of jobs that have ended, unless somebody is still in one; returns how many."""
        if not self._work.is_dir():
            return 0
        with held_alone(self._work / "lister.lock") as turn:
            if not turn:
                return 0
            places = {place: job_id for place in self._work.iterdir() if (job_id := _job_of(place))}
            kept = await working.under_way(self._db, list(places.values()))
            ended = [place for place, job_id in places.items() if job_id not in kept]
            return sum([await asyncio.to_thread(_removed, place) for place in ended])


class _Stopped(Exception):
    """The worker stops."""


def _removed(place: Path) -> bool:
    """Removes a workplace in which nobody is."""
    # Of a small job, or one that was lost, and its worker may still learn that.
    with suppress(FileNotFoundError, NotADirectoryError), held_alone(place / "lock") as is_free:
        if is_free:
            shutil.rmtree(place, ignore_errors=True)
        return is_free
    return False


def _job_of(place: Path) -> UUID | None:
    with suppress(ValueError):
        return UUID(place.name[:36])
    return None


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
