"""Serving what a kit answers itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from stentor.errors import Invalid


@asynccontextmanager
async def serving(app: web.Application, listen: str) -> AsyncIterator[str]:
    """Serves at that HOST:PORT, and says where that is, as a URL without a slash at its end. Raises Invalid for no address."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise Invalid(f"{listen!r} is no place to listen; say one like 127.0.0.1:8099.")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except (OSError, OverflowError) as error:
            raise Invalid(f"The kit cannot listen at {listen}: {error}. Say another --listen.") from None
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
