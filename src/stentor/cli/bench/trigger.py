"""Calls: how many are accepted durably, how fast each, and how many small executions are carried through."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import msgspec

from stentor.cli.bench.club import GENERATOR, Club, add_people, add_topics, found_club
from stentor.cli.bench.executions import backlog, check_found
from stentor.cli.bench.fixtures import CONTEXT
from stentor.cli.bench.result import Measure, megabytes, milliseconds, per_s
from stentor.cli.bench.sink import checked_sink
from stentor.cli.memory import MemoryWatch
from stentor.cli.output import fail
from stentor.cli.premises import Premises
from stentor.testing.http_load import Gate, LoadResult, RequestMaker, closed_loop, gated_loop, open_loop, post_maker

PEOPLE = 2_000
SECONDS = 60
PEOPLE_PER_TOPIC = 10
STEADY_RATE_PER_S = 5_000

CONNECTIONS = 64
_WARM_UP_REQUESTS = 2_000
_PROBE_REQUESTS = 10_000
_LOOK_EVERY_S = 0.02
_UNFINISHED_MAX = 512
"""Executions under way at once: what two workers plan and hand over in a second, so that neither ever waits."""

_WARM_WITHIN_S = 30.0
_DRAINED_WITHIN_S = 60.0


async def measure(premises: Premises, people: int, duration_s: int) -> dict[str, Measure]:
    """The three measures; acceptance is measured with the HTTP role alone, as workers leave a backlog to its door."""
    topic_keys = [f"team-{number}" for number in range(max(1, people // PEOPLE_PER_TOPIC))]
    people = len(topic_keys) * PEOPLE_PER_TOPIC
    with checked_sink() as sink:
        async with MemoryWatch(premises.data) as memory:
            async with premises.running():
                club = await found_club(premises, smtp_port=sink.port)
                await add_people(premises, club, people)
                await add_topics(premises, club, topic_keys, people)
                calls = _Calls(premises, club, topic_keys)
                await premises.until_listening()
                small_per_s = await _Window(calls).executions_per_s(duration_s)
                await _until_drained(calls)
                sink.check(len(calls.accepted) * PEOPLE_PER_TOPIC)
            async with premises.running(workers=0):
                await premises.until_listening()
                await calls.as_fast_as_answered(_WARM_UP_REQUESTS)
                probed = await calls.as_fast_as_answered(_PROBE_REQUESTS)
                requests = round(probed.answers_per_s * duration_s / 4)
                fastest = await calls.as_fast_as_answered(requests)
                steady = await calls.at_rate(STEADY_RATE_PER_S, STEADY_RATE_PER_S * duration_s // 4)
            await check_found(premises, club, calls.accepted)
    return {
        "triggers_per_s": per_s(fastest.answers_per_s),
        "trigger_p99_ms": milliseconds(steady.latency_ms(0.99)),
        "small_executions_per_s": per_s(small_per_s),
        "peak_rss_mb": megabytes(memory.peak_mb),
    }


class _Calls:
    """Calls with distinct bodies, and the executions that were acknowledged."""

    def __init__(self, premises: Premises, club: Club, topic_keys: list[str]) -> None:
        self.premises = premises
        self.club = club
        self.accepted: list[UUID] = []
        self._topic_keys = topic_keys
        self._sent = 0

    async def as_fast_as_answered(self, requests: int) -> LoadResult:
        """Each connection sends its next request when it has the last answer."""
        host, port = self._where
        return await closed_loop(host, port, self._maker(), connections=CONNECTIONS, requests=requests, take=self._take)

    async def at_rate(self, rate_per_s: int, requests: int) -> LoadResult:
        """Whatever the server does; latencies count from when a request was due."""
        host, port = self._where
        return await open_loop(
            host,
            port,
            self._maker(),
            connections=CONNECTIONS,
            requests=requests,
            rate_per_s=rate_per_s,
            take=self._take,
        )

    async def as_let_through(self, gate: Gate) -> LoadResult:
        """As many as the gate allows."""
        host, port = self._where
        return await gated_loop(host, port, self._maker(), gate, connections=CONNECTIONS, take=self._take)

    @property
    def _where(self) -> tuple[str, int]:
        return self.premises.settings.host, self.premises.settings.port

    def _maker(self) -> RequestMaker:
        headers = {
            "x-api-key": self.club.key.api_key,
            "x-brand-key": self.club.brand.brand_key,
            "Content-Type": "application/json",
        }
        path = f"/smart-campaigns/v1/event-generators/{GENERATOR}/run"
        return post_maker(":".join(map(str, self._where)), path, headers, self._body)

    def _body(self, _number: int) -> bytes:
        self._sent += 1
        topic_key = self._topic_keys[self._sent % len(self._topic_keys)]
        return msgspec.json.encode({"topic_key": topic_key, "context": CONTEXT | {"match_id": f"m-{self._sent}"}})

    def _take(self, number: int, status: int, body: bytes) -> None:
        if status != 202:
            fail(f"Request {number} was answered with {status}: {body.decode()[:300]}")
        self.accepted.append(UUID(body[22:54].decode()))


class _Window:
    """Lets a call through for each execution that is over, so no backlog can hide what is not carried through."""

    def __init__(self, calls: _Calls) -> None:
        self._calls = calls
        self._gate = Gate()

    async def executions_per_s(self, duration_s: int) -> float:
        """Executions that were over, all ten messages of each accepted, per second of a time that begins warm."""
        loading = asyncio.create_task(self._calls.as_let_through(self._gate))
        try:
            await self._until(lambda over: over >= _UNFINISHED_MAX, within_s=_WARM_WITHIN_S)
            started_s, over_before = time.perf_counter(), await self._over()
            await self._until(lambda _over: loading.done(), within_s=duration_s)
            over, took_s = await self._over() - over_before, time.perf_counter() - started_s
        finally:
            self._gate.close()
        await loading
        return over / took_s

    async def _until(self, reached: Callable[[int], bool], *, within_s: float) -> None:
        """Keeps the window full until then."""
        end_s = time.perf_counter() + within_s
        while time.perf_counter() < end_s:
            unfinished = await self._unfinished()
            if reached(len(self._calls.accepted) - unfinished):
                return
            self._gate.allow(max(0, _UNFINISHED_MAX - unfinished - self._gate.allowed))
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _over(self) -> int:
        return len(self._calls.accepted) - await self._unfinished()

    async def _unfinished(self) -> int:
        return await backlog(self._calls.premises, self._calls.club)


async def _until_drained(calls: _Calls) -> None:
    async with asyncio.timeout(_DRAINED_WITHIN_S):
        while True:
            if not await backlog(calls.premises, calls.club):
                return
            await asyncio.sleep(_LOOK_EVERY_S)
