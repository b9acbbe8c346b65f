"""Large answers over a real connection: they say their length, and it is known when their last byte has left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from litestar.types import HTTPScope

from stentor.api.app import Door, create_app
from stentor.api.edge import Exchange
from stentor.api.server import ApiServer
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.api.spool import Spooled, Spools, send_spooled
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

SIZE = 24 * 1024 * 1024
"""More than the buffers of a connection hold on both of its ends."""
OWNER = uuid4()
REQUEST = b"GET /spooled HTTP/1.1\r\nHost: x\r\n\r\n"


class Lane:
    """Answers with so many bytes, and notes what was sent."""

    def __init__(self, directory: Path) -> None:
        self.spools = Spools(directory, bytes_max=8 * SIZE)
        self.sent = 0
        self.open = 0
        self.breaks = False

    def takes(self, scope: HTTPScope) -> bool:
        return scope["path"] == "/spooled"

    async def answer(self, scope: HTTPScope, exchange: Exchange) -> None:
        spool = self.spools.spool(OWNER)
        self.open += 1
        try:
            for _ in range(SIZE >> 20):
                await spool.write(bytes(1 << 20))
            await send_spooled(exchange, Spooled(spool, self._note))
        finally:
            spool.close()
            self.open -= 1

    async def _note(self) -> None:
        if self.breaks:
            raise RuntimeError("what was to be written down cannot be")
        self.sent += 1


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    return Lane(tmp_path / "spool")


@pytest.fixture
async def server(lane: Lane, services: Services) -> AsyncIterator[ApiServer]:
    app = create_app(services, ApiSettings(secret=b"s"), doors=[Door("/spooled", [], lane=lane)])
    running, stop = ApiServer(app, host="127.0.0.1", port=0), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(running.run(stop))
        yield running
        stop.set()


@asynccontextmanager
async def _connected(server: ApiServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=1 << 16)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> bytes:
    return (await reader.readuntil(b"\r\n\r\n")).lower()


async def test_who_made_an_answer_is_told_before_its_connection_takes_the_next_request(
    server: ApiServer, lane: Lane
) -> None:
    pipelined = b"HEAD /spooled HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    async with _connected(server) as (reader, writer):
        for times in (1, 2):
            writer.write(REQUEST)
            head = await _head(reader)
            assert b"content-length: %d\r\n" % SIZE in head
            assert b"chunked" not in head
            assert len(await reader.readexactly(SIZE)) == SIZE
            await eventually(lambda times=times: lane.sent == times)
        writer.write(pipelined)
        assert b"content-length: %d\r\n" % SIZE in await _head(reader)
        assert b" 404 " in await _head(reader)
        await eventually(lambda: lane.open == 0)
    assert lane.sent == 2


async def test_nobody_is_told_while_the_reader_has_not_taken_all_nor_when_it_hangs_up(
    server: ApiServer, lane: Lane
) -> None:
    async with _connected(server) as (reader, writer):
        writer.write(REQUEST)
        await _head(reader)
        await reader.readexactly(SIZE // 2)
        assert (lane.sent, lane.open) == (0, 1)

    await eventually(lambda: lane.open == 0)
    assert lane.sent == 0


async def test_what_cannot_be_noted_ends_the_connection(server: ApiServer, lane: Lane) -> None:
    lane.breaks = True
    async with _connected(server) as (reader, writer):
        writer.write(REQUEST)
        await _head(reader)

        assert len(await reader.readexactly(SIZE)) == SIZE
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    await eventually(lambda: lane.open == 0)
