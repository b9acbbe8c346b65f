"""When schedules are due, against a model that looks at the clock on the wall every minute."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stentor.domain.timetable import Moment, Rule, moment_of, next_moment, next_moments

ZONES = sorted(available_timezones() - {"localtime", "Factory", "posixrules"})
# Half an hour, two hours, at midnight, in winter, over the date line, around Ramadan.
ODD_ZONES = [
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Asia/Beirut",
    "America/Havana",
    "America/Nuuk",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Pacific/Chatham",
    "America/New_York",
    "Europe/Berlin",
]
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def minutes(start: datetime, days: int) -> Iterator[datetime]:
    return (start + number * MINUTE for number in range(days * 24 * 60))


def days_of_change(zone: ZoneInfo, year: int) -> list[date]:
    noons = [datetime(year, 1, 1, 12, tzinfo=UTC) + DAY * number for number in range(366)]
    return [
        noon.date() for noon in noons if noon.astimezone(zone).utcoffset() != (noon + DAY).astimezone(zone).utcoffset()
    ] or [date(year, 6, 1)]


@st.composite
def edges(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    """A zone, and a midnight (UTC) two days before its clock changes."""
    zone = ZoneInfo(draw(st.sampled_from(ODD_ZONES) | st.sampled_from(ZONES)))
    day = draw(st.sampled_from(days_of_change(zone, draw(st.integers(2022, 2032)))))
    return zone, datetime.combine(day - DAY * 2, time(), tzinfo=UTC)


clock_times = st.times().map(lambda at: at.replace(second=0, microsecond=0))
# Where clocks are changed: more often than not in the small hours.
small_hours = st.builds(time, st.integers(0, 3), st.sampled_from([0, 15, 29, 30, 31, 45, 59]))


@pytest.mark.fault("F13")
@settings(deadline=None, max_examples=150)
@given(edges(), small_hours | clock_times)
def test_a_daily_time_is_due_once_for_each_day_when_the_clock_first_shows_it_or_a_later_one(
    edge: tuple[ZoneInfo, datetime], at: time
):
    zone, start = edge
    rule = Rule(time_zone=zone.key, cron=f"{at.minute} {at.hour} * * *")
    shown = [(instant, wall(instant, zone)) for instant in minutes(start, 5)]
    days = [shown[0][1].date() + DAY * number for number in range(1, 4)]
    expected = [
        Moment(due, next(instant for instant, local in shown if local >= due))
        for due in (datetime.combine(day, at) for day in days)
    ]

    before = moment_of(expected[0].at - MINUTE, zone.key)
    if before.local >= expected[0].local:
        before = Moment(expected[0].local - MINUTE, before.at)

    assert next_moments(rule, before, 3) == expected


@settings(deadline=None, max_examples=60)
@given(edges(), st.sampled_from(["*/15 * * * *", "*/20 1-3 * * *", "30 * * * *", "*/30 0,5 * * *", "* 2 * * *"]))
def test_rules_of_time_that_passes_are_due_whenever_the_clock_shows_it(edge: tuple[ZoneInfo, datetime], cron: str):
    zone, start = edge
    expected = [instant for instant in minutes(start + MINUTE, 4) if matches(cron, wall(instant, zone))]

    found = next_moments(Rule(time_zone=zone.key, cron=cron), moment_of(start, zone.key), len(expected))

    assert [moment.at for moment in found] == expected
    assert all(moment.local == wall(moment.at, zone) for moment in found)


def matches(cron: str, local: datetime) -> bool:
    minute, hour, *_ = cron.split()
    return in_field(local.minute, minute) and in_field(local.hour, hour)


def in_field(value: int, field: str) -> bool:
    if field == "*":
        return True
    if field.startswith("*/"):
        return value % int(field[2:]) == 0
    if "-" in field:
        first, last = map(int, field.split("-"))
        return first <= value <= last
    return value in {int(one) for one in field.split(",")}


@settings(deadline=None, max_examples=100)
@given(edges(), small_hours | clock_times, st.integers(0, 3))
def test_once_at_a_local_time_is_due_when_the_clock_first_shows_it_or_a_later_one(
    edge: tuple[ZoneInfo, datetime], at: time, day: int
):
    zone, start = edge
    due = datetime.combine(wall(start, zone).date() + DAY * (day + 1), at)
    expected = next(instant for instant in minutes(start, 6) if wall(instant, zone) >= due)
    rule = Rule(time_zone=zone.key, at=f"{due:%Y-%m-%dT%H:%M}")

    moment = next_moment(rule, Moment(due - DAY, start))

    assert moment == Moment(due, expected)
    assert next_moment(rule, Moment(due, expected)) is None


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("zone", "cron", "after", "due"),
    [
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00Z", ["2026-03-29T01:00Z", "2026-03-30T00:30Z"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00Z", ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]),
        ("America/New_York", "30 2 * * *", "2026-03-07T12:00Z", ["2026-03-08T07:00Z", "2026-03-09T06:30Z"]),
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00Z", ["2026-11-01T05:30Z", "2026-11-02T06:30Z"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00Z", ["2026-10-03T15:30Z", "2026-10-04T15:15Z"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00Z", ["2026-04-04T14:45Z", "2026-04-05T15:15Z"]),
        ("Pacific/Kiritimati", "0 9 * * *", "2026-01-01T00:00Z", ["2026-01-01T19:00Z", "2026-01-02T19:00Z"]),
        ("Pacific/Tongatapu", "0 9 * * *", "2026-01-01T00:00Z", ["2026-01-01T20:00Z", "2026-01-02T20:00Z"]),
        ("Asia/Kolkata", "0 9 * * mon", "2026-11-20T00:00Z", ["2026-11-23T03:30Z", "2026-11-30T03:30Z"]),
        # Samoa went over the date line: its 30 December 2011 never was.
        ("Pacific/Apia", "0 9 * * *", "2011-12-29T00:00Z", ["2011-12-29T19:00Z", "2011-12-30T19:00Z"]),
        # Two times in one gap are due together, once.
        ("Europe/Berlin", "0,30 2 * * *", "2026-03-28T12:00Z", ["2026-03-29T01:00Z", "2026-03-30T00:00Z"]),
        ("Europe/Berlin", "0 0 29 2 *", "2026-03-01T00:00Z", ["2028-02-28T23:00Z", "2032-02-28T23:00Z"]),
        ("Europe/Berlin", "0 12 L * *", "2026-02-01T00:00Z", ["2026-02-28T11:00Z", "2026-03-31T10:00Z"]),
        ("Europe/Berlin", "0 12 * * fri#2", "2026-02-01T00:00Z", ["2026-02-13T11:00Z", "2026-03-13T11:00Z"]),
    ],
)
def test_known_edges(zone: str, cron: str, after: str, due: list[str]):
    found = next_moments(Rule(time_zone=zone, cron=cron), moment_of(datetime.fromisoformat(after), zone), 2)

    assert [f"{moment.at:%Y-%m-%dT%H:%MZ}" for moment in found] == due


@pytest.mark.fault("F13")
def test_a_time_that_was_due_is_not_due_again_when_a_zones_rules_put_its_clock_back():
    # Due at nine by a clock an hour ahead of what the zone, by newer rules, has that day.
    decided = Moment(datetime.fromisoformat("2026-07-01T09:00"), datetime(2026, 7, 1, 6, tzinfo=UTC))

    following = next_moment(Rule(time_zone="Europe/Berlin", cron="0 9 * * *"), decided)
    once_more = next_moment(Rule(time_zone="Europe/Berlin", at="2026-07-01T09:00"), decided)

    assert once_more is None
    assert following == Moment(datetime.fromisoformat("2026-07-02T09:00"), datetime(2026, 7, 2, 7, tzinfo=UTC))


def test_a_time_with_an_offset_is_an_instant_wherever_the_schedule_is():
    rule = Rule(time_zone="Asia/Tokyo", at="2026-12-24T18:00+01:00")

    moment = next_moment(rule, moment_of(datetime(2026, 1, 1, tzinfo=UTC), "Asia/Tokyo"))

    assert moment == Moment(datetime.fromisoformat("2026-12-25T02:00"), datetime(2026, 12, 24, 17, tzinfo=UTC))
