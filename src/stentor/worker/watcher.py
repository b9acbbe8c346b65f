"""The watcher's role: finds who has said no since they were pulled."""

import asyncio

from stentor.integrations.pulls.watching import LOOK_EVERY_S, Watcher
from stentor.queue.leases import Role
from stentor.worker.loop import Bell, repeat


class WatcherRole:
    """Watches while this process holds the role; another process takes over within 15 s of its death."""

    def __init__(self, role: Role, watcher: Watcher) -> None:
        self._role = role
        self._watcher = watcher

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`, then leaves the role to another process at once."""
        await repeat("watcher", self._step, stop=stop, bell=Bell(), rest_s=LOOK_EVERY_S)
        await self._role.leave()

    async def _step(self) -> bool:
        return await self._role.take() and await self._watcher.step()
