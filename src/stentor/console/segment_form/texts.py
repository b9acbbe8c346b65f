"""What the texts of fields mean as values, and values as texts."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from stentor.console.segment_form.kinds import Widget

CODE_DEPTH_MAX = 50

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)


def read(widget: Widget, text: str, type_: str = "text") -> Any:
    """The value that a field's text means. Raises ValueError with what to write instead."""
    match widget:
        case "whole":
            if not _WHOLE.fullmatch(text):
                raise ValueError("Write a whole number.")
            return int(text)
        case "number":
            return _number(text)
        case "share":
            return _share(text)
        case "lines":
            lines = [line.strip() for line in text.splitlines()]
            return [typed(type_, line) for line in lines if line]
        case "code":
            return _code(text)
    return typed(type_, text)


def typed(type_: str, text: str) -> Any:
    """A value of a test as it is meant. Raises ValueError."""
    if type_ == "number":
        return _number(text)
    if type_ == "yesno":
        if text not in {"yes", "no"}:
            raise ValueError("Write yes or no.")
        return text == "yes"
    return text


def written(value: Any) -> str:
    """A value as a field shows it: the other way round of `typed`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def type_of(values: Sequence[Any]) -> str:
    """Which type a field says for these values, by the first one."""
    first = values[0]
    if isinstance(first, bool):
        return "yesno"
    return "number" if isinstance(first, (int, float)) else "text"


def _code(text: str) -> Any:
    depth = deepest = 0
    for bracket in _BRACKETS.findall(text):
        depth += 1 if bracket in "[{" else -1 if bracket in "]}" else 0
        deepest = max(deepest, depth)
    if deepest > CODE_DEPTH_MAX:
        raise ValueError(f"This is more than {CODE_DEPTH_MAX} levels deep.")
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"This is no JSON: {error}.") from None
    if _has_nul(value):
        raise ValueError("A text in this has a NUL character. Remove it.")
    return value


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\x00" in key or _has_nul(inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\x00" in value


def _number(text: str) -> int | float:
    try:
        return msgspec.json.decode(text, type=int | float)
    except msgspec.DecodeError:
        raise ValueError("Write a number with digits and a point, as 12 or 0.5.") from None


def _share(text: str) -> float:
    """A share from its percents, which move the point and change no digit."""
    number = re.fullmatch(r"([0-9]{0,9})\.?([0-9]{0,20})(?:e(-?[0-9]{1,3}))?", text.removesuffix("%").strip(), re.ASCII)
    if number is None or not (number[1] or number[2]):
        raise ValueError("Write percents, as 10 or 2.5.")
    return float(f"{number[1] or 0}.{number[2] or 0}e{int(number[3] or 0) - 2}")


def percents(share: float) -> str:
    """The percents of a share, digit by digit."""
    digits, _, exponent = repr(share).partition("e")
    whole, _, rest = digits.partition(".")
    power = int(exponent or 0) + 2
    moved = f"{whole}{rest}".ljust(len(whole) + max(power, 0), "0")
    if power < 0:
        return f"{digits}e{power}"
    place = len(whole) + power
    return f"{moved[:place].lstrip('0') or '0'}.{moved[place:]}".rstrip("0").rstrip(".")
