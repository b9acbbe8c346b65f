"""Quiet hours as they are written: what is refused, where, and what presets stand for."""

from datetime import date
from typing import Any

import msgspec
import pytest

from stentor.domain.quiet_hours import (
    HOLIDAYS_MAX,
    RULES_MAX,
    QuietRule,
    presets,
    quiet_windows,
    violations_of,
)
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Violation

NIGHT: dict[str, Any] = {"from": "21:00", "to": "08:00"}


def wrong_in(rules: list[dict[str, Any]], pointer: str = "") -> list[Violation]:
    return violations_of(msgspec.convert(rules, tuple[QuietRule, ...]), pointer)


@pytest.mark.parametrize(
    "rule",
    [
        NIGHT,
        NIGHT | {"channels": ["sms", "push"], "days": ["mon", "sun"], "holidays": ["2026-12-25"], "action": "skip"},
        {"from": "00:00", "to": "24:00", "days": ["sun"]},
        {"holidays": ["2026-12-25"]},
        {"preset": "us-tcpa"},
        {"preset": "us-tcpa", "channels": ["email"], "action": "skip", "holidays": ["2026-12-25"]},
    ],
)
def test_what_is_right_is_taken(rule: dict[str, Any]):
    assert wrong_in([rule], "/quiet_hours") == []


@pytest.mark.parametrize(
    ("rule", "pointer", "code"),
    [
        ({}, "/0/from", "missing"),
        ({"action": "skip"}, "/0/from", "missing"),
        ({"days": ["mon"], "holidays": ["2026-12-25"]}, "/0/from", "missing"),
        ({"from": "21:00"}, "/0/to", "invalid-time"),
        (NIGHT | {"from": "9pm"}, "/0/from", "invalid-time"),
        (NIGHT | {"from": "24:00"}, "/0/from", "invalid-time"),
        (NIGHT | {"to": "08:60"}, "/0/to", "invalid-time"),
        ({"from": "08:00", "to": "08:00"}, "/0/to", "empty-window"),
        (NIGHT | {"channels": ["fax"]}, "/0/channels/0", "unknown-channel"),
        (NIGHT | {"channels": []}, "/0/channels", "empty"),
        (NIGHT | {"days": []}, "/0/days", "empty"),
        (NIGHT | {"holidays": ["2026-02-30"]}, "/0/holidays/0", "invalid-date"),
        (NIGHT | {"holidays": ["20261225"]}, "/0/holidays/0", "invalid-date"),
        (NIGHT | {"holidays": ["2026-12-25"] * (HOLIDAYS_MAX + 1)}, "/0/holidays", "too-many"),
        ({"preset": "mars"}, "/0/preset", "unknown-preset"),
        (NIGHT | {"preset": "us-tcpa"}, "/0/preset", "preset-and-hours"),
        ({"from": "00:00", "to": "24:00"}, "", "never-open"),
    ],
)
def test_what_is_wrong_is_named_where_it_stands(rule: dict[str, Any], pointer: str, code: str):
    (violation, *_) = wrong_in([rule], "/quiet_hours")

    assert (violation.pointer, violation.code) == (f"/quiet_hours{pointer}", code)
    assert violation.message.endswith(".")


@pytest.mark.parametrize(
    "wrong", [{"days": ["mon", "Monday"]}, {"action": "wait"}, {"zone": "UTC"}, {"holidays": "2026-12-25"}]
)
def test_what_is_no_rule_cannot_be_read_as_one(wrong: dict[str, Any]):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(NIGHT | wrong, QuietRule)


def test_rules_that_close_the_week_together_are_refused():
    halves = [{"from": "00:00", "to": "12:00"}, {"from": "12:00", "to": "24:00"}]

    assert [violation.code for violation in wrong_in(halves)] == ["never-open"]
    assert wrong_in([halves[0], halves[1] | {"channels": ["sms"], "days": ["mon"]}]) == []


def test_there_are_only_so_many_rules():
    assert [violation.code for violation in wrong_in([NIGHT] * (RULES_MAX + 1))] == ["too-many"]


def test_a_rule_is_stored_as_it_was_written():
    written = NIGHT | {"channels": ["sms"], "days": ["mon"]}

    assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(written, QuietRule))) == written


def test_every_preset_names_its_source_and_is_right():
    assert "us-tcpa" in presets()
    for name, preset in presets().items():
        assert preset.source
        assert violations_of([QuietRule(preset=name)], "") == []
        assert violations_of(preset.rules, "") == []
        assert quiet_windows([QuietRule(preset=name)])


def test_a_preset_is_for_its_channels_unless_others_are_named():
    (window,) = quiet_windows([QuietRule(preset="us-tcpa", holidays=("2026-12-25",), action="skip")])
    (elsewhere,) = quiet_windows([QuietRule(preset="us-tcpa", channels=("email",))])

    assert window.channel_mask == ChannelKind.SMS.bit | ChannelKind.VOICE.bit
    assert (window.from_minute, window.to_minute, window.action) == (21 * 60, 8 * 60, "skip")
    assert window.holidays == {date(2026, 12, 25)}
    assert elsewhere.channel_mask == ChannelKind.EMAIL.bit
