"""What a form asks for each kind of condition and of test: its fields, and where in the expression each of them stands."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import msgspec

from stentor.audience.segments.expressions import LIST_VALUES_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX, SendFact
from stentor.domain.vocabulary import CHANNEL_LABELS

Widget: TypeAlias = Literal["text", "whole", "number", "share", "date", "lines", "select", "code"]
Options: TypeAlias = Sequence[tuple[str, str]]

_CHANNELS: Options = [(label, label.replace("_", " ")) for label in CHANNEL_LABELS]
_ANY_CHANNEL: Options = [("", "any channel"), *_CHANNELS]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a row. `pointer`: where in the condition its value stands, as a JSON pointer.

    `choices`: the brand's things to choose from, by their noun. A field that is not `needed` may be empty, which leaves it out.
    """

    name: str
    label: str
    pointer: str
    widget: Widget = "text"
    options: Options = ()
    choices: str = ""
    needed: bool = True
    hint: str = ""
    chars_max: int = TEXT_CHARS_MAX
    redraws: bool = False


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of condition: what a reader calls it, its fields, and which tests it has."""

    label: str
    asks: Sequence[Ask] = ()
    test: Literal["", "value", "date"] = ""


def _period(stem: str, pointer: str) -> list[Ask]:
    return [
        Ask(name=f"{stem}{unit}", label=unit, pointer=f"{pointer}/{unit}", widget="whole", needed=False, chars_max=6)
        for unit in ("days", "hours", "minutes")
    ]


_WITHIN = [msgspec.structs.replace(ask, label=f"Last … {ask.label}") for ask in _period("within_", "/within")]
_NAME = Ask(name="name", label="Name", pointer="/name", chars_max=NAME_CHARS_MAX, choices="attributes")
_CHANNEL = Ask(name="channel", label="Channel", pointer="/channel", widget="select", options=_CHANNELS)
_MAYBE_CHANNEL = msgspec.structs.replace(_CHANNEL, options=_ANY_CHANNEL, needed=False)
_LIST = f"One in a line, up to {LIST_VALUES_MAX}."


def _has(yes: str, no: str) -> Ask:
    return Ask(name="has", label="Is it so", pointer="/has", widget="select", options=[("yes", yes), ("no", no)])


GROUPS: Mapping[str, str] = {
    "all_of": "All of these are true",
    "any_of": "At least one of these is true",
    "none_of": "None of these is true",
}

PROPERTY = "property"
CODE = "code"

KINDS: Mapping[str, Kind] = {
    "attribute": Kind(label="Attribute", asks=[_NAME], test="value"),
    "event": Kind(
        label="Something happened",
        asks=[
            Ask(name="name", label="Event", pointer="/name", chars_max=NAME_CHARS_MAX, choices="events"),
            Ask(name="at_least", label="At least … times", pointer="/at_least", widget="whole", needed=False),
            Ask(name="at_most", label="At most … times", pointer="/at_most", widget="whole", needed=False),
            *_WITHIN,
        ],
    ),
    "send": Kind(
        label="A message of ours",
        asks=[
            _has("yes, this happened", "no, it did not"),
            Ask(
                name="what",
                label="What",
                pointer="/what",
                widget="select",
                options=[(fact, fact.replace("_", " ")) for fact in get_args(SendFact)],
            ),
            Ask(
                name="campaign_id",
                label="Campaign",
                pointer="/campaign_id",
                widget="select",
                options=[("", "any campaign")],
                choices="campaigns",
                needed=False,
            ),
            _MAYBE_CHANNEL,
            *_WITHIN,
        ],
    ),
    "tag": Kind(
        label="Tag",
        asks=[
            _has("has the tag", "does not have it"),
            Ask(name="tag_id", label="Tag", pointer="/tag_id", widget="select", choices="tags"),
        ],
    ),
    "subscription": Kind(
        label="Subscription",
        asks=[
            _has("is subscribed", "is not subscribed"),
            Ask(name="topic_id", label="Topic", pointer="/topic_id", widget="select", choices="topics"),
            _MAYBE_CHANNEL,
        ],
    ),
    "address": Kind(
        label="Address",
        asks=[
            _CHANNEL,
            Ask(
                name="is",
                label="It is",
                pointer="/is",
                widget="select",
                options=[
                    ("usable", "usable: valid, never bounced, no complaint"),
                    ("there", "there, good or not"),
                    ("invalid", "there, and invalid"),
                    ("bounced", "one that bounced"),
                    ("complained", "one that complained"),
                ],
            ),
        ],
    ),
    "flag": Kind(
        label="Consent on a channel",
        asks=[
            _CHANNEL,
            Ask(
                name="is",
                label="It is",
                pointer="/is",
                widget="select",
                options=[("yes", "given"), ("no", "refused"), ("unset", "not said")],
            ),
        ],
    ),
    "locale": Kind(
        label="Language",
        asks=[
            Ask(
                name="values",
                label="Languages",
                pointer="/values",
                widget="lines",
                hint="One in a line, as de or pt-BR; de is also de-AT.",
            )
        ],
    ),
    "country": Kind(
        label="Country of the phone number",
        asks=[
            Ask(
                name="values",
                label="Countries",
                pointer="/values",
                widget="lines",
                hint="Two letters in a line, as DE.",
            )
        ],
    ),
    "time_zone": Kind(
        label="Time zone",
        asks=[
            Ask(
                name="values",
                label="Time zones",
                pointer="/values",
                widget="lines",
                hint="One in a line, as Europe/Berlin.",
            )
        ],
    ),
    "known": Kind(
        label="Something is known",
        asks=[
            Ask(
                name="field",
                label="What",
                pointer="/field",
                widget="select",
                options=[
                    (field, field.replace("_", " "))
                    for field in ("email", "phone", "push_tokens", "locale", "time_zone")
                ],
            )
        ],
    ),
    "created": Kind(label="First heard of", test="date"),
    "updated": Kind(label="Last changed", test="date"),
    "sample": Kind(
        label="By chance",
        asks=[
            Ask(name="share", label="Share in %", pointer="/share", widget="share", chars_max=30),
            Ask(
                name="seed",
                label="Seed",
                pointer="/seed",
                needed=False,
                chars_max=100,
                hint="Another word chooses other people.",
            ),
        ],
    ),
    CODE: Kind(
        label="Written as JSON",
        asks=[Ask(name="json", label="The condition", pointer="", widget="code", chars_max=200_000)],
    ),
}

_TYPE = Ask(
    name="type",
    label="As",
    pointer="",
    widget="select",
    options=[("text", "text"), ("number", "number"), ("yesno", "yes or no")],
    redraws=True,
)
_VALUE = Ask(name="value", label="Value", pointer="/test/value", choices="values")
_VALUES = Ask(name="values", label="Values", pointer="/test/values", widget="lines", hint=_LIST)
_NUMBER = Ask(name="value", label="Number", pointer="/test/value", widget="number", chars_max=40)
_MOMENT = Ask(
    name="value",
    label="Date",
    pointer="/test/value",
    chars_max=40,
    hint="2026-01-31, or 2026-01-31T09:00:00Z; in UTC where it says nothing.",
)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A test of a value: what it is called, its fields, and whether their values may be of several types."""

    label: str
    asks: Sequence[Ask] = ()
    typed: bool = False


CHECKS: Mapping[str, Check] = {
    "is": Check(label="is", asks=[_TYPE, _VALUE], typed=True),
    "is_not": Check(label="is another than", asks=[_TYPE, _VALUE], typed=True),
    "in": Check(label="is one of", asks=[_TYPE, _VALUES], typed=True),
    "not_in": Check(label="is none of", asks=[_TYPE, _VALUES], typed=True),
    "exists": Check(label="is there"),
    "missing": Check(label="is not there"),
    "contains": Check(label="contains", asks=[_TYPE, _VALUE], typed=True),
    "starts_with": Check(label="begins with", asks=[_VALUE]),
    "less": Check(label="is less than", asks=[_NUMBER]),
    "at_most": Check(label="is at most", asks=[_NUMBER]),
    "greater": Check(label="is more than", asks=[_NUMBER]),
    "at_least": Check(label="is at least", asks=[_NUMBER]),
    "between": Check(
        label="is between",
        asks=[
            msgspec.structs.replace(_NUMBER, name="low", label="From", pointer="/test/low"),
            msgspec.structs.replace(_NUMBER, name="high", label="To", pointer="/test/high"),
        ],
    ),
    "before": Check(label="is a date before", asks=[_MOMENT]),
    "after": Check(label="is a date after", asks=[_MOMENT]),
    "on": Check(
        label="is on the day", asks=[Ask(name="value", label="Day", pointer="/test/value", widget="date", chars_max=10)]
    ),
    "within_last": Check(label="is within the last", asks=_period("", "/test/period")),
    "within_next": Check(label="is within the next", asks=_period("", "/test/period")),
    "longer_ago": Check(label="is longer ago than", asks=_period("", "/test/period")),
    "anniversary": Check(
        label="has its anniversary",
        asks=[
            Ask(
                name="in_days",
                label="in … days",
                pointer="/test/in_days",
                widget="whole",
                needed=False,
                hint="0: today.",
            ),
            Ask(
                name="time_zone",
                label="Time zone",
                pointer="/test/time_zone",
                needed=False,
                chars_max=64,
                hint="Whose today; UTC where it says nothing.",
            ),
        ],
    ),
}

DATE_CHECKS = ("within_last", "longer_ago", "within_next", "before", "after", "on", "anniversary")
