"""One HTTP connection: uvicorn's, with bounds on how large a request's head may be and how long it may take."""

import asyncio
from collections.abc import Collection
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LOOK_EVERY_S = 1.0
ANSWER_S = 300.0
"""An answer that was handed to the connection as a whole has so long to be read."""

_TEXT = b"The head of the request is too large.\n"
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(_TEXT), _TEXT)
)


class HeadTooLarge(Exception):
    """The parser stops at it."""


class HttpConnection(HttpToolsProtocol):
    """Closes itself when it is one too many, and answers 431 to a head past the limit."""

    connections_max = 0
    head_bytes_max = 0

    @classmethod
    def within(cls, connections_max: int, head_bytes_max: int) -> type["HttpConnection"]:
        """The same with these limits."""
        return type(cls.__name__, (cls,), {"connections_max": connections_max, "head_bytes_max": head_bytes_max})

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.waits_since_s: float | None = self.loop.time()
        """From when on it owes us a head; None while a request is answered."""
        self._in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        # The parser keeps a field until its end, which may never come; also behind a request that is still answered.
        if self._in_head and self._head_bytes > self.head_bytes_max:
            self._refuse_head()

    def on_headers_complete(self) -> None:
        # Of what came with the head's end some may be body, so only then is it added up.
        if self._head_bytes > self.head_bytes_max:
            head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if head_bytes > self.head_bytes_max:
                raise HeadTooLarge
        self._in_head = False
        self.waits_since_s = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.waits_since_s = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        if self._head_bytes > self.head_bytes_max:
            self._refuse_head()
        elif not self.transport.is_closing():
            super().send_400_response(msg)

    def _refuse_head(self) -> None:
        if self.waits_since_s is None:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()


async def end_the_late(connections: Collection[object], *, head_s: float) -> None:
    """Every second, for ever, ends the connections that owe us a head for longer than `head_s`."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        now_s = asyncio.get_running_loop().time()
        for connection in list(connections):
            if not isinstance(connection, HttpConnection) or connection.waits_since_s is None:
                continue
            is_being_read = connection.transport.get_write_buffer_size() > 0
            if now_s - connection.waits_since_s > (max(ANSWER_S, head_s) if is_being_read else head_s):
                connection.transport.abort()
