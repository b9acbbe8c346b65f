"""The lines of a stranger's text file, made alike: UTF-8 with a line feed behind each, no NUL, none too long.

Nothing is lost or made here: each line of the file is a line afterwards, in its place, so that numbers of lines are those of
the file. What no line of a list can be is turned into something that is told from an entry (MARK, LONG).
"""

import codecs

import numpy as np
import numpy.typing as npt

from stentor.optouts.loading.inflate import HEAD_BYTES, MAGIC_BYTES, Unreadable, refuse_archives

LINE_BYTES_MAX = 1024
"""Of one line. A longer one is malformed, also if it has a hundred megabytes."""

# How long a line may get in memory before the rest of it is passed over.
_HELD_BYTES_MAX = 64 << 10

SEPARATOR = "\x01"
"""Is in no line afterwards, so that it can part lines into columns that they do not have."""

MARK = b"\x02"
"""Stands for bytes that no text has; what it is in is malformed."""

LONG = b"\x03"
"""Stands for a line that is too long."""

_UNWANTED = bytes.maketrans(b"\0" + SEPARATOR.encode(), MARK * 2)
_LINE_FEED, _SPACE, _TAB = b"\n \t"
_UTF_8_BOM = codecs.BOM_UTF8
_UPPER_A, _LETTERS = np.uint8(ord("A")), 26

_MARKING = "stentor.mark"
codecs.register_error(_MARKING, lambda error: (MARK.decode(), getattr(error, "end", 0)))

# So many characters with a NUL each are no chance.
_PAIRS_MIN = 2


class Lines:
    """Takes the pieces of a file and gives back blocks of whole lines."""

    def __init__(self) -> None:
        self._head = b""
        self._is_begun = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self._tail = b""
        self._is_skipping = False

    def feed(self, piece: bytes) -> bytes:
        """The lines that end in this piece; none before enough has come to tell how the file is written."""
        if not self._is_begun:
            self._head += piece
            if len(self._head) < HEAD_BYTES:
                return b""
            piece = self._begun()
        return self._block(self._decoded(piece), final=False)

    def end(self) -> bytes:
        """The last lines; the last one may lack its end in the file."""
        piece = b"" if self._is_begun else self._begun()
        return self._block(self._decoded(piece, final=True), final=True)

    def _begun(self) -> bytes:
        self._is_begun = True
        head, self._head = self._head, b""
        refuse_archives(head)
        if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            raise Unreadable("The file is in UTF-32. Send it in UTF-8.")
        if name := _utf_16(head):
            self._decoder = codecs.getincrementaldecoder(name)(errors=_MARKING)
            return head.removeprefix(codecs.BOM_UTF16_LE if name == "utf-16-le" else codecs.BOM_UTF16_BE)
        return head.removeprefix(_UTF_8_BOM)

    def _decoded(self, piece: bytes, *, final: bool = False) -> bytes:
        return piece if self._decoder is None else self._decoder.decode(piece, final).encode()

    def _block(self, piece: bytes, *, final: bool) -> bytes:
        data = self._tail + piece
        self._tail = b""
        if b"\r" in data:
            # The other half of a CR LF may be in the next piece.
            if data.endswith(b"\r") and not final:
                data, self._tail = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._is_skipping:
            end = data.find(b"\n")
            if end < 0 and not final:
                return b""
            data = LONG + (data[end:] if end >= 0 else b"\n")
            self._is_skipping = False
        cut = data.rfind(b"\n") + 1
        block, rest = data[:cut], data[cut:]
        if final and rest:
            block, rest = data + b"\n", b""
        if len(rest) > _HELD_BYTES_MAX:
            self._is_skipping, rest = True, b""
        self._tail = rest + self._tail
        return _cleaned(block)


def _utf_16(head: bytes) -> str:
    """The name of the encoding in which a file that begins so is, if it is UTF-16: by its mark, or because half of it is NUL."""
    if head.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if head.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    low, high = head[0:MAGIC_BYTES:2], head[1:MAGIC_BYTES:2]
    if len(high) < _PAIRS_MIN:
        return ""
    if low.isascii() and high.count(0) == len(high) and not low.count(0):
        return "utf-16-le"
    if high.isascii() and low.count(0) == len(low) and not high.count(0):
        return "utf-16-be"
    return ""


def _cleaned(block: bytes) -> bytes:
    if b"\0" in block or SEPARATOR.encode() in block:
        block = block.translate(_UNWANTED)
    if not block.isascii():
        block = block.decode(errors=_MARKING).encode()
    return _without_long(block)


def _without_long(block: bytes) -> bytes:
    """The same lines, MARK in the place of those that nobody should have in memory."""
    if len(block) <= _HELD_BYTES_MAX:
        return block
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _LINE_FEED)
    if np.diff(ends, prepend=-1).max() <= _HELD_BYTES_MAX:
        return block
    return b"\n".join(LONG if len(line) > _HELD_BYTES_MAX else line for line in block.split(b"\n"))


def count_lines(block: bytes) -> int:
    """How many line feeds there are."""
    # bytes.count takes twenty times as long.
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == _LINE_FEED))


def lowered(block: bytes) -> bytes:
    """The same lines with their ASCII letters in lower case."""
    # To see that there is nothing to do takes a tenth of doing it.
    if ((np.frombuffer(block, np.uint8) - _UPPER_A) < _LETTERS).any():
        return block.lower()
    return block


def trimmed(block: bytes) -> bytes:
    """The same lines without spaces and tabs around them."""
    if block.startswith((b" ", b"\t")) or _has_spaces_around(np.frombuffer(block, np.uint8)):
        # Not by an expression: what looks for the end of many spaces from each of them takes hours for one line of them.
        block = b"\n".join(line.strip(b" \t") for line in block.split(b"\n"))
    return block


def _has_spaces_around(characters: npt.NDArray[np.uint8]) -> bool:
    """Whether a space or tab stands beside a line feed, in text that begins with none and ends with a line feed."""
    spaces = np.flatnonzero((characters == _SPACE) | (characters == _TAB))
    return bool((characters[spaces + 1] == _LINE_FEED).any() or (characters[spaces - 1] == _LINE_FEED).any())
