"""How much memory our processes hold: the sum of their proportional set sizes, PostgreSQL's own apart."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from stentor.db.home import Home
from stentor.db.postmaster import read_postmaster

_LOOK_EVERY_S = 0.25
_PROC = Path("/proc")


class MemoryWatch:
    """Watches this process, its descendants and the embedded database's supervisor within a block, and keeps the peak.

    A sink, which stands for other people's servers, is none of ours.
    """

    def __init__(self, data: Path) -> None:
        self._home = Home(data)
        self._peak_bytes = 0
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
            self._peak_bytes = max(self._peak_bytes, await asyncio.to_thread(self._held_bytes))
            await asyncio.sleep(_LOOK_EVERY_S)

    def _held_bytes(self) -> int:
        return sum(map(_pss_bytes, {*_family(os.getpid()), *_supervisor(self._home)}))


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


def _pss_bytes(pid: int) -> int:
    with suppress(OSError):
        name, command = (_PROC / str(pid) / "comm").read_text(), (_PROC / str(pid) / "cmdline").read_bytes()
        if name.startswith("postgres") or b"stentor.testing" in command:
            return 0
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
