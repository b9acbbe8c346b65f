"""What a list holds, asked a million digests at a time, in a child: for files that are held against whole lists.

`stentor.optouts.held_files` gathers what this reads. The indexes are mapped, and what was read of them is given back as it
goes, so that memory does not grow with the list.
"""

import functools
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import numpy.typing as npt

from stentor.optouts.hashing import HashName
from stentor.optouts.runs.index import U64, Digests, Index, IndexWriter

Mask = npt.NDArray[np.bool_]

REMOVAL = np.dtype([("high", "<u8"), ("low", "<u8"), ("generation", "<u8")])
"""A removal in a file: the digest, and until which generation of runs it holds."""

# A search goes over what it asks again and again: so much of it stays in the processor's cache.
_AT_ONCE = 16_384
_MAPPED_BYTES = 64 << 20
_ENTRY_BYTES = 16


class HeldRun(msgspec.Struct, frozen=True):
    """An index on this machine's disk, and the generation of its run."""

    path: Path
    generation: int


class HeldList(msgspec.Struct, frozen=True):
    """The files that together say what a list holds.

    `recents` is an index of its single entries, `removals` a file of REMOVAL; None where there are none.
    """

    hash: HashName
    runs: tuple[HeldRun, ...]
    recents: Path | None = None
    removals: Path | None = None


class Held:
    """The opened files of one list."""

    def __init__(self, files: HeldList) -> None:
        # Of several runs that hold it the latest counts.
        ordered = sorted(files.runs, key=lambda run: run.generation)
        self._runs = [(run.generation, Index(run.path)) for run in ordered]
        self._recents = Index(files.recents) if files.recents else None
        self._removals = Removals.read(files.removals) if files.removals else None

    def holds(self, asked: Digests) -> Mask:
        """For each digest whether the list holds it; they are sorted, or this takes long."""
        latest = np.full(len(asked), -1, dtype=np.int64)
        for generation, index in self._runs:
            latest[_holds(index, asked)] = generation
        found = latest >= 0
        if self._removals is not None:
            places = np.flatnonzero(found)
            found[places] = latest[places] > self._removals.until(asked.high[places], asked.low[places])
        if self._recents is not None:
            found |= _holds(self._recents, asked)
        return found


class Removals:
    """Removals by digest."""

    def __init__(self, high: U64, low: U64, generation: npt.NDArray[np.int64]) -> None:
        self._high, self._low, self._generation = high, low, generation

    @classmethod
    def read(cls, path: Path) -> Self:
        rows = np.fromfile(path, dtype=REMOVAL)
        rows = rows[np.lexsort((rows["low"], rows["high"]))]
        return cls(rows["high"].copy(), rows["low"].copy(), rows["generation"].astype(np.int64))

    def until(self, high: U64, low: U64) -> npt.NDArray[np.int64]:
        """For each digest the generation up to which it was removed; -1 where it was not."""
        until = np.full(len(high), -1, dtype=np.int64)
        place = np.searchsorted(self._high, high)
        left = np.flatnonzero(place < len(self._high))
        # Two digests share their high once in 2**64 pairs; then they stand side by side.
        while len(left):
            at = place[left]
            same = self._high[at] == high[left]
            left, at = left[same], at[same]
            hit = self._low[at] == low[left]
            until[left[hit]] = self._generation[at[hit]]
            place[left] += 1
            left = left[~hit & (place[left] < len(self._high))]
        return until


@functools.lru_cache(maxsize=256)
def held(files: HeldList) -> Held:
    """The list, opened once for the life of this child."""
    return Held(files)


def write_recents(raw: Path, target: Path, hash_name: HashName) -> None:
    """Makes an index of the digests in a file, 16 bytes each in any order, and removes that file."""
    digests = Digests.of([raw.read_bytes()]).sorted()
    with IndexWriter(target, hash_name, 0, expected=len(digests)) as writer:
        writer.add(digests)
    raw.unlink()


def _holds(index: Index, asked: Digests) -> Mask:
    found = np.zeros(len(asked), dtype=bool)
    pieces = max(1, len(index) * _ENTRY_BYTES // _MAPPED_BYTES)
    # Sorted digests: the answers to so many of them lie in some 64 MiB of the index.
    step = max(_AT_ONCE, len(asked) // pieces)
    for begin in range(0, len(asked), step):
        for at in range(begin, min(begin + step, len(asked)), _AT_ONCE):
            end = min(at + _AT_ONCE, begin + step)
            found[at:end] = index.holds(asked.part(at, end))
        index.let_go()
    return found
