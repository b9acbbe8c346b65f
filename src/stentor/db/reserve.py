"""Room on the disk that PostgreSQL alone may use: when it meets the end of its disk it panics, and nothing is accepted any more."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from stentor.errors import NoRoom

RETRY_AFTER_S = 60
_LOOKED_EVERY_S = 1.0
_MB = 1_000_000

T = TypeVar("T")


def _free_bytes(place: Path) -> int:
    existing = next(each for each in (place, *place.parents) if each.exists())
    return shutil.disk_usage(existing).free


class DiskReserve:
    """Keeps `min_free_bytes` free at these places. With another machine's database there are none to look at.

    Looking takes 3 µs, so it is done as often as something large is about to be written.
    """

    def __init__(
        self,
        places: Sequence[Path],
        min_free_bytes: int,
        *,
        what: str = "database",
        free_bytes: Callable[[Path], int] = _free_bytes,
    ) -> None:
        """`what` says in words what lies at these places."""
        self._places = places
        self._min_free_bytes = min_free_bytes
        self._what = what
        self._free_bytes = free_bytes

    @classmethod
    def of_cluster(cls, cluster: Path, min_free_bytes: int) -> "DiskReserve":
        """For a cluster whose log of transactions may lie on a disk of its own."""
        return cls([cluster, cluster / "pg_wal"], min_free_bytes)

    @property
    def shortage(self) -> str:
        """A sentence when less is free than should be, else nothing."""
        return self._shortage_of(0)

    def check(self, needed: int = 0) -> None:
        """Raises NoRoom when less is free, or would be once so many bytes more are written."""
        if shortage := self._shortage_of(needed):
            raise NoRoom(f"{shortage} Make room, and send it again.", retry_after_s=RETRY_AFTER_S)

    async def beside(self, writing: Coroutine[Any, Any, T]) -> T:
        """What is written, as long as it leaves the disk its reserve. Raises NoRoom, having ended it."""
        task = asyncio.create_task(writing)
        try:
            while not task.done():
                self.check()
                await asyncio.wait({task}, timeout=_LOOKED_EVERY_S)
        finally:
            task.cancel()
            await asyncio.wait({task})
        return task.result()

    def _shortage_of(self, needed: int) -> str:
        if not self._places:
            return ""
        free = min(self._free_bytes(place) for place in self._places)
        if free >= self._min_free_bytes + needed:
            return ""
        asked = f", {needed // _MB:,} MB are needed" if needed else ""
        return f"The {self._what}'s disk has {free // _MB:,} MB left{asked}, and {self._min_free_bytes // _MB:,} MB are kept free."


NOTHING_RESERVED = DiskReserve([], 0)
