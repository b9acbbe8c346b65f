"""What a decoder says of a value of the wrong type, in the words of those who sent it."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

_RULE = re.compile(r"Expected `([^`]+)`(.*?)(?:, got `([^`]+)`)?", re.DOTALL)
_FIELD = re.compile(r"Object (?:(missing required)|contains unknown) field `(.*)`", re.DOTALL)
_CHOICE = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "an object",
    "str": "a text",
}
_SENTENCES = {
    "Invalid RFC3339 encoded date": "it has to be a day, as 2026-01-31",
    "Invalid RFC3339 encoded datetime": "it has to be a point in time, as 2026-01-31T09:00:00Z",
}


def in_words(rule: str, choices: Sequence[Any] = ()) -> str:
    """`Expected `int` >= 1, got `str`` as `it has to be a whole number >= 1, not a text`; other rules as they are.

    `choices`: what may stand there, where only some values may.
    """
    if field := _FIELD.fullmatch(rule):
        return f"the field `{field[2]}` is missing" if field[1] else f"there is no field `{field[2]}` here"
    if choice := _CHOICE.fullmatch(rule):
        named = ", ".join(map(str, choices)) if choices else "the values that the API reference lists"
        return f"{choice[1]} is none of {named}"
    told = _RULE.fullmatch(rule)
    if told is None:
        return _SENTENCES.get(rule, rule)
    expected, limit, got = told.groups()
    kinds = " or ".join(map(_word, expected.split(" | ")))
    return f"it has to be {kinds}{limit}" + (f", not {_word(got)}" if got else "")


def choices_at(kind: Any, steps: Sequence[str]) -> list[Any]:
    """The values that a type allows at that place of it; none where there are more than can be listed.

    `steps`: names of fields, and anything at all for a place in a list or a value in an object.
    """
    return _choices(msgspec.inspect.type_info(kind), list(steps))


def _choices(found: msgspec.inspect.Type, steps: list[str]) -> list[Any]:
    match found:
        case msgspec.inspect.LiteralType(values=values) if not steps:
            return list(values)
        case msgspec.inspect.EnumType(cls=enum) if not steps:
            return [member.value for member in enum]
    inner, left = _within(found, steps)
    return [value for each in inner for value in _choices(each, left)]


def _within(found: msgspec.inspect.Type, steps: list[str]) -> tuple[Sequence[msgspec.inspect.Type], list[str]]:
    """What stands at the next step into that type, and the steps from there."""
    match found:
        case msgspec.inspect.Metadata(type=inner):
            return [inner], steps
        case msgspec.inspect.UnionType(types=types):
            return types, steps
        case msgspec.inspect.StructType(fields=fields) if steps:
            return [field.type for field in fields if field.encode_name == steps[0]], steps[1:]
        case msgspec.inspect.CollectionType(item_type=inner) | msgspec.inspect.DictType(value_type=inner) if steps:
            return [inner], steps[1:]
    return [], steps


def _word(kind: str) -> str:
    return _WORDS.get(kind, f"a {kind}")
