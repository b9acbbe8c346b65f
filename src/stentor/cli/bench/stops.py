"""How long after a pause or a cancellation anybody is still written to.

The execution is paused and resumed, its sender is, and in the end it is cancelled. A stop begins when the call that asks for
it returns; what the sink takes after it, and before the next message may go, is late.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import msgspec

from stentor.cli.bench.club import Club
from stentor.cli.bench.executions import call, until_ended
from stentor.cli.bench.interfering import frozen_worker, paced
from stentor.cli.premises import Premises
from stentor.testing.torture.evidence import read_ledgers

# For so long a stop is watched: what comes later than this after it would be late by more than is allowed at all.
_WATCHED_S = 5.0
_GOES_ON_S = 0.5
_TIMES = 2

_Act: TypeAlias = Callable[[], Awaitable[object]]


class Stops(msgspec.Struct, frozen=True):
    """Seconds from a stop to the last hand-over before it was lifted, 0 where there was none: the worst of so many stops."""

    worst_s: float
    stops: int


class StopBench:
    """Stops executions of the club's, in the three situations in which opt-outs are measured."""

    def __init__(self, premises: Premises, club: Club, index: Path) -> None:
        self._premises = premises
        self._club = club
        self._index = index

    async def at_full_speed(self, topic_key: str) -> Stops:
        """While messages leave as fast as they can."""
        return await self._stopped_often(topic_key)

    async def paced(self, topic_key: str) -> Stops:
        """While the sender's pace lets them wait."""
        async with paced(self._premises, self._club):
            return await self._stopped_often(topic_key)

    async def past_a_frozen_worker(self, topic_key: str) -> Stops:
        """While a worker stands still with waves in its hands, until some time after it goes on."""
        stopping = await self._begun(topic_key)
        async with frozen_worker(self._premises, self._club, stopping.execution_id):
            paused_ns = await stopping.pause()
        await stopping.resume_watched(paused_ns)
        await stopping.cancel()
        return stopping.outcome(self._index)

    async def _stopped_often(self, topic_key: str) -> Stops:
        stopping = await self._begun(topic_key)
        for _ in range(_TIMES):
            await asyncio.sleep(_GOES_ON_S)
            await stopping.resume_watched(await stopping.pause())
            await asyncio.sleep(_GOES_ON_S)
            await stopping.pause_sender()
        await asyncio.sleep(_GOES_ON_S)
        await stopping.cancel()
        return stopping.outcome(self._index)

    async def _begun(self, topic_key: str) -> "_Stopping":
        called = await call(self._premises, self._club, topic_key)
        return _Stopping(self._premises, self._club, called.execution_id)


class _Stopping:
    """One execution, and the spans of the monotonic clock in which nothing of it may be taken."""

    def __init__(self, premises: Premises, club: Club, execution_id: UUID) -> None:
        self._premises = premises
        self._club = club
        self.execution_id = execution_id
        self._spans: list[tuple[int, float]] = []

    async def pause(self) -> int:
        """Pauses it; when that was so."""
        await self._premises.services.executions.pause(self._club.brand.id, self.execution_id)
        return time.monotonic_ns()

    async def resume_watched(self, paused_ns: int) -> None:
        """Lets it go on after a while."""
        executions = self._premises.services.executions
        await self._watched(paused_ns, lambda: executions.resume(self._club.brand.id, self.execution_id))

    async def pause_sender(self) -> None:
        """Pauses its sender, and lets it go on after a while."""
        senders, brand_id, sender_id = self._premises.services.senders, self._club.brand.id, self._club.sender.id
        await senders.pause(brand_id, sender_id)
        await self._watched(time.monotonic_ns(), lambda: senders.resume(brand_id, sender_id))

    async def cancel(self) -> None:
        """Stops it for good, and waits until it is over."""
        await self._premises.services.executions.cancel(self._club.brand.id, self.execution_id)
        self._spans.append((time.monotonic_ns(), math.inf))
        await until_ended(self._premises, self._club, self.execution_id)

    def outcome(self, index: Path) -> Stops:
        """What the sink says of these spans."""
        taken_ns = [taken.at_ns for taken in read_ledgers([index]) if taken.send.execution == self.execution_id.bytes]
        late_ns = [at - stopped for stopped, lifted in self._spans for at in taken_ns if stopped < at < lifted]
        return Stops(max(late_ns, default=0) / 1e9, len(self._spans))

    async def _watched(self, stopped_ns: int, lift: _Act) -> None:
        await asyncio.sleep(_WATCHED_S)
        self._spans.append((stopped_ns, time.monotonic_ns()))
        await lift()
