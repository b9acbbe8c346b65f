"""What ran and what is to come on each day of a brand's calendar: campaigns, their volume, and whom several of them mean."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any, Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.timetable import Moment, Rule, moment_of, next_moment
from stentor.errors import Invalid
from stentor.executions.model import ExecutionState

CALENDAR_DAYS_MAX = 42
"""Days of one calendar: six weeks."""
RUNS_SEEN_MAX = 20_000
"""Of executions of any kind, the newest so many of the days are looked at."""
RUNS_COUNTED_MAX = 5_000
"""Of those that mean an audience, the newest so many are counted."""
SCHEDULES_SEEN_MAX = 500
"""Schedules that are asked when they come, the soonest first."""
OCCURRENCES_MAX = 1_000
"""Times that one schedule comes, and"""
OCCURRENCES_IN_ALL_MAX = 5_000
"""that all of them come, within the days."""

YEARS = (2000, 2200)
"""Of what a calendar may be asked."""

# How far from UTC clocks are: where everybody's own clock counts, a day is begun, and over, that much before or after.
_OFF_UTC = timedelta(hours=26)

EntryKind: TypeAlias = Literal["run", "expected"]


class Sql(QuerySet, file="calendar.sql", package=__package__):
    runs_seen_from: Statement
    runs_between: Statement
    schedules_until: Statement


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of one campaign for one audience on one day. `local`: what the clock shows at the first of them.

    `people`: of a run, messages handed over so far; of what is expected, how many its schedule meant last time, None where that is not
    known. `execution_id` is the latest run's. `is_movable`: it comes once and is to come, so that its day can be changed; `edited_at`
    is then the `updated_at` of its schedule. `again`: its audience is meant more than once on that day.
    """

    kind: EntryKind
    name: str
    at: datetime
    local: datetime
    times: int = 1
    people: int | None = None
    state: ExecutionState | None = None
    campaign_id: UUID | None = None
    schedule_id: UUID | None = None
    execution_id: UUID | None = None
    audience: str = ""
    by_their_clocks: bool = False
    is_test: bool = False
    is_movable: bool = False
    edited_at: datetime | None = None
    again: bool = False


class CalendarDay(msgspec.Struct, frozen=True):
    """A day on the brand's clock. `handed_over` and `expected` are its entries' people, tests aside."""

    day: date
    entries: list[Entry]
    handed_over: int
    expected: int


class Calendar(msgspec.Struct, frozen=True):
    """Days in their order. `counted_from`: what began before it is not on them, for there was more than is counted.

    `is_cut`: some schedules come more often, or there are more of them, than is shown.
    """

    time_zone: str
    days: list[CalendarDay]
    counted_from: datetime | None
    is_cut: bool


class _Run(msgspec.Struct, frozen=True):
    id: UUID
    schedule_id: UUID | None
    campaign_id: UUID
    name: str | None
    at: datetime
    local_at: datetime | None
    state: ExecutionState
    is_test: bool
    topic_key: str
    audience: dict[str, Any] | None
    audience_size: int
    handed_over: int


class _Coming(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    campaign_id: UUID | None
    runs: str
    topic_key: str
    audience: dict[str, Any] | None
    in_their_zones: bool
    is_test: bool
    time_zone: str
    at: str | None
    cron: str | None
    seen_local: datetime
    seen_at: datetime
    updated_at: datetime
    expected: int | None


class CalendarService:
    """Looks at what ran, and works out what is to come."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def between(self, brand_id: UUID, first: date | None, days: int, time_zone: str) -> Calendar:
        """So many days, at most 42, from the first one (None: today) on, on the clock of that zone.

        Raises Invalid for days that are none.
        """
        zone = ZoneInfo(time_zone)
        first = first or self._clock.now().astimezone(zone).date()
        _check(first, days)
        since, until = _midnight(first, zone), _midnight(first + timedelta(days=days), zone)
        between: dict[str, Any] = {"brand_id": brand_id, "since": since - _OFF_UTC, "until": until + _OFF_UTC}
        async with self._db.read() as conn:
            beyond: UUID | None = await Sql.runs_seen_from.value(conn, **between, most=RUNS_SEEN_MAX)
            runs = await Sql.runs_between.rows(conn, _Run, **between, after=beyond, limit=RUNS_COUNTED_MAX + 1)
            coming = await Sql.schedules_until.rows(
                conn, _Coming, brand_id=brand_id, until=until + _OFF_UTC, limit=SCHEDULES_SEEN_MAX + 1
            )
        counted_from = None
        if beyond is not None or len(runs) > RUNS_COUNTED_MAX:
            runs = runs[:RUNS_COUNTED_MAX]
            counted_from = runs[-1].at if runs else until
        # Thousands of times are some tenths of a second of work.
        expected, is_cut = await asyncio.to_thread(_expected, coming[:SCHEDULES_SEEN_MAX], since, until, zone)
        return Calendar(
            time_zone=time_zone,
            days=_days([*_ran(runs, zone), *expected], first, days),
            counted_from=counted_from,
            is_cut=is_cut or len(coming) > SCHEDULES_SEEN_MAX,
        )


def _check(first: date, days: int) -> None:
    if not YEARS[0] <= first.year <= YEARS[1]:
        raise Invalid.field("/first", "range", f"A calendar is of the years {YEARS[0]} to {YEARS[1]}.")
    if not 1 <= days <= CALENDAR_DAYS_MAX:
        raise Invalid.field("/days", "range", f"A calendar has 1 to {CALENDAR_DAYS_MAX} days.")


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _ran(runs: Sequence[_Run], zone: ZoneInfo) -> Iterator[Entry]:
    for run in runs:
        yield Entry(
            # What a call ordered ahead stands there like a run, and has begun with nothing yet.
            kind="expected" if run.state == "scheduled" else "run",
            name=run.name or "",
            at=run.at,
            local=run.local_at or _on_clock(run.at, zone),
            people=(run.audience_size or None) if run.state == "scheduled" else run.handed_over,
            state=run.state,
            campaign_id=run.campaign_id,
            schedule_id=run.schedule_id,
            execution_id=run.id,
            audience=_audience(run.audience, run.topic_key),
            by_their_clocks=run.local_at is not None,
            is_test=run.is_test,
        )


def _expected(
    schedules: Sequence[_Coming], since: datetime, until: datetime, zone: ZoneInfo
) -> tuple[list[Entry], bool]:
    """What is to come within the days, and whether there is more of it than is told."""
    entries: list[Entry] = []
    is_cut = False
    for one in schedules:
        moments = list(islice(_moments(one, since, until), OCCURRENCES_MAX + 1))
        left = min(OCCURRENCES_MAX, OCCURRENCES_IN_ALL_MAX - len(entries))
        is_cut = is_cut or len(moments) > left
        entries += (_to_come(one, moment, zone) for moment in moments[:left])
    return entries, is_cut


def _moments(one: _Coming, since: datetime, until: datetime) -> Iterator[Moment]:
    rule = Rule(time_zone=one.time_zone, at=one.at, cron=one.cron)
    seen = Moment(one.seen_local, one.seen_at.astimezone(UTC))
    start = since - _OFF_UTC
    moment = next_moment(rule, seen if seen.at >= start else moment_of(start, one.time_zone))
    while moment is not None and moment.at < until + _OFF_UTC:
        yield moment
        moment = next_moment(rule, moment)


def _to_come(one: _Coming, moment: Moment, zone: ZoneInfo) -> Entry:
    return Entry(
        kind="expected",
        name=one.runs,
        at=moment.at,
        local=moment.local if one.in_their_zones else _on_clock(moment.at, zone),
        people=one.expected,
        campaign_id=one.campaign_id,
        schedule_id=one.id,
        audience=_audience(one.audience, one.topic_key),
        by_their_clocks=one.in_their_zones,
        is_test=one.is_test,
        is_movable=one.at is not None,
        edited_at=one.updated_at,
    )


def _audience(stored: Mapping[str, Any] | None, topic_key: str) -> str:
    """Who is meant, so that the same ones are told apart from others; empty for those of a step, who are a part of their run."""
    if stored is None:
        return f"topic {topic_key}" if topic_key else ""
    named = stored.get("segment_id") or stored.get("tag_id")
    return f"{stored.get('kind')} {named}" if named else ""


def _days(entries: Sequence[Entry], first: date, days: int) -> list[CalendarDay]:
    of_day: defaultdict[date, list[Entry]] = defaultdict(list)
    for entry in entries:
        of_day[entry.local.date()].append(entry)
    return [_day(day, of_day.get(day, [])) for day in (first + timedelta(days=ahead) for ahead in range(days))]


def _day(day: date, entries: Sequence[Entry]) -> CalendarDay:
    meant = Counter(entry.audience for entry in entries if entry.audience and not entry.is_test)
    gathered: dict[tuple[Any, ...], Entry] = {}
    for entry in sorted(entries, key=lambda each: (each.local, each.at)):
        key = (
            entry.kind,
            entry.campaign_id,
            entry.name,
            entry.audience,
            entry.is_test,
            entry.is_movable and entry.schedule_id,
        )
        held = gathered.get(key)
        again = meant[entry.audience] > 1 and not entry.is_test
        gathered[key] = msgspec.structs.replace(entry, again=again) if held is None else _with(held, entry)
    listed = [entry for entry in gathered.values() if not entry.is_test]
    return CalendarDay(
        day,
        list(gathered.values()),
        handed_over=sum(entry.people or 0 for entry in listed if entry.kind == "run"),
        expected=sum(entry.people or 0 for entry in listed if entry.kind == "expected"),
    )


def _with(held: Entry, later: Entry) -> Entry:
    """The entry with one more run in it; how many that is stays unknown where it is of one of them."""
    known = held.people is not None and later.people is not None
    return msgspec.structs.replace(
        held,
        times=held.times + 1,
        people=(held.people or 0) + (later.people or 0) if known else held.people or later.people,
        state=later.state,
        execution_id=later.execution_id,
    )


def _on_clock(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)
