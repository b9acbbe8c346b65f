"""Serving the app inside our own event loop, until told to stop."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator

import msgspec
import structlog
import uvicorn
from litestar import Litestar

from stentor.api.connection import HttpConnection, end_the_late
from stentor.domain.hosts import url_of
from stentor.files import files_max

log = structlog.get_logger()

# Files that are not connections: the database pool, outgoing mail, logs, the files of an import, indexes of opt-out lists.
FILES_RESERVED = 512


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one process takes on at once, and how long it waits for whom."""

    # Open connections, idle ones too; further ones are closed at once. How many requests are inside the app at once is
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
        self._socket = _bound(host, port)
        self.host, self.port = self._socket.getsockname()[:2]
        connections_max = min(self._limits.connections_max, max(files_max(), FILES_RESERVED * 2) - FILES_RESERVED)
        # What strangers send wrong is answered, and no line in our log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server = _Server(
            uvicorn.Config(
                app,
                http=HttpConnection.within(connections_max, self._limits.header_bytes_max),
                loop="none",
                lifespan="off",
                ws="none",
                backlog=self._limits.backlog,
                # Later than our own look, which knows of slow heads and of answers that are still being read.
                timeout_keep_alive=round(self._limits.header_read_s) * 20,
                timeout_graceful_shutdown=round(self._limits.stop_grace_s),
                access_log=False,
                # Whom to believe about a caller's address is ours to say (`proxies`); this would believe all of this machine.
                proxy_headers=False,
                log_config=None,
                server_header=False,
            )
        )

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  what we bound, not what to bind
        return url_of(host, self.port)

    async def run(self, stop: asyncio.Event) -> None:
        """Serves until `stop` is set; then takes no more connections and lets what is running finish."""
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        watching = asyncio.create_task(
            end_the_late(self._server.server_state.connections, head_s=self._limits.header_read_s)
        )
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                log.info("api.stopping", port=self.port)
                # Streams end when they see this; without it they would use up the grace of everything else.
                self._app.state.stopping.set()
                self._server.should_exit = True
                await asyncio.wait((serving,), timeout=self._limits.stop_grace_s)
        finally:
            for task in (stopping, watching, serving):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


class _Server(uvicorn.Server):
    """Leaves the signals to the process that it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
