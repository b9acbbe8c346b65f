"""When a schedule is due: a rule on the clock of one place, and the instants that it comes to.

A time that the clock skips is due at the first instant after the gap; one that it shows twice is due the first time. A day
that a place skips whole is nobody's day. Rules whose minutes or hours begin with `*` (every quarter of an hour) speak of time
that passes instead: they miss what is skipped and come again in an hour that is repeated. All of it is Debian's cron.
"""

import functools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from stentor.domain.locale import normal_time_zone
from stentor.errors import Invalid

CRON_CHARS_MAX = 200
AT_CHARS_MAX = 25

_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_VALUE = r"(?:\d{1,2}|[A-Z]{3})"
_TERM = rf"(?:(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/\d{{1,2}})?|{_VALUE}#[1-5]|\dL|LW?)"
_FIELD = re.compile(rf"{_TERM}(?:,{_TERM})*", re.ASCII | re.IGNORECASE)

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
# Between these every place has a date.
_FIRST = datetime.min.replace(tzinfo=UTC) + 2 * _DAY
_LAST = datetime.max.replace(tzinfo=UTC) - 2 * _DAY


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Once `at` a time, which is the place's own unless it has an offset, or again and again by `cron`'s five fields."""

    time_zone: str
    at: str | None = None
    cron: str | None = None


class Moment(msgspec.Struct, frozen=True):
    """An instant, and what the clock of the place was meant to show then."""

    local: datetime
    """Without a zone. In a gap it is a time that was never shown."""
    at: datetime


def checked_rule(rule: Rule, now: datetime) -> Rule:
    """The rule with its zone's proper name. Raises Invalid for one that cannot be read, or is never due after `now`."""
    zone = normal_time_zone(rule.time_zone)
    if zone is None:
        message = "There is no such time zone. Name one of the IANA database, as `Europe/Berlin`."
        raise Invalid.field("/time_zone", "unknown-time-zone", message)
    if (rule.at is None) == (rule.cron is None):
        raise Invalid.field("/cron", "at-or-cron", "Say either `at`, for once, or `cron`, for again and again.")
    if rule.cron is not None:
        _check_cron(rule.cron)
    elif rule.at is not None and _time_of(rule.at) is None:
        message = (
            "Write the time as `2026-12-24T18:00`, in the schedule's zone, or with an offset as `2026-12-24T17:00Z`."
        )
        raise Invalid.field("/at", "invalid-time", message)
    checked = msgspec.structs.replace(rule, time_zone=zone)
    if next_moment(checked, moment_of(now, zone)) is None:
        named = "/at" if rule.cron is None else "/cron"
        raise Invalid.field(named, "never", "That is past, or no such time ever comes. Choose one that is to come.")
    return checked


def moment_of(at: datetime, time_zone: str) -> Moment:
    """The instant, and what the clock shows then."""
    return Moment(_wall(at, ZoneInfo(time_zone)), at.astimezone(UTC))


def next_moment(rule: Rule, after: Moment) -> Moment | None:
    """When the rule is due next after that moment; None when it never is.

    By the clock's own count: where a change of its zone's rules puts the clock back, a time that was due is not due again.
    """
    zone = ZoneInfo(rule.time_zone)
    if rule.cron is None:
        time = None if rule.at is None else _time_of(rule.at)
        return None if time is None else _once(time, zone, after)
    minutes, hours, *_ = rule.cron.split()
    if minutes.startswith("*") or hours.startswith("*"):
        return _as_time_passes(rule.cron, zone, after)
    return _on_the_wall(rule.cron, zone, after)


def next_moments(rule: Rule, after: Moment, most: int) -> list[Moment]:
    """The moments that follow, at most so many."""

    def following() -> Iterator[Moment]:
        moment = next_moment(rule, after)
        while moment is not None:
            yield moment
            moment = next_moment(rule, moment)

    return list(islice(following(), most))


def _check_cron(cron: str) -> None:
    fields = cron.split()
    is_readable = len(cron) <= CRON_CHARS_MAX and len(fields) == 5 and all(_FIELD.fullmatch(field) for field in fields)
    try:
        if is_readable:
            CronSim(cron, datetime.min.replace(tzinfo=UTC))
            return
        said = "It has five fields: minute, hour, day of month, month, day of week"
    except CronSimError as error:
        said = str(error)
    raise Invalid.field("/cron", "invalid-cron", f"{said}. Write it as `0 9 * * mon`, for Mondays at nine.")


@functools.lru_cache(maxsize=1024)
def _time_of(text: str) -> datetime | None:
    if not _AT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _once(time: datetime, zone: ZoneInfo, after: Moment) -> Moment | None:
    try:
        return _at_time(time, zone, after)
    except OverflowError:
        # Some other place has the year 0 or 10000 then, for which there are no times.
        return None


def _at_time(time: datetime, zone: ZoneInfo, after: Moment) -> Moment | None:
    if time.tzinfo is not None:
        return Moment(_wall(time, zone), time.astimezone(UTC)) if time > after.at else None
    at = _instant_of(time, zone)
    return Moment(time, at) if at is not None and at > after.at and time > after.local else None


def _on_the_wall(cron: str, zone: ZoneInfo, after: Moment) -> Moment | None:
    for local in CronSim(cron, after.local):
        at = _instant_of(local, zone)
        # What the clock shows a second time is past, and so are two times of one gap after the first.
        if at is not None and at > after.at:
            return Moment(local, at)
    return None


def _as_time_passes(cron: str, zone: ZoneInfo, after: Moment) -> Moment | None:
    """Goes from one change of the clock to the next: in between it runs like one that is never changed."""
    since = after.at.astimezone(UTC).replace(microsecond=0)
    start = since
    searched, local = None, None
    while True:
        wall = _wall(since, zone) - (since - start)
        # What followed an earlier time follows this one too, unless this one is past it.
        if searched is None or local is None or not searched <= wall < local:
            searched, local = wall, next(CronSim(cron, wall), None)
        if local is None:
            return None
        at = start + (local - wall)
        change = _first_change(zone, since, at)
        if change is None:
            return Moment(local, at)
        # What is due at the change itself is due.
        since, start = change, change - _SECOND


def _instant_of(local: datetime, zone: ZoneInfo) -> datetime | None:
    """The first instant at which the clock shows that time or, where it skips it, a later one; None on a day that is skipped."""
    at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _wall(at, zone) == local:
        return at
    # Read by the offset from before the gap a skipped time is after it, and the other way round.
    change = _first_change(zone, local.replace(tzinfo=zone, fold=1).astimezone(UTC), at)
    if change is None:
        return at
    midnight = local.replace(hour=0, minute=0, second=0)
    is_day_skipped = _wall(change - _SECOND, zone) < midnight and _wall(change, zone) >= midnight + _DAY
    return None if is_day_skipped else change


def _first_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The first instant after `start`, until `end`, at which the clock is put forward or back."""
    for year in range(start.year, end.year + 1):
        for change in _changes_in(zone, year):
            if start < change <= end:
                return change
    return None


# A rule for the 29th of February that is a Sunday looks at 28 years: 100 of those held up a process for 9 s.
@functools.lru_cache(maxsize=4096)
def _changes_in(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """The instants of a year, by UTC, at which the clock of that place is put forward or back."""
    same = max(datetime(year, 1, 1, tzinfo=UTC), _FIRST)
    last = _LAST if year == _LAST.year else datetime(year + 1, 1, 1, tzinfo=UTC)
    changes: list[datetime] = []
    while same < last:
        other = after = min(same + _DAY, last)
        if (offset := _offset(same, zone)) != _offset(after, zone):
            while (span := (other - same) // _SECOND) > 1:
                middle = same + span // 2 * _SECOND
                same, other = (middle, other) if _offset(middle, zone) == offset else (same, middle)
            changes.append(other)
        same = after
    return tuple(changes)


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)
