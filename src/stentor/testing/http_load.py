"""A lean load generator for HTTP/1.1: kept connections, one request at a time on each, distinct bodies, exact latencies.

It spends about 20 µs of CPU per request, so that on a small machine it is the server that is measured. It speaks just
enough HTTP for that: answers need a Content-Length, and a connection that the server closes ends the run with an error.
"""

import asyncio
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stentor.errors import Problem

RequestMaker = Callable[[int], bytes]
"""The bytes of the n-th request, head and body; `post_maker` makes one."""

AnswerTaker = Callable[[int, int, bytes], None]
"""Is given request number, status and body of each answer."""


class LoadFailed(Problem):
    code = "load-failed"
    title = "The load could not be put on the server"


@dataclass(frozen=True)
class LoadResult:
    """What a run measured. `latencies_ns` holds one number per answer, in no particular order of requests."""

    seconds: float
    statuses: dict[int, int]
    latencies_ns: "array[int]"

    @property
    def answers(self) -> int:
        return len(self.latencies_ns)

    @property
    def answers_per_s(self) -> float:
        return self.answers / self.seconds

    def latency_ms(self, share: float) -> float:
        """The latency that this share of the answers kept (0.99: the 99th percentile), in milliseconds."""
        ranked = sorted(self.latencies_ns)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] / 1e6


def post_maker(host: str, path: str, headers: dict[str, str], body_of: Callable[[int], bytes]) -> RequestMaker:
    """Makes POST requests with those headers and the n-th body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": host, **headers}.items())
    head = f"POST {path} HTTP/1.1\r\n{lines}Content-Length: ".encode()

    def make(number: int) -> bytes:
        body = body_of(number)
        return b"%b%d\r\n\r\n%b" % (head, len(body), body)

    return make


async def closed_loop(
    host: str, port: int, make: RequestMaker, *, connections: int, requests: int, take: AnswerTaker | None = None
) -> LoadResult:
    """As fast as the server answers: each connection sends its next request when it has the last answer."""
    plan = _ClosedLoop(requests)
    return await _run(host, port, make, plan, connections=connections, requests=requests, take=take)


async def open_loop(
    host: str,
    port: int,
    make: RequestMaker,
    *,
    connections: int,
    requests: int,
    rate_per_s: float,
    take: AnswerTaker | None = None,
) -> LoadResult:
    """At that rate, whatever the server does.

    A request that finds no free connection waits, and its latency counts from when it was due: a stalled server cannot
    hide the requests that it kept from being sent.
    """
    plan = _OpenLoop(requests, rate_per_s)
    return await _run(host, port, make, plan, connections=connections, requests=requests, take=take)


class Gate:
    """Lets as many requests through as it is told to, for `gated_loop`."""

    def __init__(self) -> None:
        self.allowed = 0
        self.is_closed = False
        self._moved: Callable[[], None] = lambda: None

    def allow(self, requests: int) -> None:
        """So many more may be sent."""
        self.allowed += requests
        self._moved()

    def close(self) -> None:
        """No more are sent, not even those that were allowed; the run ends with the last answer."""
        self.is_closed = True
        self._moved()

    def when_moved(self, call: Callable[[], None]) -> None:
        """Calls that whenever something was said."""
        self._moved = call


async def gated_loop(
    host: str, port: int, make: RequestMaker, gate: Gate, *, connections: int, take: AnswerTaker | None = None
) -> LoadResult:
    """As many requests as the gate lets through until it is closed."""
    plan = _GatedLoop(gate)
    return await _run(host, port, make, plan, connections=connections, requests=sys.maxsize, take=take)


class _Connection(asyncio.Protocol):
    """One kept connection: at most one request on the wire, its answer read to the last byte."""

    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._transport: asyncio.Transport
        self._received = b""
        self._number = -1
        self._due_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 — what create_connection makes
        self._transport = transport

    def send(self, number: int, due_ns: int) -> None:
        self._number = number
        self._due_ns = due_ns
        self._transport.write(self._run.make(number))

    def data_received(self, data: bytes) -> None:  # pyrefly: ignore[missing-override-decorator]
        received = self._received + data if self._received else data
        self._received = received
        end_of_head = received.find(b"\r\n\r\n")
        if end_of_head < 0:
            return
        length = _content_length(received, end_of_head)
        if length is None:
            self._run.failed("An answer has no Content-Length; this load generator reads no other kind.")
        elif len(received) >= (end := end_of_head + 4 + length):
            self._received = b""
            status, body = int(received[9:12]), received[end_of_head + 4 : end]
            self._run.answered(self, self._number, self._due_ns, status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.failed(f"The server closed a connection after request {self._number}: {exc or 'end of stream'}.")

    def close(self) -> None:
        self._transport.abort()


def _content_length(received: bytes, end_of_head: int) -> int | None:
    head = received[: end_of_head + 2].lower()
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        return None
    start += len(b"\r\ncontent-length:")
    return int(head[start : head.index(b"\r\n", start)])


class _Plan(Protocol):
    """Decides when each connection sends what."""

    def start(self, run: "_Run") -> None: ...

    def free(self, run: "_Run", connection: _Connection) -> None: ...


class _Run:
    """The state of one run, told of every answer by its connections."""

    def __init__(self, make: RequestMaker, plan: _Plan, requests: int, take: AnswerTaker | None) -> None:
        self.make = make
        self.connections: list[_Connection] = []
        self.latencies_ns = array("q")
        self.statuses: Counter[int] = Counter()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._plan = plan
        self._take = take
        self._left = requests

    def answered(self, connection: _Connection, number: int, due_ns: int, status: int, body: bytes) -> None:
        self.latencies_ns.append(time.perf_counter_ns() - due_ns)
        self.statuses[status] += 1
        if self._take is not None:
            self._take(number, status, body)
        self._left -= 1
        if self._left:
            self._plan.free(self, connection)
        elif not self.done.done():
            self.done.set_result(None)

    def failed(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(LoadFailed(why))


class _ClosedLoop:
    def __init__(self, requests: int) -> None:
        self._next = 0
        self._requests = requests

    def start(self, run: _Run) -> None:
        for connection in run.connections:
            self.free(run, connection)

    def free(self, run: _Run, connection: _Connection) -> None:
        del run
        if self._next < self._requests:
            connection.send(self._next, time.perf_counter_ns())
            self._next += 1


class _OpenLoop:
    def __init__(self, requests: int, rate_per_s: float) -> None:
        self._requests = requests
        self._gap_ns = 1e9 / rate_per_s
        self._next = 0
        self._started_ns = 0
        self._idle: deque[_Connection] = deque()
        self._alarm_set = False

    def start(self, run: _Run) -> None:
        self._idle.extend(run.connections)
        self._started_ns = time.perf_counter_ns()
        self._send_due()

    def free(self, run: _Run, connection: _Connection) -> None:
        del run
        self._idle.append(connection)
        self._send_due()

    def _send_due(self) -> None:
        while self._idle and self._next < self._requests:
            due_ns = self._started_ns + int(self._next * self._gap_ns)
            if (early_ns := due_ns - time.perf_counter_ns()) > 0:
                self._set_alarm(early_ns / 1e9)
                return
            self._idle.popleft().send(self._next, due_ns)
            self._next += 1

    def _set_alarm(self, after_s: float) -> None:
        if not self._alarm_set:
            self._alarm_set = True
            asyncio.get_running_loop().call_later(after_s, self._alarm)

    def _alarm(self) -> None:
        self._alarm_set = False
        self._send_due()


class _GatedLoop:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._next = 0
        self._idle: deque[_Connection] = deque()

    def start(self, run: _Run) -> None:
        self._idle.extend(run.connections)
        self._gate.when_moved(lambda: self._go_on(run))
        self._go_on(run)

    def free(self, run: _Run, connection: _Connection) -> None:
        self._idle.append(connection)
        self._go_on(run)

    def _go_on(self, run: _Run) -> None:
        if self._gate.is_closed:
            if len(self._idle) == len(run.connections) and not run.done.done():
                run.done.set_result(None)
            return
        while self._idle and self._gate.allowed:
            self._gate.allowed -= 1
            self._idle.popleft().send(self._next, time.perf_counter_ns())
            self._next += 1


async def _run(
    host: str,
    port: int,
    make: RequestMaker,
    plan: _Plan,
    *,
    connections: int,
    requests: int,
    take: AnswerTaker | None,
) -> LoadResult:
    run = _Run(make, plan, requests, take)
    loop = asyncio.get_running_loop()
    try:
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: _Connection(run), host, port)
            run.connections.append(connection)
        started_ns = time.perf_counter_ns()
        plan.start(run)
        await run.done
        seconds = (time.perf_counter_ns() - started_ns) / 1e9
    except OSError as error:
        raise LoadFailed(f"No connection to {host}:{port}: {error}. Is the server running there?") from error
    finally:
        for connection in run.connections:
            connection.close()
    return LoadResult(seconds=seconds, statuses=dict(run.statuses), latencies_ns=run.latencies_ns)
