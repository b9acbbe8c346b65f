"""One run: a Stentor of its own, clients and a nemesis for some minutes, then quiet until all is settled, then the verdict."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

from stentor.cli.premises import Premises, import_blocks, on_premises
from stentor.clock import Clock
from stentor.db.cluster import read_sockets
from stentor.db.home import Home
from stentor.domain.policy import BrandCap
from stentor.domain.quiet_hours import QuietAction
from stentor.testing.http_local import HttpSinkProcess
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.torture import partner
from stentor.testing.torture.cast import Cast
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.nemesis import FAULTS, FREEZE_BRIEFLY_S, FREEZE_S, Nemesis
from stentor.testing.torture.nights import Nights, lay_nights
from stentor.testing.torture.provider import Provider, receivers, subscribers
from stentor.testing.torture.proxy import ChaosProxy
from stentor.testing.torture.stage import Relay, set_stage
from stentor.testing.torture.verdict import Verdict, judge
from stentor.testing.torture.watchman import looking_on
from stentor.testing.torture.workload import Clients
from stentor.testing.waiting import eventually

WORKERS = 3
PEOPLE = 3_000
OPEN_EXECUTIONS_MAX = 30
"""So many are under way at once; a new one is called as soon as there are fewer. Most of them wait for a lease to run out."""

DRAINED_WITHIN_S = 300.0
"""Time for leases of 20 s to run out, deferred messages to come again after 30 s, and all that on a busy machine."""

_CAPPED = "capped"
_CAPS = (BrandCap(at_most=1, per="15s", tags=(_CAPPED,)), BrandCap(at_most=2, per="45s", tags=(_CAPPED,)))
"""Windows that roll on while waves are frozen, lost and tried again."""

_NIGHTLY: dict[str, QuietAction] = {"night": "hold", "hush": "skip"}
"""Topics under quiet hours, and what becomes of people in their night."""

_LONG_MINUTES = 2.0
_CALL_EVERY_S = 0.1
_NIGHTLY_AT_S = (18, 47)
"""The seconds of each minute at which those topics are called. It takes 16 s to reach everybody, and windows close at the
full minute: whoever is planned in the last 5 s before it is held at once."""
_LOOK_EVERY_S = 0.2
_LEAVE_EVERY_S = (0.2, 0.8)
_LEAVE_LISTS_EVERY_S = (1.0, 3.0)


def run(*, seed: int, minutes: float, folder: Path, faults: Sequence[str] = tuple(FAULTS)) -> Verdict:
    """What the run proved against these kinds of faults. Its chronicle, ledger and log stay in the folder."""
    return on_premises(lambda premises: _run(premises, seed, minutes, folder, faults))


async def _run(premises: Premises, seed: int, minutes: float, folder: Path, faults: Sequence[str]) -> Verdict:
    draw = random.Random(seed)
    mail = folder / "mail"
    index = folder / "mail.index"
    hooked = folder / "hooked"
    chronicle_file = folder / "chronicle"
    dsn = premises.core.db.dsn
    home = Home(premises.data)
    with SinkProcess(mail) as sink, HttpSinkProcess(hooked) as receiver, Chronicle(chronicle_file) as chronicle:
        async with (
            ChaosProxy.to_port(sink.port, carries_mail=True) as relay,
            ChaosProxy.to_port(receiver.port) as hooks,
            ChaosProxy.to_socket(f"{read_sockets(home)}/.s.PGSQL.5432") as database,
        ):
            audiences = _audiences(draw) | subscribers(draw, PEOPLE) | partner.subscribers(draw, PEOPLE)
            nights = lay_nights(Clock().now(), minutes)
            relays = _relays(relay.port, nights) | receivers(hooks.port)
            stage = await set_stage(premises.core, relays, caps=_CAPS)
            told = await partner.add_partner(premises.core, stage, url=premises.url, seed=seed)
            await _add_people(premises, stage.brand.id, audiences, nights)
            for topic, people in audiences.items():
                chronicle.people(topic, people)
            through = make_conninfo(dsn, host="127.0.0.1", port=database.port, sslmode="disable")
            settings = premises.settings.model_copy(update={"database_url": through})
            async with (
                Cast(settings, workers=WORKERS, log=folder / "log") as cast,
                looking_on(dsn, chronicle),
                _executed(premises, told, folder / "pulled"),
            ):
                nemesis = Nemesis(
                    cast=cast,
                    home=home,
                    dsn=dsn,
                    sink=sink,
                    relay=relay,
                    provider=Provider(receiver, hooks, chronicle, random.Random(draw.random())),
                    database=database,
                    chronicle=chronicle,
                    draw=random.Random(draw.random()),
                    faults=faults,
                    freeze_s=FREEZE_S if minutes >= _LONG_MINUTES else FREEZE_BRIEFLY_S,
                )
                clients = Clients(premises.settings.port, stage, chronicle, audiences, draw, by_the_clock=_NIGHTLY)
                chronicle.note("began", rules=_rules(audiences, nights), fault_kinds=list(FAULTS))
                await _torture(minutes, nemesis, clients, _Books(dsn, sink, index), draw)
                chronicle.note("ended")
                ended_s = time.time()
                await _until_drained(dsn)
                await partner.until_watched(dsn, ended_s)
    ledgers = [index, folder / "hooked.index"]
    return await asyncio.to_thread(judge, dsn, chronicle_file, ledgers, seed=seed, pulled=folder / "pulled")


@asynccontextmanager
async def _executed(premises: Premises, told: partner.Told, ledger: Path) -> AsyncIterator[None]:
    await premises.until_listening()
    async with partner.executing(told, ledger):
        yield


def _relays(port: int, nights: Nights) -> dict[str, Relay | None]:
    nightly = {
        topic: Relay(port, pace_per_s=25.0, quiet_hours=nights.rules(action)) for topic, action in _NIGHTLY.items()
    }
    return nightly | {
        "news": Relay(port),
        "scores": Relay(port),
        "again": Relay(port, "at_least_once"),
        "paced": Relay(port, pace_per_s=40.0),
        "capped": Relay(port, tag=_CAPPED),
        "slow": Relay(port, pace_per_s=40.0, tag=_CAPPED),
        "box": None,
    }


def _rules(audiences: dict[str, list[str]], nights: Nights) -> dict[str, list[Any]]:
    topics = [topic for topic, relay in _relays(0, nights).items() if relay and relay.tag == _CAPPED]
    caps = [{"at_most": cap.at_most, "per_s": cap.per_s, "topics": topics} for cap in _CAPS]
    sleepers = sorted({name for topic in _NIGHTLY for name in audiences[topic]})
    return {"caps": caps, **nights.noted(_NIGHTLY, sleepers)}


def _audiences(draw: random.Random) -> dict[str, list[str]]:
    """Overlapping: most people are in several topics. The paced ones are small, so that they come to an end.

    Everybody in the slow one is in the capped one too: a rule counts both together.
    """
    people = [f"fan-{number}" for number in range(PEOPLE)]
    sizes = {
        "news": 2_000,
        "scores": 1_500,
        "again": 1_000,
        "paced": 100,
        "capped": 800,
        "box": 500,
        "night": 600,
        "hush": 600,
    }
    audiences = {topic: draw.sample(people, size) for topic, size in sizes.items()}
    return audiences | {"slow": draw.sample(audiences["capped"], 100)}


async def _add_people(premises: Premises, brand_id: Any, audiences: dict[str, list[str]], nights: Nights) -> None:
    names = sorted({name for people in audiences.values() for name in people})
    lines = [f"{name},{name}@example.com,{nights.zone_of(name)}\n" for name in names]
    customers = "".join(["external_id,email,time_zone\n", *lines]).encode()
    rows = [f"{name},{topic}\n" for topic, people in audiences.items() for name in people]
    await import_blocks(premises, brand_id, "customers", [customers], source="people")
    await import_blocks(
        premises, brand_id, "subscriptions", ["".join(["external_id,topic\n", *rows]).encode()], source="choices"
    )


class _Books:
    """What the clients look up past the API, to pace themselves and to find links."""

    def __init__(self, dsn: str, sink: SinkProcess, index: Path) -> None:
        self._dsn = dsn
        self.sink = sink
        self.index = index

    async def open_executions(self) -> int | None:
        """How many are not over; None while the database is away."""
        try:
            return await _open_executions(self._dsn)
        except psycopg.OperationalError:
            return None

    async def topics(self) -> dict[bytes, str]:
        """Topics by execution; none while the database is away."""
        try:
            async with await psycopg.AsyncConnection.connect(self._dsn) as conn:
                cursor = await conn.execute("SELECT id, topic_key FROM execution")
                return {execution.bytes: topic for execution, topic in await cursor.fetchall()}
        except psycopg.OperationalError:
            return {}


async def _torture(minutes: float, nemesis: Nemesis, clients: Clients, books: _Books, draw: random.Random) -> None:
    stop = asyncio.Event()

    async def call() -> None:
        running = await books.open_executions()
        if running is not None and running < OPEN_EXECUTIONS_MAX:
            await clients.call()
        await asyncio.sleep(_CALL_EVERY_S)

    async def call_by_the_clock() -> None:
        if Clock().now().second in _NIGHTLY_AT_S:
            await asyncio.gather(*map(clients.call, _NIGHTLY))
            await asyncio.sleep(1.0)
        await asyncio.sleep(_LOOK_EVERY_S)

    async def leave() -> None:
        await clients.leave_by_api()
        await asyncio.sleep(draw.uniform(*_LEAVE_EVERY_S))
        await clients.leave_by_link(books.sink, books.index, await books.topics())
        await asyncio.sleep(draw.uniform(*_LEAVE_EVERY_S))

    async def leave_lists() -> None:
        await clients.leave_by_api(partner.TOPIC)
        await asyncio.sleep(draw.uniform(*_LEAVE_LISTS_EVERY_S))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_until(stop, leave_lists))
        tasks.create_task(nemesis.run(stop))
        tasks.create_task(_until(stop, call))
        tasks.create_task(_until(stop, call_by_the_clock))
        tasks.create_task(_until(stop, leave))
        await asyncio.sleep(minutes * 60)
        stop.set()


async def _until(stop: asyncio.Event, step: Callable[[], Awaitable[None]]) -> None:
    while not stop.is_set():
        await step()


async def _until_drained(dsn: str) -> None:
    """Comes back when nothing is left to do, or when waiting longer makes no sense: the verdict names what is left."""

    async def is_drained() -> bool:
        try:
            return not await _open_executions(dsn)
        except psycopg.OperationalError:
            # The last blow may have been the database's.
            return False

    with suppress(AssertionError):
        await eventually(is_drained, DRAINED_WITHIN_S)


async def _open_executions(dsn: str) -> int:
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        cursor = await conn.execute(_OPEN)
        row = await cursor.fetchone()
    return row[0] if row else 0


# Those whose only sends left are held until a window opens, long after the run, are at rest.
_OPEN: LiteralString = """
    SELECT count(*) FROM execution e
    WHERE state <> 'ended' AND (
        state <> 'sending' OR ended_at IS NOT NULL
        OR NOT EXISTS (SELECT FROM chunk c WHERE c.execution_id = e.id AND c.done_at IS NULL)
        OR EXISTS (
            SELECT FROM chunk c
            WHERE c.execution_id = e.id AND c.done_at IS NULL AND c.due_at < statement_timestamp() + interval '30 minutes'
        )
    )"""


def tell(verdict: Verdict) -> int:
    """Prints the certificate, as a table and as JSON. The exit code: 0 when it holds and the run counts, else 1."""
    certificate = verdict.certificate
    shortfalls = certificate.shortfalls(verdict.minutes)
    lines = [certificate.table(), f"minutes  {verdict.minutes:.1f}"]
    lines += [f"{line}: {example}" for line in certificate.broken for example in verdict.examples.get(line, [])]
    lines += [f"does not count: {shortfall}" for shortfall in shortfalls]
    sys.stdout.write("\n".join([*lines, certificate.json(), ""]))
    return int(bool(certificate.broken or shortfalls))
