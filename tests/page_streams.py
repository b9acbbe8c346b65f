"""Streams of pages, read in process while they go on: an app that is asked as a server asks it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from httpx import AsyncClient
from litestar import Litestar

PATIENCE_S = 15.0


class PageStream:
    """What a page was told so far."""

    def __init__(self) -> None:
        self.status = 0
        self._events: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()
        self._rest = ""
        self._gone = asyncio.Event()
        self._asked = False

    async def next(self) -> tuple[str, Any]:
        """The next event: its name, and its data as JSON or None. ("", None) when the stream has ended."""
        async with asyncio.timeout(PATIENCE_S):
            event = await self._events.get()
        if event is None:
            return "", None
        return event[0], msgspec.json.decode(event[1]) if event[1] else None

    async def fragments(self, part: str) -> str:
        """The next HTML of that part."""
        while True:
            event, data = await self.next()
            assert event, "the stream has ended"
            if event == "fragments" and part in data:
                return data[part]

    def hang_up(self) -> None:
        self._gone.set()

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: dict[str, Any]) -> None:
        if event["type"] == "http.response.start":
            self.status = event["status"]
            return
        self._rest += event.get("body", b"").decode().replace("\r\n", "\n")
        *whole, self._rest = self._rest.split("\n\n")
        for text in whole:
            lines = dict(line.partition(": ")[::2] for line in text.splitlines() if not line.startswith(":"))
            self._events.put_nowait((lines.get("event", ""), lines.get("data", "")))
        if not event.get("more_body", False):
            self._events.put_nowait(None)


@asynccontextmanager
async def watching(app: Litestar, at: AsyncClient, path: str) -> AsyncIterator[PageStream]:
    """That browser's stream of the path, hung up with the block."""
    stream = PageStream()
    cookies = "; ".join(f"{name}={value}" for name, value in at.cookies.items())
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", at.base_url.host.encode()), (b"cookie", cookies.encode())],
        "client": ("192.0.2.7", 50_000),
        "server": ("stentor.example.org", 443),
        "extensions": {},
        "state": {},
    }
    answering = asyncio.get_running_loop().create_task(app(scope, stream.receive, stream.send))  # pyrefly: ignore[bad-argument-type]
    try:
        yield stream
    finally:
        stream.hang_up()
        async with asyncio.timeout(PATIENCE_S):
            await answering
