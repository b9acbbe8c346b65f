"""The caster's role: fixes the people of executions that wait for it."""

import asyncio

from stentor.executions.casting import Caster
from stentor.worker.loop import Bell, repeat

_REST_S = 0.05


class CasterRole:
    """Casts execution after execution; a planner finds them then."""

    def __init__(self, caster: Caster) -> None:
        self._caster = caster

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; the casts at hand are finished first."""
        await repeat("caster", self._caster.cast_next, stop=stop, bell=Bell(), rest_s=_REST_S)
