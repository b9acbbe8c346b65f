"""Quiet hours as a brand or a campaign writes them: rules on the recipient's clock, and presets that stand for some.

    {"channels": ["sms"], "from": "21:00", "to": "08:00", "days": ["mon", "tue"], "holidays": ["2026-12-25"], "action": "hold"}
    {"preset": "us-tcpa"}

A window that ends before it begins lasts over midnight and belongs to the day on which it begins.
"""

import functools
import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date
from importlib import resources
from typing import Literal, TypeAlias

import msgspec

from stentor.domain.vocabulary import ALL_CHANNELS_MASK, CHANNEL_LABELS, ChannelKind, channel_mask
from stentor.errors import Violation, pointer_to

RULES_MAX = 20
HOLIDAYS_MAX = 200

Day: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
QuietAction: TypeAlias = Literal["hold", "skip"]

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60

_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]\Z")
_MIDNIGHT = "24:00"


class QuietRule(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, rename={"from_": "from"}
):
    """One rule as it is written and stored. Without `channels` it is for every channel, without `days` for every day."""

    preset: str | None = None
    channels: tuple[str, ...] | None = None
    from_: str | None = None
    to: str | None = None
    days: tuple[Day, ...] | None = None
    holidays: tuple[str, ...] = ()
    """Dates, as `2026-12-25`, on which it is quiet from midnight to midnight."""
    action: QuietAction = "hold"


class QuietWindow(msgspec.Struct, frozen=True):
    """One rule as it is applied: quiet on `days` (0 is Monday) from one minute of the day to another, and on `holidays`."""

    number: int
    """The place, from 1, of the rule that it comes from among the rules that were given."""
    channel_mask: int
    days: frozenset[int]
    from_minute: int
    to_minute: int
    holidays: frozenset[date]
    action: QuietAction


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules that stand for what a law asks for. `source` is where to read it, with counsel."""

    title: str
    source: str
    channels: tuple[str, ...]
    rules: tuple[QuietRule, ...]


@functools.cache
def presets() -> dict[str, Preset]:
    """The presets by name."""
    text = resources.files("stentor.domain").joinpath("quiet_presets.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Preset])


def quiet_windows(rules: Sequence[QuietRule]) -> tuple[QuietWindow, ...]:
    """The windows of these rules, which `violations_of` found nothing wrong with."""
    return tuple(window for number, rule in enumerate(rules, 1) for window in _windows(rule, number))


def violations_of(rules: Sequence[QuietRule], pointer: str) -> list[Violation]:
    """What is wrong with the rules that stand at that JSON pointer."""
    if len(rules) > RULES_MAX:
        return [Violation(pointer, "too-many", f"There are {len(rules)} rules; keep at most {RULES_MAX}.")]
    found = [
        Violation(pointer + pointer_to(index, *steps), code, message)
        for index, rule in enumerate(rules)
        for steps, code, message in _violations(rule)
    ]
    return found or list(_never_open(rules, pointer))


_Broken: TypeAlias = tuple[tuple[str | int, ...], str, str]


def _violations(rule: QuietRule) -> Iterator[_Broken]:
    yield from _lists(rule)
    if rule.preset is not None:
        if rule.preset not in presets():
            names = ", ".join(presets())
            yield ("preset",), "unknown-preset", f"There is no preset {rule.preset!r}. There are: {names}."
        if rule.from_ is not None or rule.to is not None or rule.days is not None:
            yield (
                ("preset",),
                "preset-and-hours",
                "A preset has its own hours and days; remove `from`, `to` and `days`.",
            )
    elif rule.from_ is None and rule.to is None:
        if not rule.holidays or rule.days is not None:
            yield ("from",), "missing", "Say from when to when it is quiet, as `21:00` and `08:00`, or name a preset."
    else:
        yield from _hours(rule)


def _hours(rule: QuietRule) -> Iterator[_Broken]:
    if rule.from_ is None or not _CLOCK.match(rule.from_):
        yield ("from",), "invalid-time", "Write the time as two digits each, from `00:00` to `23:59`."
    if rule.to is None or not (_CLOCK.match(rule.to) or rule.to == _MIDNIGHT):
        yield ("to",), "invalid-time", "Write the time as two digits each, from `00:00` to `24:00`."
    if rule.from_ == rule.to:
        yield ("to",), "empty-window", "It is quiet from a time to another one; the whole day is `00:00` to `24:00`."


def _lists(rule: QuietRule) -> Iterator[_Broken]:
    for index, label in enumerate(rule.channels or ()):
        if label not in CHANNEL_LABELS:
            yield ("channels", index), "unknown-channel", f"There is no channel {label!r}. There are: {_CHANNELS}."
    if rule.channels == ():
        yield ("channels",), "empty", "Name a channel, or leave `channels` out: the rule is then for all of them."
    if rule.days == ():
        yield ("days",), "empty", "Name a day, or leave `days` out: the rule is then for all of them."
    if len(rule.holidays) > HOLIDAYS_MAX:
        yield ("holidays",), "too-many", f"A rule has at most {HOLIDAYS_MAX} holidays."
    for index, text in enumerate(rule.holidays[:HOLIDAYS_MAX]):
        if _as_date(text) is None:
            yield ("holidays", index), "invalid-date", "This is no date; write it as `2026-12-25`."


_CHANNELS = ", ".join(CHANNEL_LABELS)


def _never_open(rules: Sequence[QuietRule], pointer: str) -> Iterator[Violation]:
    """A week without a minute that is open would hold messages for ever."""
    windows = quiet_windows(rules)
    for kind in ChannelKind:
        covered = {minute for window in windows if window.channel_mask & kind.bit for minute in _week_of(window)}
        if len(covered) == 7 * DAY_MINUTES:
            text = f"These rules leave no minute of a week open for {kind.label}; disable the channel instead."
            yield Violation(pointer, "never-open", text)
            return


def _week_of(window: QuietWindow) -> Iterator[int]:
    length = (window.to_minute - window.from_minute) % DAY_MINUTES or window.to_minute - window.from_minute
    for day in window.days:
        first = day * DAY_MINUTES + window.from_minute
        yield from (minute % (7 * DAY_MINUTES) for minute in range(first, first + length))


def _windows(rule: QuietRule, number: int) -> Iterator[QuietWindow]:
    preset = presets()[rule.preset] if rule.preset is not None else None
    channels = rule.channels or (preset.channels if preset else None)
    mask = ALL_CHANNELS_MASK if channels is None else channel_mask(ChannelKind.named(label) for label in channels)
    holidays = frozenset(day for text in rule.holidays if (day := _as_date(text)) is not None)
    for each in preset.rules if preset else (rule,):
        days = frozenset(DAYS.index(day) for day in each.days or DAYS) if each.from_ is not None else frozenset[int]()
        yield QuietWindow(
            number, mask, days, _minute(each.from_ or _FIRST), _minute(each.to or _FIRST), holidays, rule.action
        )


_FIRST = "00:00"


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _as_date(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # `20261225` and `2026-W52-5` are the same day in ISO 8601; one spelling is enough.
    return day if day.isoformat() == text else None
