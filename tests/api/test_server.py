"""The app behind its real server: what only a socket shows."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterable
from uuid import uuid4

import pytest
from litestar import get
from litestar.response import ServerSentEvent
from structlog.testing import capture_logs

from stentor.api.app import Door, create_app
from stentor.api.server import ApiServer, ServerLimits
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.optouts.links import FileLink
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

MEGABYTE = b"x" * 1_000_000


async def ask(server: ApiServer, request: bytes, body: Iterable[bytes] = ()) -> bytes:
    """The whole answer of one connection."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(request.replace(b"\n", b"\r\n"))
        for piece in body:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(20):
            return await reader.readuntil(b"\r\n\r\n") + await _rest(reader)
    finally:
        writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            return await reader.read(100_000)
    return b""


@get("/forever")
async def forever() -> ServerSentEvent:
    async def ticks() -> AsyncIterator[str]:
        while True:
            yield "tick"
            await asyncio.sleep(0.05)

    return ServerSentEvent(ticks())


@pytest.fixture
async def server(services: Services) -> AsyncIterator[ApiServer]:
    app = create_app(services, ApiSettings(secret=b"s"), doors=[Door("/forever", [forever])])
    server, stop = ApiServer(app, host="localhost", port=0), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run(stop))
        await _until_up(server)
        yield server
        stop.set()


@pytest.mark.fault("F17")
async def test_what_came_of_an_upload_that_broke_off_need_not_come_again(server: ApiServer, services: Services):
    brand = await services.accounts.create_brand("Matchday")
    job = await services.optout_jobs.prepare_import(brand.id, "built-in", declared_bytes=30_000_000)
    link = FileLink("upload", brand.id, job.id, job.created_at)
    head = f"/storage/{services.file_links.token(link)} HTTP/1.1\r\nHost: x\r\n"

    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(f"PUT {head}Content-Length: 30000000\r\n\r\n".encode())
    for _ in range(27):
        writer.write(MEGABYTE)
        await writer.drain()
    writer.close()

    async def stands() -> bool:
        return (await services.optout_jobs.get(brand.id, job.id)).received_bytes == 27_000_000

    await eventually(stands)
    asked = await ask(server, f"HEAD {head}\r\n".replace("\r\n", "\n").encode())
    piece = f"PATCH {head}Upload-Offset: 27000000\r\nContent-Length: 3000000\r\n\r\n"
    rest = await ask(server, piece.replace("\r\n", "\n").encode(), [MEGABYTE] * 3)

    assert b"upload-offset: 27000000\r\n" in asked
    assert rest.startswith(b"HTTP/1.1 204")
    assert (await services.optout_jobs.get(brand.id, job.id)).state == "queued"


async def _until_up(server: ApiServer) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(ConnectionError):
                return (await asyncio.open_connection(server.host, server.port))[1].close()
            await asyncio.sleep(0.01)


async def test_it_answers_on_the_port_it_says(server: ApiServer):
    answer = await ask(server, b"GET /health HTTP/1.1\nHost: x\n\n")

    assert server.url == f"http://127.0.0.1:{server.port}"
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b'{"status":"alive"}')


async def test_a_port_that_is_taken_is_found_out_at_once(services: Services):
    app = create_app(services, ApiSettings(secret=b"s"))

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        ApiServer(app, host="127.0.0.1", port=taken.getsockname()[1])


@pytest.mark.fault("S10")
async def test_50_mb_are_refused_with_an_answer_that_can_be_read(server: ApiServer):
    start = b"POST /v1/groups/%s/keys HTTP/1.1\nHost: x\n" % str(uuid4()).encode()

    told = await ask(server, start + b"Content-Length: 50000000\n\n", [MEGABYTE] * 50)
    chunk = b"f4240\r\n" + MEGABYTE + b"\r\n"
    untold = await ask(server, start + b"Transfer-Encoding: chunked\n\n", [chunk] * 50 + [b"0\r\n\r\n"])
    asked_first = await ask(server, start + b"Content-Length: 50000000\nExpect: 100-continue\n\n")

    assert {answer[:12] for answer in (told, untold, asked_first)} == {b"HTTP/1.1 401"}
    assert b"100 Continue" not in asked_first


async def test_a_body_past_the_limit_is_a_413(server: ApiServer, services: Services):
    brand = await services.accounts.create_brand("Matchday")
    key = await services.accounts.create_key("all", brand_id=brand.id)
    start = f"POST /v1/groups/{brand.id}/topics HTTP/1.1\nHost: x\nAuthorization: Bearer {key.token}\n".encode()

    answer = await ask(server, start + b"Content-Length: 2000000\n\n", [MEGABYTE] * 2)

    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("framing", "sent"),
    [(b"Content-Length: 100", b""), (b"Content-Length: 100", b"{"), (b"Transfer-Encoding: chunked", b"ZZZ\r\n")],
)
@pytest.mark.parametrize("path", ["topics", "event-generators/x/run?dry_run=true"])
async def test_who_goes_away_in_the_middle_of_a_body_is_no_fault_of_ours(
    server: ApiServer, services: Services, path: str, framing: bytes, sent: bytes
):
    brand = await services.accounts.create_brand("Matchday")
    key = await services.accounts.create_key("all", brand_id=brand.id)
    start = f"POST /v1/groups/{brand.id}/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key.token}\r\n".encode()

    with capture_logs() as logged:
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(start + framing + b"\r\n\r\n" + sent)
        await writer.drain()
        writer.close()
        answered = await eventually(lambda: _posts_answered(server))

    assert answered == [b"400"]
    assert logged == []


async def _posts_answered(server: ApiServer) -> list[bytes]:
    """The statuses of all POSTs."""
    series = await ask(server, b"GET /metrics HTTP/1.1\nHost: x\n\n")
    return re.findall(rb'requests_total\{method="POST",.*status="(\d+)"\}', series)


async def test_paths_with_escapes_arrive_as_they_were_meant(server: ApiServer):
    for path in (b"/%ff%fe", b"/a%2fb", b"//docs//", b"/docs/../health"):
        answer = await ask(server, b"GET " + path + b" HTTP/1.1\nHost: x\n\n")
        assert answer[9:12] in {b"200", b"404"}
    assert b" 400 " in await ask(server, b"GET /a%00b HTTP/1.1\nHost: x\n\n")


async def test_a_head_of_a_stream_ends(server: ApiServer):
    answer = await ask(server, b"HEAD /forever HTTP/1.1\nHost: x\n\n")

    assert b"text/event-stream" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.fault("F24")
async def test_slow_connections_keep_nobody_out(server: ApiServer):
    idle = [await asyncio.open_connection(server.host, server.port) for _ in range(200)]
    try:
        assert b" 200 OK" in await ask(server, b"GET /health HTTP/1.1\nHost: x\n\n")
    finally:
        for _, writer in idle:
            writer.close()


@pytest.mark.fault("F24")
async def test_clients_that_send_byte_by_byte_keep_nobody_out(server: ApiServer):
    async with asyncio.TaskGroup() as tasks:
        dribbling = [tasks.create_task(dribble(server)) for _ in range(100)]

        async with asyncio.timeout(10):
            answers = [await ask(server, b"GET /health HTTP/1.1\nHost: x\nConnection: close\n\n") for _ in range(10)]

        still_at_it = [task for task in dribbling if not task.done()]
        for task in still_at_it:
            task.cancel()

    assert all(b" 200 OK" in answer for answer in answers)
    assert still_at_it


async def dribble(server: ApiServer) -> None:
    """A client that never comes to the end of its request's head."""
    _, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)
    finally:
        writer.close()


@pytest.mark.fault("F24")
async def test_a_head_without_end_is_refused(server: ApiServer):
    endless = (b"X-Filler: " + b"x" * 10_000 for _ in range(20))
    one_field = (b"x" * 10_000 for _ in range(20))
    whole = b"GET /health HTTP/1.1\nHost: x\nX-Filler: " + b"x" * 70_000 + b"\n\n"

    assert b" 431 " in await ask(server, b"GET /health HTTP/1.1\nHost: x\n", endless)
    assert b" 431 " in await ask(server, b"GET /health HTTP/1.1\nHost: x\nX-Filler: ", one_field)
    assert b" 431 " in await ask(server, whole)


async def test_what_is_no_request_is_told_so(server: ApiServer):
    assert b" 400 " in await ask(server, b"HELO example.com\n\n")
    assert b" 400 " in await ask(
        server, b"POST /health HTTP/1.1\nHost: x\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n"
    )


async def test_requests_on_one_connection_are_answered_in_their_order(server: ApiServer):
    reader, writer = await asyncio.open_connection(server.host, server.port)
    ask_for = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write(b"".join(ask_for % path for path in (b"/health", b"/nothing-here", b"/health")))

    statuses = []
    for _ in range(3):
        head = await reader.readuntil(b"\r\n\r\n")
        statuses.append(head[9:12])
        length = re.search(rb"content-length: (\d+)", head)
        assert length
        await reader.readexactly(int(length[1]))
    writer.close()

    assert statuses == [b"200", b"404", b"200"]


@pytest.mark.fault("F24")
async def test_a_head_that_is_not_finished_in_time_ends_the_connection(services: Services):
    app = create_app(services, ApiSettings(secret=b"s"))
    server, stop = ApiServer(app, host="localhost", port=0, limits=ServerLimits(header_read_s=0.5)), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run(stop))
        await _until_up(server)
        silent, slow, idle = [await asyncio.open_connection(server.host, server.port) for _ in range(3)]
        slow[1].write(b"GET /health HTTP/1.1\r\nHost:")
        idle[1].write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(20):
            left = [await reader.read(100_000) for reader, _ in (silent, slow)]
            answered = await idle[0].read(100_000) + await idle[0].read(100_000)
        for _, writer in (silent, slow, idle):
            writer.close()
        stop.set()

    assert left == [b"", b""]
    assert b" 200 OK" in answered
