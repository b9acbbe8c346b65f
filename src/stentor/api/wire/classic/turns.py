"""Turns at what is heavy, so that one client keeps neither another one nor the database's connections waiting."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from stentor.errors import Unavailable


class Turns:
    """At most `at_once` turns in one process, and `of_one` of one client; others wait `wait_s` for theirs, and are refused then."""

    def __init__(self, what: str, *, at_once: int, of_one: int, wait_s: float) -> None:
        self._what = what
        self._at_once = at_once
        self._of_one = of_one
        self._wait_s = wait_s
        self._taken: Counter[UUID] = Counter()
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self, client_id: UUID) -> AsyncIterator[None]:
        """Waits for a turn, and has it until it is left. Raises Unavailable where none came in time."""
        try:
            async with asyncio.timeout(self._wait_s), self._freed:
                await self._freed.wait_for(lambda: self._is_free(client_id))
                self._taken[client_id] += 1
        except TimeoutError:
            raise Unavailable(
                f"Other {self._what} are under way. Ask again in a moment, for fewer at once.", retry_after_s=5
            ) from None
        try:
            yield
        finally:
            self._taken[client_id] -= 1
            if not self._taken[client_id]:
                del self._taken[client_id]
            async with self._freed:
                self._freed.notify_all()

    def _is_free(self, client_id: UUID) -> bool:
        return self._taken.total() < self._at_once and self._taken[client_id] < self._of_one
