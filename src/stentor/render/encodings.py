"""How a template's constants and values are written: as plain text, as text for phones, or inside JSON.

An encoding is asked while a template is compiled, place by place in the order of its text, so that constants are
encoded once and only values per person. Its `State` is what it must know of the place: a column, or whether the place
is inside a JSON string.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec
from liquid import is_undefined
from liquid.stringify import to_liquid_string
from markupsafe import escape

from stentor.render.frame import Emit, Expr, Frame

State: TypeAlias = int
Write: TypeAlias = Callable[[Any], str]
"""Writes one value as it stands in the output."""


_SPECIAL = re.compile("[&<>'\"]").search


class Incompatible(Exception):
    """A template puts something where this encoding has no place for it; the message says what to do."""


class Encoding(Protocol):
    """What a compiled template needs to know of its output."""

    @property
    def start(self) -> State:
        """The place at which a part begins."""

    @property
    def whole_text(self) -> bool:
        """Whether a part may also be written as one finished text, as the interpreter makes it."""

    def constant(self, text: str, state: State) -> tuple[str, State]:
        """The text as it stands in the output, and the place after it."""

    def value(self, value: Expr, state: State) -> tuple[str, Emit, State]:
        """What goes before a value, a closure that gets and writes it, and the place after it."""

    def meet(self, states: Sequence[State]) -> State:
        """The place after a branch that may have come by any of these ways."""

    def loop(self, state: State) -> State:
        """The place at which a loop's body begins, the first time and every time."""

    def end(self, state: State) -> str:
        """What closes a part that ends at this place."""


def stringify(*, autoescape: bool) -> Write:
    """How Liquid prints values, escaped for HTML or not; always a plain `str`, never markup."""
    return _print_escaped if autoescape else _print


def _print(value: Any) -> str:
    return value if value.__class__ is str else str(to_liquid_string(value, autoescape=False))


def _print_escaped(value: Any) -> str:
    if value.__class__ is str:
        return str(escape(value)) if _SPECIAL(value) else value
    return str(to_liquid_string(value, autoescape=True))


class PlainText:
    """Text as it is: captured text, subjects before they are encoded, and what previews show."""

    start = 0
    whole_text = True

    def __init__(self, *, autoescape: bool = False) -> None:
        self._autoescape = autoescape
        self._write = stringify(autoescape=autoescape)

    def constant(self, text: str, state: State) -> tuple[str, State]:
        return text, state

    def value(self, value: Expr, state: State) -> tuple[str, Emit, State]:
        get, write, plain = value.get, self._write, not self._autoescape

        def emit(frame: Frame) -> str:
            found = get(frame)
            return found if plain and found.__class__ is str else write(found)

        return "", emit, state

    def meet(self, states: Sequence[State]) -> State:
        return states[0]

    def loop(self, state: State) -> State:
        return state

    def end(self, state: State) -> str:
        del state
        return ""


_BREAKS = re.compile("\r\n|[\r\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def clean_text(text: str) -> str:
    """The text without control characters, its line breaks as LF."""
    if text.isprintable():
        return text
    return _CONTROLS.sub("", _BREAKS.sub("\n", text))


class CleanText(PlainText):
    """Text for phones: line breaks are LF, other control characters are left out."""

    def constant(self, text: str, state: State) -> tuple[str, State]:
        return clean_text(text), state

    def value(self, value: Expr, state: State) -> tuple[str, Emit, State]:
        get, write = value.get, self._write
        return "", lambda frame: clean_text(write(get(frame))), state


_OUTSIDE, _INSIDE = 0, 1
_BALANCE = "A JSON string begins on one side of a tag and ends on the other; open and close it on the same side."


class JsonText:
    """A JSON document: values inside its strings are escaped, values outside them are written as JSON themselves."""

    start = _OUTSIDE
    whole_text = False

    def constant(self, text: str, state: State) -> tuple[str, State]:
        escaped = False
        for character in text:
            if escaped:
                escaped = False
            elif character == "\\" and state == _INSIDE:
                escaped = True
            elif character == '"':
                state = _OUTSIDE if state == _INSIDE else _INSIDE
        if escaped:
            raise Incompatible("A backslash stands before a tag; JSON escapes cannot be finished by a value.")
        return text, state

    def value(self, value: Expr, state: State) -> tuple[str, Emit, State]:
        get, write = value.get, json_fragment if state == _INSIDE else _json_value
        return "", lambda frame: write(get(frame)), state

    def meet(self, states: Sequence[State]) -> State:
        if len(set(states)) > 1:
            raise Incompatible(_BALANCE)
        return states[0]

    def loop(self, state: State) -> State:
        return state

    def end(self, state: State) -> str:
        if state == _INSIDE:
            raise Incompatible("A JSON string is never closed.")
        return ""


def json_fragment(value: Any) -> str:
    """The value as it stands inside a JSON string."""
    text = _print(value)
    return text if text.isalnum() and text.isascii() else msgspec.json.encode(text).decode()[1:-1]


def _json_value(value: Any) -> str:
    if is_undefined(value):
        return "null"
    plain = list(value) if isinstance(value, range) else value
    try:
        return msgspec.json.encode(plain).decode()
    except TypeError:
        return msgspec.json.encode(_print(value)).decode()


class JsonString(JsonText):
    """The inside of one JSON string whose quotes stand around the template: constants are escaped, too."""

    start = _INSIDE
    whole_text = True

    def constant(self, text: str, state: State) -> tuple[str, State]:
        return json_fragment(text), state

    def end(self, state: State) -> str:
        del state
        return ""
