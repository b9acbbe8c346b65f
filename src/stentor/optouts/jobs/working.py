"""How a worker has a job: claimed by the database's clock, kept by beats, and ended by whoever still has it.

A worker that is silent for 20 s has lost its job: another one takes it, with the next epoch, and what the first one still
writes about it affects nothing.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.errors import NoRoom, Unavailable
from stentor.failpoints import failpoint
from stentor.optouts.crew import ChildDied
from stentor.optouts.jobs.model import JobKind, ResultFile

LEASE = timedelta(seconds=20)
BEAT_S = 5.0
DEATHS_MAX = 5
"""So many workers, or their children, may die of a job until it is given up."""

SMALL_FILE_BYTES_MAX = 10_000_000
"""A file of so many bytes, as sent, waits for no larger one: a machine works on one such beside whatever else it does."""

KEPT = timedelta(days=7)
"""How long what a job made, and what it says of itself, is kept after its end."""

GIVEN_UP = (
    "It was tried several times, and each time the process that worked on it died. Send it in smaller pieces, or ask whoever"
    " runs this installation to look into the log."
)


class Sql(QuerySet, file="working.sql", package=__package__):
    anything_to_do: Statement
    anything_left_behind: Statement
    begin_claiming: Statement
    give_up: Statement
    claim: Statement
    beat: Statement
    finish: Statement
    release: Statement
    leave_behind: Statement
    under_way: Statement


class ClaimedJob(msgspec.Struct, frozen=True):
    """A job that this worker has, by the epoch of its claim."""

    id: UUID
    brand_id: UUID
    list_id: UUID | None
    kind: JobKind
    spec: dict[str, Any]
    encoding: str
    declared_bytes: int | None
    received_bytes: int
    epoch: int
    asked_by: str

    @property
    def is_small(self) -> bool:
        """Whether it is done beside others, and therefore by two children: one parts the file, the other one reads the parts.

        Bounded as all children are, they use less memory, because the parts are small.
        """
        return self.kind != "export" and self.received_bytes <= SMALL_FILE_BYTES_MAX


class Counts(msgspec.Struct, frozen=True):
    """What became of the lines of a file: submitted = added + duplicate + malformed."""

    submitted: int = 0
    added: int = 0
    duplicate: int = 0
    malformed: int = 0


NOTHING_COUNTED = Counts()


class JobFailed(Exception):
    """The job cannot be done; the sentence is for whoever asked for it, and says what to do next.

    `results` are files that tell more of it.
    """

    def __init__(
        self, sentence: str, counts: Counts = NOTHING_COUNTED, results: dict[str, ResultFile] | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.counts = counts
        self.results = results


def is_tried_again(error: Exception) -> bool:
    """Whether a job that met this goes on later, with what is left in its workplace; any other error is its end."""
    return isinstance(error, ChildDied) or (isinstance(error, Unavailable) and not isinstance(error, NoRoom))


class Lost(Exception):
    """The job is no longer this worker's: it was taken away, or removed by who asked for it."""


class Workplace:
    """Where a job is worked on: a directory on this machine's disk, kept for whoever goes on with it here."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.progress: dict[str, Any] = {}
        self.is_ending = False
        """Whether its runner is about to finish the job: from then on that it runs no more may mean that it is done."""
        self._over: Callable[[], bool] = bool

    def report(self, progress: dict[str, Any]) -> None:
        """Says where the job is; the next beat tells everybody."""
        self.progress = progress

    @property
    def is_over(self) -> bool:
        """Whether to stop, for what runs in threads: everything else is cancelled."""
        return self._over()

    def over_when(self, is_over: Callable[[], bool]) -> None:
        """Lets `is_over` answer what that does."""
        self._over = is_over


class JobRunner(Protocol):
    """Does jobs of one kind."""

    @property
    def kind(self) -> JobKind:
        """Which."""
        ...

    async def run(self, job: ClaimedJob, workplace: Workplace) -> None:
        """Does the job and finishes it (`finish`), or raises JobFailed; any other Problem fails it with its sentence.

        Before it finishes the job it says so (`Workplace.is_ending`). It may be cancelled at any time, and be run again, here
        with what is left in the workplace.
        """
        ...


async def anything_to_do(db: Database, *, small: bool = False) -> bool:
    """Whether a claim may find something."""
    async with db.read() as conn:
        return bool(await Sql.anything_to_do.value(conn, bytes_max=_bytes_max(small)))


async def anything_left_behind(db: Database) -> bool:
    """Whether a worker lost its job and nobody has it yet."""
    async with db.read() as conn:
        return bool(await Sql.anything_left_behind.value(conn))


async def claim_next(db: Database, worker: str, *, small: bool = False, left_behind: bool = False) -> ClaimedJob | None:
    """The next job for this worker, or None when there is none: of those with a `small` file, or that a worker lost.

    Of a list's imports one is under way at a time. A job of which more than 5 workers died is given up.
    """
    async with db.transaction() as conn:
        await Sql.begin_claiming.run(conn)
        await Sql.give_up.run(conn, message=GIVEN_UP, deaths_max=DEATHS_MAX, kept=KEPT)
        rows = await Sql.claim.tuples(
            conn, worker=worker, lease=LEASE, bytes_max=_bytes_max(small), left_behind=left_behind
        )
        failpoint("list_claim.before_commit")
    failpoint("list_claim.after_commit")
    if not rows:
        return None
    job_id, brand_id, list_id, kind, spec, encoding, declared_bytes, received_bytes, epoch, asked_by = rows[0]
    spec = msgspec.json.decode(spec, type=dict[str, Any])
    return ClaimedJob(job_id, brand_id, list_id, kind, spec, encoding, declared_bytes, received_bytes, epoch, asked_by)


async def beat(db: Database, job: ClaimedJob, progress: dict[str, Any]) -> bool:
    """Keeps the job for another 20 s and tells where it is; False when it is not ours any more."""
    async with db.autocommit() as conn:
        return bool(await Sql.beat.run(conn, **_mine(job), lease=LEASE, progress=_text(progress)))


async def finish(
    conn: Connection,
    job: ClaimedJob,
    state: Literal["success", "failed"],
    *,
    counts: Counts = NOTHING_COUNTED,
    message: str = "",
    results: dict[str, ResultFile] | None = None,
) -> bool:
    """Ends the job in the caller's transaction; False, and nothing happened, when it is not ours any more."""
    return bool(
        await Sql.finish.run(
            conn,
            **_mine(job),
            **msgspec.structs.asdict(counts),
            state=state,
            message=message,
            results=_text(results or {}),
            kept=KEPT,
        )
    )


async def fail(
    db: Database,
    job: ClaimedJob,
    message: str,
    counts: Counts = NOTHING_COUNTED,
    results: dict[str, ResultFile] | None = None,
) -> bool:
    """Ends the job without success; False when it is not ours any more."""
    async with db.transaction() as conn:
        ended = await finish(conn, job, "failed", counts=counts, message=message, results=results)
        failpoint("list_fail.before_commit")
    failpoint("list_fail.after_commit")
    return ended


async def release(db: Database, job: ClaimedJob) -> None:
    """Gives the job back for the next worker, without counting a death."""
    async with db.autocommit() as conn:
        await Sql.release.run(conn, **_mine(job))


async def leave_behind(db: Database, job: ClaimedJob) -> None:
    """Gives the job back as one that somebody died of."""
    async with db.autocommit() as conn:
        await Sql.leave_behind.run(conn, **_mine(job))


async def under_way(db: Database, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these jobs may still be worked on."""
    async with db.read() as conn:
        return set(await Sql.under_way.column(conn, ids=list(ids)))


def _bytes_max(small: bool) -> int | None:
    return SMALL_FILE_BYTES_MAX if small else None


def _mine(job: ClaimedJob) -> dict[str, Any]:
    return {"id": job.id, "brand_id": job.brand_id, "epoch": job.epoch}


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
