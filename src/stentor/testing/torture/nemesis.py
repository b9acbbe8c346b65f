"""What goes wrong: a schedule drawn from the seed, each fault written down with what it may leave in doubt."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, LiteralString

import psycopg

from stentor.clock import boottime_s
from stentor.db.home import Home
from stentor.db.postmaster import read_postmaster
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.torture.cast import Cast, connections_to, local_ports, unread_ports
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.provider import BATCH_MAX, TROUBLES, Provider
from stentor.testing.torture.proxy import ChaosProxy
from stentor.testing.torture.wrong_clock import WrongClock
from stentor.testing.waiting import eventually

IN_FLIGHT_MAX = 8
"""Messages whose reply is awaited on one SMTP connection with CHUNKING: what a killed or frozen worker leaves in doubt."""

JOURNALS = "journals"
"""Where workers keep what they know of their open waves, in the data directory: a file each, named `machine:pid:…`."""

FREEZE_S, FREEZE_BRIEFLY_S = 30.0, 24.0
"""Both longer than a lease of 20 s: whoever comes back has been given up. The second is for runs of a minute."""

_GAP_S = (0.2, 1.6)
_WIRE_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.002
_SETTLED_S = 0.3  # what a killed process had told the database just before is committed by then
_DATABASE_BACK_S = 60.0
_OUTAGE_S = 0.5
_LOOKS_FOR_KEEPER = 40  # for longer than the 15 s of a dead one's lease
_JUMPS_S = (-86_400.0, -3_600.0, 3_600.0, 86_400.0)
_DRIFT_STEPS, _DRIFT_EVERY_S = 100, 0.05
_DRIFTS = (-0.5, -0.05, 0.05, 0.5)
"""Seconds that a clock goes wrong in each second."""

Fault = Callable[["Nemesis"], Awaitable[None]]


class Nemesis:
    """Strikes until told to stop, then heals what it did."""

    def __init__(
        self,
        *,
        cast: Cast,
        home: Home,
        dsn: str,
        sink: SinkProcess,
        relay: ChaosProxy,
        provider: Provider,
        database: ChaosProxy,
        chronicle: Chronicle,
        draw: random.Random,
        faults: Sequence[str],
        freeze_s: float = FREEZE_S,
    ) -> None:
        self._cast = cast
        self._home = home
        self._dsn = dsn
        self._sink = sink
        self._relay = relay
        self._provider = provider
        self._database = database
        self._chronicle = chronicle
        self._draw = draw
        self._faults = faults
        self._freeze_s = freeze_s
        self._frozen: int | None = None
        self._freezing: asyncio.Task[None] | None = None
        self._hunting: asyncio.Task[None] | None = None
        self._drifting: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Every fault once in each round, in an order drawn anew, with pauses between them; the first round to its end."""
        is_first = True
        while is_first or not stop.is_set():
            for name in self._round():
                if stop.is_set() and not is_first:
                    break
                await self._until_all_play()
                await FAULTS[name](self)
                await asyncio.sleep(self._draw.uniform(*_GAP_S))
            is_first = False
        for task in (self._freezing, self._hunting, self._drifting):
            if task is not None:
                await task

    async def _until_all_play(self) -> None:
        """Whoever was killed a moment ago is there again, so that there is something to strike at."""
        with suppress(AssertionError):
            await eventually(self._has_victims, _DATABASE_BACK_S)

    async def _has_victims(self) -> bool:
        if not (self._cast.pids("api") and self._workers() and read_postmaster(self._home)):
            return False
        return bool(await self._rows(_BACKENDS))

    def _round(self) -> list[str]:
        names = [name for name in self._faults for _ in range(_PER_ROUND[name])]
        self._draw.shuffle(names)
        return names

    async def kill_api(self) -> None:
        await self._kill("kill_api", self._cast.pids("api"))

    async def kill_worker(self) -> None:
        await self._until_busy(self._workers())
        workers = self._workers()
        victims = self._with_bytes_on_the_wire(workers) or workers
        await self._kill("kill_worker", self._draw.sample(victims, min(1, len(victims))))

    async def lose_journal(self) -> None:
        """A worker dies and its journal with it, as on a machine that is lost: nothing is known of its open waves."""
        await self._until_busy(self._workers())
        workers = self._workers()
        victims = self._with_bytes_on_the_wire(workers) or workers
        for pid in self._draw.sample(victims, min(1, len(victims))):
            self._cast.stop([pid])
            on_wire = self._with_bytes_on_the_wire([pid])
            for journal in (self._home.data / JOURNALS).glob(f"*:{pid}:*"):
                journal.unlink()
            self._cast.signal(signal.SIGKILL, [pid])
            open_sends = await self._open_sends([pid])
            self._chronicle.fault(
                "lose_journal",
                kills=1,
                on_wire=len(on_wire),
                allows=open_sends.get("smtp", 0),
                repeats=open_sends.get("webhook", 0),
            )

    async def kill_workers(self) -> None:
        await self._kill("kill_workers", self._workers())

    async def kill_keeper(self) -> None:
        """The role of the keeper has no process of its own: the worker dies that has it, as soon as one has."""
        if self._hunting is None:
            self._hunting = asyncio.create_task(self._hunt_keeper())

    async def kill_everything(self) -> None:
        await self._kill("kill_everything", [*self._workers(), *self._cast.pids("api")], postmaster=True)

    async def kill_postmaster(self) -> None:
        if self._kill_postmaster():
            self._chronicle.fault("kill_postmaster", kills=1)

    async def kill_backend(self) -> None:
        backends = [pid for (pid,) in await self._rows(_BACKENDS)]
        if backends:
            with suppress(ProcessLookupError):
                os.kill(self._draw.choice(backends), signal.SIGKILL)
            self._chronicle.fault("kill_backend", kills=1)

    async def freeze_worker(self) -> None:
        """One worker at a time stands still for longer than its lease while everything else goes on."""
        if self._freezing is None:
            self._freezing = asyncio.create_task(self._freeze())

    async def cut_relay(self) -> None:
        await self._until_busy()
        self._chronicle.fault("cut_relay", allows=self._cut_relay())

    async def lose_replies(self) -> None:
        """The relay takes what comes, and nobody hears of it."""
        await self._until_busy()
        self._relay.loses_replies = True
        await asyncio.sleep(_OUTAGE_S)
        allows = self._cut_relay()
        self._relay.loses_replies = False
        self._chronicle.fault("lose_replies", allows=allows)

    async def slow_relay(self) -> None:
        self._relay.is_slow = True
        await asyncio.sleep(2 * _OUTAGE_S)
        self._relay.is_slow = False
        self._chronicle.fault("slow_relay")

    async def defer_all(self) -> None:
        self._sink.defer(now=True)
        await asyncio.sleep(_OUTAGE_S / 2)
        self._sink.defer(now=False)
        self._chronicle.fault("defer_all")

    async def trouble_provider(self, *, kind: str) -> None:
        """The HTTP provider does something wrong for a moment."""
        await self._provider.strike(kind)

    async def cut_database(self) -> None:
        self._chronicle.fault("cut_database")
        self._database.cut()

    async def lose_commits(self) -> None:
        """Some transactions are committed, and whoever sent them never hears of it."""
        self._database.commits_to_lose = self._draw.randint(1, 4)
        await asyncio.sleep(_OUTAGE_S)
        self._database.commits_to_lose = 0
        self._chronicle.fault("lose_commits")

    async def disk_full(self) -> None:
        """The database has no room for what is to be committed, and then it has."""
        self._database.is_full = True
        await asyncio.sleep(2 * _OUTAGE_S)
        self._database.is_full = False
        self._chronicle.fault("disk_full")

    async def clock_jump(self) -> None:
        """The clock of one process is wrong from now on, by an hour or a day, until it jumps again."""
        self._draw.choice(self._cast.clocks).set(self._draw.choice(_JUMPS_S))
        self._chronicle.fault("clock_jump")

    async def clock_drift(self) -> None:
        """The clock of one process goes too fast or too slow for five seconds, and is wrong by so much from then on."""
        if self._drifting is None:
            clock, drift = self._draw.choice(self._cast.clocks), self._draw.choice(_DRIFTS)
            self._drifting = asyncio.create_task(self._drift(clock, drift))

    async def _kill(self, kind: str, victims: Sequence[int], *, postmaster: bool = False) -> None:
        """They stop, so that what they have on the wire can be told, and die where they stopped."""
        if not victims:
            return
        await self._until_busy(victims)
        self._cast.stop(victims)
        on_wire = self._with_bytes_on_the_wire(victims)
        allows, repeats = self._in_flight(victims)
        self._cast.signal(signal.SIGKILL, victims)
        killed = len(victims) + (postmaster and self._kill_postmaster())
        self._chronicle.fault(kind, kills=killed, on_wire=len(on_wire), allows=allows, repeats=repeats)

    def _kill_postmaster(self) -> bool:
        postmaster = read_postmaster(self._home)
        if postmaster is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(postmaster.pid, signal.SIGKILL)
        return True

    async def _hunt_keeper(self) -> None:
        for _ in range(_LOOKS_FOR_KEEPER):
            if keepers := await self._keepers():
                await self._kill("kill_keeper", keepers)
                break
            await asyncio.sleep(_OUTAGE_S)
        self._hunting = None

    async def _drift(self, clock: WrongClock, drift: float) -> None:
        for _ in range(_DRIFT_STEPS):
            clock.set(clock.ahead_s + drift * _DRIFT_EVERY_S)
            await asyncio.sleep(_DRIFT_EVERY_S)
        self._chronicle.fault("clock_drift")
        self._drifting = None

    async def _freeze(self) -> None:
        try:
            await self._until_busy(self._workers())
            workers = self._workers()
            victims = self._with_bytes_on_the_wire(workers) or workers
            for pid in self._draw.sample(victims, min(1, len(victims))):
                self._frozen = pid
                self._cast.stop([pid])
                allows, repeats = self._in_flight([pid])
                self._chronicle.fault("freeze_worker", allows=allows, repeats=repeats)
                await asyncio.sleep(self._freeze_s)
                self._cast.signal(signal.SIGCONT, [pid])
        finally:
            self._frozen = self._freezing = None

    async def _keepers(self) -> list[int]:
        holders = {pid for (pid,) in await self._rows(_KEEPER)}
        return [pid for pid in self._workers() if str(pid) in holders]

    def _workers(self) -> list[int]:
        return [pid for pid in self._cast.pids("worker") if pid != self._frozen]

    def _busy_ports(self) -> set[int]:
        proxies = (self._relay, self._provider.proxy)
        return {link.client_port for proxy in proxies for link in proxy.links if link.is_busy}

    def _with_bytes_on_the_wire(self, pids: Sequence[int]) -> list[int]:
        busy = self._busy_ports()
        return [pid for pid in pids if busy and local_ports(pid) & busy]

    def _cut_relay(self) -> int:
        """Cuts its connections while the workers stand still; how many messages they have written without hearing a reply.

        Whoever is frozen was allowed what it has on the wire when it froze.
        """
        workers = self._workers()
        self._cast.stop(workers)
        unread = {port for pid in workers for port in unread_ports(pid)}
        standing = {port for pid in workers for port in local_ports(pid)}
        allows = sum(
            IN_FLIGHT_MAX if link.client_port in unread else link.unanswered()
            for link in self._relay.links
            if link.client_port in standing
        )
        self._relay.cut()
        self._cast.signal(signal.SIGCONT, workers)
        return allows

    async def _until_busy(self, victims: Sequence[int] | None = None) -> None:
        """Waits a little for the moment when one of them, or anybody, has bytes on the wire."""
        give_up_at_s = boottime_s() + _WIRE_WITHIN_S
        while boottime_s() < give_up_at_s:
            if self._busy_ports() if victims is None else self._with_bytes_on_the_wire(victims):
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    def _in_flight(self, pids: Sequence[int]) -> tuple[int, int]:
        """The most that these processes, which stand still, can have on the wire to the relay and to the provider."""
        mails = sum(connections_to(pid, self._relay.port) for pid in pids)
        requests = sum(connections_to(pid, self._provider.proxy.port) for pid in pids)
        return IN_FLIGHT_MAX * mails, BATCH_MAX * requests

    async def _open_sends(self, pids: Sequence[int]) -> dict[str, int]:
        """By kind of sender: the sends of the waves that these processes leave open."""
        await asyncio.sleep(_SETTLED_S)
        rows = await self._rows(_OPEN_SENDS, [str(pid) for pid in pids])
        return {kind: int(sends) for kind, sends in rows}

    async def _rows(self, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """What the database answers, when it is back, by a road of its own past the proxy."""
        give_up_at_s = boottime_s() + _DATABASE_BACK_S
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._dsn, application_name="nemesis") as conn:
                    cursor = await conn.execute(query, values)
                    return await cursor.fetchall()
            except psycopg.OperationalError:
                if boottime_s() > give_up_at_s:
                    raise
                await asyncio.sleep(_OUTAGE_S)


_OPEN_SENDS: LiteralString = """
    SELECT s.kind, sum(w.sends) FROM wave w JOIN sender s ON s.id = w.sender_id
    WHERE w.settled_at IS NULL AND split_part(w.worker, ':', 2) = ANY(%s)
    GROUP BY s.kind"""
_KEEPER: LiteralString = "SELECT split_part(holder, ':', 2) FROM role_lease WHERE role = 'keeper'"
_BACKENDS: LiteralString = "SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, 'stentor ')"

FAULTS: dict[str, Fault] = {
    "kill_api": Nemesis.kill_api,
    "kill_worker": Nemesis.kill_worker,
    "lose_journal": Nemesis.lose_journal,
    "kill_workers": Nemesis.kill_workers,
    "kill_keeper": Nemesis.kill_keeper,
    "kill_everything": Nemesis.kill_everything,
    "kill_postmaster": Nemesis.kill_postmaster,
    "kill_backend": Nemesis.kill_backend,
    "freeze_worker": Nemesis.freeze_worker,
    "cut_relay": Nemesis.cut_relay,
    "lose_replies": Nemesis.lose_replies,
    "slow_relay": Nemesis.slow_relay,
    "defer_all": Nemesis.defer_all,
    **{kind: partial(Nemesis.trouble_provider, kind=kind) for kind in TROUBLES},
    "cut_database": Nemesis.cut_database,
    "lose_commits": Nemesis.lose_commits,
    "disk_full": Nemesis.disk_full,
    "clock_jump": Nemesis.clock_jump,
    "clock_drift": Nemesis.clock_drift,
}
"""Each kind by the name that the certificate counts it under."""

_PER_ROUND = {name: 2 if name in {"kill_worker", "kill_workers"} else 1 for name in FAULTS}
