"""Experiments of executions in the database."""

from collections import Counter
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.audience.casting import HELD_OUT, WAITING
from stentor.campaigns.experiments import Experiment
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id, part_of
from stentor.executions.audiences import OfRest
from stentor.executions.model import ExecutionState

Outcome = Literal["won", "nobody", "cancelled"]
Undecided = Literal["tie", "no_evidence", "restored"]
"""`restored`: a restored copy decides nothing by numbers, as the installation that was copied may have done it."""

BY_CANCELLATION = "cancellation"
"""Who ended an experiment that was cancelled with its execution."""


class Sql(QuerySet, file="experiments.sql", package=__package__):
    places: Statement
    begin: Statement
    find: Statement
    due: Statement
    lock: Statement
    hold_execution: Statement
    hold_steps: Statement
    numbers: Statement
    ask: Statement
    decide: Statement
    cancel_open: Statement
    insert_run: Statement
    place_of: Statement


class ExperimentRow(msgspec.Struct, frozen=True):
    """The experiment of an execution, and how that stands."""

    execution_id: UUID
    brand_id: UUID
    people: list[int]
    held_out: int
    waiting: int
    decide_at: datetime | None
    undecided: Undecided | None
    outcome: Outcome | None
    winner: int | None
    run_id: UUID | None
    decided_by: str
    decided_at: datetime | None
    publication_id: UUID
    state: ExecutionState
    is_paused: bool
    is_test: bool


class ArmNumbers(msgspec.Struct, frozen=True):
    """To how many people of an arm anything was handed over, and of how many of them each thing was reported."""

    handed_over: int = 0
    delivered: int = 0
    opened: int = 0
    clicked: int = 0


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the rest: the arm that it gets, or why it gets none; and who says so."""

    outcome: Outcome
    winner: int | None = None
    undecided: Undecided | None = None
    decided_by: str


async def begin(conn: Connection, brand_id: UUID, execution_id: UUID, experiment: Experiment) -> int:
    """Notes who of the execution's cast is where, and returns how many people are in an arm: those who are planned now."""
    places = Counter(dict(await Sql.places.tuples(conn, brand_id=brand_id, execution_id=execution_id)))
    people = [places[number] for number, _ in enumerate(experiment.arms)]
    await Sql.begin.run(
        conn,
        brand_id=brand_id,
        execution_id=execution_id,
        people=people,
        held_out=places[HELD_OUT],
        waiting=places[WAITING],
        wait=None if experiment.winner is None else experiment.winner.wait,
    )
    return sum(people)


async def places_of(conn: Connection, brand_id: UUID, execution_id: UUID) -> Counter[int]:
    """How many people of the cast are in each place."""
    return Counter(dict(await Sql.places.tuples(conn, brand_id=brand_id, execution_id=execution_id)))


async def find(conn: Connection, brand_id: UUID, execution_id: UUID) -> ExperimentRow | None:
    """The experiment, if the execution has one."""
    return await Sql.find.first(conn, ExperimentRow, brand_id=brand_id, execution_id=execution_id)


async def due(conn: Connection, limit: int) -> list[tuple[UUID, UUID]]:
    """Experiments whose winner is to be looked for, as (execution, brand)."""
    return [(execution_id, brand_id) for execution_id, brand_id in await Sql.due.tuples(conn, limit=limit)]


async def lock(conn: Connection, brand_id: UUID, execution_id: UUID) -> ExperimentRow | None:
    """The experiment as it is, with its execution and how its steps stand held as they are, until the transaction ends."""
    if not await Sql.lock.value(conn, brand_id=brand_id, execution_id=execution_id):
        return None
    await Sql.hold_execution.run(conn, brand_id=brand_id, execution_id=execution_id)
    await Sql.hold_steps.run(conn, brand_id=brand_id, execution_id=execution_id)
    return await find(conn, brand_id, execution_id)


async def numbers(conn: Connection, brand_id: UUID, execution_id: UUID, arms: int) -> list[ArmNumbers]:
    """What came of each of so many arms until now."""
    rows = await Sql.numbers.tuples(conn, brand_id=brand_id, execution_id=execution_id)
    found = {arm: ArmNumbers(*counted) for arm, *counted in rows}
    return [found.get(number, ArmNumbers()) for number in range(arms)]


async def ask(conn: Connection, row: ExperimentRow, undecided: Undecided) -> None:
    """Leaves the experiment to somebody who chooses."""
    await Sql.ask.run(conn, brand_id=row.brand_id, execution_id=row.execution_id, undecided=undecided)


async def cancel_open(conn: Connection, brand_id: UUID, execution_id: UUID) -> bool:
    """Ends the experiment of an execution that is being cancelled; False when there is none, or it is over.

    Before the execution is locked: whoever decides locks the experiment first.
    """
    execution = {"brand_id": brand_id, "execution_id": execution_id}
    return await Sql.cancel_open.run(conn, decided_by=BY_CANCELLATION, **execution) > 0


async def decide(conn: Connection, row: ExperimentRow, decision: Decision) -> None:
    """Ends the experiment, whose lock is held; with a winner, its execution for the rest is queued."""
    run_id = None
    if decision.winner is not None:
        run_id = new_id()
        await Sql.insert_run.run(
            conn,
            id=run_id,
            brand_id=row.brand_id,
            execution_id=row.execution_id,
            audience=Jsonb(OfRest(row.execution_id, decision.winner)),
            triggered_by=decision.decided_by,
        )
    await Sql.decide.run(
        conn,
        brand_id=row.brand_id,
        execution_id=row.execution_id,
        outcome=decision.outcome,
        winner=decision.winner,
        undecided=decision.undecided,
        run_id=run_id,
        decided_by=decision.decided_by,
    )


async def place_of(conn: Connection, brand_id: UUID, execution_id: UUID, customer_id: UUID) -> int | None:
    """The arm of a person, or HELD_OUT or WAITING; None where there is no experiment, or where they are not in the cast."""
    return await Sql.place_of.value(
        conn, brand_id=brand_id, execution_id=execution_id, part=part_of(customer_id), customer_id=customer_id
    )
