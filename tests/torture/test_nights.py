"""The windows that a run lays around its own time: each kind of night is there, and verdict and guard read them alike."""

from datetime import UTC, datetime, timedelta

import pytest

from stentor.domain.objections import Hold, Skip
from stentor.domain.quiet_hours import violations_of
from stentor.domain.vocabulary import ChannelKind
from stentor.guard.quiet_hours import quiet_hours
from stentor.testing.torture.nights import Nights, lay_nights
from stentor.testing.torture.quiet_verdict import QuietVerdict

BEGIN = [
    datetime(2026, 11, 22, 9, 17, 40, tzinfo=UTC),
    datetime(2026, 7, 1, 23, 58, 1, tzinfo=UTC),
    # While clocks are set: in New York back, in Lord Howe forward by half an hour.
    datetime(2026, 11, 1, 5, 50, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 20, tzinfo=UTC),
]
PEOPLE = [f"fan-{number}" for number in range(12)]


@pytest.mark.parametrize("begin", BEGIN, ids=str)
@pytest.mark.parametrize("minutes", [1, 5, 30])
@pytest.mark.fault("F13")
def test_the_verdict_reads_the_clocks_as_the_guard_does(begin: datetime, minutes: float):
    nights = lay_nights(begin, minutes)
    verdict = QuietVerdict(nights.noted({"night": "hold", "hush": "skip"}, PEOPLE))
    guards = {
        "night": quiet_hours(ChannelKind.EMAIL, nights.rules("hold"), (), ("UTC",)),
        "hush": quiet_hours(ChannelKind.EMAIL, nights.rules("skip"), (), ("UTC",)),
    }

    for second in range(0, round(minutes * 60) + 120, 7):
        at = begin + timedelta(seconds=second)
        for topic, guard in guards.items():
            assert guard is not None
            for name in PEOPLE:
                objection = guard.ruling(guard.zones(nights.zone_of(name)), at).objection
                is_quiet = bool(list(verdict.violations(topic, name, at.timestamp())))
                assert is_quiet == (objection is not None), (topic, name, at)
                assert objection is None or isinstance(objection, Hold if topic == "night" else Skip)


@pytest.mark.parametrize("minutes", [1, 5, 30])
def test_some_nights_end_and_some_begin_during_the_run_and_some_outlast_it(minutes: float):
    nights = lay_nights(BEGIN[0], minutes)
    verdict = QuietVerdict(nights.noted({"night": "hold"}, PEOPLE))

    begin, end = BEGIN[0].timestamp() + 1, BEGIN[0].timestamp() + minutes * 60 + 60
    seen = {(is_quiet(verdict, nights, name, begin), is_quiet(verdict, nights, name, end)) for name in PEOPLE}

    assert seen == {(True, False), (False, True), (True, True), (False, False)}


@pytest.mark.parametrize("minutes", [1, 5, 60])
def test_a_campaign_takes_the_rules(minutes: float):
    for begin in BEGIN:
        assert violations_of(lay_nights(begin, minutes).rules("hold"), "/quiet_hours") == []


def is_quiet(verdict: QuietVerdict, nights: Nights, name: str, at_s: float) -> bool:
    assert nights.zone_of(name) or name in {"fan-5", "fan-11"}
    return bool(list(verdict.violations("night", name, at_s)))
