"""Every boundary of the flow, one after the other: a life ends or freezes there, others follow it, and the books are judged."""

import itertools
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import LiteralString
from uuid import UUID

import msgspec
import psycopg
from msgspec.structs import replace

import stentor
from stentor.executions.pipeline import GUARD_AGE_S_MAX
from stentor.testing.databases import TestDatabases
from stentor.testing.torture.cast import connections_to, state_of
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.life import BATCH_MAX, Life, live, say_no
from stentor.testing.torture.nemesis import IN_FLIGHT_MAX, JOURNALS
from stentor.testing.torture.verdict import Verdict, judge

LEASE_OVER_S = 30.0
ENDS_WITHIN_S = 40.0
ZOMBIE_WAITS_S = 8.0
"""How long the heirs of a frozen life try to get what it has locked."""

HEIR_IDLE_S = 0.5
"""And how long they wait for what it has locked and they pass over."""

DEAF_WAITS_S = 2.0
"""How long a life waits after an outage: what it claimed and does not know of is free at the end of its own lease."""

STANDS_S = GUARD_AGE_S_MAX + 0.2
"""How long a life stands still while everybody leaves: until nothing that its guard allowed may begin any more."""

_FAILPOINT = re.compile(r'failpoint\("([a-z_.]+)"\)')
_LOOK_EVERY_S = 0.005
_LISTS = "optouts"
_ERASURES = "erasures"
_REVOCATIONS = "backups/revocations.py"
# No life lasts until a winner is found; tests/db/executions/test_experiments.py breaks it off at each of its places.
_EXPERIMENTS = "executions/experiments.py"
_STEPS = "executions/steps"
# Nobody listens in a life; tests/db/integrations breaks off at each of its places.
_INTEGRATIONS = "integrations"
# What brands do not want to be kept is forgotten in no life: it is over for long.
_RETENTION = frozenset({"audit_of", "batch_members", "history_of", "payloads", "told"})
_REQUESTS = (
    "audience/customer_events.py",
    "erasures/merging.py",
    "triggers/batches/service.py",
    "triggers/batches/streaming.py",
    "triggers/test_sends.py",
)


def failpoints() -> list[str]:
    """The names of all places in the engine's source that a life comes to, in order.

    Steps are not among them: what they are written from is over, and their keeper dies in tests/db/executions/test_steps.py.
    """
    source = Path(stentor.__file__).parent
    apart = ("testing", _LISTS, _ERASURES, _REVOCATIONS, _EXPERIMENTS, _STEPS, _INTEGRATIONS, *_REQUESTS)
    elsewhere = {source / each for each in apart}
    named = _named(file for file in source.rglob("*.py") if elsewhere.isdisjoint([file, *file.parents]))
    return [name for name in named if name.partition(".")[0] not in _RETENTION]


def failpoints_of_lists() -> list[str]:
    """The names of the places in the work on opt-out lists, which has lives of its own: they send nobody anything."""
    return _named((Path(stentor.__file__).parent / _LISTS).rglob("*.py"))


def failpoints_of_erasures() -> list[str]:
    """The names of the places in the erasure of people, which is swept by itself: it sends nobody anything."""
    source = Path(stentor.__file__).parent
    requests = {source / file for file in _REQUESTS}
    return _named(file for file in (source / _ERASURES).rglob("*.py") if file not in requests)


def failpoints_of_retention() -> list[str]:
    """The names of the places in forgetting what brands do not want to be kept, which is swept by itself."""
    named = _named(Path(stentor.__file__).parent.rglob("*.py"))
    return [name for name in named if name.partition(".")[0] in _RETENTION]


def failpoints_of_revocations() -> list[str]:
    """The names of the places in revoking again what was revoked after a backup: a copy's, before it lives."""
    return _named([Path(stentor.__file__).parent / _REVOCATIONS])


def failpoints_of_requests() -> list[str]:
    """The names of the places in single requests that send nobody anything, and that are said again by whoever is not answered."""
    return _named(Path(stentor.__file__).parent / file for file in _REQUESTS)


def _named(files: Iterable[Path]) -> list[str]:
    return sorted({name for file in files for name in _FAILPOINT.findall(file.read_text(encoding="utf-8"))})


class NeverCame(Exception):
    """A life ended without coming to the place where it was to come to grief."""


class Sweep:
    """Lives on copies of one prepared database, whose relays are one sink and whose receivers another. Nothing here touches them."""

    def __init__(
        self,
        databases: TestDatabases,
        prepared: str,
        brand_id: UUID,
        *,
        port: int,
        hooks_port: int,
        folder: Path,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        """`in_flight_max`: what a connection to that sink may have on the wire, which depends on what it offers."""
        self._databases = databases
        self._prepared = prepared
        self._brand_id = brand_id
        self._port = port
        self._hooks_port = hooks_port
        self._in_flight_max = in_flight_max
        self._indexes = [folder / "mail.index", folder / "hooked.index"]
        self._folder = folder
        self._numbers = itertools.count()
        # Forked off a process that has imported everything: a life starts in 20 ms instead of a second.
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([live.__module__])

    def hits(self) -> dict[str, int]:
        """How often an undisturbed life comes to each place."""
        with self._life() as life:
            counted = life.chronicle.with_name("hits")
            # Armed for a hit that never comes.
            script = ",".join(f"{point}=kill@{sys.maxsize}" for point in failpoints())
            self._to_its_end(replace(life, failpoints=script, hits=counted))
            return msgspec.json.decode(counted.read_bytes(), type=dict[str, int])

    def struck(
        self,
        action: str,
        point: str,
        hit: int,
        *,
        after: str = "",
        once: str = "",
        is_hasty: bool = False,
        loses_journal: bool = False,
    ) -> Verdict:
        """What came of it when a life met that at a place that it comes to.

        `kill`, `freeze` (for longer than its lease), or `deafen`: it hears nothing more on its connections to the database,
        and lives on.

        `after`: failpoints of a life before that one, for what only heirs come to; `once`: those of this one that come first,
        for what only trouble leads to. `loses_journal`: its heirs find none.
        Raises NeverCame when the life ended without coming there.
        """
        with self._life() as first, Chronicle(first.chronicle) as notes:
            ledgers_from = self._begun(notes)
            idle_s_max = DEAF_WAITS_S if action == "deafen" else first.idle_s_max
            script = ",".join([*filter(None, [once]), f"{point}={action}@{hit}"])
            life = replace(first, failpoints=script, is_hasty=is_hasty, idle_s_max=idle_s_max)
            if after:
                self._strike(replace(first, failpoints=after), notes)
                life = replace(life, shift_s=LEASE_OVER_S)
            self._strike(life, notes, loses_journal=loses_journal)
            self._to_its_end(replace(first, shift_s=life.shift_s + 2 * LEASE_OVER_S))
            return self._judged(first, notes, ledgers_from, hit)

    def left(self, point: str, hit: int) -> Verdict:
        """What came of it when everybody left while a life stood at a place for longer than its guard counts.

        Raises NeverCame when the life ended without coming there.
        """
        with self._life() as life, Chronicle(life.chronicle) as notes:
            ledgers_from = self._begun(notes)
            process = self._standing(replace(life, failpoints=f"{point}=freeze@{hit}"))
            stands_until_s = time.monotonic() + STANDS_S
            self._join(self._started(life, say_no))
            # The rest of it, if their leaving took less. It has to pass: a guard's age is counted from boot, which nothing shifts.
            time.sleep(max(0.0, stands_until_s - time.monotonic()))
            _send(process, signal.SIGCONT)
            self._join(process)
            self._to_its_end(replace(life, shift_s=LEASE_OVER_S))
            return self._judged(life, notes, ledgers_from, hit)

    def _begun(self, notes: Chronicle) -> list[int]:
        """Where this life's part of each ledger begins."""
        notes.note("began", rules={}, fault_kinds=[])
        return [index.stat().st_size for index in self._indexes]

    def _judged(self, life: Life, notes: Chronicle, ledgers_from: list[int], seed: int) -> Verdict:
        notes.note("ended")
        ledger = life.chronicle.with_name("ledger.index")
        parts = zip(self._indexes, ledgers_from, strict=True)
        ledger.write_bytes(b"".join(index.read_bytes()[start:] for index, start in parts))
        # Whoever leaves has left before anybody delivers: no moment after it is excused.
        return judge(life.dsn, life.chronicle, [ledger], seed=seed, opt_out_s_max=0.0)

    @contextmanager
    def _life(self) -> Iterator[Life]:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        with self._databases.copied(self._prepared) as dsn:
            yield Life(dsn, self._brand_id, folder / "chronicle")

    def _strike(self, life: Life, notes: Chronicle, *, loses_journal: bool = False) -> None:
        if "=deafen@" in life.failpoints.rpartition(",")[2]:
            self._to_its_end(life)
            return
        # Who is to be killed stops first, so that its connections can be counted.
        process = self._standing(replace(life, failpoints=life.failpoints.replace("=kill@", "=freeze@")))
        allows = {
            "smtp": self._in_flight_max * connections_to(process.pid or 0, self._port),
            "webhook": BATCH_MAX * connections_to(process.pid or 0, self._hooks_port),
        }
        if loses_journal:
            allows |= _open_sends(life.dsn)
        notes.fault(life.failpoints, kills=1, allows=allows["smtp"], repeats=allows["webhook"])
        if loses_journal:
            shutil.rmtree(life.chronicle.with_name(JOURNALS))
        if "=kill@" in life.failpoints:
            process.kill()
            self._join(process)
        else:
            # Its heirs believe that it is dead; then it goes on where it stood.
            self._to_its_end(
                replace(
                    life,
                    failpoints="",
                    is_hasty=False,
                    shift_s=life.shift_s + LEASE_OVER_S,
                    patience_s=ZOMBIE_WAITS_S,
                    idle_s_max=HEIR_IDLE_S,
                )
            )
            _send(process, signal.SIGCONT)
            self._join(process)

    def _to_its_end(self, life: Life) -> None:
        process = self._started(life)
        self._join(process)
        if process.exitcode != 0:
            raise ChildProcessError(f"A life ended with {process.exitcode}; it says above why.")

    def _standing(self, life: Life) -> BaseProcess:
        """A life that has come to where it freezes."""
        process = self._started(life)
        give_up_at_s = time.monotonic() + ENDS_WITHIN_S
        while process.exitcode is None and state_of(process.pid) != "T":
            if time.monotonic() > give_up_at_s:
                process.kill()
                raise TimeoutError(f"A life neither ended nor came to {life.failpoints} within {ENDS_WITHIN_S:g} s.")
            process.join(_LOOK_EVERY_S)
        if process.exitcode is not None:
            raise NeverCame(f"A life ended with {process.exitcode} and never came to {life.failpoints}.")
        return process

    def _started(self, life: Life, lives: Callable[[Life], None] = live) -> BaseProcess:
        process = self._processes.Process(target=lives, args=(life,))
        process.start()
        return process

    def _join(self, process: BaseProcess) -> None:
        process.join(ENDS_WITHIN_S)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"A life did not end within {ENDS_WITHIN_S:g} s.")


def _open_sends(dsn: str) -> dict[str, int]:
    """By kind of sender."""
    with psycopg.connect(dsn) as conn:
        return dict(conn.execute(_OPEN_SENDS).fetchall())


_OPEN_SENDS: LiteralString = """
    SELECT s.kind, sum(w.sends)::integer FROM wave w JOIN sender s ON s.id = w.sender_id
    WHERE w.settled_at IS NULL GROUP BY s.kind"""


def _send(process: BaseProcess, number: signal.Signals) -> None:
    if process.pid is not None:
        os.kill(process.pid, number)
