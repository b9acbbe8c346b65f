"""The planner's role: turns queued executions into sends."""

import asyncio

from stentor.executions.planning import Planner
from stentor.worker.loop import Bell, repeat

_REST_S = 0.05


class PlannerRole:
    """Plans slice after slice; rings `planned` so that the deliverer of this process starts at once."""

    def __init__(self, planner: Planner, *, planned: Bell) -> None:
        self._planner = planner
        self._planned = planned

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; the slice at hand is finished first."""
        await repeat("planner", self._step, stop=stop, bell=Bell(), rest_s=_REST_S)

    async def _step(self) -> bool:
        went_first = self._planner.goes_first()
        worked = await self._planner.plan_next()
        if worked or went_first:
            self._planned.ring()
        return worked
