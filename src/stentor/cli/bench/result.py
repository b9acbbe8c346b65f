"""What a bench answers: its measures, and the machine that they were taken on."""

import os
import platform
import re
from pathlib import Path

import msgspec


class Measure(msgspec.Struct, frozen=True):
    """One figure."""

    value: float
    unit: str


class Machine(msgspec.Struct, frozen=True):
    """What a figure depends on; nothing that tells which machine it was."""

    cores: int
    cpu: str
    memory_gb: float
    python: str


class Result(msgspec.Struct, frozen=True):
    """A bench's answer: measures by name, and for how many people, or lines of a file, they were taken."""

    bench: str
    results: dict[str, Measure]
    people: int
    lines: int
    machine: Machine


def per_s(value: float) -> Measure:
    """A rate, to one digit behind the point."""
    return Measure(round(value, 1), "1/s")


def seconds(value: float) -> Measure:
    """A time."""
    return Measure(round(value, 3), "s")


def milliseconds(value: float) -> Measure:
    """A short time."""
    return Measure(round(value, 2), "ms")


def microseconds(value: float) -> Measure:
    """A very short time."""
    return Measure(round(value, 2), "µs")


def megabytes(value: float) -> Measure:
    """An amount of memory, in megabytes of 10⁶ bytes."""
    return Measure(value, "MB")


def ratio(value: float) -> Measure:
    """How many times as much."""
    return Measure(round(value, 2), "×")


def this_machine() -> Machine:
    """The machine that this process runs on: the processors that it may use, not those that are there."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=_found(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo")) or platform.machine(),
        memory_gb=round(int(_found(r"MemTotal:\s*(\d+) kB", Path("/proc/meminfo")) or 0) * 1024 / 1e9, 1),
        python=platform.python_version(),
    )


def _found(pattern: str, file: Path) -> str:
    found = re.search(pattern, file.read_text(encoding="utf-8"))
    return found[1].strip() if found else ""
