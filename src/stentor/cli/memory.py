"""How much memory our processes hold: the sum of their proportional set sizes, PostgreSQL's own apart."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from stentor.db.home import Home
from stentor.db.postmaster import read_postmaster

_LOOK_EVERY_S = 0.25
_NOTICEABLE = 1.01
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")


class MemoryWatch:
    """Watches a process, its descendants and the embedded database's supervisor within a block, and keeps the peak.

    The process is this one unless `root` says another.

    A sink, which stands for other people's servers, is none of ours. Shared pages are told apart only when the resident
    sets have grown by a hundredth: looking at every page four times a second took 6 % of the machine that was measured.
    """

    def __init__(self, data: Path, *, root: int | None = None) -> None:
        self._home = Home(data)
        self._root = os.getpid() if root is None else root
        self._peak_bytes = 0
        self._resident_bytes = 0
        self._looking: asyncio.Task[None] | None = None

    @property
    def peak_mb(self) -> float:
        """The peak so far, in megabytes of 10⁶ bytes."""
        return round(self._peak_bytes / 1e6, 1)

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        while True:
            ours = [pid for pid in {*_family(self._root), *_supervisor(self._home)} if _is_ours(pid)]
            resident_bytes = sum(map(_resident_bytes, ours))
            if resident_bytes > self._resident_bytes * _NOTICEABLE:
                self._resident_bytes = resident_bytes
                self._peak_bytes = max(self._peak_bytes, await asyncio.to_thread(_held_bytes, ours))
            await asyncio.sleep(_LOOK_EVERY_S)


def _family(root: int) -> Iterator[int]:
    yield root
    with suppress(OSError, ValueError):
        for task in (_PROC / str(root) / "task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _supervisor(home: Home) -> Iterator[int]:
    # It is nobody's child of ours, but PostgreSQL is its.
    if (postmaster := read_postmaster(home)) is not None:
        with suppress(OSError):
            # The name in parentheses may hold spaces; the parent is the second field behind it.
            yield int((_PROC / str(postmaster.pid) / "stat").read_text().rpartition(")")[2].split()[1])


def _is_ours(pid: int) -> bool:
    with suppress(OSError):
        name, command = (_PROC / str(pid) / "comm").read_text(), (_PROC / str(pid) / "cmdline").read_bytes()
        return not name.startswith("postgres") and b"stentor.testing" not in command
    return False


def _resident_bytes(pid: int) -> int:
    with suppress(OSError):
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
    return 0


def _held_bytes(pids: Iterable[int]) -> int:
    return sum(map(_pss_bytes, pids))


def _pss_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
