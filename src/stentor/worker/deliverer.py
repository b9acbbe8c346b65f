"""The deliverer's role: claims what is due and hands it over, several claims at a time."""

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog

from stentor.clock import boottime_s
from stentor.deliver.model import Busy, Claim
from stentor.domain.vocabulary import Lane
from stentor.errors import Unavailable
from stentor.executions.pipeline import Deliverer
from stentor.worker.loop import Bell, repeat

log = structlog.get_logger(__name__)

_REST_S = 0.05
_HEARTBEAT_S = 5.0
_OTHERS_REST_S = 0.25
_SPARE = 1
_URGENT = 2


def claims_at_once(slots: int) -> int:
    """How many claims are at work at most, where one sender has that many slots."""
    return slots + _SPARE + _URGENT


class DelivererRole:
    """Delivers several claims at once: while one is on the wire, others are guarded, rendered and settled.

    A sender may have `slots` of the bulk lane, and one more of the lanes before it, so that an alert never waits for a blast
    to let go. Beyond that one of each is kept for other senders: nobody waits for a relay that is slow to answer somebody
    else. While `bulk_waits` says so, none of the bulk lane is begun.
    """

    def __init__(
        self,
        deliverer: Deliverer,
        *,
        slots: int,
        due: Bell,
        bulk_waits: Callable[[], bool],
        heartbeat_s: float = _HEARTBEAT_S,
    ) -> None:
        self._deliverer = deliverer
        self._heartbeat_s = heartbeat_s
        self._bulk_waits = bulk_waits
        self._slots = slots
        self._at_work: list[Claim] = []
        self._free = asyncio.Semaphore(claims_at_once(slots))
        self._due = due
        self._others_due_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; claims at hand finish the wave that is on the wire and let go of the rest."""
        async with asyncio.TaskGroup() as tasks:
            heartbeat = tasks.create_task(self._keep_leases())
            async with asyncio.TaskGroup() as claims:

                async def step() -> bool:
                    await self._free.acquire()
                    claim = None
                    try:
                        claim = await self._claim()
                    finally:
                        if claim is None:
                            self._free.release()
                    if claim is None:
                        return False
                    self._at_work.append(claim)
                    claims.create_task(self._deliver(claim, stop))
                    return True

                await repeat("deliverer", step, stop=stop, bell=self._due, rest_s=_REST_S)
            heartbeat.cancel()

    async def _claim(self) -> Claim | None:
        busy = self._busy()
        last_lane = self._last_lane(busy)
        claim = await self._deliverer.claim(last_lane, busy)
        if claim is None and last_lane is Lane.BULK and busy.in_bulk:
            # That look went past all that waits of a blast: not twenty times a second.
            self._others_due_s = boottime_s() + _OTHERS_REST_S
        return claim

    def _busy(self) -> Busy:
        everywhere = Counter(claim.sender_id for claim in self._at_work)
        in_bulk = Counter(claim.sender_id for claim in self._at_work if claim.lane is Lane.BULK)
        return Busy(
            [sender for sender, claims in everywhere.items() if claims > self._slots],
            [sender for sender, claims in in_bulk.items() if claims >= self._slots],
        )

    def _last_lane(self, busy: Busy) -> Lane:
        bulk_at_work = sum(claim.lane is Lane.BULK for claim in self._at_work)
        others_rest = busy.in_bulk and boottime_s() < self._others_due_s
        is_full = bulk_at_work >= self._slots + _SPARE
        return Lane.ALERT if is_full or others_rest or self._bulk_waits() else Lane.BULK

    async def _deliver(self, claim: Claim, stop: asyncio.Event) -> None:
        try:
            await self._deliverer.deliver(claim, stop=stop)
        except Unavailable as outage:
            log.warning("claim.interrupted", why=str(outage))
        except Exception:
            log.exception("claim.failed", brand_id=str(claim.brand_id), sender_id=str(claim.sender_id))
        finally:
            self._at_work.remove(claim)
            self._free.release()
            self._due.ring()

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            log.debug("deliverer.guard", us_per_person=self._deliverer.guard_meter.median_us)
            try:
                await self._deliverer.keep_leases()
            except Unavailable as outage:
                log.warning("heartbeat.missed", why=str(outage))
            except Exception:
                # A deadlock, a server that takes no writes for a while: the next beat is in time for the lease.
                log.exception("heartbeat.failed")
