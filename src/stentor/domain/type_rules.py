"""What a decoder says of a value of the wrong type, in the words of those who sent it."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

_RULE = re.compile(r"Expected `([^`]+)`(.*?)(?:, got `([^`]+)`)?", re.DOTALL)
_FIELD = re.compile(r"Object (?:(missing required)|contains unknown) field `(.*)`", re.DOTALL)
_CHOICE = re.compile(r"Invalid (?:enum )?value (.*)", re.DOTALL)
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
    found = _alternatives([msgspec.inspect.type_info(kind)])
    values: dict[Any, None] = {}
    for left, step in zip(range(len(steps) - 1, -1, -1), steps, strict=True):
        if not left:
            values.update(
                (one.tag, None)
                for one in found
                if isinstance(one, msgspec.inspect.StructType) and one.tag_field == step and one.tag is not None
            )
        found = _alternatives([inner for one in found for inner in _within(one, step)])
    for one in found:
        match one:
            case msgspec.inspect.LiteralType(values=allowed):
                values.update(dict.fromkeys(allowed))
            case msgspec.inspect.EnumType(cls=enum):
                values.update((member.value, None) for member in enum)
    return list(values)


def _alternatives(found: Sequence[msgspec.inspect.Type]) -> list[msgspec.inspect.Type]:
    """The types without what is wrapped around them, each once: a tree that holds itself in three ways has few types."""
    flat: dict[int, msgspec.inspect.Type] = {}
    left = list(found)
    while left:
        match left.pop():
            case msgspec.inspect.Metadata(type=inner):
                left.append(inner)
            case msgspec.inspect.UnionType(types=types):
                left += reversed(types)
            case one:
                flat[id(one)] = one
    return list(flat.values())


def _within(found: msgspec.inspect.Type, step: str) -> list[msgspec.inspect.Type]:
    """What stands at the next step into that type."""
    match found:
        case msgspec.inspect.StructType(fields=fields):
            return [field.type for field in fields if field.encode_name == step]
        case msgspec.inspect.CollectionType(item_type=inner) | msgspec.inspect.DictType(value_type=inner):
            return [inner]
        case msgspec.inspect.VarTupleType(item_type=inner):
            return [inner]
    return []


def _word(kind: str) -> str:
    return _WORDS.get(kind, f"a {kind}")
