"""Turns that fell due become executions, each exactly once: the row of a turn is locked, and knows its execution ever after."""

from stentor.clock import boottime_s
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.executions.facts import PublicationSource
from stentor.executions.steps import store
from stentor.executions.steps.model import DueTurn
from stentor.executions.steps.store import Starting
from stentor.failpoints import failpoint

TURNS_AT_ONCE_MAX = 200
PARKED_AT_ONCE_MAX = 1_000
ENDED_AT_ONCE_MAX = 1_000
# For so long the keeper goes on while more is due; its other chores wait.
_TURN_S = 2.0


class StepKeeper:
    """What the keeper does for steps that fell due."""

    def __init__(self, db: Database, publications: PublicationSource) -> None:
        self._db = db
        self._publications = publications

    async def start_due(self) -> int:
        """Starts what fell due, and sets aside what a pause holds; the keeper's chore. Returns how many executions that were."""
        ends_s, started = boottime_s() + _TURN_S, 0
        while True:
            async with self._db.transaction() as conn:
                due = await store.claim_turns(conn, TURNS_AT_ONCE_MAX)
                if due:
                    await store.start(conn, [await self._starting(turn) for turn in due])
                parked = await store.park_turns(conn, PARKED_AT_ONCE_MAX)
                failpoint("step_start.before_commit")
            failpoint("step_start.after_commit")
            started += len(due)
            is_more = len(due) == TURNS_AT_ONCE_MAX or parked == PARKED_AT_ONCE_MAX
            if not is_more or boottime_s() > ends_s:
                return started

    async def end_over(self) -> int:
        """Ends the steps of runs of which nobody waits any more; the keeper's chore. Returns how many runs that were."""
        async with self._db.transaction() as conn:
            return await store.end_steppings(conn, await store.over(conn, ENDED_AT_ONCE_MAX))

    async def _starting(self, turn: DueTurn) -> Starting:
        run = await self._publications.load(turn.brand_id, turn.publication_id)
        step = await self._publications.load(turn.brand_id, run.content.steps[turn.step - 1].publication_id)
        return Starting(new_id(), turn, step.id, step.content.policy.deadline_s)
