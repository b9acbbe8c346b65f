"""Who freezes next in one process: few at a time, one of each brand, and nobody waits without end."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from stentor.errors import Unavailable
from stentor.integrations.pulls.model import FREEZES_AT_ONCE, FREEZES_WAITING_MAX, PulledRun, Puller

if TYPE_CHECKING:
    from uuid import UUID

PATIENCE = timedelta(seconds=30)
"""How long a call waits for its turn."""


class Turns:
    """Turns of one process. Whoever wants the same list for the same client waits for the one before, and takes no room meanwhile."""

    def __init__(self, *, patience: timedelta = PATIENCE) -> None:
        self._patience_s = patience.total_seconds()
        self._room = asyncio.Semaphore(FREEZES_AT_ONCE)
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._waiting: Counter[UUID] = Counter()

    @asynccontextmanager
    async def turn(self, run: PulledRun, puller: Puller) -> AsyncGenerator[None]:
        """Raises Unavailable where too many calls of the brand wait, and for who has waited for `PATIENCE`."""
        brand = run.brand_id
        if self._waiting[brand] >= FREEZES_WAITING_MAX:
            raise Unavailable(
                f"{FREEZES_WAITING_MAX} calls of this brand wait for lists to be frozen. Ask again when they were answered.",
                retry_after_s=30,
            )
        locks = [self._lock((run.execution_id, run.channel_number, puller.id)), self._lock(brand)]
        self._waiting[brand] += 1
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._patience_s):
                    for each in (*locks, self._room):
                        await held.enter_async_context(each)
            except TimeoutError:
                raise Unavailable(
                    "Other lists of this brand are being frozen. Ask again in a moment.", retry_after_s=10
                ) from None
            finally:
                self._waiting[brand] -= 1
                if not self._waiting[brand]:
                    del self._waiting[brand]
            yield

    def _lock(self, key: Hashable) -> asyncio.Lock:
        if (lock := self._locks.get(key)) is None:
            self._locks[key] = lock = asyncio.Lock()
        return lock
