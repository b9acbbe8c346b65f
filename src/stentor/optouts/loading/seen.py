"""Which digests may have come before: one bit for each, in a file that the children of a load share.

What has no bit has not come before, which is true of nearly all; the few others are looked for. Digests are as good as random,
so their first bits choose the place, and in sorted order the file is read from its beginning to its end.
"""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stentor.optouts.runs.index import U64, Digests

_PER_DIGEST = 16
"""So many bits for each digest that is expected; then at most one in sixteen of the new ones is looked for in vain."""

_BITS_MIN, _BITS_MAX = 16, 32


def make_bitmap(path: Path, expected: int) -> None:
    """Makes the file for about so many digests: at most 512 MiB. Raises OSError where the disk has no room for it."""
    bits = min(_BITS_MAX, max(_BITS_MIN, (expected * _PER_DIGEST).bit_length()))
    with path.open("wb") as file:
        # A hole in a mapped file that finds no room later kills who writes into it.
        os.posix_fallocate(file.fileno(), 0, 1 << (bits - 3))


def make_full_bitmap(path: Path) -> None:
    """Makes a file by which each digest may have come before."""
    path.write_bytes(b"\xff" * (1 << (_BITS_MIN - 3)))


class Bitmap:
    """The file, mapped. One at a time may add to it."""

    def __init__(self, path: Path) -> None:
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r+")
        bits = len(self._bytes).bit_length() - 1 + 3
        self._byte_shift = np.uint64(64 - bits + 3)
        self._bit_shift = np.uint64(64 - bits)

    def may_hold(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """For each of the sorted digests whether it may have been added."""
        return (self._bytes[self._places(digests.high)] & self._masks(digests.high)) != 0

    def add(self, digests: Digests) -> None:
        """Adds the digests, which are sorted."""
        if not len(digests):
            return
        places = self._places(digests.high)
        first = np.ones(len(places), dtype=bool)
        first[1:] = places[1:] != places[:-1]
        begins = np.flatnonzero(first)
        self._bytes[places[begins]] |= np.bitwise_or.reduceat(self._masks(digests.high), begins)

    def _places(self, high: U64) -> npt.NDArray[np.intp]:
        return (high >> self._byte_shift).astype(np.intp)

    def _masks(self, high: U64) -> npt.NDArray[np.uint8]:
        return np.left_shift(np.uint8(1), ((high >> self._bit_shift) & np.uint64(7)).astype(np.uint8))
