"""The deliverer's role: claims what is due and hands it over, several claims at a time."""

import asyncio
from collections.abc import Callable

import structlog

from stentor.deliver.model import Claim
from stentor.domain.vocabulary import Lane
from stentor.errors import Unavailable
from stentor.executions.pipeline import Deliverer
from stentor.worker.loop import Bell, repeat

log = structlog.get_logger(__name__)

_REST_S = 0.05
_HEARTBEAT_S = 5.0
_URGENT_SLOTS = 1


class DelivererRole:
    """Delivers up to `slots` claims at once: while one is on the wire, others are guarded, rendered and settled.

    One more is kept for the lanes before bulk, so that an alert never waits for a blast to let go. While `bulk_waits` says
    so, it begins none of the bulk lane.
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
        self._at_work = 0
        self._free = asyncio.Semaphore(slots + _URGENT_SLOTS)
        self._due = due

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; claims at hand finish the wave that is on the wire and let go of the rest."""
        async with asyncio.TaskGroup() as tasks:
            heartbeat = tasks.create_task(self._keep_leases())
            async with asyncio.TaskGroup() as claims:

                async def step() -> bool:
                    await self._free.acquire()
                    claim = None
                    try:
                        claim = await self._deliverer.claim(self._last_lane())
                    finally:
                        if claim is None:
                            self._free.release()
                    if claim is None:
                        return False
                    self._at_work += 1
                    claims.create_task(self._deliver(claim, stop))
                    return True

                await repeat("deliverer", step, stop=stop, bell=self._due, rest_s=_REST_S)
            heartbeat.cancel()

    def _last_lane(self) -> Lane:
        return Lane.ALERT if self._at_work >= self._slots or self._bulk_waits() else Lane.BULK

    async def _deliver(self, claim: Claim, stop: asyncio.Event) -> None:
        try:
            await self._deliverer.deliver(claim, stop=stop)
        except Unavailable as outage:
            log.warning("claim.interrupted", why=str(outage))
        except Exception:
            log.exception("claim.failed", brand_id=str(claim.brand_id), sender_id=str(claim.sender_id))
        finally:
            self._at_work -= 1
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
