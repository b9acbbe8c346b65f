"""The body of a request asks before its first byte leaves, and knows whether it left."""

import asyncio
from typing import Any

import pytest

from stentor.channels.webhook.exchange import NotWritten, RequestBody, TooLate

pytestmark = pytest.mark.anyio


class Writer:
    """What aiohttp writes to; its transport is closing, or it is itself one that is open."""

    def __init__(self, *, closing: bool) -> None:
        self.transport = self
        self.written = b""
        self._closing = closing

    def is_closing(self) -> bool:
        return self._closing

    async def write(self, chunk: bytes) -> None:
        self.written += chunk


async def written(body: RequestBody, writer: Writer) -> None:
    # aiohttp asks a writer for no more than that.
    stream: Any = writer
    await body.write_with_length(stream, None)


async def test_it_leaves_when_it_may():
    body, writer = RequestBody(b"{}", lambda: True), Writer(closing=False)

    await written(body, writer)

    assert (writer.written, body.has_begun, body.refusal) == (b"{}", True, None)


async def test_nothing_of_it_leaves_when_it_may_not():
    body, writer = RequestBody(b"{}", lambda: False), Writer(closing=False)

    with pytest.raises(TooLate):
        await written(body, writer)

    assert (writer.written, body.has_begun) == (b"", False)


async def test_a_connection_that_was_closed_meanwhile_is_not_written_to_and_nobody_is_asked():
    asked = asyncio.Event()
    body, writer = RequestBody(b"{}", lambda: asked.set() is None), Writer(closing=True)

    with pytest.raises(NotWritten):
        await written(body, writer)

    assert (writer.written, body.has_begun, asked.is_set()) == (b"", False, False)
