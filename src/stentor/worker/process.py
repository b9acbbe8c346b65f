"""A worker process: its roles side by side, until it is told to stop."""

import asyncio
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

STOP_GRACE_S = 30.0
"""How long what is on the wire may take after a stop; then it is in doubt and the rest belongs to others."""


class LoopingRole(Protocol):
    """Something that runs until told to stop."""

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set, then finishes what is at hand."""
        ...


async def run_roles(roles: list[LoopingRole], stop: asyncio.Event) -> None:
    """Runs the roles until `stop`; after it they have 30 seconds to finish."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(role.run(stop)) for role in roles]
        await stop.wait()
        _, late = await asyncio.wait(tasks, timeout=STOP_GRACE_S)
        for task in late:
            task.cancel()
        if late:
            log.warning("worker.stopped_late", roles=len(late))
