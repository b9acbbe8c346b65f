"""A proof sets the clock of one process wrong while it runs; nobody else's, and not the one that leases go by."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stentor.clock import Clock
from stentor.testing.torture.wrong_clock import WrongClock

PROGRAM = """
from stentor.clock import Clock, boottime_s
while input():
    print(Clock().now().timestamp(), boottime_s(), flush=True)
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


def asked(process: "subprocess.Popen[str]") -> tuple[float, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("now\n")
    shown, boottime = process.stdout.readline().split()
    return float(shown), float(boottime)
