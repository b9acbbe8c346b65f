import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from stentor.testing.http_load import LoadFailed, RequestMaker, closed_loop, open_loop, post_maker

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"


class Server:
    """Reads requests and answers each as told, in pieces if it must be; keeps what it read."""

    def __init__(self, answer: Callable[[bytes], bytes | None], pieces: int = 1) -> None:
        self.bodies: list[bytes] = []
        self.handlers: set[asyncio.Task[None]] = set()
        self._answer = answer
        self._pieces = pieces

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self.handlers.add(handler)
        try:
            while (head := await self._head(reader)) and await self._answered(head, reader, writer):
                pass
        finally:
            writer.close()

    async def _answered(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self.bodies.append(await reader.readexactly(length))
        answer = self._answer(self.bodies[-1])
        if answer is None:
            return False
        size = -(-len(answer) // self._pieces)
        for start in range(0, len(answer), size):
            writer.write(answer[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)
        return True

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return b""


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[int]:
    listening = await asyncio.start_server(server.serve, HOST, 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        for handler in server.handlers:
            handler.cancel()
        await asyncio.gather(*server.handlers, return_exceptions=True)


def numbered() -> RequestMaker:
    return post_maker(HOST, "/run", {"x-api-key": "k"}, lambda number: b'{"n":%d}' % number)


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_each_request_is_sent_once_and_its_answer_handed_over():
    server = Server(ok)
    taken: dict[int, tuple[int, bytes]] = {}

    async with serving(server) as port:
        result = await closed_loop(
            HOST,
            port,
            numbered(),
            connections=5,
            requests=200,
            take=lambda number, status, body: taken.__setitem__(number, (status, body)),
        )

    assert sorted(server.bodies) == sorted(b'{"n":%d}' % number for number in range(200))
    assert taken == {number: (202, b'{"n":%d}' % number) for number in range(200)}
    assert (result.answers, result.statuses, len(server.handlers)) == (200, {202: 200}, 5)
    assert 0 < result.latency_ms(0.5) <= result.latency_ms(0.99) <= result.latency_ms(1)


async def test_an_answer_that_comes_in_pieces_is_one_answer():
    async with serving(Server(ok, pieces=7)) as port:
        result = await closed_loop(HOST, port, numbered(), connections=2, requests=20)

    assert result.statuses == {202: 20}


async def test_answers_are_counted_by_status():
    def every_third_refused(body: bytes) -> bytes:
        number = int(body[5:-1])
        return ok(body) if number % 3 else b"HTTP/1.1 429 Too Many\r\ncontent-length:0\r\n\r\n"

    async with serving(Server(every_third_refused)) as port:
        result = await closed_loop(HOST, port, numbered(), connections=3, requests=30)

    assert result.statuses == {202: 20, 429: 10}


async def test_an_open_loop_keeps_its_rate():
    async with serving(Server(ok)) as port:
        result = await open_loop(HOST, port, numbered(), connections=10, requests=100, rate_per_s=500)

    assert 0.19 <= result.seconds < 2


async def test_a_stalled_server_cannot_hide_the_requests_it_kept_from_being_sent():
    release = asyncio.Event()

    class Stalling(Server):
        async def _head(self, reader: asyncio.StreamReader) -> bytes:
            head = await super()._head(reader)
            await release.wait()
            return head

    async with serving(Stalling(ok)) as port:
        asyncio.get_running_loop().call_later(0.3, release.set)
        result = await open_loop(HOST, port, numbered(), connections=1, requests=100, rate_per_s=1000)

    # 1 of 100 was on the wire while the server stood; the other 99 were due and waited all the same.
    assert result.latency_ms(0.5) > 150


@pytest.mark.parametrize(
    ("answer", "says"),
    [(None, "closed a connection"), (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Content-Length")],
)
async def test_a_server_that_does_not_keep_up_the_conversation_ends_the_run(answer: bytes | None, says: str):
    async with serving(Server(lambda _body: answer)) as port:
        with pytest.raises(LoadFailed, match=says):
            await closed_loop(HOST, port, numbered(), connections=2, requests=10)


async def test_a_server_that_is_not_there_is_said_to_be_missing():
    async with serving(Server(ok)) as port:
        pass

    with pytest.raises(LoadFailed, match="Is the server running"):
        await closed_loop(HOST, port, numbered(), connections=1, requests=1)
