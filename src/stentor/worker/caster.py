"""The caster's role: fixes the people of executions that wait for it."""

import asyncio
from collections.abc import Awaitable, Callable

from stentor.executions.casting import Caster
from stentor.worker.loop import Bell, repeat

LONG_CASTS_MAX = 2
"""Long casts that one worker makes at once, beside the small ones. Each of them holds a connection."""

_REST_S = 0.05
# What took half a second in vain can wait for as long.
_REST_OF_LONG_S = 0.5


class CasterRole:
    """Casts execution after execution; a planner finds them then."""

    def __init__(self, caster: Caster) -> None:
        self._caster = caster

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; the casts at hand are finished first."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(_loop("caster", self._caster.cast_next, stop, _REST_S))
            for _ in range(LONG_CASTS_MAX):
                loops.create_task(_loop("long caster", self._caster.cast_next_alone, stop, _REST_OF_LONG_S))


async def _loop(name: str, step: Callable[[], Awaitable[bool]], stop: asyncio.Event, rest_s: float) -> None:
    await repeat(name, step, stop=stop, bell=Bell(), rest_s=rest_s)
