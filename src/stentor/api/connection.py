"""One HTTP connection: uvicorn's, with bounds on how large a request's head may be and how long it may take."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, TypeAlias

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

LOOK_EVERY_S = 1.0
ANSWER_S = 300.0
"""An answer that was handed to the connection as a whole has so long to be read."""

FIELDS_MAX = 100
"""In one head. Fields of few bytes each would take thirty times the room that the head's bytes do."""

REQUESTS_BEHIND_MAX = 32
"""Requests that wait on one connection while one before them is answered; one more ends it after their answers."""

ABORT = "stentor.abort"
"""Under this name a scope's extensions have `now`, which ends the connection at once, whatever is still to be read on it."""

WHOLE = "stentor.whole"
"""Under this name a scope's extensions have `send`, a `WholeSender`: to write head and body apart costs a small answer a sixth."""

FLUSH = "stentor.flush"
"""Under this name a scope's extensions have `now`, a `Flush`."""

Flush: TypeAlias = Callable[[], Awaitable[bool]]
"""Waits until the system has taken all that was sent of an answer; False where the connection broke before."""

WholeSender: TypeAlias = Callable[[int, bytes, bytes], Awaitable[None]]
"""Sends an answer of that status: the lines of its head, which are taken as they are, and a body as long as they say."""

_TEXT = b"The head of the request is too large.\n"
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(_TEXT), _TEXT)
)


class HeadRefused(Exception):
    """The parser stops at it."""


class HttpConnection(HttpToolsProtocol):
    """Closes itself when it is one too many, answers 431 to a head past the limits, and keeps what waits in it small."""

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
        self._bytes_beside_bodies = 0
        self._is_too_large = False
        self._is_refused = False
        self._is_unread = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._bytes_beside_bodies += len(data)
        super().data_received(data)
        # The parser keeps a field until its end, which may never come; also one behind a body.
        if self._bytes_beside_bodies > self.head_bytes_max:
            self._is_too_large = True
            self._refuse()

    def eof_received(self) -> bool:  # type: ignore[override]  # the base says None, which is False to the transport
        # Who has said all there was to say may still be listening.
        if self.waits_since_s is not None or not self._in_head or self.cycle.response_started:
            return False
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"now": self.transport.abort}}

    def on_header(self, name: bytes, value: bytes) -> None:
        # Behind a body nothing is a header: a proxy has not looked at it.
        if self._in_head:
            if len(self.headers) == FIELDS_MAX:
                self._is_too_large = True
                raise HeadRefused
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        # Of what came with the head's end some may be body, so only then is it added up.
        if self._bytes_beside_bodies > self.head_bytes_max:
            head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if head_bytes > self.head_bytes_max:
                self._is_too_large = True
                raise HeadRefused
        if len(self.pipeline) == REQUESTS_BEHIND_MAX:
            raise HeadRefused
        super().on_headers_complete()
        self.scope["extensions"][WHOLE] = {"send": partial(_send_whole, self.cycle)}
        self.scope["extensions"][FLUSH] = {"now": partial(_flush, self.cycle)}
        self._in_head = False
        self.waits_since_s = None
        if self.parser.should_upgrade():
            # We stay with HTTP/1.1; the parser does not.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._bytes_beside_bodies = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._bytes_beside_bodies = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.flow.write_paused and not self.transport.is_closing():
            # Who does not read answers is not asked for more: the next one would wait inside the app, in others' places.
            self.waits_since_s = self.loop.time()
            self._is_unread = True
            self.flow.pause_reading()
        else:
            self._go_on()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_unread:
            self._is_unread = False
            self._go_on()

    def send_400_response(self, msg: str) -> None:
        self._refuse(msg)

    def _go_on(self) -> None:
        behind = len(self.pipeline)
        super().on_response_complete()
        self.waits_since_s = None if len(self.pipeline) < behind else self.loop.time()

    def _refuse(self, msg: str = "") -> None:
        """Reads no further. What came before it is answered first, and then nothing more."""
        self._is_refused = True
        if self.transport.is_closing():
            return
        if self._in_head and self.waits_since_s is None:
            self.cycle.keep_alive = False
        elif not self._in_head and (self.pipeline or self.cycle.response_started):
            # Another answer would be taken for the next request's.
            self.transport.abort()
        elif self._is_too_large:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        else:
            super().send_400_response(msg)


async def _send_whole(cycle: RequestResponseCycle, status: int, lines: bytes, body: bytes) -> None:
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    cycle.response_started = cycle.response_complete = True
    # Whoever reads on behind the answer would ask for the body.
    cycle.waiting_for_100_continue = False
    ours = b"".join(b"%b: %b\r\n" % pair for pair in cycle.default_headers)
    if not cycle.keep_alive:
        ours += b"connection: close\r\n"
    cycle.transport.write(b"%b%b%b\r\n%b" % (STATUS_LINE[status], ours, lines, body))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


async def _flush(cycle: RequestResponseCycle) -> bool:
    transport = cycle.transport
    if not cycle.disconnected and transport.get_write_buffer_size():
        # With no room in it, the transport asks for a pause at once, and says when the last byte is gone.
        transport.set_write_buffer_limits(high=0)
        try:
            await cycle.flow.drain()
        finally:
            transport.set_write_buffer_limits()
    return not cycle.disconnected and not transport.is_closing()


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
