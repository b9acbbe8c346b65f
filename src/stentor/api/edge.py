"""What every request passes on its way in and out: request id, security headers, HEAD, metrics, bodies nobody read."""

import asyncio
import random
import re
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote, unquote_to_bytes

import structlog
from litestar.types import HTTPReceiveMessage, HTTPResponseBodyEvent, HTTPScope, Message, Receive, Send

from stentor.api.connection import ABORT, FLUSH, WHOLE
from stentor.api.metrics import RequestMetrics
from stentor.api.slow_bodies import Deadlines
from stentor.errors import Invalid, Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from stentor.api.connection import Flush, WholeSender

log = structlog.get_logger(__name__)

T = TypeVar("T")

# A body has this long, and then as long as it keeps up this pace; what comes slower is there to keep us busy.
BODY_S_MIN = 30.0
BODY_BYTES_PER_S_MIN = 10_000

# An answer that is streamed may wait this long for its reader at once, and in all as long as that keeps up this pace: behind
# it are a connection to the database and a place among few.
ANSWER_WAIT_S_MAX = 60.0
ANSWER_BYTES_PER_S_MIN = 10_000

# A refused upload is read on and thrown away, so that its sender gets to see the answer instead of a broken pipe.
DRAIN_BYTES_MAX = 64 * 1024 * 1024
DRAIN_S_MAX = 10.0

# An escaped slash belongs to a name in the path and must not part it, so it and the escape itself stay as they are until
# the name is read.
_KEPT_ESCAPE = re.compile(rb"%(?=2[Ff]|25)")

RATE_FIELDS = "rate_fields"
"""Under this name the state of a request's scope has the fields that its answer tells of limits, ready to be sent."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=~-]{1,128}\Z")

_CSP = b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
# An answer that says one of these itself keeps its own.
_DEFAULT_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", _CSP),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_DEFAULT_LINES = b"".join(b"%b: %b\r\n" % pair for pair in _DEFAULT_HEADERS)


class BodyTooSlow(Problem):
    code = "body-too-slow"
    title = "The body did not arrive in time"


class BodyIncomplete(Problem):
    code = "body-incomplete"
    title = "The body did not arrive whole"


class AnswerCutOff(Exception):
    """A stream was not read in time. Its reader learns it from the connection, which ends in the middle of the answer."""


class Exchange:
    """One request and its answer. The app gets `receive` and `send` of this in place of the server's."""

    __slots__ = (
        "_bytes",
        "_deadlines",
        "_flush",
        "_head",
        "_metrics",
        "_receive",
        "_request_id",
        "_scope",
        "_send",
        "_sent_bytes",
        "_started",
        "_unread",
        "_waited_s",
        "_whole",
        "is_cut_off",
    )

    def __init__(
        self, scope: HTTPScope, receive: Receive, send: Send, *, metrics: RequestMetrics, deadlines: Deadlines
    ) -> None:
        self._started = time.monotonic()
        self._deadlines = deadlines
        self._scope = scope
        self._receive = receive
        self._send = send
        self._metrics = metrics
        self._unread = True
        self._bytes = 0
        self._sent_bytes = 0
        self._waited_s = 0.0
        # Taken out, because it leads back to the scope: a cycle for each request would wait for the garbage collector.
        extensions = cast("dict[str, dict[str, Any]]", scope.get("extensions") or {})
        self._whole: dict[str, WholeSender] | None = extensions.pop(WHOLE, None)
        self._flush: dict[str, Flush] | None = extensions.pop(FLUSH, None)
        self.is_cut_off = False
        self._head = scope["method"] == "HEAD"
        if self._head:
            scope["method"] = "GET"
        self._request_id = _request_id(scope)
        raw_path = scope["raw_path"].partition(b"?")[0]
        if b"%" in raw_path:
            scope["path"] = unquote_to_bytes(_KEPT_ESCAPE.sub(b"%25", raw_path)).decode("utf-8", "replace")
        scope.setdefault("state", {})["request_id"] = self._request_id.decode("ascii")

    async def receive(self) -> HTTPReceiveMessage:
        if not self._unread:
            # A HEAD has been answered once its headers are sent; a stream behind it has to end.
            return {"type": "http.disconnect"} if self._head else cast("HTTPReceiveMessage", await self._receive())
        allowed_s = BODY_S_MIN + self._bytes / BODY_BYTES_PER_S_MIN
        try:
            event = cast("HTTPReceiveMessage", await self._deadlines.until(self._started + allowed_s, self._receive()))
        except TimeoutError:
            raise BodyTooSlow("The body did not arrive in time. Send it again, without pauses.") from None
        if event["type"] == "http.disconnect":
            self._unread = False
            if _declares_body(self._scope):
                raise BodyIncomplete("The connection broke before all of the body had come. Send it again.")
        elif not event.get("more_body", False):
            self._unread = False
        else:
            self._bytes += len(event["body"])
        return event

    async def send(self, event: Message) -> None:
        if self.is_cut_off:
            # Nor would its reader read that something went wrong.
            raise AnswerCutOff
        if event["type"] == "http.response.start":
            status = event["status"]
            scope = self._scope
            self._metrics.answered(
                scope["method"], scope.get("path_template"), status, time.monotonic() - self._started
            )
            headers = list(event["headers"])
            if (rate_fields := scope["state"].get(RATE_FIELDS)) is not None:
                headers = [pair for pair in headers if not pair[0].startswith(b"x-ratelimit-")] + rate_fields
            said = {name for name, _ in headers}
            headers += [pair for pair in _DEFAULT_HEADERS if pair[0] not in said]
            headers.append((b"x-request-id", self._request_id))
            event["headers"] = headers
            if status >= 400 and self._unread:
                await self._drain()
            if self._head:
                await self._send(event)
                event = {"type": "http.response.body", "body": b"", "more_body": False}
        elif self._head:
            return
        elif event["type"] == "http.response.body" and event["more_body"]:
            await self._send_part(event)
            return
        await self._send(event)

    async def answer(self, status: int, headers: "Sequence[tuple[bytes, bytes]]", body: bytes) -> None:
        """Sends an answer whole: for lanes, whose headers are words of ours and none that every answer has."""
        said = [*headers, (b"content-length", b"%d" % len(body))]
        if self._whole is None or self._head or status >= 400:
            await self.send({"type": "http.response.start", "status": status, "headers": said})
            await self.send({"type": "http.response.body", "body": body, "more_body": False})
            return
        scope = self._scope
        self._metrics.answered(scope["method"], scope.get("path_template"), status, time.monotonic() - self._started)
        lines = b"".join(b"%b: %b\r\n" % pair for pair in said)
        lines += b"%bx-request-id: %b\r\n" % (_DEFAULT_LINES, self._request_id)
        await self._whole["send"](status, lines, body)

    async def break_off(self) -> None:
        """Ends the connection in the middle of an answer, with what of it is still to be read."""
        extensions = cast("dict[str, dict[str, Callable[[], None]]]", self._scope.get("extensions") or {})
        if ABORT in extensions:
            extensions[ABORT]["now"]()
            while (await self._receive())["type"] != "http.disconnect":
                pass

    @property
    def has_body(self) -> bool:
        """Whether the answer's body is sent; False where its head alone was asked for."""
        return not self._head

    async def flushed(self) -> bool:
        """Waits until all that was sent has left this process; False where its reader hung up, or asked for the head alone.

        Raises AnswerCutOff as `send` does.
        """
        if self._head:
            return False
        return True if self._flush is None else await self._in_time(self._flush["now"]())

    async def _send_part(self, event: HTTPResponseBodyEvent) -> None:
        """Sends a part of a stream. Raises AnswerCutOff when its reader has kept us waiting for too long altogether."""
        await self._in_time(self._send(event))
        self._sent_bytes += len(event["body"])

    async def _in_time(self, sending: "Awaitable[T]") -> T:
        started = time.monotonic()
        left_s = ANSWER_WAIT_S_MAX - max(0.0, self._waited_s - self._sent_bytes / ANSWER_BYTES_PER_S_MIN)
        try:
            sent = await self._deadlines.until(started + left_s, sending)
        except TimeoutError:
            self.is_cut_off = True
            log.info("answer.cut_off", request_id=self._request_id.decode("ascii"), bytes=self._sent_bytes)
            raise AnswerCutOff from None
        self._waited_s += time.monotonic() - started
        return sent

    async def _drain(self) -> None:
        # Who asked first (Expect: 100-continue) has not sent anything yet and need not begin. Who declares more than is read on
        # would not be done with it either way, and may send nothing at all.
        if not _declares_body(self._scope) or any(name == b"expect" for name, _ in self._scope["headers"]):
            return
        if _declared_bytes(self._scope) > DRAIN_BYTES_MAX:
            return
        left = DRAIN_BYTES_MAX
        try:
            async with asyncio.timeout(DRAIN_S_MAX):
                while self._unread and left > 0:
                    event = await self.receive()
                    left -= len(event.get("body", b"")) if event["type"] == "http.request" else 0
        except (TimeoutError, BodyTooSlow, BodyIncomplete):
            return


def check_target(scope: HTTPScope) -> None:
    """Raises Invalid for a path or query with a NUL character, which no name or id of ours can hold."""
    if "\x00" in scope["path"]:
        raise Invalid("The path has a NUL character. Remove it.")
    if b"%00" in scope["query_string"] or b"\x00" in scope["query_string"]:
        raise Invalid("The query has a NUL character. Remove it.")


def unescaped(name: str) -> str:
    """A name from the path as its sender meant it, `%2F` being a slash in it."""
    return unquote(name) if "%" in name else name


def _declares_body(scope: HTTPScope) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"])


def _declared_bytes(scope: HTTPScope) -> int:
    """What the head says of the body's length, which the parser has read; 0 where it says nothing."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def _request_id(scope: HTTPScope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if _REQUEST_ID.match(value):
                return value
            break
    # Unique is enough. `os.urandom` lets go of the interpreter lock, and under load getting it back took 30 µs.
    return b"%024x" % random.getrandbits(96)
