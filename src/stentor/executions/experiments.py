"""Experiments: which arm of an execution did best, and the second execution that the rest gets by it.

The winner is decided once: whoever decides holds the experiment's row, and the run for the rest is queued in the same
transaction, so that who is killed leaves an experiment that is still to be decided.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec
import structlog

from stentor.accounts.audit import record
from stentor.campaigns.experiments import Experiment, Metric, Winner
from stentor.db.pool import Database
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from stentor.executions import experiment_store as store
from stentor.executions.experiment_store import ArmNumbers, Decision, ExperimentRow, Undecided
from stentor.executions.facts import PublicationSource
from stentor.failpoints import failpoint

log = structlog.get_logger(__name__)

DECIDED_AT_ONCE_MAX = 20
"""Experiments of one round of the keeper; each counts the people of its arms, which of a million takes a second."""

BY_NUMBERS = "experiment"
"""Who triggered an execution for the rest where nobody chose."""

# The 97.5th percentile of the normal distribution: intervals hold with 95 %.
_Z = 1.959964

ExperimentState = Literal["comparing", "waiting", "asking", "won", "nobody", "cancelled"]
"""`comparing`: nobody waits for a winner; `waiting`: it is looked for later; `asking`: somebody has to choose."""


class Rate(msgspec.Struct, frozen=True):
    """Of how many people something was reported, and which share of those that is to whom anything was handed over.

    `low` to `high` is the interval that the true share is in with 95 % (Wilson); all None where nothing was handed over.
    """

    people: int
    rate: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, people: int, handed_over: int) -> "Rate":
        """The rate of so many among so many."""
        if not handed_over:
            return cls(people, None, None, None)
        share, spread = people / handed_over, _Z * _Z / handed_over
        middle = (share + spread / 2) / (1 + spread)
        reach = _Z / (1 + spread) * math.sqrt(share * (1 - share) / handed_over + spread / (4 * handed_over))
        return cls(people, share, max(0.0, middle - reach), min(1.0, middle + reach))


class ArmReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one arm. Everything after `people` counts people, on whichever channel."""

    name: str
    share: float
    people: int
    handed_over: int
    delivered: Rate
    opened: Rate
    clicked: Rate


class ExperimentReport(msgspec.Struct, frozen=True, kw_only=True):
    """How an experiment stands. `rest` people wait for the winner, `held_out` ones get nothing.

    `undecided`: why the winner was not found by numbers. `run_id`: the execution that the rest got the winner by.
    """

    execution_id: UUID
    state: ExperimentState
    arms: list[ArmReport]
    held_out: int
    rest: int
    by: Metric | None
    decide_at: datetime | None
    undecided: Undecided | None
    winner: str | None
    decided_by: str
    decided_at: datetime | None
    run_id: UUID | None


class _Held(NamedTuple):
    row: ExperimentRow
    experiment: Experiment


class ExperimentService:
    """The experiments of all brands' executions; every call names its brand and sees nothing of the others."""

    def __init__(self, db: Database, publications: PublicationSource) -> None:
        self._db = db
        self._publications = publications

    async def report(self, brand_id: UUID, execution_id: UUID) -> ExperimentReport:
        """How the experiment of that execution stands. Raises NotFound, also for an execution that has none."""
        async with self._db.read() as conn:
            row = await store.find(conn, brand_id, execution_id)
        if row is None:
            raise _missing()
        experiment = await self._experiment(row)
        async with self._db.read() as conn:
            numbers = await store.numbers(conn, brand_id, execution_id, len(experiment.arms))
        return _report(row, experiment, numbers)

    async def choose(
        self, brand_id: UUID, execution_id: UUID, arm: str, *, chosen_by: str, is_test: bool = False
    ) -> ExperimentReport:
        """Lets that arm win, before its time or where it was asked for; its run for the rest is queued.

        Raises NotFound; Invalid for a name that no arm has; Conflict when it is decided already, when nobody waits for a winner,
        and while the execution is paused or not planned; Forbidden where a test (`is_test`) would write to people.
        """
        experiment = await self._known(brand_id, execution_id)
        if arm not in experiment.names:
            text = f"The experiment has no arm {arm!r}; there are {', '.join(experiment.names)}."
            raise Invalid.field("/arm", "unknown-arm", text)
        decision = Decision(outcome="won", winner=experiment.names.index(arm), decided_by=chosen_by)
        return await self._order(brand_id, execution_id, decision, is_test=is_test)

    async def cancel(
        self, brand_id: UUID, execution_id: UUID, *, cancelled_by: str, is_test: bool = False
    ) -> ExperimentReport:
        """Ends the experiment without a winner: the rest gets nothing. Raises as `choose`."""
        decision = Decision(outcome="cancelled", decided_by=cancelled_by)
        return await self._order(brand_id, execution_id, decision, is_test=is_test)

    async def decide_due(self) -> int:
        """Decides the experiments whose time has come; the keeper's chore. Returns how many."""
        async with self._db.read() as conn:
            waiting = await store.due(conn, DECIDED_AT_ONCE_MAX)
        for execution_id, brand_id in waiting:
            try:
                await self._decide(brand_id, execution_id)
            except Unavailable:
                raise
            except Exception:
                log.exception("experiment.undecided", execution_id=str(execution_id))
        return len(waiting)

    async def _decide(self, brand_id: UUID, execution_id: UUID) -> None:
        experiment = await self._known(brand_id, execution_id)
        async with self._db.transaction() as conn:
            row = await store.lock(conn, brand_id, execution_id)
            if row is None or experiment.winner is None or row.decide_at is None or not _may_run(row):
                return
            counted = await store.numbers(conn, brand_id, execution_id, len(experiment.arms))
            decision = verdict(experiment.winner, counted)
            if isinstance(decision, str):
                await store.ask(conn, row, decision)
            else:
                await store.decide(conn, row, decision)
            failpoint("experiment.before_commit")
        failpoint("experiment.after_commit")

    async def _order(
        self, brand_id: UUID, execution_id: UUID, decision: Decision, *, is_test: bool
    ) -> ExperimentReport:
        async with self._db.transaction() as conn:
            row = await store.lock(conn, brand_id, execution_id)
            if row is None:
                raise _missing()
            if is_test and not row.is_test:
                raise Forbidden("A test key sends nothing to people: this execution is no test. Use another key.")
            _check_open(row)
            if decision.winner is not None and not _may_run(row):
                state = "paused" if row.is_paused else row.state
                raise Conflict(f"The winner runs once the execution is sending; this one is {state}.", state=state)
            decision = msgspec.structs.replace(decision, undecided=row.undecided)
            await store.decide(conn, row, decision)
            after = {"outcome": decision.outcome, "winner": decision.winner}
            action = "experiment.cancelled" if decision.winner is None else "experiment.chosen"
            await record(conn, action, execution_id, brand_id=brand_id, after=after)
            failpoint("experiment_order.before_commit")
        failpoint("experiment_order.after_commit")
        return await self.report(brand_id, execution_id)

    async def _known(self, brand_id: UUID, execution_id: UUID) -> Experiment:
        async with self._db.read() as conn:
            row = await store.find(conn, brand_id, execution_id)
        if row is None:
            raise _missing()
        return await self._experiment(row)

    async def _experiment(self, row: ExperimentRow) -> Experiment:
        experiment = (await self._publications.load(row.brand_id, row.publication_id)).content.experiment
        if experiment is None:
            raise _missing()
        return experiment


def verdict(winner: Winner, numbers: Sequence[ArmNumbers]) -> Decision | Undecided:
    """The arm with the highest rate; what is to be done instead where there is a tie or too little evidence."""
    undecided: Undecided = "tie"
    if any(arm.handed_over < winner.at_least for arm in numbers):
        undecided = "no_evidence"
    else:
        rates = [getattr(arm, winner.by) / arm.handed_over for arm in numbers]
        if rates.count(max(rates)) == 1:
            return Decision(outcome="won", winner=rates.index(max(rates)), decided_by=BY_NUMBERS)
    match winner.otherwise:
        case "ask":
            return undecided
        case "first":
            return Decision(outcome="won", winner=0, undecided=undecided, decided_by=BY_NUMBERS)
        case "nobody":
            return Decision(outcome="nobody", undecided=undecided, decided_by=BY_NUMBERS)


def _may_run(row: ExperimentRow) -> bool:
    """Whether a run for the rest may begin: its parent is planned, and neither paused nor cancelled."""
    return row.outcome is None and row.state in {"sending", "ended"} and not row.is_paused


def _check_open(row: ExperimentRow) -> None:
    if (state := _state(row)) not in {"waiting", "asking"}:
        text = "nobody waits for its winner" if state == "comparing" else f"it is decided: {state}"
        raise Conflict(f"Nothing is left to choose in this experiment: {text}.", state=state)


def _state(row: ExperimentRow) -> ExperimentState:
    if row.outcome is not None:
        return row.outcome
    if row.decide_at is None and row.undecided is None:
        return "comparing"
    if row.state in {"cancelled", "failed"}:
        return "cancelled"
    return "asking" if row.decide_at is None else "waiting"


def _report(row: ExperimentRow, experiment: Experiment, numbers: Sequence[ArmNumbers]) -> ExperimentReport:
    arms = [
        ArmReport(
            name=arm.name,
            share=arm.share,
            people=people,
            handed_over=counted.handed_over,
            delivered=Rate.of(counted.delivered, counted.handed_over),
            opened=Rate.of(counted.opened, counted.handed_over),
            clicked=Rate.of(counted.clicked, counted.handed_over),
        )
        for arm, people, counted in zip(experiment.arms, row.people, numbers, strict=True)
    ]
    return ExperimentReport(
        execution_id=row.execution_id,
        state=_state(row),
        arms=arms,
        held_out=row.held_out,
        rest=row.waiting,
        by=None if experiment.winner is None else experiment.winner.by,
        decide_at=row.decide_at,
        undecided=row.undecided,
        winner=None if row.winner is None else experiment.arms[row.winner].name,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        run_id=row.run_id,
    )


def _missing() -> NotFound:
    return NotFound("This brand has no such execution, or it has no experiment. A campaign's `experiment` makes one.")
