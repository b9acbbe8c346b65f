"""The proxy passes everything on, and spoils exactly what it is told to."""

import asyncio
from collections.abc import AsyncIterator
from typing import Self

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stentor.db.pool import Database
from stentor.errors import Unavailable
from stentor.testing.torture.proxy import ChaosProxy
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio


class Echo:
    """A server that says everything back, and keeps what it heard."""

    def __init__(self) -> None:
        self.heard = b""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                self.heard += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with Echo() as running:
        yield running


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[ChaosProxy]:
    async with ChaosProxy.to_port(echo.port) as running:
        yield running


async def test_it_passes_on_what_both_sides_say(proxy: ChaosProxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    megabyte = bytes(1_000_000)

    writer.write(megabyte)

    assert await reader.readexactly(len(megabyte)) == megabyte
    (link,) = proxy.links
    assert link.client_port == writer.get_extra_info("sockname")[1]
    assert not link.is_busy
    writer.close()
    await eventually(lambda: not proxy.links)


async def test_a_cut_resets_every_connection(proxy: ChaosProxy):
    connections = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(3)]
    await eventually(lambda: len(proxy.links) == 3)

    assert proxy.cut() == 3

    for reader, writer in connections:
        with pytest.raises(ConnectionError):
            await reader.readexactly(1)
        writer.close()


@pytest.mark.fault("F5")
async def test_a_lost_commit_reaches_the_server_and_its_reply_nobody(proxy: ChaosProxy, echo: Echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.commits_to_lose = 1
    writer.write(b"Q\x00\x00\x00\x0bSELECT\x00")
    await reader.readexactly(12)

    writer.write(b"Q\x00\x00\x00\x0bCOMMIT\x00")

    with pytest.raises(ConnectionError):
        await reader.readexactly(1)
    assert echo.heard.endswith(b"COMMIT\x00")
    assert proxy.commits_to_lose == 0
    writer.close()


async def test_on_a_full_disk_a_commit_is_refused_and_nothing_of_it_is_stored(database_dsn: str):
    server = {name: str(value) for name, value in conninfo_to_dict(database_dsn).items()}
    host, port = server["host"], server["port"]
    is_path = host.startswith("/")
    async with (
        ChaosProxy.to_socket(f"{host}/.s.PGSQL.{port}") if is_path else ChaosProxy.to_port(int(port)) as proxy,
        Database(make_conninfo(database_dsn, host="127.0.0.1", port=proxy.port, sslmode="disable"), size=1) as db,
    ):
        proxy.is_full = True

        with pytest.raises(Unavailable, match="No space left on device"):
            await add_organisation(db, "first")
        proxy.is_full = False
        await add_organisation(db, "second")

        async with db.read() as conn:
            cursor = await conn.execute("SELECT name FROM organisation")
            assert await cursor.fetchall() == [("second",)]


async def add_organisation(db: Database, name: str) -> None:
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO organisation (id, name, created_at) VALUES (gen_random_uuid(), %s, now())", [name]
        )


async def test_replies_that_are_lost_leave_the_connection_busy(proxy: ChaosProxy, echo: Echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.loses_replies = True

    writer.write(b"hello")
    await eventually(lambda: echo.heard == b"hello")

    (link,) = proxy.links
    assert link.is_busy
    proxy.cut()
    with pytest.raises(ConnectionError):
        await reader.readexactly(1)
    writer.close()


async def test_what_its_client_wrote_is_counted_though_nobody_has_read_it(echo: Echo):
    body = b"Subject: late\r\n"
    message = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT %d LAST\r\n%b" % (len(body), body)
    async with ChaosProxy.to_port(echo.port, carries_mail=True) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"EHLO client\r\n")
        await reader.readline()

        writer.write(message * 2)
        (link,) = proxy.links

        assert link.unanswered() == 2
        writer.close()


async def test_a_target_that_is_away_resets_the_client():
    async with Echo() as gone:
        port = gone.port
    async with ChaosProxy.to_port(port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

        with pytest.raises(ConnectionError):
            await reader.readexactly(1)

        writer.close()
