"""Every boundary of the flow, one after the other: a life ends or freezes there, others follow it, and the books are judged."""

import itertools
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import UUID

import msgspec
import psycopg
from msgspec.structs import replace

import stentor
from stentor.testing.databases import TestDatabases
from stentor.testing.torture.cast import connections_to
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.life import Life, live
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

_FAILPOINT = re.compile(r'failpoint\("([a-z_.]+)"\)')
_LOOK_EVERY_S = 0.005


def failpoints() -> list[str]:
    """The names of all places in the engine's source, in order."""
    source = Path(stentor.__file__).parent
    names: set[str] = set()
    for file in source.rglob("*.py"):
        if source / "testing" not in file.parents:
            names.update(_FAILPOINT.findall(file.read_text(encoding="utf-8")))
    return sorted(names)


class NeverCame(Exception):
    """A life ended without coming to the place where it was to come to grief."""


class Sweep:
    """Lives on copies of one prepared database, whose relays are one sink and whose receivers another. Nothing here touches them."""

    def __init__(self, databases: TestDatabases, prepared: str, brand_id: UUID, port: int, folder: Path) -> None:
        self._databases = databases
        self._prepared = prepared
        self._brand_id = brand_id
        self._port = port
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
        self, action: str, point: str, hit: int, *, after: str = "", is_hasty: bool = False, loses_journal: bool = False
    ) -> Verdict:
        """What came of it when a life met that at a place that it comes to.

        `kill`, `freeze` (for longer than its lease), or `deafen`: it hears nothing more on its connections to the database,
        and lives on.

        `after`: failpoints of a life before that one, for what only heirs come to. `loses_journal`: its heirs find none.
        Raises NeverCame when the life ended without coming there.
        """
        ledgers_from = [index.stat().st_size for index in self._indexes]
        with self._life() as first, Chronicle(first.chronicle) as notes:
            notes.note("began", rules={}, fault_kinds=[])
            idle_s_max = DEAF_WAITS_S if action == "deafen" else first.idle_s_max
            life = replace(first, failpoints=f"{point}={action}@{hit}", is_hasty=is_hasty, idle_s_max=idle_s_max)
            if after:
                self._strike(replace(first, failpoints=after), notes)
                life = replace(life, shift_s=LEASE_OVER_S)
            self._strike(life, notes, loses_journal=loses_journal)
            self._to_its_end(replace(first, shift_s=life.shift_s + 2 * LEASE_OVER_S))
            notes.note("ended")
            ledger = first.chronicle.with_name("ledger.index")
            parts = zip(self._indexes, ledgers_from, strict=True)
            ledger.write_bytes(b"".join(index.read_bytes()[start:] for index, start in parts))
            return judge(first.dsn, first.chronicle, [ledger], seed=hit)

    @contextmanager
    def _life(self) -> Iterator[Life]:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        with self._databases.copied(self._prepared) as dsn:
            yield Life(dsn, self._brand_id, folder / "chronicle")

    def _strike(self, life: Life, notes: Chronicle, *, loses_journal: bool = False) -> None:
        # Who is to be killed stops first, so that its connections can be counted.
        process = self._started(replace(life, failpoints=life.failpoints.replace("=kill@", "=freeze@")))
        give_up_at_s = time.monotonic() + ENDS_WITHIN_S
        while process.exitcode is None and not _is_frozen(process):
            if time.monotonic() > give_up_at_s:
                process.kill()
                raise TimeoutError(f"A life neither ended nor came to {life.failpoints} within {ENDS_WITHIN_S:g} s.")
            process.join(_LOOK_EVERY_S)
        if "=deafen@" in life.failpoints:
            if process.exitcode != 0:
                raise ChildProcessError(f"A life ended with {process.exitcode} of an outage; it says above why.")
            return
        if process.exitcode is not None:
            raise NeverCame(f"A life ended with {process.exitcode} and never came to {life.failpoints}.")
        in_flight = IN_FLIGHT_MAX * connections_to(process.pid or 0, self._port)
        notes.fault(life.failpoints, kills=1, allows=_open_sends(life.dsn) if loses_journal else in_flight)
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

    def _started(self, life: Life) -> BaseProcess:
        process = self._processes.Process(target=live, args=(life,))
        process.start()
        return process

    def _join(self, process: BaseProcess) -> None:
        process.join(ENDS_WITHIN_S)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"A life did not end within {ENDS_WITHIN_S:g} s.")


def _is_frozen(process: BaseProcess) -> bool:
    try:
        state = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state == "T"


def _open_sends(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT coalesce(sum(sends), 0) FROM wave WHERE settled_at IS NULL").fetchone()
    return row[0] if row else 0


def _send(process: BaseProcess, number: signal.Signals) -> None:
    if process.pid is not None:
        os.kill(process.pid, number)
