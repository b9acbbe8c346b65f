"""A worker process: its roles side by side, until it is told to stop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog

log = structlog.get_logger(__name__)

STOP_GRACE_S = 33.0
"""How long the roles may take after a stop: 30 s for what is on the wire, and a little for writing down what came of it."""


class LoopingRole(Protocol):
    """Something that runs until told to stop."""

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set, then finishes what is at hand."""
        ...


async def run_roles(
    roles: list[LoopingRole], stop: asyncio.Event, *, close_channels: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Runs the roles until `stop`.

    Then the channels are closed under their waves: they start nothing more, and what is on the wire has 30 seconds until
    it is in doubt. So each wave is answered for, message by message, and written down before its role ends.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(role.run(stop)) for role in roles]
        await stop.wait()
        group.create_task(close_channels())
        _, late = await asyncio.wait(tasks, timeout=STOP_GRACE_S)
        for task in late:
            task.cancel()
        if late:
            log.warning("worker.stopped_late", roles=len(late))
