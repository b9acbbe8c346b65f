"""The notifier's role: tells listeners what happened, within a second of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from stentor.errors import Unavailable
from stentor.integrations.listeners.delivery import Claimed, NoticeDelivery
from stentor.worker.loop import Bell, repeat

log = structlog.get_logger(__name__)

NOTICES_AT_ONCE = 100
"""Requests to listeners that one worker process has on their way."""

_REST_S = 0.25
_FINISH_S = 20.0


class NotifierRole:
    """Makes notices of what happened, then delivers what is due; any number of processes may.

    `tellers` are what makes them, by name: each answers whether it found something, and none waits for another. `close` closes
    connections at the end.
    """

    def __init__(
        self,
        delivery: NoticeDelivery,
        tellers: Mapping[str, Callable[[], Awaitable[bool]]],
        close: Callable[[], Awaitable[None]],
        *,
        at_once: int = NOTICES_AT_ONCE,
    ) -> None:
        self._delivery = delivery
        self._tellers = tellers
        self._close = close
        self._at_once = at_once
        self._bell = Bell()
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; what is on the wire is finished first, within its time-out."""
        try:
            async with asyncio.TaskGroup() as group:
                for name, teller in self._tellers.items():
                    tell = partial(self._tell, teller)
                    group.create_task(repeat(name, tell, stop=stop, bell=Bell(), rest_s=_REST_S))
                group.create_task(repeat("notifier", self._deliver, stop=stop, bell=self._bell, rest_s=_REST_S))
            if self._under_way:
                # Within the time-out all of them have an answer, or none.
                await asyncio.wait(self._under_way, timeout=_FINISH_S)
        finally:
            for late in self._under_way:
                late.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            await self._close()

    async def _tell(self, teller: Callable[[], Awaitable[bool]]) -> bool:
        told = await teller()
        if told:
            self._bell.ring()
        return told

    async def _deliver(self) -> bool:
        free = self._at_once - len(self._under_way)
        if free <= 0:
            return False
        claimed = await self._delivery.claim(free)
        for notice in claimed:
            task = asyncio.create_task(self._delivered(notice), name="notice")
            self._under_way.add(task)
            task.add_done_callback(self._done)
        return bool(claimed)

    async def _delivered(self, notice: Claimed) -> None:
        try:
            await self._delivery.deliver(notice)
        except Unavailable as outage:
            # Its lease ends, and it is tried again: perhaps a second time, under the same id.
            log.warning("notice.unsettled", listener=str(notice.listener_id), why=str(outage))
        except Exception:
            log.exception("notice.failed", listener=str(notice.listener_id))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        # What waits for the same listener may have its turn.
        self._bell.ring()
