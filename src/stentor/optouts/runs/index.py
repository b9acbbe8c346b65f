"""A digest index: all digests of a run, sorted, in a flat file that any process maps and asks in microseconds.

A digest's 16 bytes are two little-endian 64-bit numbers, `high` (the first eight bytes) and `low`; entries are in the order
of (high, low). The file:

    header      4,096 bytes: magic, format, hash, generation, entries, shift, CRC-32 of what precedes it
    blocks      4,096 entries each: their 4,096 highs, then their 4,096 lows; the last one is padded with ones
    signposts   how many entries have a `high >> shift` below 0, 1, 2 …: about one signpost per 256 entries

Digests are as good as random, so a signpost leads to some 256 neighbours, and a look-up ends there: 8 more steps, one page.
"""

import mmap
import os
import struct
import weakref
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Self, overload

import msgspec
import numpy as np
import numpy.typing as npt

from stentor.optouts.hashing import DIGEST_BYTES, HASH_NAMES, HashName

U64 = npt.NDArray[np.uint64]

FORMAT = 1
_MAGIC = b"STENTIDX"
_HEADER_BYTES = 4096
_HEADER = struct.Struct("<8sHH8sQQHxxxxxx")
BLOCK = 4096
"""So many entries stand together."""
_BLOCK_SHIFT = 12
_LOWS_BEHIND = 8 * BLOCK
"""In bytes: so far behind the high of an entry stands its low."""
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


class NotAtHand(Exception):
    """What a look-up reads is not in memory, and on its way there."""


class Header(msgspec.Struct, frozen=True):
    """What an index says of itself."""

    hash: HashName
    generation: int
    entries: int
    shift: int

    @property
    def signposts_at(self) -> int:
        """Where the signposts begin, in numbers of eight bytes."""
        return _HEADER_BYTES // 8 + -(-self.entries // BLOCK) * 2 * BLOCK

    @classmethod
    def read(cls, file: BinaryIO, name: str) -> Self:
        """Reads it, and leaves the file at the first block. Raises BadIndex unless the file is as long as it should be."""
        head = file.read(_HEADER_BYTES)
        if len(head) < _HEADER_BYTES:
            raise BadIndex(f"{name} is cut short.")
        magic, form, hash_number, _, generation, entries, shift = _HEADER.unpack_from(head)
        (stated,) = struct.unpack_from("<I", head, _HEADER.size)
        if magic != _MAGIC or form != FORMAT or zlib.crc32(head[: _HEADER.size]) != stated:
            raise BadIndex(f"{name} is no digest index of format {FORMAT}.")
        found = cls(HASH_NAMES[hash_number], generation, entries, shift)
        if os.fstat(file.fileno()).st_size != 8 * (found.signposts_at + (1 << (64 - shift)) + 1):
            raise BadIndex(f"{name} is cut short.")
        return found


class Index:
    """One index file, mapped. Cheap to open (one page is read); to be closed by its owner.

    Raises BadIndex for anything that is not a whole index of a known format, FileNotFoundError where there is no file.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            head = Header.read(file, path.name)
            self._pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            self._descriptor = os.dup(file.fileno())
        self._close_file = weakref.finalize(self, os.close, self._descriptor)
        # Or a look-up would bring megabytes along that nobody asks for.
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        self._name = path.name
        self.hash: HashName = head.hash
        self.generation = head.generation
        self._entries = head.entries
        self._shift = head.shift
        # As a plain array: of a memmap each number that is taken out costs twice as much.
        self._map = np.frombuffer(self._pages, dtype="<u8")
        self._signposts = self._map[head.signposts_at :]
        if int(self._signposts[-1]) != self._entries:
            raise BadIndex(f"{path.name} is damaged: its signposts lead to another number of entries.")
        self._blocks = self._map[_HEADER_BYTES // 8 : head.signposts_at].reshape(-1, 2, BLOCK)

    def __len__(self) -> int:
        return self._entries

    @property
    def bytes(self) -> int:
        """How long the file is: so much of it may be mapped."""
        return self._map.nbytes

    def close(self) -> None:
        """Unmaps the file once the last array that came from it is gone."""
        self._close_file()
        del self._pages, self._map, self._blocks, self._signposts

    def let_go(self, begin: int = 0, end: int | None = None) -> None:
        """Unmaps what was read so far, between these bytes if named, until it is read again.

        For who asks so much that all of it would be mapped.
        """
        begin &= -mmap.PAGESIZE
        self._pages.madvise(mmap.MADV_DONTNEED, begin, (self.bytes if end is None else min(end, self.bytes)) - begin)

    def at_bytes(self, asked: Digests) -> npt.NDArray[np.int64]:
        """Where in the file the answers to these begin."""
        return _at_byte(self._signposts[(asked.high >> np.uint64(self._shift)).astype(np.intp)].astype(np.int64))

    def touch(self, at_bytes: npt.NDArray[np.int64]) -> None:
        """Maps what lies there. Where that has to be read, only this thread waits."""
        self._map.take(at_bytes >> 3)

    def holds(self, asked: Digests) -> npt.NDArray[np.bool_]:
        """For each digest, in any order, whether it is in the index. What is read of it is mapped then."""
        if len(asked) <= _FEW:
            pairs = zip(asked.high.tolist(), asked.low.tolist(), strict=True)
            return np.fromiter((self._holds_one(high, low) for high, low in pairs), dtype=bool, count=len(asked))
        return self._holds_many(asked)

    def look_up(self, asked: Digests, *, waits: bool) -> npt.NDArray[np.bool_]:
        """As `holds`, for some hundred digests, and nothing of the blocks is mapped.

        Unless it `waits` for the disk it raises NotAtHand where it had to, and all that is missing is being read.
        """
        posts = (asked.high >> np.uint64(self._shift)).astype(np.intp)
        begins, ends = self._signposts[posts].astype(np.int64), self._signposts[posts + 1].astype(np.int64)
        # What lies in two blocks, and hashes that somebody made up, are not for here.
        sizes = np.where((begins & (BLOCK - 1)) + (ends - begins) <= BLOCK, (ends - begins) * 8, 0)
        reads = _Reads(self._descriptor, self._name, waits=waits)
        found = np.zeros(len(asked), dtype=bool)
        for place in reads.doubtful(asked.high.tolist(), _at_byte(begins).tolist(), sizes.tolist()):
            high, low = int(asked.high[place]), int(asked.low[place])
            found[place] = self._is_among(int(begins[place]), int(ends[place]), high, low, reads)
        if reads.lacks:
            raise NotAtHand
        return found

    def expect(self, asked: Digests) -> bool:
        """Whether the answers to the first of these are not in memory; what all lie on is being read then."""
        try:
            self.look_up(asked.part(0, _FEW), waits=False)
        except NotAtHand:
            reads = _Reads(self._descriptor, self._name, waits=False)
            for at_byte in self.at_bytes(asked).tolist():
                reads.begin(at_byte)
            return True
        return False

    def parts(self, size: int) -> Iterator[Digests]:
        """All digests in order, some `size` at a time, as copies."""
        step = max(1, size // BLOCK) * BLOCK
        for begin in range(0, self._entries, step):
            yield self.entries(begin, min(begin + step, self._entries))

    def between(self, begin: int, end: int) -> Digests:
        """The digests whose high is at least `begin` and below `end` (at most 2**64), in order, as copies."""
        return self.entries(self.place(begin), self.place(end))

    def entries(self, begin: int, end: int) -> Digests:
        """The entries from number `begin` up to `end` (at most all there are), in order, as copies."""
        from_block, to_block = begin >> _BLOCK_SHIFT, -(-end // BLOCK)
        taken = self._blocks[from_block:to_block]
        cut = slice(begin - from_block * BLOCK, end - from_block * BLOCK)
        return Digests(taken[:, 0, :].flatten()[cut], taken[:, 1, :].flatten()[cut])

    def place(self, high: int, low: int = 0) -> int:
        """How many entries come before that digest."""
        if high >= 1 << 64:
            return self._entries
        post = high >> self._shift
        begin, end = int(self._signposts[post]), int(self._signposts[post + 1])
        while begin < end:
            middle = (begin + end) >> 1
            block, at = middle >> _BLOCK_SHIFT, middle & (BLOCK - 1)
            there = int(self._blocks[block, 0, at])
            # The low lies on another page, which is read only where the high is the one asked for.
            if there < high or (there == high and int(self._blocks[block, 1, at]) < low):
                begin = middle + 1
            else:
                end = middle
        return begin

    def _is_among(self, begin: int, end: int, high: int, low: int, reads: "_Reads") -> bool:
        """Whether the digest is among the entries from number `begin` up to `end`; where that is not at hand, `reads` notes it."""
        if end - begin > BLOCK:
            # Hashes that somebody made up.
            return reads.waits_or_lacks() and self._holds_one(high, low)
        while begin < end:
            until = min(end, (begin | (BLOCK - 1)) + 1)
            count = until - begin
            highs = reads.numbers(_at_byte(begin), count)
            if highs is None:
                reads.begin(_at_byte(begin))
                return False
            place = bisect_left(highs, high, 0, count)
            if place < count:
                if highs[place] != high:
                    return False
                lows = reads.numbers(_at_byte(begin + place) + _LOWS_BEHIND, 1)
                if lows is None:
                    reads.begin(_at_byte(begin + place))
                    return False
                # Of honest digests two share their high once in 2**64 pairs.
                return lows[0] == low or (reads.waits_or_lacks() and self._holds_one(high, low))
            begin = until
        return False

    def _holds_one(self, high: int, low: int) -> bool:
        place = self.place(high, low)
        if place == self._entries:
            return False
        block, at = place >> _BLOCK_SHIFT, place & (BLOCK - 1)
        return int(self._blocks[block, 0, at]) == high and int(self._blocks[block, 1, at]) == low

    def _holds_many(self, asked: Digests) -> npt.NDArray[np.bool_]:
        flat = self._blocks.reshape(-1)
        if not self._entries:
            return np.zeros(len(asked), dtype=bool)
        posts = (asked.high >> np.uint64(self._shift)).astype(np.intp)
        begin = self._signposts[posts].astype(np.int64)
        # All are searched as far as the one between whose signposts there is most: beyond its own, everything is above it.
        size = int((self._signposts[posts + 1].astype(np.int64) - begin).max(initial=0))
        ends_within = int(begin.max(initial=0)) + size > self._entries
        while size:
            step = (size + 1) >> 1
            place = begin + (step - 1)
            if ends_within:
                is_there = place < self._entries
                below = is_there & (flat.take(_high_at(np.where(is_there, place, 0))) < asked.high)
            else:
                below = flat.take(_high_at(place)) < asked.high
            begin += below * np.int64(step)
            size -= step
        found = np.zeros(len(asked), dtype=bool)
        left = np.flatnonzero(begin < self._entries)
        at = _high_at(begin[left])
        same = flat[at] == asked.high[left]
        left, at = left[same], at[same]
        lows = flat[at + BLOCK]
        found[left] = lows == asked.low[left]
        # Of honest digests two share their high once in 2**64 pairs; of hashes that somebody made up, all may.
        for tied in left[lows < asked.low[left]].tolist():
            found[tied] = self._holds_one(int(asked.high[tied]), int(asked.low[tied]))
        return found


class _Reads:
    """Reads numbers of an index; notes when one was not in memory and it may not wait. For one look-up."""

    def __init__(self, descriptor: int, name: str, *, waits: bool) -> None:
        self._descriptor, self._name, self._waits = descriptor, name, waits
        self._flags = 0 if waits else os.RWF_NOWAIT
        # One more than is ever read, so that there is something behind the last one.
        self._room = memoryview(bytearray(8 * (BLOCK + 1)))
        self._numbers = self._room.cast("Q")
        self.lacks = False

    def doubtful(self, highs: Sequence[int], at_bytes: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """Which of the highs, by place, are not known to be missing among the sorted ones in so many bytes from there on."""
        descriptor, flags, room, numbers = self._descriptor, self._flags, self._room, self._numbers
        doubtful: list[int] = []
        # One of these turns takes less than two microseconds, half of them in the kernel: that is why nothing is called here.
        for place, (high, at_byte, size) in enumerate(zip(highs, at_bytes, sizes, strict=True)):
            with_it = True
            try:
                if size and os.preadv(descriptor, (room[:size],), at_byte, flags) == size:
                    with_it = numbers[bisect_left(numbers, high, 0, size >> 3)] == high
            except OSError:
                # It is asked again.
                pass
            if with_it:
                doubtful.append(place)
        return doubtful

    def numbers(self, at_byte: int, count: int) -> memoryview | None:
        """What stands there, good until the next call, or None when it had to wait. Raises BadIndex where the file ends before."""
        try:
            if os.preadv(self._descriptor, (self._room[: 8 * count],), at_byte, self._flags) == 8 * count:
                return self._numbers
        except OSError:
            # Also of a file system that cannot tell whether it would have to wait.
            if self._waits:
                raise
        if self._waits:
            raise BadIndex(f"{self._name} is cut short.")
        self.lacks = True
        return None

    def begin(self, at_byte: int) -> None:
        """Begins to read the highs that lie from there on, and their lows."""
        for begin in (at_byte, at_byte + _LOWS_BEHIND):
            os.posix_fadvise(self._descriptor, begin, 8 * _PER_SIGNPOST, os.POSIX_FADV_WILLNEED)

    def waits_or_lacks(self) -> bool:
        """Whether it may read by itself, at any length."""
        self.lacks = self.lacks or not self._waits
        return self._waits


@overload
def _at_byte(entry: int) -> int: ...
@overload
def _at_byte(entry: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]: ...
def _at_byte(entry: int | npt.NDArray[np.int64]) -> int | npt.NDArray[np.int64]:
    """Where in the file the high of an entry stands, or of each."""
    return _HEADER_BYTES + (entry >> _BLOCK_SHIFT) * 2 * _LOWS_BEHIND + (entry & (BLOCK - 1)) * 8


def _joined(first: Digests, second: Digests) -> Digests:
    return Digests(np.concatenate((first.high, second.high)), np.concatenate((first.low, second.low)))


def _high_at(place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where in the blocks the high of an entry stands."""
    return (place >> _BLOCK_SHIFT << (_BLOCK_SHIFT + 1)) + (place & (BLOCK - 1))


class IndexReader:
    """Reads an index from end to end; unlike a mapped one, it takes no more of the memory than the part at hand.

    With `begin` and `end` only the entries from that number up to that one. To be closed by its owner. Raises as Index.
    """

    def __init__(self, path: Path, begin: int = 0, end: int | None = None) -> None:
        self._file = path.open("rb")
        try:
            self.header = Header.read(self._file, path.name)
        except BaseException:
            self._file.close()
            raise
        end = self.header.entries if end is None else end
        # What precedes the first one in its block is read with it.
        self._passed = begin % BLOCK
        self._left = end - begin + self._passed if begin < end else 0
        self._file.seek((begin - self._passed) * DIGEST_BYTES, os.SEEK_CUR)

    def __len__(self) -> int:
        return self.header.entries

    def close(self) -> None:
        self._file.close()

    def parts(self, size: int) -> Iterator[Digests]:
        """What was not read yet, in order, at most `size` at a time, or what one block has; none of them is empty."""
        blocks = max(1, size // BLOCK)
        while self._left:
            count, passed = min(self._left, blocks * BLOCK), self._passed
            read = np.fromfile(self._file, dtype="<u8", count=-(-count // BLOCK) * 2 * BLOCK).reshape(-1, 2, BLOCK)
            self._left, self._passed = self._left - count, 0
            yield Digests(read[:, 0, :].flatten()[passed:count], read[:, 1, :].flatten()[passed:count])


class _Entries:
    """Blocks as they are written, and how many of their entries belong to each signpost."""

    def __init__(self, file: BinaryIO, shift: int) -> None:
        self._file, self._shift = file, shift
        self.counts = np.zeros(1 << (64 - shift), dtype=np.int64)
        self.number = 0
        self._rest = Digests.of(())

    def add(self, digests: Digests) -> None:
        """Adds the next ones: sorted, each once, all above those before. An empty part is none."""
        if not len(digests):
            return
        self._count(digests.high)
        self.number += len(digests)
        # The block that was begun is filled up by itself, so that the many others are not copied.
        begun = min(len(digests), -len(self._rest) % BLOCK)
        rest = _joined(self._rest, digests.part(0, begun))
        if len(rest) == BLOCK:
            self._write_blocks(rest)
            rest = rest.part(0, 0)
        whole = begun + (len(digests) - begun) // BLOCK * BLOCK
        self._write_blocks(digests.part(begun, whole))
        # A copy, so that the part may be let go of, or filled anew.
        self._rest = _joined(rest, digests.part(whole, len(digests)))

    def end(self) -> None:
        """Writes the last block."""
        if missing := -len(self._rest) % BLOCK:
            padding = np.full(missing, np.iinfo(np.uint64).max, dtype=np.uint64)
            self._write_blocks(_joined(self._rest, Digests(padding, padding)))

    def _count(self, high: U64) -> None:
        """Adds how many of these sorted highs belong to each signpost."""
        first, last = int(high[0]) >> self._shift, int(high[-1]) >> self._shift
        # Where the next signpost's begin; there are 256 times as many highs as signposts.
        begins = np.arange(first + 1, last + 1, dtype=np.uint64) << np.uint64(self._shift)
        self.counts[first : last + 1] += np.diff(np.searchsorted(high, begins), prepend=0, append=len(high))

    def _write_blocks(self, digests: Digests) -> None:
        pairs = np.stack((digests.high.reshape(-1, BLOCK), digests.low.reshape(-1, BLOCK)), axis=1)
        self._file.write(np.ascontiguousarray(pairs, dtype="<u8").data)


def _shift_for(entries: int) -> int:
    # At least one bit, because numpy leaves shifts by 64 undefined.
    return 64 - max(1, (entries // _PER_SIGNPOST).bit_length())


def _complete(file: BinaryIO, head: Header, counts: npt.NDArray[np.int64]) -> None:
    """Writes what stands around the blocks, and sees to it that all of it is on disk."""
    file.seek(8 * head.signposts_at)
    posts = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
    file.write(np.ascontiguousarray(posts, dtype="<u8").data)
    hash_number = HASH_NAMES.index(head.hash)
    packed = _HEADER.pack(_MAGIC, FORMAT, hash_number, b"", head.generation, head.entries, head.shift)
    file.seek(0)
    file.write((packed + struct.pack("<I", zlib.crc32(packed))).ljust(_HEADER_BYTES, b"\0"))
    file.flush()
    os.fsync(file.fileno())


class IndexWriter:
    """Writes an index from parts in order. What lies at `path` is either a whole index, on disk, or not there.

    `expected` is about how many digests will come; only the spacing of the signposts depends on it.
    """

    def __init__(self, path: Path, hash_name: HashName, generation: int, *, expected: int) -> None:
        self._path = path
        self._making = path.with_name(f"{path.name}.making")
        self._hash, self._generation, self._shift = hash_name, generation, _shift_for(expected)
        self._file = self._making.open("wb")
        self._file.seek(_HEADER_BYTES)
        self._entries = _Entries(self._file, self._shift)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            with closing(self._file):
                if kind is None:
                    self._entries.end()
                    head = Header(self._hash, self._generation, len(self), self._shift)
                    _complete(self._file, head, self._entries.counts)
            if kind is None:
                self._making.rename(self._path)
        finally:
            self._making.unlink(missing_ok=True)

    def add(self, digests: Digests) -> None:
        """Adds the next ones: sorted, each once, all above those before. An empty part is none."""
        self._entries.add(digests)

    def __len__(self) -> int:
        return self._entries.number


class SharedIndex:
    """An index of so many entries that several processes write, each its part, and one completes.

    What lies at `path` is either a whole index, on disk, or not there; beside it lies what is being made.
    """

    def __init__(self, path: Path, entries: int) -> None:
        self._path, self._entries = path, entries
        self._making = path.with_name(f"{path.name}.making")
        self._shift = _shift_for(entries)

    def begin(self) -> None:
        """Makes the file; what others left of it is gone."""
        with self._making.open("wb") as file:
            file.truncate(8 * Header("md5", 0, self._entries, self._shift).signposts_at)

    def write(self, begin: int, parts: Iterable[Digests]) -> None:
        """Writes entries from number `begin` on, which is a multiple of BLOCK; also the last one is, or is the end."""
        with self._making.open("r+b") as file:
            file.seek(_HEADER_BYTES + begin * DIGEST_BYTES)
            entries = _Entries(file, self._shift)
            for part in parts:
                entries.add(part)
            entries.end()
            file.flush()
            os.fsync(file.fileno())
        np.save(self._counted(begin), entries.counts)

    def complete(self, hash_name: HashName, generation: int, begins: Sequence[int]) -> None:
        """Completes the index of which the parts that begin there were written."""
        counted = [self._counted(begin) for begin in begins]
        counts = np.sum([np.load(path) for path in counted], axis=0)
        if int(counts.sum()) != self._entries:
            raise BadIndex(f"{self._path.name} was to have {self._entries} entries, and {counts.sum()} were written.")
        with self._making.open("r+b") as file:
            _complete(file, Header(hash_name, generation, self._entries, self._shift), counts)
        self._making.rename(self._path)
        for path in counted:
            path.unlink()

    def _counted(self, begin: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{begin}.npy")
