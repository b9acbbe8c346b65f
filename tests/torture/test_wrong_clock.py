"""A proof sets the clock of one process wrong while it runs; nobody else's, and not the one that leases go by."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from stentor.clock import Clock
from stentor.testing.databases import TestDatabases
from stentor.testing.http_local import HttpSinkProcess
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.life import Life, prepare
from stentor.testing.torture.sweep import LEASE_OVER_S
from stentor.testing.torture.verdict import judge
from stentor.testing.torture.wrong_clock import WrongClock

PROGRAM = """
from stentor.clock import Clock, boottime_s
while input():
    print(Clock().now().timestamp(), boottime_s(), flush=True)
"""
LIFE = """
import sys, msgspec
from stentor.testing.torture.life import Life, live
print("ready", flush=True)
live(msgspec.json.decode(sys.stdin.buffer.read(), type=Life, dec_hook=lambda kind, text: kind(text)))
"""
A_MOMENT_S = 5.0


@pytest.mark.fault("F12")
def test_a_clock_jumps_in_a_process_that_runs_and_in_no_other(tmp_path: Path):
    clock = WrongClock(tmp_path / "clock")
    command, environment = [sys.executable, "-c", PROGRAM], {**os.environ, **clock.environment}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        for ahead_s in (0.0, 86_400.0, -3_600.0):
            clock.set(ahead_s)

            shown_s, boottime = asked(process)

            assert abs(shown_s - time.time() - ahead_s) < A_MOMENT_S
            assert abs(boottime - time.clock_gettime(time.CLOCK_BOOTTIME)) < A_MOMENT_S
        process.communicate("\n")
    assert Clock().now() - datetime.now(UTC) < timedelta(seconds=A_MOMENT_S)


@pytest.mark.fault("F12")
@pytest.mark.parametrize("hours", [-24, -1, 1, 24])
def test_what_is_to_start_by_the_clock_starts_once_though_every_process_has_a_wrong_one(
    databases: TestDatabases, tmp_path: Path, hours: int
):
    with (
        SinkProcess(tmp_path / "mail") as sink,
        HttpSinkProcess(tmp_path / "hooked") as hooks,
        databases.migrated() as dsn,
        Chronicle(tmp_path / "chronicle") as notes,
    ):
        clock = WrongClock(tmp_path / "clock")
        clock.set(hours * 3_600.0)
        one, another = standing_by(clock), standing_by(clock)
        # Now: what is due by a schedule is due a moment after.
        life = Life(dsn, prepare(dsn, sink.port, hooks.port), notes.path)
        notes.note("began", rules={}, fault_kinds=[])
        first = lived(one, replace(life, failpoints="schedule.after_commit=kill@1"))
        clock.set(-hours * 3_600.0)
        heir = lived(another, replace(life, shift_s=LEASE_OVER_S))
        notes.note("ended")
        verdict = judge(dsn, notes.path, [tmp_path / "mail.index", tmp_path / "hooked.index"], seed=hours)

    assert (first, heir) == (-signal.SIGKILL, 0)
    assert verdict.certificate.broken == [], verdict.examples
    # One of them by a schedule, one by a call that asked for a moment to come.
    assert verdict.certificate.executions == 8


def standing_by(clock: WrongClock) -> "subprocess.Popen[bytes]":
    """A process that goes by that clock and is about to live."""
    environment, pipe = {**os.environ, **clock.environment}, subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", LIFE], env=environment, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def lived(process: "subprocess.Popen[bytes]", life: Life) -> int:
    """How it ended."""
    process.communicate(msgspec.json.encode(life, enc_hook=str))
    return process.returncode


def asked(process: "subprocess.Popen[str]") -> tuple[float, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("now\n")
    shown, boottime = process.stdout.readline().split()
    return float(shown), float(boottime)
