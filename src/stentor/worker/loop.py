"""What every role of a worker shares: run until told to stop, rest when idle, survive what a database does."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from stentor.errors import Unavailable

log = structlog.get_logger(__name__)

_OUTAGE_REST_S = 1.0


class Bell:
    """Wakes an idle role of this process before its rest is over."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """There may be work."""
        self._event.set()

    async def rest(self, seconds: float) -> None:
        """Waits until the bell rings, at most that long."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        self._event.clear()


async def repeat(
    name: str, step: Callable[[], Awaitable[bool]], *, stop: asyncio.Event, bell: Bell, rest_s: float
) -> None:
    """Runs `step` until `stop` is set; rests whenever it answers False.

    An outage of the database is waited out. Any other error is logged and the step tried again after a rest: one bad
    execution must not end the role for all the others.
    """
    while not stop.is_set():
        try:
            worked = await step()
        except Unavailable as outage:
            log.warning("role.waiting", role=name, why=str(outage))
            await bell.rest(_OUTAGE_REST_S)
        except Exception:
            log.exception("role.failed", role=name)
            await bell.rest(_OUTAGE_REST_S)
        else:
            if not worked:
                await bell.rest(rest_s)
