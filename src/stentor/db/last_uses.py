"""When something was last used, written down now and then for all that was used since."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import Unavailable

# It is recorded to the minute, so more often would write the same value again.
FLUSH_EVERY_S = 30.0

K = TypeVar("K")


class LastUses(Generic[K]):
    """Collects what is used; `note` writes the ids that it is given, each once."""

    def __init__(self, db: Database, note: Callable[[Connection, Sequence[K]], Awaitable[None]]) -> None:
        self._db = db
        self._note = note
        self._used: set[K] = set()

    def add(self, used: K) -> None:
        """It is used now."""
        self._used.add(used)

    async def run(self, stop: asyncio.Event) -> None:
        """Writes until `stop` is set, and once more then."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_EVERY_S):
                    await stop.wait()
            with contextlib.suppress(Unavailable):
                await self.flush()

    async def flush(self) -> None:
        """Writes what was used since the last time. Raises Unavailable, and keeps it for the next time."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            async with self._db.transaction() as conn:
                await self._note(conn, list(used))
        except Unavailable:
            self._used |= used
            raise
