"""How much memory our processes hold: the sum of their proportional set sizes, PostgreSQL's own apart."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LOOK_EVERY_S = 0.25
_PROC = Path("/proc")


class MemoryWatch:
    """Watches this process and its descendants, and keeps the peak."""

    def __init__(self) -> None:
        self.peak_bytes = 0

    @property
    def peak_mb(self) -> float:
        """The peak so far, in megabytes of 10⁶ bytes."""
        return round(self.peak_bytes / 1e6, 1)

    async def run(self) -> None:
        """Looks four times a second until cancelled; reading costs a millisecond per process."""
        while True:
            held = await asyncio.to_thread(lambda: sum(_pss_bytes(pid) for pid in _family(os.getpid())))
            self.peak_bytes = max(self.peak_bytes, held)
            await asyncio.sleep(_LOOK_EVERY_S)


def _family(root: int) -> Iterator[int]:
    yield root
    with suppress(OSError, ValueError):
        for task in (_PROC / str(root) / "task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _pss_bytes(pid: int) -> int:
    with suppress(OSError):
        if (_PROC / str(pid) / "comm").read_text().strip() == "postgres":
            return 0
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
