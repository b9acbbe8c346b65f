"""Quoted-printable UTF-8 (RFC 2045 §6.7) that can be put together from pieces encoded apart.

After each value stands a soft line break, so that a constant always begins at column 0; before a value the column is
known from the constant. A value that fits on the line and has nothing to encode is written as it is. No line begins
with a dot, so a message needs no dot-stuffing, and none is longer than 76 characters.
"""

import binascii
import functools
import re
from collections.abc import Sequence
from typing import Any

from stentor.render.encodings import State, Write, stringify
from stentor.render.frame import Emit, Expr, Field, Frame, Getter

SOFT_BREAK = "=\r\n"

_ROOM = 75  # a line has 76 characters, the last of which may be the soft break's "="
_COLUMN_MAX = 40  # a constant that ends further right breaks the line, so that most values fit after it
_UNKNOWN: State = -1

_SHORT_NUMBER = 10**30  # shorter than the room after any constant
# Names and cities recur among the people of a wave: 2 µs to encode `José`, 0.2 to remember it.
_REMEMBERED_CHARS = 40

_LINE_BREAK = re.compile("\r\n|\r|\n")
# Neither to be encoded nor, in HTML, to be escaped; the first one not a dot, which may stand at a line's start.
_PLAIN = re.compile(r"(?!\.)[ -<>-~]*").fullmatch
_PLAIN_HTML = re.compile(r"(?!\.)[ !#-%(-;?-~]*").fullmatch


class QuotedPrintable:
    """The body of a MIME part; values are escaped for HTML first where `autoescape` says so."""

    start = 0
    whole_text = True

    def __init__(self, *, autoescape: bool) -> None:
        self._text = stringify(autoescape=autoescape)
        self._plain = _PLAIN_HTML if autoescape else _PLAIN

    def constant(self, text: str, state: State) -> tuple[str, State]:
        # A line break after a value or a constant would lose the blank that it may end in.
        risky = state == _UNKNOWN or (state > 0 and text[:1] in {"\r", "\n"})
        prefix, column = (SOFT_BREAK, 0) if risky else ("", state)
        encoded, column = _encode(text, column)
        if column > _COLUMN_MAX:
            return prefix + encoded + SOFT_BREAK, 0
        return prefix + encoded, column

    def value(self, value: Expr, state: State) -> tuple[str, Emit, State]:
        prefix, column = (SOFT_BREAK, 0) if state == _UNKNOWN else ("", state)
        emit = self._field(value.field, column) if value.field else self._any(value.get, column)
        return prefix, emit, _UNKNOWN

    def _any(self, get: Getter, column: int) -> Emit:
        room, plain, write = _ROOM - column, self._plain, self._writer(column)

        def emit(frame: Frame) -> str:
            value: Any = get(frame)
            if value.__class__ is str:
                if len(value) <= room and value.isascii() and (value.isalnum() or plain(value)):
                    return value
            elif value.__class__ is int and -_SHORT_NUMBER < value < _SHORT_NUMBER:
                return str(value)
            return write(value)

        return emit

    def _field(self, field: Field, column: int) -> Emit:
        """As `_any`, without a call of its own to get the value: that call would be a third of the whole."""
        room, plain, write = _ROOM - column, self._plain, self._writer(column)
        place, name, undefined = field.place, field.name, field.undefined

        def emit(frame: Frame) -> str:
            try:
                value: Any = frame[place][name]
            except (KeyError, IndexError, TypeError):
                value = undefined
            if value.__class__ is str:
                if (
                    len(value) <= room
                    and value.isascii()
                    and (value.isalnum() or value.replace(" ", "").isalnum() or plain(value))
                ):
                    return value
            elif value.__class__ is int and -_SHORT_NUMBER < value < _SHORT_NUMBER:
                return str(value)
            return write(value)

        return emit

    def _writer(self, column: int) -> Write:
        """Writes whatever is not written as it is."""
        text = self._text

        def write(value: Any) -> str:
            if value.__class__ is not str:
                return encode(text(value), column)
            if len(value) <= _REMEMBERED_CHARS:
                return _remembered(text, value, column)
            lines = _plain_lines(value)
            if lines is None:
                return encode(text(value), column)
            return SOFT_BREAK + lines if column else lines

        return write

    def meet(self, states: Sequence[State]) -> State:
        return states[0] if len(set(states)) == 1 else _UNKNOWN

    def loop(self, state: State) -> State:
        del state
        return _UNKNOWN

    def end(self, state: State) -> str:
        # A value or a constant may end in a blank, which would be lost before the line break that follows the part.
        return "" if state == 0 else SOFT_BREAK


def encode(text: str, column: int = 0) -> str:
    """The text as it stands after a constant that ends at `column`, with more lines where it needs them."""
    if "\n" in text or "\r" in text:
        lines = [SOFT_BREAK.join(_chunks(_quoted(line), _ROOM)) for line in _LINE_BREAK.split(text)]
        return (SOFT_BREAK if column else "") + "\r\n".join(lines)
    raw = _quoted(text)
    return raw if len(raw) <= _ROOM - column and not raw.startswith(".") else _wrapped(raw, column)


@functools.lru_cache(maxsize=8192)
def _remembered(text: Write, value: str, column: int) -> str:
    return encode(text(value), column)


# A link to unsubscribe stands in the text and in the HTML.
@functools.lru_cache(maxsize=16)
def _plain_lines(value: str) -> str | None:
    """A long value in lines, or None when something in it is to be encoded or escaped."""
    if not _PLAIN_HTML(value):
        return None
    lines = SOFT_BREAK.join([value[start : start + _ROOM] for start in range(0, len(value), _ROOM)])
    return None if "\n." in lines else lines


def _wrapped(raw: str, column: int) -> str:
    wrapped = SOFT_BREAK.join(_chunks(raw, _ROOM))
    return SOFT_BREAK + wrapped if column else wrapped


def _encode(text: str, column: int) -> tuple[str, int]:
    lines = _LINE_BREAK.split(text)
    last = lines.pop()
    encoded: list[str] = []
    for line in lines:
        encoded.append(SOFT_BREAK.join(_chunks(_quoted(line), _ROOM - column, column)))
        column = 0
    # What follows the last line is a value or a soft break, so a blank at its end need not be encoded.
    chunks = _chunks(_quoted(last + "x")[:-1], _ROOM - column, column)
    encoded.append(SOFT_BREAK.join(chunks))
    return "\r\n".join(encoded), len(chunks[-1]) + (column if len(chunks) == 1 else 0)


def _quoted(line: str) -> str:
    """One line's characters encoded, still in one piece."""
    return binascii.b2a_qp(line.encode()).replace(b"=\n", b"").decode()


def _chunks(raw: str, room: int, column: int = 0) -> list[str]:
    """An encoded line cut into pieces of at most `room` and then 75 characters, never inside an escape."""
    chunks: list[str] = []
    start = 0
    while True:
        if column == 0 and raw.startswith(".", start):
            raw = f"{raw[:start]}=2E{raw[start + 1 :]}"
        if len(raw) - start <= room:
            chunks.append(raw[start:])
            return chunks
        end = start + room
        escape = raw.rfind("=", max(start, end - 2), end)
        if escape >= 0:
            end = escape
        chunks.append(raw[start:end])
        start, room, column = end, _ROOM, 0
