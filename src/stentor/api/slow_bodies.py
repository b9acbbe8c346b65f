"""Ends the wait for bodies that come too slowly: one timer for all of them, because one for each costs 6 µs a request."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

_LOOK_EVERY_S = 1.0


class Deadlines:
    """Lets requests wait until a moment of the loop's clock, give or take a second."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def until(self, deadline: float, awaited: Awaitable[T]) -> T:
        """What is awaited. Raises TimeoutError when it has not come by the deadline."""
        task = asyncio.current_task()
        if task is None:
            return await awaited
        self._waiting[task] = deadline
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)
        try:
            return await awaited
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            self._late.discard(task)
            del self._waiting[task]

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task, deadline in self._waiting.items():
            if deadline < now and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._timer = loop.call_later(_LOOK_EVERY_S, self._look) if self._waiting else None
