"""What a decoder says of a value of the wrong type, in the words of those who sent it."""

import re

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


def in_words(rule: str) -> str:
    """`Expected `int` >= 1, got `str`` as `it has to be a whole number >= 1, not a text`; other rules as they are."""
    if field := _FIELD.fullmatch(rule):
        return f"the field `{field[2]}` is missing" if field[1] else f"there is no field `{field[2]}` here"
    if choice := _CHOICE.fullmatch(rule):
        return f"{choice[1]} is none of the values that the API reference lists"
    told = _RULE.fullmatch(rule)
    if told is None:
        return rule
    expected, limit, got = told.groups()
    kinds = " or ".join(map(_word, expected.split(" | ")))
    return f"it has to be {kinds}{limit}" + (f", not {_word(got)}" if got else "")


def _word(kind: str) -> str:
    return _WORDS.get(kind, f"a {kind}")
