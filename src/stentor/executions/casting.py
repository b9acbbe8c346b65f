"""Casting: an execution's people are fixed before it is planned, at one moment and in one statement.

A caster holds what it casts until its transaction ends: one that is killed leaves nothing. It works beside the planners, not
among them, so that a segment of millions, which takes seconds, keeps no alert waiting. Nor does it keep other casts waiting:
whatever takes longer than the small ones do is taken back, and made in a transaction of its own by a caster that does only such.
"""

from datetime import timedelta

import structlog
from psycopg.errors import QueryCanceled

from stentor.audience.casting import ConditionSource, TakesLong, TopicSource, Waited, casting, casting_rest
from stentor.campaigns.model import PublishedContent
from stentor.clock import boottime_s
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import Unavailable
from stentor.executions import store
from stentor.executions.audiences import (
    OfRest,
    OfStep,
    choices_of,
    meant_by,
    plannable,
    source_of,
    split_of,
    topics_of,
)
from stentor.executions.experiment_store import begin
from stentor.executions.facts import PublicationSource
from stentor.executions.model import QueuedExecution
from stentor.executions.steps.casting import cast_step
from stentor.executions.tries import Tries
from stentor.failpoints import failpoint

log = structlog.get_logger(__name__)

CASTS_AT_ONCE_MAX = 64
"""Small casts that share a transaction."""

SMALL_CAST_MS_MAX = 500
"""Milliseconds that one of them may take. What takes longer is made alone, so that a batch's fifty people wait for nobody's million."""

SMALL_CAST_COST_MAX = 50_000
"""What the cast of a segment may be expected to cost, in PostgreSQL's unit. Beyond that, which is a second and more, nobody has to try."""

CAST_S_MAX = 300
"""Seconds that fixing the people of one execution may take. A million take seconds; what is never done would keep the database
from cleaning up behind everybody else."""

# After that long a transaction commits what it has cast; the others' turn comes in the next one.
_TURN_S = 0.25


class _Withdrawn(Exception):
    """The execution was cancelled or failed while its cast was being made: the cast is taken back."""


class Caster:
    """Fixes the people of executions that wait for it. Any number of casters work side by side."""

    def __init__(
        self,
        db: Database,
        publications: PublicationSource,
        *,
        small_s: float = SMALL_CAST_MS_MAX / 1000,
        small_cost: float = SMALL_CAST_COST_MAX,
        longest_s: float = CAST_S_MAX,
    ) -> None:
        """`small_s`: what a cast may take among others, `small_cost`: and be expected to cost; `longest_s`: what it may take alone."""
        self._db = db
        self._small = timedelta(seconds=small_s)
        self._small_cost = small_cost
        self._longest = timedelta(seconds=longest_s)
        self._publications = publications
        self._tries = Tries(db)

    async def cast_next(self) -> bool:
        """Casts what is first in its lane, and what else fits into its turn; False when nothing waits.

        What takes longer than small casts do is left to `cast_next_alone`. What fails is given up as INTERNAL, alone.
        """
        return await self._take_turn(alone=False)

    async def cast_next_alone(self) -> bool:
        """Casts the first of those that take long; False when none waits that nobody else is at.

        Whoever pauses or cancels it meanwhile waits for nobody. What takes longer than a cast may is given up as INTERNAL.
        """
        return await self._take_turn(alone=True)

    async def _take_turn(self, *, alone: bool) -> bool:
        async with self._db.read() as conn:
            if not await store.anything_uncast(conn, alone=alone):
                return False
        failures: list[tuple[QueuedExecution, Exception]] = []
        ends_s = boottime_s() + _TURN_S
        async with self._db.transaction(statement_timeout=self._longest if alone else self._small) as conn:
            waiting = await (store.hold_uncast(conn) if alone else store.claim_uncast(conn, CASTS_AT_ONCE_MAX))
            for execution in waiting:
                if (error := await self._try(conn, execution, alone=alone)) is not None:
                    failures.append((execution, error))
                if boottime_s() > ends_s:
                    break
            failpoint("cast.before_commit")
        failpoint("cast.after_commit")
        for execution, error in failures:
            if isinstance(error, QueryCanceled):
                await self._give_up(execution)
            else:
                await self._tries.missed(execution.brand_id, execution.id, error)
        return bool(waiting)

    async def _try(self, conn: Connection, execution: QueuedExecution, *, alone: bool) -> Exception | None:
        """Casts one, in a savepoint; answers why that failed, to be told of when the others are committed."""
        try:
            async with conn.transaction():
                await self._cast(conn, execution, cost_max=None if alone else self._small_cost)
        except Unavailable:
            raise
        except _Withdrawn:
            log.info("execution.cast_taken_back", execution_id=str(execution.id))
        except TakesLong:
            await store.cast_alone(conn, execution)
        except Exception as error:  # noqa: BLE001  it is told of
            if alone or not isinstance(error, QueryCanceled):
                return error
            await store.cast_alone(conn, execution)
        else:
            self._tries.succeeded(execution.id)
        return None

    async def _give_up(self, execution: QueuedExecution) -> None:
        # It would take as long the next time.
        log.error("execution.cast_too_long", execution_id=str(execution.id), longest_s=self._longest.total_seconds())
        text = (
            f"Finding whom it is for took longer than {self._longest.total_seconds():g} s. Ask for less in its segment and in"
            " the conditions of its routes, or tag the people and choose the tag; then start it again."
        )
        async with self._db.transaction() as conn:
            await store.fail(conn, execution.brand_id, execution.id, "INTERNAL", text)

    async def _cast(self, conn: Connection, execution: QueuedExecution, *, cost_max: float | None) -> None:
        content = (await self._publications.load(execution.brand_id, execution.publication_id)).content
        audience = meant_by(execution.audience)
        if isinstance(audience, OfRest):
            await self._cast_rest(conn, execution, content, audience)
            return
        if isinstance(audience, OfStep):
            choices = await choices_of(conn, execution.brand_id, content)
            cast = await cast_step(conn, execution, audience, content, choices)
            if not await store.cast_made(conn, execution, execution.topic_id, cast.people, cast_at=cast.at):
                raise _Withdrawn
            return
        topic_id = None
        if audience is not None:
            source = await source_of(conn, execution.brand_id, audience)
        else:
            topics = await topics_of(conn, execution.brand_id, [execution])
            topic = await plannable(conn, execution, topics)
            if topic is None:
                return
            source, topic_id = TopicSource(topic.topic_id), topic.topic_id
        if source is None:
            text = "What it was to reach, a tag or a segment, was deleted before it started. Choose another one and start again."
            await store.fail(conn, execution.brand_id, execution.id, "AUDIENCE_NOT_FOUND", text)
            return
        choices = await choices_of(conn, execution.brand_id, content)
        cast = await casting(
            conn,
            execution.brand_id,
            execution.id,
            source,
            choices,
            split=split_of(content),
            # Of a segment that reads everybody the estimate is sure; how many have one tag of a million nobody could tell.
            cost_max=cost_max if isinstance(source, ConditionSource) else None,
        )
        people = cast.people
        if content.experiment is not None:
            people = await begin(conn, execution.brand_id, execution.id, content.experiment)
        if not await store.cast_made(conn, execution, topic_id, people, cast_at=cast.at):
            raise _Withdrawn

    async def _cast_rest(
        self, conn: Connection, execution: QueuedExecution, content: PublishedContent, rest: OfRest
    ) -> None:
        split = split_of(content)
        if split is None:
            raise ValueError("Nobody waits where there is no experiment.")
        waited = Waited(rest.execution_id, rest.arm, split.masks[rest.arm])
        choices = await choices_of(conn, execution.brand_id, content)
        people = await casting_rest(conn, execution.brand_id, execution.id, waited, choices)
        # They were fixed with those who were in an arm: whoever was made anew since on an id that waited is somebody else.
        fixed_at = await store.cast_at(conn, execution.brand_id, rest.execution_id)
        # The topic that they waited in: whoever has left it since is stopped.
        if not await store.cast_made(conn, execution, execution.topic_id, people, cast_at=fixed_at):
            raise _Withdrawn
