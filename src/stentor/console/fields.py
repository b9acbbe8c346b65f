"""Fields of forms as templates draw them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from stentor.domain.policy import seconds_of
from stentor.errors import Problem

Options: TypeAlias = Sequence[tuple[str, str]]
"""What a select offers: values, and what a reader calls them."""


class FieldView(msgspec.Struct, frozen=True, kw_only=True):
    """A field as it is drawn. `list_id`: the suggestions that it has; `redraws`: what is asked depends on it."""

    id: str
    label: str
    widget: str
    value: str
    options: Options = ()
    hint: str = ""
    error: str = ""
    list_id: str = ""
    chars_max: int = 1000
    redraws: bool = False


def errors_at(problem: Problem | None, places: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What is wrong by field, and what is about none: `places` says which field each pointer is about."""
    errors: dict[str, str] = {}
    others: list[str] = []
    for violation in () if problem is None else problem.violations:
        pointer = violation.pointer
        while pointer and pointer not in places:
            pointer = pointer.rpartition("/")[0]
        if pointer:
            errors.setdefault(places[pointer], violation.message)
        else:
            others.append(violation.message)
    return errors, others


def duration_of(seconds: int | None) -> str:
    """`90s`, `30m`, `4h` or `2d`; empty for none."""
    if not seconds:
        return ""
    return next(f"{seconds // unit}{letter}" for unit, letter in _UNITS if seconds % unit == 0)


def seconds_in(text: str) -> int | None:
    """The seconds of what somebody wrote as a duration, 0 for nothing; None for what is none."""
    return seconds_of(text.strip().lower()) if text.strip() else 0


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def options_of(words: Mapping[str, str], *, also: Iterable[str] = ()) -> Options:
    """What there is to choose from, and those that are chosen though they are not offered any more."""
    return [*words.items(), *((each, each) for each in also if each not in words)]
