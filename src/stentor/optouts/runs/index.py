"""A digest index: all digests of a run, sorted, in a flat file that any process maps and asks in microseconds.

A digest's 16 bytes are two little-endian 64-bit numbers, `high` (the first eight bytes) and `low`; entries are in the order
of (high, low). The file:

    header      4,096 bytes: magic, format, hash, generation, entries, shift, CRC-32 of what precedes it
    blocks      4,096 entries each: their 4,096 highs, then their 4,096 lows; the last one is padded with ones
    signposts   how many entries have a `high >> shift` below 0, 1, 2 …: about one signpost per 256 entries

Digests are as good as random, so a signpost leads to some 256 neighbours, and a look-up ends there: 8 more steps, one page.
"""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import numpy.typing as npt

from stentor.optouts.hashing import DIGEST_BYTES, HASH_NAMES, HashName

U64 = npt.NDArray[np.uint64]

FORMAT = 1
_MAGIC = b"STENTIDX"
_HEADER_BYTES = 4096
_HEADER = struct.Struct("<8sHH8sQQHxxxxxx")
_BLOCK = 4096
_BLOCK_SHIFT = 12
_PER_SIGNPOST = 256
_FEW = 16


class Digests(msgspec.Struct, frozen=True):
    """Digests as two arrays of the same length; what the index calls sorted is by high, then low."""

    high: U64
    low: U64

    def __len__(self) -> int:
        return len(self.high)

    @classmethod
    def of(cls, digests: Iterable[bytes]) -> Self:
        """Of 16 bytes each, in the order given."""
        pairs = np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)
        return cls(np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))

    def part(self, begin: int, end: int) -> Self:
        """Those from `begin` up to `end`, without copying."""
        return type(self)(self.high[begin:end], self.low[begin:end])

    def sorted(self) -> Self:
        """The same, in the order of the index, each once."""
        order = np.lexsort((self.low, self.high))
        high, low = self.high[order], self.low[order]
        first = np.ones(len(high), dtype=bool)
        first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        return type(self)(high[first], low[first])

    def as_bytes(self) -> list[bytes]:
        """Each as 16 bytes."""
        raw = np.stack((self.high, self.low), axis=1).astype("<u8").tobytes()
        return [raw[at : at + DIGEST_BYTES] for at in range(0, len(raw), DIGEST_BYTES)]


class BadIndex(Exception):
    """A file is no index of ours, or not all of one."""


class Index:
    """One index file, mapped. Cheap to open (one page is read); to be closed by its owner.

    Raises BadIndex for anything that is not a whole index of a known format, FileNotFoundError where there is no file.
    """

    def __init__(self, path: Path) -> None:
        self._map = np.memmap(path, dtype="<u8", mode="r")
        head = self._map[: _HEADER_BYTES // 8].tobytes()
        magic, form, hash_number, _, self.generation, entries, self._shift = _HEADER.unpack_from(head)
        (stated,) = struct.unpack_from("<I", head, _HEADER.size)
        if magic != _MAGIC or form != FORMAT or zlib.crc32(head[: _HEADER.size]) != stated:
            raise BadIndex(f"{path.name} is no digest index of format {FORMAT}.")
        self.hash: HashName = HASH_NAMES[hash_number]
        self._entries = int(entries)
        blocks = -(-self._entries // _BLOCK)
        signposts = _HEADER_BYTES // 8 + blocks * 2 * _BLOCK
        self._blocks = self._map[_HEADER_BYTES // 8 : signposts].reshape(-1, 2, _BLOCK)
        self._signposts = self._map[signposts:]
        if len(self._signposts) != (1 << (64 - self._shift)) + 1:
            raise BadIndex(f"{path.name} is cut short.")

    def __len__(self) -> int:
        return self._entries

    def close(self) -> None:
        """Unmaps the file once the last array that came from it is gone."""
        del self._map, self._blocks, self._signposts

    def holds(self, asked: Digests) -> npt.NDArray[np.bool_]:
        """For each digest, in any order, whether it is in the index."""
        if len(asked) <= _FEW:
            pairs = zip(asked.high.tolist(), asked.low.tolist(), strict=True)
            return np.fromiter((self._holds_one(high, low) for high, low in pairs), dtype=bool, count=len(asked))
        return self._holds_many(asked)

    def parts(self, size: int) -> Iterator[Digests]:
        """All digests in order, some `size` at a time, as copies."""
        step = max(1, size // _BLOCK)
        for block in range(0, len(self._blocks), step):
            taken = self._blocks[block : block + step]
            count = min(self._entries - block * _BLOCK, len(taken) * _BLOCK)
            yield Digests(taken[:, 0, :].reshape(-1)[:count], taken[:, 1, :].reshape(-1)[:count])

    def between(self, begin: int, end: int) -> Digests:
        """The digests whose high is at least `begin` and below `end` (at most 2**64), in order, as copies."""
        first, last = self._place(begin), self._place(end)
        from_block, to_block = first >> _BLOCK_SHIFT, -(-last // _BLOCK)
        taken = self._blocks[from_block:to_block]
        cut = slice(first - from_block * _BLOCK, last - from_block * _BLOCK)
        return Digests(taken[:, 0, :].reshape(-1)[cut], taken[:, 1, :].reshape(-1)[cut])

    def _place(self, high: int) -> int:
        """How many entries have a lower high."""
        if high >= 1 << 64:
            return self._entries
        post = high >> self._shift
        begin, end = int(self._signposts[post]), int(self._signposts[post + 1])
        while begin < end:
            middle = (begin + end) >> 1
            if int(self._blocks[middle >> _BLOCK_SHIFT, 0, middle & (_BLOCK - 1)]) < high:
                begin = middle + 1
            else:
                end = middle
        return begin

    def _holds_one(self, high: int, low: int) -> bool:
        place = self._place(high)
        # Two digests share their high once in 2**64 pairs; then their lows stand side by side.
        while place < self._entries:
            block, at = place >> _BLOCK_SHIFT, place & (_BLOCK - 1)
            if int(self._blocks[block, 0, at]) != high:
                return False
            if int(self._blocks[block, 1, at]) == low:
                return True
            place += 1
        return False

    def _holds_many(self, asked: Digests) -> npt.NDArray[np.bool_]:
        flat = self._blocks.reshape(-1)
        if not self._entries:
            return np.zeros(len(asked), dtype=bool)
        posts = (asked.high >> np.uint64(self._shift)).astype(np.intp)
        begin = self._signposts[posts].astype(np.int64)
        end = self._signposts[posts + 1].astype(np.int64)
        while (open_ := begin < end).any():
            middle = (begin + end) >> 1
            # Where nothing is left to look for, any entry will do; the last one may lie past the end.
            below = flat[_high_at(np.minimum(middle, self._entries - 1))] < asked.high
            begin = np.where(open_ & below, middle + 1, begin)
            end = np.where(open_ & ~below, middle, end)
        found = np.zeros(len(asked), dtype=bool)
        left = np.flatnonzero(begin < self._entries)
        while len(left):
            at = _high_at(begin[left])
            same = flat[at] == asked.high[left]
            left, at = left[same], at[same]
            found[left] |= flat[at + _BLOCK] == asked.low[left]
            begin[left] += 1
            left = left[~found[left] & (begin[left] < self._entries)]
        return found


def _high_at(place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where in the blocks the high of an entry stands."""
    return (place >> _BLOCK_SHIFT << (_BLOCK_SHIFT + 1)) + (place & (_BLOCK - 1))


class IndexWriter:
    """Writes an index from parts in order. What lies at `path` is either a whole index, on disk, or not there.

    `expected` is about how many digests will come; only the spacing of the signposts depends on it.
    """

    def __init__(self, path: Path, hash_name: HashName, generation: int, *, expected: int) -> None:
        self._path = path
        self._making = path.with_name(f"{path.name}.making")
        self._hash, self._generation = hash_name, generation
        # At least one, because numpy leaves shifts by 64 undefined.
        bits = max(1, (expected // _PER_SIGNPOST).bit_length())
        self._shift = 64 - bits
        self._counts = np.zeros(1 << bits, dtype=np.int64)
        self._entries = 0
        self._rest = Digests(np.empty(0, np.uint64), np.empty(0, np.uint64))
        self._file = self._making.open("wb")
        self._file.seek(_HEADER_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with closing(self._file):
            if kind is None:
                self._finish()
        if kind is None:
            self._making.rename(self._path)
        else:
            self._making.unlink(missing_ok=True)

    def add(self, digests: Digests) -> None:
        """Adds the next ones: sorted, each once, all above those before. An empty part is none."""
        if not len(digests):
            return
        posts = (digests.high >> np.uint64(self._shift)).astype(np.int64)
        counts = np.bincount(posts - posts[0])
        self._counts[posts[0] : posts[0] + len(counts)] += counts
        self._entries += len(digests)
        if len(self._rest):
            digests = Digests(
                np.concatenate((self._rest.high, digests.high)), np.concatenate((self._rest.low, digests.low))
            )
        whole = len(digests) // _BLOCK
        self._write_blocks(digests.part(0, whole * _BLOCK))
        self._rest = digests.part(whole * _BLOCK, len(digests))

    def __len__(self) -> int:
        return self._entries

    def _write_blocks(self, digests: Digests) -> None:
        pairs = np.stack((digests.high.reshape(-1, _BLOCK), digests.low.reshape(-1, _BLOCK)), axis=1)
        self._file.write(np.ascontiguousarray(pairs, dtype="<u8").data)

    def _finish(self) -> None:
        if missing := -len(self._rest) % _BLOCK:
            padding = np.full(missing, np.iinfo(np.uint64).max, dtype=np.uint64)
            self._write_blocks(
                Digests(np.concatenate((self._rest.high, padding)), np.concatenate((self._rest.low, padding)))
            )
        posts = np.concatenate((np.zeros(1, np.int64), np.cumsum(self._counts)))
        self._file.write(np.ascontiguousarray(posts, dtype="<u8").data)
        hash_number = HASH_NAMES.index(self._hash)
        head = _HEADER.pack(_MAGIC, FORMAT, hash_number, b"", self._generation, self._entries, self._shift)
        self._file.seek(0)
        self._file.write((head + struct.pack("<I", zlib.crc32(head))).ljust(_HEADER_BYTES, b"\0"))
        self._file.flush()
        os.fsync(self._file.fileno())
