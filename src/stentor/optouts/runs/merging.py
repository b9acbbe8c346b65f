"""Many digest indexes made one: read side by side, window by window, so that memory does not grow with them."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from stentor.optouts.hashing import HashName
from stentor.optouts.runs.index import BLOCK, BadIndex, Digests, Index, IndexReader, IndexWriter, SharedIndex

SOURCES_MAX = 256
"""Indexes that are merged at once; each is an open file and a window of at least one block."""

IN_MEMORY_ENTRIES = 1 << 20
"""Entries of all windows together. At its peak a merge has five copies of them in memory, 84 MB."""

_Key: TypeAlias = tuple[int, int]
_Mask: TypeAlias = npt.NDArray[np.bool_]


class Source(msgspec.Struct, frozen=True):
    """An index on local disk, and the generation of its run: removals of that or a later one hold for it."""

    path: Path
    generation: int


class Removal(msgspec.Struct, frozen=True):
    """That an entry holds no more in runs of generations up to this."""

    digest: bytes
    generation: int


def merge_runs(
    sources: Sequence[Source],
    removals: Sequence[Removal],
    target: Path,
    hash_name: HashName,
    generation: int,
    *,
    in_memory: int = IN_MEMORY_ENTRIES,
) -> int:
    """Writes one index of all that the sources hold, each digest once, without what was removed; returns how many that are.

    `target` is there as a whole afterwards, on disk, or not at all. Memory: `in_memory` entries, and the removals. Raises
    BadIndex for a source that is none or is of another hash, ValueError for more than SOURCES_MAX, OSError.
    """
    if len(sources) > SOURCES_MAX:
        raise ValueError(f"{len(sources)} indexes are more than {SOURCES_MAX}; merge them in turns.")
    with ExitStack() as opened:
        readers = [opened.enter_context(closing(_opened(source.path, hash_name))) for source in sources]
        window = in_memory // max(1, len(sources))
        cursors = [
            _Cursor(reader, window, _removed_from(source, removals))
            for reader, source in zip(readers, sources, strict=True)
        ]
        expected = sum(map(len, readers))
        writer = opened.enter_context(IndexWriter(target, hash_name, generation, expected=expected))
        for part in _merged(cursors):
            writer.add(part)
    return len(writer)


class Share(NamedTuple):
    """What one of several processes merges: of each source the entries from one number up to another."""

    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def begin(self) -> int:
        """What number the first of them has among all."""
        return sum(self.begins)

    @property
    def end(self) -> int:
        """What number follows that of the last one."""
        return sum(self.ends)


def shares_of(sources: Sequence[Path], number: int) -> list[Share]:
    """At most so many shares, about alike, of indexes that have no entry in common. Each but the last ends with a block."""
    with ExitStack() as opened:
        indexes = [opened.enter_context(closing(Index(path))) for path in sources]
        cuts = [
            (0,) * len(indexes),
            *(_cut(indexes, (part << 64) // number) for part in range(1, number)),
            tuple(map(len, indexes)),
        ]
    shares = [Share(begins, ends) for begins, ends in itertools.pairwise(cuts)]
    return [share for share in shares if share.begin < share.end]


def _cut(indexes: Sequence[Index], high: int) -> tuple[int, ...]:
    """How many entries of each come before that high, and before those that fill up a block with them."""
    places = [index.place(high) for index in indexes]
    missing = -sum(places) % BLOCK
    next_ones = [
        index.entries(place, min(place + missing, len(index))) for index, place in zip(indexes, places, strict=True)
    ]
    owners = np.repeat(np.arange(len(indexes)), [len(part) for part in next_ones])
    highs, lows = (
        np.concatenate(halves) for halves in zip(*((part.high, part.low) for part in next_ones), strict=True)
    )
    first = np.lexsort((lows, highs))[:missing]
    return tuple((np.array(places) + np.bincount(owners[first], minlength=len(indexes))).tolist())


def merge_share(
    sources: Sequence[Path], share: Share, target: SharedIndex, hash_name: HashName, in_memory: int
) -> None:
    """Writes the share into the index. Raises as merge_runs, but for duplicates, which `complete` finds."""
    with ExitStack() as opened:
        readers = [
            opened.enter_context(closing(_opened(path, hash_name, begin, end)))
            for path, begin, end in zip(sources, share.begins, share.ends, strict=True)
        ]
        cursors = [_Cursor(reader, in_memory // len(readers), Digests.of(())) for reader in readers]
        target.write(share.begin, _merged(cursors))


def _opened(path: Path, hash_name: HashName, begin: int = 0, end: int | None = None) -> IndexReader:
    reader = IndexReader(path, begin, end)
    if reader.header.hash != hash_name:
        reader.close()
        raise BadIndex(f"{path.name} has digests of {reader.header.hash}, not of {hash_name}.")
    return reader


def _removed_from(source: Source, removals: Sequence[Removal]) -> Digests:
    return Digests.of(removal.digest for removal in removals if removal.generation >= source.generation).sorted()


class _Cursor:
    """A place in one index: the entries from there on that are in memory."""

    def __init__(self, reader: IndexReader, window: int, removed: Digests) -> None:
        self._windows = (without(part, removed) for part in reader.parts(window))
        self._window = Digests.of(())

    def has_more(self) -> bool:
        """Whether anything is left; reads the next window when the last one is used up."""
        while not len(self._window):
            read = next(self._windows, None)
            if read is None:
                return False
            self._window = read
        return True

    def last(self) -> _Key:
        """The highest digest in memory."""
        return int(self._window.high[-1]), int(self._window.low[-1])

    def take(self, until: _Key) -> Digests:
        """The entries up to and with that digest, as far as they are in memory."""
        end = _count_until(self._window, until)
        taken, self._window = self._window.part(0, end), self._window.part(end, len(self._window))
        return taken


def _count_until(digests: Digests, key: _Key) -> int:
    high, low = np.uint64(key[0]), np.uint64(key[1])
    begin = int(np.searchsorted(digests.high, high, side="left"))
    end = int(np.searchsorted(digests.high, high, side="right"))
    return begin + int(np.searchsorted(digests.low[begin:end], low, side="right"))


def _merged(cursors: Sequence[_Cursor]) -> Iterator[Digests]:
    while left := [cursor for cursor in cursors if cursor.has_more()]:
        # What is above that may still have a smaller one behind it, in a file that was not read as far.
        until = min(cursor.last() for cursor in left)
        yield _united([cursor.take(until) for cursor in left])


def _united(parts: Sequence[Digests]) -> Digests:
    if len(parts) == 1:
        return parts[0]
    high, low = np.concatenate([part.high for part in parts]), np.concatenate([part.low for part in parts])
    # Stable is a merge of what is sorted already, eight times as fast as sorting by both numbers.
    order = np.argsort(high, kind="stable")
    high, low = high[order], low[order]
    return _ties_in_order(Digests(high, low))


def _ties_in_order(digests: Digests) -> Digests:
    """The same in the order of the index and each once, of digests that are in the order of their highs."""
    same = digests.high[1:] == digests.high[:-1]
    if not same.any():
        return digests
    tied = np.zeros(len(digests), dtype=bool)
    tied[1:] |= same
    tied[:-1] |= same
    low = digests.low.copy()
    low[tied] = low[tied][np.lexsort((low[tied], digests.high[tied]))]
    first = np.ones(len(digests), dtype=bool)
    first[1:] = ~(same & (low[1:] == low[:-1]))
    return Digests(digests.high[first], low[first])


def without(digests: Digests, removed: Digests) -> Digests:
    """The digests that are not among the removed; both are sorted."""
    if not len(digests) or not len(removed):
        return digests
    begin = int(np.searchsorted(removed.high, digests.high[0], side="left"))
    end = int(np.searchsorted(removed.high, digests.high[-1], side="right"))
    gone = found_among(digests, removed.part(begin, end))
    return Digests(digests.high[~gone], digests.low[~gone]) if gone.any() else digests


def found_among(digests: Digests, wanted: Digests) -> _Mask:
    """For each of the digests whether it is among those wanted; both are sorted, each digest once."""
    found = np.zeros(len(digests), dtype=bool)
    if not len(wanted):
        return found
    alike = np.flatnonzero(np.isin(digests.high, wanted.high))
    # Almost always as few as there are wanted ones.
    known = set(zip(wanted.high.tolist(), wanted.low.tolist(), strict=True))
    pairs = zip(digests.high[alike].tolist(), digests.low[alike].tolist(), strict=True)
    found[alike] = [pair in known for pair in pairs]
    return found
