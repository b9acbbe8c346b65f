"""The deliverer's role: claims what is due and hands it over, several batches at a time."""

import asyncio

import structlog

from stentor.deliver.model import Batch
from stentor.errors import Unavailable
from stentor.executions.pipeline import Deliverer
from stentor.worker.loop import Bell, repeat

log = structlog.get_logger(__name__)

_REST_S = 0.05
_HEARTBEAT_S = 5.0


class DelivererRole:
    """Delivers up to `slots` batches at once: while one is on the wire, others are guarded, rendered and settled."""

    def __init__(self, deliverer: Deliverer, *, slots: int, due: Bell) -> None:
        self._deliverer = deliverer
        self._free = asyncio.Semaphore(slots)
        self._due = due

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; batches at hand finish the wave that is on the wire and let go of the rest."""
        async with asyncio.TaskGroup() as tasks:
            heartbeat = tasks.create_task(self._keep_leases())
            async with asyncio.TaskGroup() as batches:

                async def step() -> bool:
                    await self._free.acquire()
                    batch = None
                    try:
                        batch = await self._deliverer.claim()
                    finally:
                        if batch is None:
                            self._free.release()
                    if batch is None:
                        return False
                    batches.create_task(self._deliver(batch, stop))
                    return True

                await repeat("deliverer", step, stop=stop, bell=self._due, rest_s=_REST_S)
            heartbeat.cancel()

    async def _deliver(self, batch: Batch, stop: asyncio.Event) -> None:
        try:
            await self._deliverer.deliver(batch, stop=stop)
        except Unavailable as outage:
            log.warning("batch.interrupted", why=outage.detail)
        except Exception:
            log.exception("batch.failed", brand_id=str(batch.brand_id), sender_id=str(batch.sender_id))
        finally:
            self._free.release()
            self._due.ring()

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            try:
                await self._deliverer.keep_leases()
            except Unavailable as outage:
                log.warning("heartbeat.missed", why=outage.detail)
