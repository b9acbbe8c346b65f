"""A stream of bytes, cut into blocks of whole lines: bounded in memory, whatever the file, and resumable at any block.

Where a block ends follows from where it begins and from the bytes alone, not from how they arrived. An import that goes
on after a crash therefore finds the same blocks again.
"""

from collections.abc import AsyncIterator, Sequence

import msgspec

LINE_BYTES_MAX = 1 << 20
BLOCK_LINES = 5000
BLOCK_BYTES = 4 << 20


class Overlong(bytes):
    """Stands for a line over the limit, itself empty; `size` is how many bytes the line had, its end included."""

    size: int = 0

    @classmethod
    def of(cls, size: int) -> "Overlong":
        marker = cls()
        marker.size = size
        return marker


def size_of(lines: Sequence[bytes]) -> int:
    """How many bytes of the stream these lines are."""
    return sum(line.size if isinstance(line, Overlong) else len(line) for line in lines)


class LineSplitter:
    """Cuts chunks into lines with their ends (LF, CRLF or CR, also mixed); holds at most one line of the limit's size."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._dropped = 0
        self._is_dropping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now."""
        if self._is_dropping:
            chunk = self._drop(chunk)
        # A CR may be the first half of a CRLF, so a line that ends with one waits for what comes next.
        waits = self._held and self._parts[-1].endswith(b"\r")
        if not chunk or not (waits or b"\n" in chunk or b"\r" in chunk):
            self._hold(chunk)
            return []
        lines = b"".join([*self._parts, chunk]).splitlines(keepends=True)
        self._parts.clear()
        self._held = 0
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        if lines and self._dropped:
            # Of a line that was dropped only the end is left, and it comes first.
            lines[0] = Overlong.of(self._dropped + len(lines[0]))
            self._dropped = 0
        self._hold(rest)
        return [line if len(line) <= LINE_BYTES_MAX else _checked(line) for line in lines]

    def close(self) -> list[bytes]:
        """The last line, if it had no end."""
        if self._dropped:
            return [Overlong.of(self._dropped + self._held)]
        return [_checked(b"".join(self._parts))] if self._held else []

    def _hold(self, rest: bytes) -> None:
        if rest:
            self._parts.append(rest)
            self._held += len(rest)
        # Two more than the limit, which does not count the line's end.
        if self._held > LINE_BYTES_MAX + 2:
            self._dropped, self._is_dropping = self._held, True
            self._parts.clear()
            self._held = 0

    def _drop(self, chunk: bytes) -> bytes:
        cut = min((place for place in (chunk.find(b"\n"), chunk.find(b"\r")) if place >= 0), default=len(chunk))
        self._dropped += cut
        self._is_dropping = cut == len(chunk)
        return chunk[cut:]


def _checked(line: bytes) -> bytes:
    return line if len(line.rstrip(b"\r\n")) <= LINE_BYTES_MAX else Overlong.of(len(line))


class Block(msgspec.Struct, frozen=True):
    """Some whole lines: the number of the first one, where it begins in the stream, and whether the stream ends here."""

    first_line: int
    offset: int
    lines: list[bytes]
    is_last: bool


class BlockReader:
    """Reads a stream block by block; `offset` and `lines_before` say how much of it has been passed."""

    def __init__(self, chunks: AsyncIterator[bytes], *, offset: int = 0, lines_before: int = 0) -> None:
        self._chunks = chunks
        self._splitter = LineSplitter()
        self._lines: list[bytes] = []
        self._held = 0
        self.offset = offset
        self.lines_before = lines_before
        self._ended = False

    async def block(self) -> Block | None:
        """What comes next, without passing it; None at the end of the stream."""
        while not self._ended and self._is_within_block():
            try:
                more = self._splitter.feed(await anext(self._chunks))
            except StopAsyncIteration:
                more = self._splitter.close()
                self._ended = True
            self._lines += more
            self._held += sum(map(len, more))
        count = _block_length(self._lines)
        if not count:
            return None
        return Block(self.lines_before + 1, self.offset, self._lines[:count], count == len(self._lines))

    def advance(self, lines: int) -> None:
        """Passes so many lines."""
        self.offset += size_of(self._lines[:lines])
        self.lines_before += lines
        self._held -= sum(map(len, self._lines[:lines]))
        del self._lines[:lines]

    def _is_within_block(self) -> bool:
        """Whether all lines at hand belong to one block, so that it takes more to know where it ends."""
        return not self._lines or (len(self._lines) <= BLOCK_LINES and self._held - len(self._lines[-1]) < BLOCK_BYTES)


def _block_length(lines: Sequence[bytes]) -> int:
    count, size = 0, 0
    for line in lines[:BLOCK_LINES]:
        if size >= BLOCK_BYTES:
            break
        count += 1
        size += len(line)
    return count
