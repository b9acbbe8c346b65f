"""Quiet hours against a model that looks at the clock once a minute, in zones that do everything a zone can do."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stentor.domain.objections import Hold, Skip
from stentor.domain.quiet_hours import DAYS, QuietRule, quiet_windows, violations_of
from stentor.domain.vocabulary import Reason
from stentor.guard.quiet_hours import QuietHours

MINUTE = timedelta(minutes=1)
# Half an hour of summer time, a gap at midnight, +13 and +14, half and quarter hours, a negative summer, none at all.
ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati", "Asia/Kolkata",
    "Asia/Kathmandu", "America/St_Johns", "America/Havana", "America/Santiago", "Asia/Beirut", "Africa/Casablanca",
    "Europe/Dublin", "Pacific/Chatham", "Asia/Tokyo", "America/Phoenix", "UTC", "Pacific/Pago_Pago",
)  # fmt: skip
# Around each of these some of the zones set their clocks.
EDGES = (
    datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC), datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    datetime(2026, 4, 5, 3, tzinfo=UTC), datetime(2026, 9, 6, 4, tzinfo=UTC), datetime(2026, 2, 15, 2, tzinfo=UTC),
    datetime(2026, 7, 15, 12, tzinfo=UTC),
)  # fmt: skip

clocks = st.one_of(
    st.sampled_from(("00:00", "00:30", "01:30", "02:00", "02:30", "03:00", "08:00", "21:00", "23:30")),
    st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59)),
)


@st.composite
def rules(draw: st.DrawFn) -> QuietRule:
    from_ = draw(clocks)
    to = draw(st.one_of(clocks, st.just("24:00")).filter(lambda text: text != from_))
    return QuietRule(
        from_=from_,
        to=to,
        days=draw(st.none() | st.lists(st.sampled_from(DAYS), min_size=1, unique=True).map(tuple)),
        holidays=tuple(draw(st.lists(st.sampled_from(("2026-03-29", "2026-10-25", "2026-07-16")), max_size=1))),
        action=draw(st.sampled_from(("hold", "hold", "skip"))),
    )


rule_sets = st.lists(rules(), min_size=1, max_size=3).filter(lambda found: not violations_of(found, ""))


def some_minutes_off(edge: datetime, minutes: int) -> datetime:
    return edge + minutes * MINUTE


instants = st.builds(some_minutes_off, st.sampled_from(EDGES), st.integers(-2 * 1440, 2 * 1440))


def is_quiet(rule: QuietRule, clock: datetime) -> bool:
    """What the clock on the wall says, by the words of the rule alone."""
    reading, today = f"{clock:%H:%M}", clock.date()
    if today.isoformat() in rule.holidays:
        return True
    assert rule.from_ is not None
    assert rule.to is not None
    if rule.from_ < rule.to:
        return begins_on(rule, today) and rule.from_ <= reading < rule.to
    return (begins_on(rule, today) and reading >= rule.from_) or (
        begins_on(rule, today - timedelta(days=1)) and reading < rule.to
    )


def begins_on(rule: QuietRule, day: date) -> bool:
    return rule.days is None or DAYS[day.weekday()] in rule.days


def quiet_rules(rules: list[QuietRule], zones: tuple[str, ...], at: datetime) -> list[QuietRule]:
    return [rule for rule in rules if any(is_quiet(rule, at.astimezone(ZoneInfo(zone))) for zone in zones)]


@pytest.mark.fault("F13")
@settings(deadline=None, max_examples=300)
@given(rule_sets, st.lists(st.sampled_from(ZONES), min_size=1, max_size=2, unique=True).map(tuple), instants)
def test_a_verdict_is_what_looking_at_the_clock_each_minute_says(
    rules: list[QuietRule], zones: tuple[str, ...], at: datetime
):
    hours = QuietHours(quiet_windows(rules), zones)

    ruling = hours.ruling(zones, at)

    quiet = quiet_rules(rules, zones, at)
    if not quiet:
        assert ruling.objection is None
        closes = next(minute for minute in minutes_after(at) if quiet_rules(rules, zones, minute))
        assert ruling.valid_until == closes
    elif any(rule.action == "skip" for rule in quiet):
        assert isinstance(ruling.objection, Skip)
        assert ruling.objection.reason is Reason.QUIET_HOURS_CANCELLED
    elif isinstance(ruling.objection, Hold):
        opens = next(minute for minute in minutes_after(at) if not quiet_rules(rules, zones, minute))
        assert ruling.objection.until == opens
    else:
        assert ruling.objection is not None
        assert ruling.objection.reason is (Reason.NO_TIMEZONE if len(zones) > 1 else Reason.QUIET_HOURS_CANCELLED)


@settings(deadline=None, max_examples=60)
@given(rule_sets, st.sampled_from(ZONES), st.sampled_from(EDGES))
def test_a_day_asked_in_order_is_answered_as_if_each_minute_were_asked_alone(
    rules: list[QuietRule], zone: str, edge: datetime
):
    kept = QuietHours(quiet_windows(rules), (zone,))

    for minutes in range(-720, 720, 7):
        at = edge + minutes * MINUTE
        fresh = QuietHours(quiet_windows(rules), (zone,))
        assert kept.ruling((zone,), at).objection == fresh.ruling((zone,), at).objection


def minutes_after(at: datetime) -> Iterator[datetime]:
    return (at + number * MINUTE for number in range(1, 11 * 1440))


NIGHT = (QuietRule(from_="21:00", to="08:00"),)


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("zone", "rule", "at", "until"),
    [
        # The gap: 02:30 never stands on the wall, so it opens when the clock jumps over it.
        ("Europe/Berlin", ("22:00", "02:30"), "2026-03-29T00:30+00:00", "2026-03-29T01:00+00:00"),
        ("America/New_York", ("22:00", "02:30"), "2026-03-08T06:30+00:00", "2026-03-08T07:00+00:00"),
        # The overlap: 02:30 stands there twice, and the first time counts.
        ("Europe/Berlin", ("22:00", "02:30"), "2026-10-24T23:30+00:00", "2026-10-25T00:30+00:00"),
        ("America/New_York", ("22:00", "01:30"), "2026-11-01T04:30+00:00", "2026-11-01T05:30+00:00"),
        # Then the clock is set back into the window, and it is quiet once more.
        ("Europe/Berlin", ("22:00", "02:30"), "2026-10-25T01:10+00:00", "2026-10-25T01:30+00:00"),
        # Half an hour of summer time begins and ends at 02:00 on the island.
        ("Australia/Lord_Howe", ("21:00", "02:15"), "2026-10-03T15:00+00:00", "2026-10-03T15:30+00:00"),
        ("Australia/Lord_Howe", ("21:00", "08:00"), "2026-04-04T15:10+00:00", "2026-04-04T21:30+00:00"),
        ("Pacific/Kiritimati", ("21:00", "08:00"), "2026-07-15T12:00+00:00", "2026-07-15T18:00+00:00"),
        ("Pacific/Apia", ("21:00", "08:00"), "2026-07-15T12:00+00:00", "2026-07-15T19:00+00:00"),
        ("Asia/Kolkata", ("21:00", "08:00"), "2026-07-15T18:00+00:00", "2026-07-16T02:30+00:00"),
    ],
)
def test_a_night_ends_by_the_clock_on_the_wall(zone: str, rule: tuple[str, str], at: str, until: str):
    hours = QuietHours(quiet_windows([QuietRule(from_=rule[0], to=rule[1])]), (zone,))

    assert hours.objection(zone, datetime.fromisoformat(at)) == Hold(
        datetime.fromisoformat(until), Reason.QUIET_HOURS, rule=1
    )


def test_it_is_quiet_some_seconds_before_the_window_closes_because_a_send_takes_a_moment():
    hours = QuietHours(quiet_windows(NIGHT), ("UTC",))

    assert hours.objection("", datetime(2026, 7, 15, 20, 59, 54, tzinfo=UTC)) is None
    assert hours.objection("", datetime(2026, 7, 15, 20, 59, 55, tzinfo=UTC)) == Hold(
        datetime(2026, 7, 16, 8, tzinfo=UTC), Reason.QUIET_HOURS, rule=1
    )
