"""What a child does with a chunk: it reads the lines, finds out which are new, and writes them down as a segment.

Two calls, one after the other, on the same child, which keeps the chunk between them: `read`, then `write` when all chunks
before it were written.
"""

import csv
import functools
import os
import struct
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from stentor.optouts.columnar import full_disks_named
from stentor.optouts.loading.classes import LineClass
from stentor.optouts.loading.order import Ordered, ordered
from stentor.optouts.loading.rows import Classified, Order, Rows
from stentor.optouts.loading.seen import Bitmap, make_bitmap, make_full_bitmap
from stentor.optouts.loading.splitting import Chunk
from stentor.optouts.loading.studying import study
from stentor.optouts.runs.held import Removals
from stentor.optouts.runs.index import Digests, Index, IndexWriter

_HALVES = struct.Struct("<QQ")
# At once, so that neither they nor what they become fill the memory.
_ODD_AT_ONCE = 50_000
NEVER_REMOVED = 2**63 - 1
"""As the generation of a known file: no removal concerns it."""

# A mapped file's pages count as ours until it is closed: this many sorted look-ups touch a part of it only.
_ASKED_AT_ONCE = 32_768
# To look for a digest in a file takes as long as to mark so many.
_KNOWN_PER_EXPECTED = 10


class Known(msgspec.Struct, frozen=True):
    """A file of digests that the list has; removals of its generation or a later one took entries out of it again."""

    path: Path
    generation: int


class ReadChunk(msgspec.Struct, frozen=True):
    """What was found in a chunk, by itself."""

    submitted: int
    malformed: int
    rejects_kept: int


class WrittenChunk(msgspec.Struct, frozen=True):
    """What of a chunk was new."""

    added: int
    bytes: int


class _Writer(Protocol):
    """Of the csv module."""

    def writerow(self, row: tuple[int, str], /) -> object:
        """Writes one row."""
        ...


class _Work(msgspec.Struct):
    order: Order
    chunk: Chunk
    rows: Rows
    found: Ordered
    is_hash: npt.NDArray[np.bool_]


_work: list[_Work] = []


def read(order: Order, chunk: Chunk, rejects: Path, rejects_max: int) -> ReadChunk:
    """Reads the lines; writes up to so many of those that are no entries, as CSV with number and reason, to `rejects`."""
    while _work:
        _work.pop().rows.close()
    with full_disks_named():
        rows = Rows(order, chunk)
        found = rows.digests()
    classes = found.classes
    if len(classes) != chunk.lines:
        raise RuntimeError(f"Of {chunk.lines} lines of a chunk {len(classes)} came back.")
    submitted = int(np.count_nonzero(classes != LineClass.EMPTY))
    with rejects.open("w", newline="", encoding="utf-8") as file:
        malformed, kept = _study_odd(order, chunk, rows, found, rejects=csv.writer(file), rejects_max=rejects_max)
    entries = np.flatnonzero((classes == LineClass.ADDRESS) | (classes == LineClass.HASH))
    in_order = ordered(Digests(found.high[entries], found.low[entries]), entries)
    _work[:] = [_Work(order, chunk, rows, in_order, classes == LineClass.HASH)]
    return ReadChunk(submitted, malformed, kept)


def _study_odd(
    order: Order, chunk: Chunk, rows: Rows, found: Classified, *, rejects: _Writer, rejects_max: int
) -> tuple[int, int]:
    """Finds out what the odd lines are; how many of them are malformed, and of how many that is written down."""
    malformed = kept = 0
    odd = np.flatnonzero(found.classes == LineClass.ODD)
    for begin in range(0, len(odd), _ODD_AT_ONCE):
        replaced: dict[int, str] = {}
        for row, line in rows.lines(odd[begin : begin + _ODD_AT_ONCE], chunk.lines):
            studied = study(line, chunk.layout, order)
            if isinstance(studied, str):
                malformed += 1
                if kept < rejects_max:
                    rejects.writerow((chunk.first_line + row, studied))
                    kept += 1
                continue
            entry, replaced[row] = studied
            is_hash = order.keeps_hashes or entry.hash is not None
            found.classes[row] = LineClass.HASH if is_hash else LineClass.ADDRESS
            found.high[row], found.low[row] = _HALVES.unpack(entry.digest)
        if replaced:
            rows.replace(list(replaced), list(replaced.values()))
    return malformed, kept


def write(bitmap: Path, known: Sequence[Known], removals: Path | None, segment: Path, digests: Path) -> WrittenChunk:
    """Writes the entries that are in no known file: as a segment, and their digests as an index.

    All known files' digests are in the bitmap; afterwards the chunk's are, too.
    """
    work = _work.pop()
    found, rows = work.found
    seen = Bitmap(bitmap)
    doubtful = np.flatnonzero(seen.may_hold(found))
    repeated = doubtful[held(Digests(found.high[doubtful], found.low[doubtful]), known, removals)]
    new = np.ones(len(found), dtype=bool)
    new[repeated] = False
    found, rows = Digests(found.high[new], found.low[new]), rows[new]
    seen.add(found)
    with IndexWriter(digests, work.order.hash_name, work.order.generation, expected=len(found)) as writer:
        writer.add(found)
    keep = np.zeros(work.chunk.lines, dtype=bool)
    keep[rows] = True
    with full_disks_named():
        work.rows.write(segment, keep, work.is_hash)
        _sync(segment)
    work.rows.close()
    work.chunk.path.unlink()
    return WrittenChunk(len(found), segment.stat().st_size)


def held(asked: Digests, known: Sequence[Known], removals: Path | None) -> npt.NDArray[np.bool_]:
    """For each of the sorted digests whether a known file holds it and no removal took it out of that one."""
    found = np.zeros(len(asked), dtype=bool)
    if not len(asked):
        return found
    removed_at = _removed_at(asked, removals)
    for file in known:
        left = np.flatnonzero(~found & (removed_at < file.generation))
        if not len(left):
            continue
        for begin in range(0, len(left), _ASKED_AT_ONCE):
            part = left[begin : begin + _ASKED_AT_ONCE]
            with closing(Index(file.path)) as index:
                found[part] = index.holds(Digests(asked.high[part], asked.low[part]))
    return found


def among(path: Path, digests: Sequence[bytes]) -> list[bytes]:
    """Which of the digests that index holds."""
    with closing(Index(path)) as index:
        found = index.holds(Digests.of(digests))
    return [digest for digest, is_held in zip(digests, found.tolist(), strict=True) if is_held]


@functools.lru_cache(maxsize=1)
def _removals_in(path: Path) -> Removals:
    return Removals.read(path)


def _removed_at(asked: Digests, removals: Path | None) -> npt.NDArray[np.int64]:
    """The generation up to which entries of each of the digests were removed; -1 where none was."""
    if removals is None:
        return np.full(len(asked), -1, dtype=np.int64)
    return _removals_in(removals).until(asked.high, asked.low)


def seed(bitmap: Path, expected: int, known: Sequence[Path]) -> None:
    """Makes the bitmap of a load that expects so many digests, and adds what these files hold."""
    with ExitStack() as opened:
        indexes = [opened.enter_context(closing(Index(path))) for path in known]
        if sum(map(len, indexes)) > expected * _KNOWN_PER_EXPECTED:
            # To ask the files for each of the few takes less than to read them: a line into 200 million cost 3.2 GB.
            make_full_bitmap(bitmap)
            return
        make_bitmap(bitmap, expected)
        seen = Bitmap(bitmap)
        for index in indexes:
            for part in index.parts(1 << 20):
                seen.add(part)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
