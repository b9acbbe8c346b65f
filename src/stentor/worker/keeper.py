"""The keeper's role: what must happen once, somewhere, from time to time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from stentor.clock import boottime_s
from stentor.errors import Unavailable
from stentor.queue.leases import Role
from stentor.worker.loop import Bell, repeat

log = structlog.get_logger(__name__)

_REST_S = 1.0


class Chore(msgspec.Struct, frozen=True):
    """Something to do every so often. `run` answers how much it did; bounded, so that the others get their turn."""

    name: str
    every_s: float
    run: Callable[[], Awaitable[int]]


class Chores:
    """Chores, and when each is due again."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = chores
        self._due_s = {chore.name: 0.0 for chore in chores}

    async def do_due(self) -> None:
        """Does those that are due, one after the other. Raises Unavailable."""
        for chore in self._chores:
            if boottime_s() >= self._due_s[chore.name]:
                # Set before the chore runs: one that fails is logged and comes again in its own time.
                self._due_s[chore.name] = boottime_s() + chore.every_s
                await _done(chore)


class KeeperRole:
    """Does the chores while this process holds the role; another process takes over within 15 s of its death."""

    def __init__(self, role: Role, chores: list[Chore]) -> None:
        self._role = role
        self._chores = Chores(chores)

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`, then leaves the role to another process at once."""
        await repeat("keeper", self._step, stop=stop, bell=Bell(), rest_s=_REST_S)
        await self._role.leave()

    async def _step(self) -> bool:
        if not await self._role.take():
            return False
        await self._chores.do_due()
        return False


async def _done(chore: Chore) -> None:
    """An outage ends the whole round; whatever else is wrong with one chore keeps none of the others waiting."""
    try:
        if done := await chore.run():
            log.debug("chore.done", chore=chore.name, done=done)
    except Unavailable:
        raise
    except Exception:
        log.exception("chore.failed", chore=chore.name)
