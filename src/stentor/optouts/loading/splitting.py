"""An uploaded file, cut into chunks of whole lines. In a child, which keeps its place between the calls.

The same file gives the same chunks, so that whoever goes on after a crash passes over those that are done.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from stentor.optouts.loading.inflate import MAGIC_BYTES, PIECE_BYTES, Inflater, Unreadable, encoding_of
from stentor.optouts.loading.layout import Layout, read_header
from stentor.optouts.loading.lines import Lines, count_lines, lowered, trimmed

CHUNK_LINES = 5_000_000
CHUNK_BYTES = 160 << 20

LINES_MAX = 1_000_000_000
"""Lines of a file, empty ones too: a compressed file of 330 MB could hold nine thousand million, which take hours to read."""


class Chunk(msgspec.Struct, frozen=True):
    """Some lines of the file: where they lie, what number the first of them has, and how many there are."""

    number: int
    path: Path
    first_line: int
    lines: int
    layout: Layout | None


class Splitter:
    """Cuts what it is fed into chunks below a directory; those before `first_chunk` are not written.

    With `lowers` the ASCII letters of lines that are one entry each are in lower case afterwards.
    """

    def __init__(
        self,
        directory: Path,
        *,
        first_chunk: int = 0,
        chunk_lines: int = CHUNK_LINES,
        chunk_bytes: int = CHUNK_BYTES,
        lines_max: int = LINES_MAX,
        lowers: bool = False,
    ) -> None:
        self._directory = directory
        self._first_chunk = first_chunk
        self._chunk_lines, self._chunk_bytes, self._lines_max = chunk_lines, chunk_bytes, lines_max
        self._lowers = lowers
        self._inflater: Inflater | None = None
        self._head = b""
        self._lines = Lines()
        self._layout: Layout | None = None
        self._header_read = False
        self._number = self._in_chunk = self._bytes_in_chunk = 0
        self._next_line = self._first_line = 1

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that are whole with these bytes. Raises Unreadable."""
        for piece in self._inflated(data):
            yield from self._add(self._lines.feed(piece))

    def end(self) -> Iterator[Chunk]:
        """The last chunks. Raises Unreadable for a file that is cut short."""
        for piece in self._inflated(b"", final=True):
            yield from self._add(self._lines.feed(piece))
        if self._inflater is not None:
            self._inflater.end()
        yield from self._add(self._lines.end())
        if self._in_chunk:
            yield self._closed()

    def _inflated(self, data: bytes, *, final: bool = False) -> Iterator[bytes]:
        if self._inflater is None:
            self._head += data
            if len(self._head) < MAGIC_BYTES and not final:
                return
            self._inflater = Inflater(encoding_of(self._head))
            data, self._head = self._head, b""
        yield from self._inflater.feed(data)

    def _add(self, block: bytes) -> Iterator[Chunk]:
        if not block:
            return
        if not self._header_read:
            block = self._without_header(block)
        if self._layout is None:
            block = lowered(trimmed(block)) if self._lowers else trimmed(block)
        if self._number >= self._first_chunk and block:
            with self._path.open("ab" if self._in_chunk else "wb") as file:
                file.write(block)
        lines = count_lines(block)
        self._in_chunk += lines
        self._bytes_in_chunk += len(block)
        self._next_line += lines
        if self._next_line > self._lines_max:
            raise Unreadable(f"The file has more than {self._lines_max:,} lines. Send it in several files.")
        if self._in_chunk >= self._chunk_lines or self._bytes_in_chunk >= self._chunk_bytes:
            yield self._closed()

    def _without_header(self, block: bytes) -> bytes:
        self._header_read = True
        line, _, rest = block.partition(b"\n")
        self._layout = read_header(line.decode())
        if self._layout is None:
            return block
        self._next_line = self._first_line = 2
        return rest

    @property
    def _path(self) -> Path:
        return self._directory / f"{self._number:06}.lines"

    def _closed(self) -> Chunk:
        chunk = Chunk(self._number, self._path, self._first_line, self._in_chunk, self._layout)
        self._number += 1
        self._in_chunk = self._bytes_in_chunk = 0
        self._first_line = self._next_line
        return chunk


class _Work(msgspec.Struct):
    """What the child is about."""

    splitter: Splitter
    piece_bytes: int
    chunks: Iterator[Chunk]


_work: list[_Work] = []


def begin(directory: Path, first_chunk: int, chunk_lines: int, chunk_bytes: int, *, lowers: bool) -> None:
    """Begins with the file's first byte."""
    splitter = Splitter(
        directory, first_chunk=first_chunk, chunk_lines=chunk_lines, chunk_bytes=chunk_bytes, lowers=lowers
    )
    # A chunk ends where a piece does.
    _work[:] = [_Work(splitter, min(PIECE_BYTES, chunk_bytes), iter(()))]


def feed(path: Path) -> None:
    """Goes on with the file's next part, which is to be there until `next_chunk` says that it is used up."""
    _work[0].chunks = _chunks_of(_work[0].splitter, path, _work[0].piece_bytes)


def end() -> None:
    """Says that there are no further parts."""
    _work[0].chunks = _work[0].splitter.end()


def next_chunk() -> Chunk | None:
    """The next chunk of what was fed, or None when that is used up. Raises Unreadable."""
    return next(_work[0].chunks, None)


def _chunks_of(splitter: Splitter, path: Path, piece_bytes: int) -> Iterator[Chunk]:
    with path.open("rb") as part:
        while data := part.read(piece_bytes):
            yield from splitter.feed(data)
