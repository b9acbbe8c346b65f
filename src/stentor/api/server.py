"""Serving the app with granian inside our own event loop, until told to stop."""

import asyncio
import contextlib
import resource

import msgspec
import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from litestar import Litestar

from stentor.domain.hosts import free_address

log = structlog.get_logger()

# Files that are not connections: the database pool, outgoing mail, logs, the files of an import.
FILES_RESERVED = 512


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one process takes on at once, and how long it waits for whom."""

    # Open connections, idle ones too; further ones wait in the kernel. How many requests are inside the app at once is
    # for the app to bound, because 1,000 idle clients must not keep the next one out.
    connections_max: int = 16_384
    backlog: int = 2048
    # From the end of one request to the headers of the next: slow senders and idle connections are closed after it.
    header_read_s: float = 30.0
    # Request line and headers together.
    header_bytes_max: int = 64 * 1024
    # What is running when we are told to stop may take this long; after it, streams are cut.
    stop_grace_s: float = 30.0


class ApiServer:
    """An HTTP server on one address. `port` 0 takes a free one; `port` says which after construction.

    Raises OSError at construction when the address is taken or is none of this machine's.
    """

    def __init__(self, app: Litestar, *, host: str, port: int, limits: ServerLimits | None = None) -> None:
        self._limits = limits or ServerLimits()
        self._app = app
        self.host, self.port = free_address(host, port)
        self._server = Server(
            app,
            address=self.host,
            port=self.port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=self._limits.backlog,
            backpressure=min(self._limits.connections_max, _files_max() - FILES_RESERVED),
            http1_settings=HTTP1Settings(
                header_read_timeout=round(self._limits.header_read_s * 1000),
                max_buffer_size=self._limits.header_bytes_max,
            ),
            log_enabled=False,
        )

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  what we bound, not what to bind
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def run(self, stop: asyncio.Event) -> None:
        """Serves until `stop` is set; then takes no more connections and lets what is running finish."""
        serving = asyncio.create_task(self._server.serve())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                log.info("api.stopping", port=self.port)
                # Streams end when they see this; without it they would use up the grace of everything else.
                self._app.state.stopping.set()
                self._server.stop()
                await asyncio.wait((serving,), timeout=self._limits.stop_grace_s)
        finally:
            for task in (stopping, serving):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


def _files_max() -> int:
    """How many files this process may hold open, after raising the soft limit to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], FILES_RESERVED * 2)
