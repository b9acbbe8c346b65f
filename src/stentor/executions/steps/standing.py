"""How the steps of a run stand: who waits, when somebody falls due next, who went on, and who left and why."""

from collections import defaultdict
from uuid import UUID

from stentor.campaigns.model import PublishedContent
from stentor.db.connection import Connection
from stentor.domain.ids import part_of
from stentor.executions.audiences import OfStep, meant_by
from stentor.executions.model import Execution
from stentor.executions.steps.model import Exits, StepExecution, Steps, StepStanding
from stentor.executions.steps.store import Sql

EXECUTIONS_SHOWN_MAX = 100
"""Of each step, the newest."""


async def steps_of(conn: Connection, run: Execution, content: PublishedContent) -> Steps:
    """The steps that follow that execution by its publication; none where nothing does."""
    keys = {"brand_id": run.brand_id, "execution_id": run.id}
    ((paused_at, cancelled_at, ended_at),) = await Sql.find.tuples(conn, **keys) or [(None, None, None)]
    sums = {row[0]: row[1:] for row in await Sql.sums.tuples(conn, **keys)}
    shown: defaultdict[int, list[StepExecution]] = defaultdict(list)
    for one in await Sql.executions.tuples(conn, limit=EXECUTIONS_SHOWN_MAX, **keys):
        shown[one[0]].append(StepExecution(*one))
    standings = []
    for number, step in enumerate(content.steps, content.step + 1):
        handed_over, waiting, due_next_at, went_on, gone, opted_out, unmet, dropped = sums.get(number, _NOBODY)
        if cancelled_at is not None:
            waiting, due_next_at, dropped = 0, None, dropped + waiting
        standings.append(
            StepStanding(
                step=number,
                wait_s=step.wait_s,
                handed_over=handed_over,
                waiting=waiting,
                due_next_at=due_next_at,
                went_on=went_on,
                exits=Exits(gone, opted_out, unmet, dropped),
                executions=tuple(shown[number]),
            )
        )
    return Steps(
        execution_id=run.id,
        paused_at=paused_at,
        cancelled_at=cancelled_at,
        ended_at=ended_at,
        steps=tuple(standings),
    )


async def why_not_in_step(conn: Connection, execution: Execution, customer: UUID) -> str:
    """Why somebody is not in that execution of a step, which has its cast."""
    rows = await Sql.wait_of.tuples(
        conn,
        brand_id=execution.brand_id,
        execution_id=execution.parent_id,
        step=execution.step,
        part=part_of(customer),
        customer_id=customer,
    )
    if not rows:
        return f"Did not wait for step {execution.step}: nothing of the step before was handed over to them."
    ((due_at, since, _),) = rows
    due = f"{due_at:%Y-%m-%d %H:%M:%S} UTC"
    meant = meant_by(execution.audience)
    if not isinstance(meant, OfStep) or meant.due_at != due_at:
        return f"Was handed over at {since:%Y-%m-%d %H:%M:%S} UTC and fell due for step {execution.step} with others, at {due}."
    return (
        f"Fell due for step {execution.step} at {due} and left it: they had opted out, its condition did not hold, or it says"
        " nothing to them."
    )


_NOBODY = (0, 0, None, 0, 0, 0, 0, 0)
