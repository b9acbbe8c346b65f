"""The listener that the kit serves itself, and all that it hears."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from stentor.cli.conformance.serving import serving
from stentor.errors import Invalid

BODY_BYTES_MAX = 1024 * 1024
HEARD_MAX = 10_000

QUERY = "brand=kit&EventTypeID=13"
"""Some listeners find their way by the query of their URL, so it has to come back as it was registered."""


class Heard(msgspec.Struct, frozen=True):
    """One notification."""

    method: str
    query: str
    headers: dict[str, str]
    body: bytes

    def fields(self) -> dict[str, object]:
        """Its JSON object; empty where it has none."""
        try:
            said = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return said if isinstance(said, dict) else {}


class Listener:
    """Answers every notification with 200, and keeps it."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[Heard] = []
        self._more = asyncio.Condition()

    async def until(self, wanted: Callable[[Heard], bool], wait_s: float) -> Heard | None:
        """The first notification of that kind, as soon as it is there; None when it does not come in that time."""
        found: list[Heard] = []

        def is_there() -> bool:
            found[:] = [one for one in self.heard if wanted(one)]
            return bool(found)

        try:
            async with asyncio.timeout(wait_s), self._more:
                await self._more.wait_for(is_there)
        except TimeoutError:
            return None
        return found[0]

    async def hear(self, request: web.Request) -> web.Response:
        """Takes a notification in."""
        heard = Heard(
            request.method,
            request.rel_url.raw_query_string,
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
        )
        async with self._more:
            if len(self.heard) < HEARD_MAX:
                self.heard.append(heard)
            self._more.notify_all()
        return web.Response()


@asynccontextmanager
async def listening(listen: str, url: str) -> AsyncIterator[Listener]:
    """A listener at that HOST:PORT, known to the hub by that URL, or by where it listens. Raises Invalid for no address."""
    listener, path = Listener(), f"/{secrets.token_urlsafe(12)}"
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_route("*", path, listener.hear)
    async with serving(app, listen) as place:
        base = url.rstrip("/") or place
        if urlsplit(base).scheme not in {"http", "https"}:
            raise Invalid(f"{url!r} is no URL of a listener; say one that begins with https://.")
        listener.url = f"{base}{path}?{QUERY}"
        yield listener
