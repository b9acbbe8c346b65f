"""Room on the disk that PostgreSQL alone may use: when it meets the end of its disk it panics, and nothing is accepted any more."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from stentor.errors import NoRoom

RETRY_AFTER_S = 60
_MB = 1_000_000


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
        free = min((self._free_bytes(place) for place in self._places), default=self._min_free_bytes)
        if free >= self._min_free_bytes:
            return ""
        return f"The {self._what}'s disk has {free // _MB:,} MB left, and {self._min_free_bytes // _MB:,} MB are kept free."

    def check(self) -> None:
        """Raises NoRoom when less is free."""
        if shortage := self.shortage:
            raise NoRoom(f"{shortage} Make room, and send it again.", retry_after_s=RETRY_AFTER_S)


NOTHING_RESERVED = DiskReserve([], 0)
