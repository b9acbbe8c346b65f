from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from stentor.domain.type_rules import choices_at, in_words


class Choice(msgspec.Struct, forbid_unknown_fields=True):
    topic: str


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("yes", bool, "it has to be true or false, not a text"),
        (5, str | None, "it has to be a text or nothing, not a whole number"),
        (0, Annotated[int, Meta(ge=1)], "it has to be a whole number >= 1"),
        ("", Annotated[str, Meta(min_length=1)], "it has to be a text of length >= 1"),
        ({}, Choice, "the field `topic` is missing"),
        ({"topic": "x", "tpoic": "y"}, Choice, "there is no field `tpoic` here"),
        ({}, list[str], "it has to be a list, not an object"),
        ("pigeon", Literal["email", "sms"], "'pigeon' is none of the values that the API reference lists"),
        ("x", dict[str, Any], "it has to be an object, not a text"),
        ("31/01/2026", date, "it has to be a day, as 2026-01-31"),
        ("2026-01-31", datetime, "it has to be a point in time, as 2026-01-31T09:00:00Z"),
    ],
)
def test_no_words_of_a_library_are_shown(value: Any, kind: Any, said: str):
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(value, kind)

    assert in_words(str(error.value)) == said


class Route(msgspec.Struct):
    channel: Literal["email", "sms"] | None = None
    modes: list[Annotated[Literal[1, 2], Meta(description="How.")]] = []
    by_name: dict[str, "Route"] = {}


@pytest.mark.parametrize(
    ("steps", "choices"),
    [
        (["channel"], ["email", "sms"]),
        (["modes", "3"], [1, 2]),
        (["by_name", "any", "channel"], ["email", "sms"]),
        (["modes"], []),
        (["nowhere", "channel"], []),
        ([], []),
    ],
)
def test_where_only_some_values_may_stand_they_are_named(steps: list[str], choices: list[Any]):
    assert choices_at(Route, steps) == choices
    assert in_words("Invalid enum value 'x'", choices).endswith(", ".join(map(str, choices)))


def test_what_is_not_about_types_stays_as_it_is():
    assert in_words("Invalid UUID") == "Invalid UUID"
