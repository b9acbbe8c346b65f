"""Who of a turn takes the step: as it is when the execution is cast, which is when the turn fell due unless it was held.

One statement writes the cast from those who wait; a second one counts the others by why they left.
"""

from typing import Any
from uuid import UUID

import structlog
from psycopg import sql

from stentor.audience.casting import Cast, Choice, RowsSource, casting
from stentor.campaigns.model import PublishedContent
from stentor.campaigns.steps import AllHappened, AnyHappened, NoneHappened, StepCondition, When
from stentor.db.connection import Connection
from stentor.domain.vocabulary import SendState
from stentor.executions.audiences import OfStep
from stentor.executions.model import QueuedExecution
from stentor.executions.steps import store
from stentor.executions.steps.model import Exits
from stentor.executions.store import heeded_flags

log = structlog.get_logger(__name__)

# Of a run by a topic everybody stays on the channels that they chose there.
_WAITING = sql.SQL(
    "(SELECT w.part, w.customer_id, w.source_id, w.since, {channels} AS channels FROM step_wait w {subscription}"
    " WHERE w.execution_id = %(run_id)s AND w.step = %(step)s AND w.due_at = %(due_at)s AND w.brand_id = %(brand_id)s) a"
)
_CHOSEN = sql.SQL(
    "LEFT JOIN subscription t ON t.part = w.part AND t.customer_id = w.customer_id AND t.topic_id = %(topic_id)s"
    " AND t.brand_id = %(brand_id)s"
)
# Of who was made anew since nothing is known, and nothing was sent to them.
_STAYED = sql.SQL("c.created_at <= a.since AND NOT c.anonymous")
# On a channel on which they were written to, somebody took back what it was by: nobody had when they were.
_OPTED_OUT = sql.SQL(
    "EXISTS (SELECT FROM send s WHERE s.execution_id = a.source_id AND s.part = a.part AND s.customer_id = a.customer_id"
    " AND s.brand_id = %(brand_id)s AND s.state = %(handed_over)s"
    " AND (1 << s.channel) & (c.refused_mask & %(heeded)s | c.complained_mask | ~a.channels) <> 0)"
)
_JOINED = sql.SQL("{waiting} JOIN customer c ON c.part = a.part AND c.customer_id = a.customer_id WHERE {stays} AND")
_COUNT = sql.SQL(
    "SELECT count(*) FILTER (WHERE c.customer_id IS NULL OR NOT ({stayed}))::integer,"
    " count(*) FILTER (WHERE {stayed} AND {opted_out})::integer, count(*) FILTER (WHERE {stayed} AND NOT {opted_out})::integer"
    " FROM {waiting}"
    " LEFT JOIN customer c ON c.part = a.part AND c.customer_id = a.customer_id AND c.brand_id = %(brand_id)s"
    " WHERE NOT EXISTS (SELECT FROM cast_member m WHERE m.execution_id = %(execution_id)s AND m.part = a.part"
    " AND m.customer_id = a.customer_id AND m.brand_id = %(brand_id)s)"
)


async def cast_step(
    conn: Connection, execution: QueuedExecution, turn: OfStep, content: PublishedContent, choices: list[Choice]
) -> Cast:
    """Writes the cast of a step's execution, and who left instead."""
    parameters: dict[str, Any] = {
        "run_id": turn.run_id,
        "step": turn.step,
        "due_at": turn.due_at,
        "topic_id": execution.topic_id,
        "heeded": heeded_flags(content),
        "handed_over": SendState.HANDED_OVER.value,
    }
    of_topic = execution.topic_id is not None
    waiting = _WAITING.format(
        channels=sql.SQL("coalesce(t.channels, 0)" if of_topic else "~0"),
        subscription=_CHOSEN if of_topic else sql.SQL(""),
    )
    stays: list[sql.Composable] = [_STAYED, sql.SQL("NOT {}").format(_OPTED_OUT)]
    compiler = _Compiler(turn.run_id, turn.step)
    if content.when is not None:
        stays.append(compiler.node(content.when))
    text = _JOINED.format(waiting=waiting, stays=sql.SQL(" AND ").join(stays))
    source = RowsSource(text, parameters | compiler.parameters, of_topic)
    cast = await casting(conn, execution.brand_id, execution.id, source, choices)
    counted = await conn.execute(
        _COUNT.format(waiting=waiting, stayed=_STAYED, opted_out=_OPTED_OUT),
        parameters | {"brand_id": execution.brand_id, "execution_id": execution.id},
        prepare=False,
    )
    gone, opted_out, unmet = await counted.fetchone() or (0, 0, 0)
    exits = Exits(gone, opted_out, unmet)
    if await store.note_exits(conn, execution.brand_id, execution.id, exits) != cast.people + exits.people:
        log.error("step.unbalanced", execution_id=str(execution.id), run_id=str(turn.run_id), step=turn.step)
    return cast


class _Compiler:
    """From a condition to SQL about a row of waiting people, `a`."""

    def __init__(self, run_id: UUID, number: int) -> None:
        self.parameters: dict[str, Any] = {}
        self._run_id = run_id
        self._number = number

    def node(self, node: When) -> sql.Composable:
        match node:
            case AllHappened(conditions=conditions):
                return sql.SQL("({})").format(sql.SQL(" AND ").join(map(self.node, conditions)))
            case AnyHappened(conditions=conditions):
                return sql.SQL("({})").format(sql.SQL(" OR ").join(map(self.node, conditions)))
            case NoneHappened(conditions=conditions):
                return sql.SQL("NOT ({})").format(sql.SQL(" OR ").join(map(self.node, conditions)))
            case StepCondition():
                return self._condition(node)

    def _condition(self, node: StepCondition) -> sql.Composable:
        said = sql.SQL("true")
        if node.answer is not None:
            said = sql.SQL("lower(btrim(d.answer)) = lower(btrim({answer}::text))").format(
                answer=self._bound(node.answer)
            )
        return sql.SQL(
            "{has} (SELECT FROM delivery_event d WHERE d.execution_id = {execution} AND d.part = a.part"
            " AND d.customer_id = a.customer_id AND d.brand_id = %(brand_id)s AND d.kind = {kind}::text AND {said})"
        ).format(
            has=sql.SQL("EXISTS" if node.has else "NOT EXISTS"),
            execution=self._execution(self._number - 1 if node.step is None else node.step),
            kind=self._bound(node.what),
            said=said,
        )

    def _execution(self, step: int) -> sql.Composable:
        """In which execution the person took that step: the run took the first one."""
        if step == 0:
            return sql.SQL("%(run_id)s")
        if step == self._number - 1:
            return sql.SQL("a.source_id")
        return sql.SQL(
            "(SELECT o.source_id FROM step_wait o WHERE o.execution_id = %(run_id)s AND o.step = {next}::smallint"
            " AND o.part = a.part AND o.customer_id = a.customer_id AND o.brand_id = %(brand_id)s)"
        ).format(next=self._bound(step + 1))

    def _bound(self, value: Any) -> sql.Composable:
        name = f"when_{len(self.parameters)}"
        self.parameters[name] = value
        return sql.Placeholder(name)
