"""Answers that lanes give whole: on the wire they are answers like all others."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from litestar import Litestar
from litestar.types import HTTPScope

from stentor.api.app import Door, create_app
from stentor.api.edge import Exchange
from stentor.api.server import ApiServer
from stentor.api.services import Services
from stentor.api.settings import ApiSettings

pytestmark = pytest.mark.anyio

LAST = b"Connection: close\r\n"


class Lane:
    """Answers with the last step of the path, whole or in two events."""

    def takes(self, scope: HTTPScope) -> bool:
        return scope["path"].startswith(("/whole/", "/parted/"))

    async def answer(self, scope: HTTPScope, exchange: Exchange) -> None:
        _, way, text = scope["path"].split("/")
        body, headers = text.encode(), [(b"content-type", b"text/plain")]
        if way == "whole":
            await exchange.answer(200, headers, body)
            return
        headers.append((b"content-length", b"%d" % len(body)))
        await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": body, "more_body": False})


@pytest.fixture
def app(services: Services) -> Litestar:
    return create_app(services, ApiSettings(secret=b"s"), doors=[Door("/whole", [], lane=Lane())])


@pytest.fixture
async def server(app: Litestar) -> AsyncIterator[ApiServer]:
    running, stop = ApiServer(app, host="127.0.0.1", port=0), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(running.run(stop))
        yield running
        stop.set()


async def asked(server: ApiServer, *requests: bytes) -> bytes:
    """All that comes back for requests sent at once, until the server closes the connection."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        async with asyncio.timeout(20):
            writer.write(b"".join(requests))
            return await reader.read()
    finally:
        writer.close()


def request(path: bytes, more: bytes = b"", *, method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nX-Request-Id: r-1\r\n" + more + b"\r\n"


def parts(told: bytes) -> tuple[bytes, set[bytes], bytes]:
    head, _, body = told.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, {re.sub(rb"^date: .*", b"date", line) for line in lines}, body


async def test_an_answer_is_the_same_whole_and_parted(server: ApiServer):
    whole, parted = [parts(await asked(server, request(path, LAST))) for path in (b"/whole/one", b"/parted/one")]

    assert whole == parted
    assert {b"content-length: 3", b"x-request-id: r-1", b"cache-control: no-store", b"connection: close"} <= whole[1]


async def test_requests_behind_each_other_are_answered_in_their_order(server: ApiServer):
    told = await asked(
        server, *[request(path) for path in (b"/whole/one", b"/parted/two", b"/whole/3")], request(b"/whole/four", LAST)
    )

    assert re.findall(rb"\r\n\r\n(one|two|3|four)", told) == [b"one", b"two", b"3", b"four"]


async def test_a_head_gets_the_lines_alone(server: ApiServer):
    told = await asked(server, request(b"/whole/one", LAST, method=b"HEAD"))

    assert parts(told)[2] == b""
    assert b"content-length: 3\r\n" in told


async def test_who_hangs_up_keeps_nobody_from_an_answer(server: ApiServer):
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(request(b"/whole/one"))
    writer.transport.abort()

    assert (await asked(server, request(b"/whole/two", LAST))).endswith(b"two")
