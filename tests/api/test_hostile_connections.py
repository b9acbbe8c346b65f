"""Connections that somebody means ill with: what the server's parser and its bounds do with them."""

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from litestar import Litestar, MediaType, Request, get, post
from litestar.response import ServerSentEvent

from stentor.api.app import Door, create_app
from stentor.api.connection import FIELDS_MAX, REQUESTS_BEHIND_MAX, WHOLE
from stentor.api.server import ApiServer, ServerLimits
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.testing.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.fault("F24")]

LARGE = "x" * 8_000_000
GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
ROUND_TRIP = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""After it the server has seen what was sent to it before."""


class Doings:
    """What the routes below have seen, and what holds them up."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.larges = 0


@pytest.fixture
def doings() -> Doings:
    return Doings()


@pytest.fixture
def app(services: Services, doings: Doings) -> Litestar:
    @get("/held", media_type=MediaType.TEXT)
    async def held() -> str:
        await doings.go_on.wait()
        return "went on"

    @get("/large", media_type=MediaType.TEXT)
    async def large() -> str:
        doings.larges += 1
        return LARGE

    @get("/caller", media_type=MediaType.TEXT)
    async def caller(request: Request[Any, Any, Any]) -> str:
        return str(request.client and request.client.host)

    @post("/echo", media_type=MediaType.TEXT)
    async def echo(request: Request[Any, Any, Any]) -> str:
        await request.body()
        return ",".join(name.decode() for name, _ in request.scope["headers"])

    @get("/ticks")
    async def ticks() -> ServerSentEvent:
        async def each() -> AsyncIterator[str]:
            while True:
                yield "tick"
                await asyncio.sleep(0.05)

        return ServerSentEvent(each())

    return create_app(services, ApiSettings(secret=b"s"), doors=[Door("/tests", [held, large, caller, echo, ticks])])


@contextlib.asynccontextmanager
async def serving(app: Litestar, limits: ServerLimits | None = None) -> AsyncIterator[ApiServer]:
    server, stop = ApiServer(app, host="127.0.0.1", port=0, limits=limits), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run(stop))
        await eventually(lambda: asked(server, ROUND_TRIP))
        yield server
        stop.set()


@pytest.fixture
async def server(app: Litestar) -> AsyncIterator[ApiServer]:
    async with serving(app) as running:
        yield running


@contextlib.asynccontextmanager
async def connected(
    server: ApiServer, *, reads_bytes: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """`reads_bytes`: as much as the client's side takes in while nobody reads."""
    mine = socket.socket()
    if reads_bytes:
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, reads_bytes)
    mine.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(mine, (server.host, server.port))
    except OSError:
        mine.close()
        raise
    reader, writer = await asyncio.open_connection(sock=mine, limit=reads_bytes or 2**16)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()


async def asked(server: ApiServer, request: bytes) -> bytes:
    """All that comes back until the connection ends or nothing more comes; nothing where none can be made."""
    try:
        async with connected(server) as (reader, writer):
            writer.write(request)
            return await everything(reader)
    except OSError:
        return b""


async def everything(reader: asyncio.StreamReader) -> bytes:
    told = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while True:
            async with asyncio.timeout(0.5 if told else 10):
                part = await reader.read(2**20)
            if not part:
                break
            told += part
    return told


def statuses(told: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", told)]


@pytest.mark.parametrize("path", [b"/health", b"/docs", b"/nothing-here", b"/ticks"])
async def test_a_head_is_no_trouble_to_the_server(server: ApiServer, caplog: pytest.LogCaptureFixture, path: bytes):
    with caplog.at_level(logging.ERROR):
        told = await asked(server, b"HEAD " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n" + GET % b"/health")

    assert statuses(told)[1:] == [200]
    assert caplog.records == []


async def test_what_a_neighbour_says_of_its_address_is_not_believed(server: ApiServer):
    told = await asked(server, b"GET /caller HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")

    assert told.endswith(b"127.0.0.1")


async def test_more_fields_than_a_request_has_are_refused(server: ApiServer):
    start = b"GET /health HTTP/1.1\r\nHost: x\r\n"

    just, over = [await asked(server, start + b"a:b\r\n" * (FIELDS_MAX + more) + b"\r\n") for more in (-1, 0)]

    assert (statuses(just), statuses(over)) == ([200], [431])


async def test_what_stands_behind_a_body_is_no_header(server: ApiServer):
    start = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"

    assert (await asked(server, start + b"X-Api-Key: st_x\r\n\r\n")).endswith(b"host,transfer-encoding")


@pytest.mark.parametrize("piece", [b"X-Filler: x\r\n" * 1000, b"x" * 10_000])
async def test_what_stands_behind_a_body_has_an_end(server: ApiServer, piece: bytes):
    async with connected(server) as (_, writer):
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-A: ")

        with pytest.raises(ConnectionError):
            await _written(writer, piece, times=10_000)


async def _written(writer: asyncio.StreamWriter, piece: bytes, *, times: int) -> None:
    for _ in range(times):
        writer.write(piece)
        await writer.drain()


@pytest.mark.parametrize(
    "bad", [b"WHAT IS THIS\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 200, b"GET \xff HTTP/1.1\r\n\r\n"]
)
async def test_what_came_before_something_bad_is_answered_as_what_it_is(server: ApiServer, doings: Doings, bad: bytes):
    async with connected(server) as (reader, writer):
        writer.write(GET % b"/held" + GET % b"/nothing-here" + bad)
        await writer.drain()
        await asked(server, ROUND_TRIP)
        doings.go_on.set()
        told = await everything(reader)

    assert statuses(told) == [200, 404]
    assert b"went on" in told


async def test_only_so_many_requests_wait_behind_one(server: ApiServer, doings: Doings):
    async with connected(server) as (reader, writer):
        writer.write(GET % b"/held" + GET % b"/health" * 10_000)
        await asked(server, ROUND_TRIP)
        doings.go_on.set()
        told = await everything(reader)

    assert 1 <= len(statuses(told)) <= 1 + REQUESTS_BEHIND_MAX


async def test_a_connection_that_shall_become_another_protocol_ends_after_its_answer(server: ApiServer):
    upgrade = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"

    async with connected(server) as (reader, writer):
        writer.write(upgrade)
        told = await reader.read()

    assert statuses(told) == [200]
    assert b"connection: close" in told


async def test_who_sends_no_more_is_answered_still(server: ApiServer, doings: Doings):
    async with connected(server) as (reader, writer):
        writer.write(GET % b"/held" + GET % b"/health")
        writer.write_eof()
        await asked(server, ROUND_TRIP)
        doings.go_on.set()
        told = await reader.read()

    assert statuses(told) == [200, 200]


async def test_who_sends_no_more_and_reads_late_is_answered_still(server: ApiServer, doings: Doings):
    async with connected(server, reads_bytes=65_536) as (reader, writer):
        writer.write(GET % b"/large" * 3)
        writer.write_eof()
        await eventually(lambda: _is_one(doings))
        for _ in range(2):
            await asked(server, ROUND_TRIP)
        told = await everything(reader)

    assert statuses(told) == [200] * 3
    assert len(told) > 3 * len(LARGE)


class AnsweringFirst:
    """Answers whole, and then reads on."""

    def __init__(self) -> None:
        self.state = SimpleNamespace(stopping=asyncio.Event())

    async def __call__(self, scope: Any, receive: Any, _: Any) -> None:
        await scope["extensions"][WHOLE]["send"](200, b"content-length: 4\r\n", b"said")
        await receive()


async def test_who_was_answered_whole_is_not_asked_for_the_body():
    async with serving(cast("Any", AnsweringFirst())) as server:
        told = await asked(server, b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")

    assert statuses(told) == [200]


async def test_who_reads_no_answers_is_asked_nothing_more(server: ApiServer, doings: Doings):
    async with connected(server, reads_bytes=65_536) as (reader, writer):
        writer.write(GET % b"/large" * 3)
        await eventually(lambda: _is_one(doings))
        for _ in range(20):
            await asked(server, ROUND_TRIP)
        taken_unread = doings.larges
        told = await everything(reader)

    assert taken_unread == 1
    assert statuses(told) == [200] * 3


async def _is_one(doings: Doings) -> bool:
    return doings.larges > 0


async def test_a_request_that_waited_behind_another_has_as_long_as_any(app: Litestar):
    async with serving(app, ServerLimits(header_read_s=0.5)) as server, connected(server) as (reader, writer):
        writer.write(GET % b"/health" + GET % b"/ticks")
        async with asyncio.timeout(10):
            while b"tick" not in await reader.readline():
                pass
            ticks = [await reader.readuntil(b"tick\r\n") for _ in range(60)]

    assert len(ticks) == 60


@pytest.mark.parametrize(("start", "status"), [(b"GET /health", 200), (b"POST /echo", 413)])
async def test_a_huge_body_that_never_comes_is_answered_at_once_and_holds_no_connection(
    app: Litestar, start: bytes, status: int
):
    request = start + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n"
    async with serving(app, ServerLimits(header_read_s=0.5)) as server, connected(server) as (reader, writer):
        writer.write(request)
        async with asyncio.timeout(5):
            told = await reader.readuntil(b"\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                # A byte now and then keeps nothing open.
                while not reader.at_eof():
                    writer.write(b"x")
                    told += await _within(reader, 0.2)

    assert statuses(told) == [status]


async def _within(reader: asyncio.StreamReader, seconds: float) -> bytes:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await reader.read(2**16)
    return b""
