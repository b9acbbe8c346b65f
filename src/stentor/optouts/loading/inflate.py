"""What lies in a compressed file, piece by piece, as long as it is not made to swamp whoever opens it.

gzip and zstd are opened, once: what comes out of them and is compressed again is refused like any other archive. A piece of
what comes out is bounded by what went in at once.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import zstandard
from isal import isal_zlib

PIECE_BYTES = 1 << 20

RATIO_MAX = 200
"""How many times larger than the file what is in it may be; a list of addresses has about 5, one of equal lines 100."""

RATIO_AT_BYTES = 64 << 20
"""The ratio is looked at from so many bytes on."""

INFLATED_BYTES_MAX = 64 << 30
ZSTD_WINDOW_BYTES_MAX = 128 << 20

# zstd says 128 KiB with four bytes: more at once could be more than there is memory.
_ZSTD_FEED_BYTES = 4 << 10
_GZIP_WINDOW = 31
# What is behind the end of a member is copied: little at a time, in case there is nothing but ends.
_GZIP_FEED_BYTES = 64 << 10

MEMBERS_AT = 10_000
MEMBER_BYTES_MIN = 256
"""Of a file of more than MEMBERS_AT compressed pieces each has so many bytes on average: to begin one takes longer than to read it."""

Encoding: TypeAlias = Literal["", "gzip", "zstd"]


class Unreadable(Exception):
    """The file cannot be read as a whole; the sentence says why and what to do."""


_MAGIC: dict[bytes, Encoding] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
}
# A frame that may be skipped, as some tools write in front of zstd's others.
_SKIPPABLE, _SKIPPABLE_KINDS = b"\x2a\x4d\x18", range(0x50, 0x60)
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"PK\x07\x08": "a zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x04\x22\x4d\x18": "an lz4 file",
    b"\x1f\x9d": "a compress file",
    b"\x5d\0\0": "an lzma file",
    b"!<arch>": "an archive",
    b"SQLite": "a database",
    b"PAR1": "a Parquet file",
    b"\xd0\xcf\x11\xe0": "a document",
    b"%PDF": "a document",
}
_TAR, _TAR_AT = b"ustar", 257

MAGIC_BYTES = 6
"""So many bytes tell how a file is compressed."""

HEAD_BYTES = 512
"""So many bytes tell what a file is that is not compressed."""


def encoding_of(head: bytes) -> Encoding:
    """How a file that begins so is compressed."""
    if head[1:4] == _SKIPPABLE and head[0] in _SKIPPABLE_KINDS:
        return "zstd"
    return next((encoding for magic, encoding in _MAGIC.items() if head.startswith(magic)), "")


def refuse_archives(head: bytes) -> None:
    """Raises Unreadable for the beginning of a file that is no text."""
    what = next((name for magic, name in _ARCHIVES.items() if head.startswith(magic)), "")
    if head.startswith(_TAR, _TAR_AT):
        what = "a tar archive"
    if what or encoding_of(head):
        what = what or f"a {encoding_of(head)} file inside another one"
        raise Unreadable(
            f"This is {what}. Send a text file with one entry per line, plain or compressed with gzip or zstd."
        )


class Inflater:
    """Opens what it is fed. Raises Unreadable for what is damaged, and where more comes out than should."""

    def __init__(self, encoding: Encoding, *, inflated_bytes_max: int = INFLATED_BYTES_MAX) -> None:
        """At most `inflated_bytes_max` bytes come out of it, however slowly they swell."""
        self._encoding = encoding
        self._inflated_bytes_max = inflated_bytes_max
        self._gzip_member = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
        self._zstd_decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
        self._zstd_frame = self._zstd_decompressor.decompressobj()
        self._fed = self._inflated = self._members = 0
        self._whole = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes out of the next bytes, in pieces."""
        self._fed += len(data)
        for piece in self._opened(data):
            self._inflated += len(piece)
            self._check()
            for begin in range(0, len(piece), PIECE_BYTES):
                yield piece[begin : begin + PIECE_BYTES]

    def end(self) -> None:
        """Raises Unreadable when the file ends in the middle."""
        if not self._whole:
            raise Unreadable(f"The {self._encoding} file is cut short. Send all of it.")

    def _check(self) -> None:
        if self._inflated > self._inflated_bytes_max:
            raise Unreadable(f"More than {self._inflated_bytes_max:,} bytes come out of the file. Send it in parts.")
        if self._inflated > RATIO_AT_BYTES and self._inflated > RATIO_MAX * self._fed:
            raise Unreadable(
                f"More than {RATIO_MAX} times its size comes out of the file, as of one made to do harm. Send it as it is,"
                " without compression."
            )

    def _count_member(self) -> None:
        self._members += 1
        if self._members > MEMBERS_AT and self._fed < self._members * MEMBER_BYTES_MIN:
            raise Unreadable(
                f"The {self._encoding} file is made of pieces of a few bytes, as one made to do harm. Compress it as a whole."
            )

    def _opened(self, data: bytes) -> Iterator[bytes]:
        if self._encoding == "gzip":
            yield from self._gzip(data)
        elif self._encoding == "zstd":
            yield from self._zstd(data)
        else:
            yield data

    def _gzip(self, data: bytes) -> Iterator[bytes]:
        for begin in range(0, len(data), _GZIP_FEED_BYTES):
            rest = data[begin : begin + _GZIP_FEED_BYTES]
            while rest:
                member = self._gzip_member
                if member.eof:
                    # Behind a member there may be another one, or zeros that a tape wanted.
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    member = self._gzip_member = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
                    self._count_member()
                try:
                    piece = member.decompress(rest, PIECE_BYTES)
                except Exception as error:
                    raise _damaged("gzip") from error
                rest = member.unused_data if member.eof else member.unconsumed_tail
                self._whole = member.eof
                if piece:
                    yield piece

    def _zstd(self, data: bytes) -> Iterator[bytes]:
        for begin in range(0, len(data), _ZSTD_FEED_BYTES):
            rest = data[begin : begin + _ZSTD_FEED_BYTES]
            while rest:
                if self._zstd_frame.eof:
                    self._zstd_frame = self._zstd_decompressor.decompressobj()
                    self._count_member()
                try:
                    piece = self._zstd_frame.decompress(rest)
                except zstandard.ZstdError as error:
                    raise _damaged("zstd") from error
                self._whole = self._zstd_frame.eof
                rest = self._zstd_frame.unused_data if self._whole else b""
                if piece:
                    yield piece


def _damaged(encoding: Encoding) -> Unreadable:
    return Unreadable(
        f"The {encoding} file is damaged, or needs more memory than is given to it. Make it again, and send it."
    )
