"""Quiet hours at an instant: who may be written to by the clock of where they are, and from when on who may not.

A clock is read, not computed: it is quiet when the clock on the recipient's wall stands in a window. So an hour that is
skipped in spring is never waited for, and in autumn a window that the clock enters twice is quiet twice. Where several time
zones are plausible it is quiet as long as it is in one of them.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from stentor.domain.objections import Hold, Objection, Skip
from stentor.domain.quiet_hours import DAY_MINUTES, QuietRule, QuietWindow, quiet_windows
from stentor.domain.vocabulary import ChannelKind, Reason
from stentor.guard.places import Zones, zones_of

BEFORE_CLOSING = timedelta(seconds=5)
"""A send that is cleared now may leave two seconds later, and a slow provider takes a moment: so much earlier it is quiet."""

HORIZON = timedelta(days=15)
"""How far ahead the end of a quiet time is looked for; a send that would wait longer is skipped."""

_DAYS_AHEAD = (2, 9, HORIZON.days)
_JUDGED_MAX = 10_000


class Ruling(msgspec.Struct, frozen=True):
    """What holds for a place from the instant it was asked for until `valid_until`."""

    objection: Objection | None
    valid_until: datetime


class QuietHours:
    """The rules of one channel: the brand's and the campaign's together, and where people are of whom nothing is known.

    It is open when no rule says otherwise. A rule that skips goes before one that holds.
    """

    def __init__(self, windows: Sequence[QuietWindow], fallback: Zones) -> None:
        # Stable: of several rules with the same action the first one is named.
        self._windows = sorted((_OnWall(window) for window in windows), key=lambda window: window.action != "skip")
        self._minutes = sorted({0}.union(*(window.minutes for window in self._windows)))
        self._fallback = fallback
        self._rulings: dict[Zones, tuple[datetime, Ruling]] = {}

    def objection(self, place: str, at: datetime) -> Objection | None:
        """What stands against writing to somebody of that place at that instant, and in the seconds after it."""
        zones = zones_of(place, self._fallback)
        ruling = self.ruling(zones, at)
        if ruling.objection is None and ruling.valid_until <= at + BEFORE_CLOSING:
            ruling = self.ruling(zones, ruling.valid_until)
        return ruling.objection

    def zones(self, place: str) -> Zones:
        """The time zones by which somebody of that place is judged."""
        return zones_of(place, self._fallback)

    def ruling(self, zones: Zones, at: datetime) -> Ruling:
        """The same for people who may be in any of these zones; worked out once for as long as it holds."""
        since, ruling = self._rulings.get(zones, (None, None))
        if since is None or ruling is None or not since <= at < ruling.valid_until:
            ruling = self._worked_out(zones, at)
            if len(self._rulings) >= _JUDGED_MAX:
                self._rulings.clear()
            self._rulings[zones] = at, ruling
        return ruling

    def _worked_out(self, names: Zones, at: datetime) -> Ruling:
        zones = [ZoneInfo(name) for name in names]
        objecting = self._objecting(zones, at)
        valid_until: datetime | None = None
        for instant in self._changes(zones, at):
            present = self._objecting(zones, instant)
            if valid_until is None and present is not objecting:
                valid_until = instant
            if valid_until is not None and (objecting is None or present is None or objecting.action == "skip"):
                return Ruling(_answer(objecting, instant), valid_until)
        # Zones that lie far apart may have no hour in common that is open in all of them.
        nowhere = len(names) > 1 and objecting is not None and objecting.action == "hold"
        reason = Reason.NO_TIMEZONE if nowhere else Reason.QUIET_HOURS_CANCELLED
        refusal = None if objecting is None else Skip(reason, objecting.number)
        return Ruling(refusal, at + timedelta(days=1) if valid_until is None else valid_until)

    def _objecting(self, zones: Iterable[ZoneInfo], at: datetime) -> "_OnWall | None":
        clocks = [at.astimezone(zone) for zone in zones]
        return next((window for window in self._windows if any(map(window.is_quiet, clocks))), None)

    def _changes(self, zones: Sequence[ZoneInfo], after: datetime) -> Iterator[datetime]:
        """The instants at which a clock enters or leaves a window, or is set, in order; looked for further and further."""
        done = after
        for days in _DAYS_AHEAD:
            limit = after + timedelta(days=days)
            instants = {instant for zone in zones for instant in _instants(zone, after, days, self._minutes)}
            yield from sorted(instant for instant in instants if done < instant <= limit)
            done = limit


def _answer(objecting: "_OnWall | None", opens_at: datetime) -> Objection | None:
    if objecting is None:
        return None
    if objecting.action == "skip":
        return Skip(Reason.QUIET_HOURS_CANCELLED, objecting.number)
    return Hold(opens_at, Reason.QUIET_HOURS, objecting.number)


def _instants(zone: ZoneInfo, after: datetime, days: int, minutes: Sequence[int]) -> Iterator[datetime]:
    first = after.astimezone(zone).date() - timedelta(days=1)
    for number in range(days + 3):
        day = first + timedelta(days=number)
        midnight, next_midnight = _at(day, 0, zone), _at(day + timedelta(days=1), 0, zone)
        for minute in minutes:
            yield _at(day, minute, zone)
            yield _at(day, minute, zone, fold=1)
        if midnight.astimezone(zone).utcoffset() != next_midnight.astimezone(zone).utcoffset():
            yield _clock_set(zone, midnight, next_midnight)


def _at(day: date, minute: int, zone: ZoneInfo, *, fold: int = 0) -> datetime:
    return datetime.combine(day, time(minute // 60, minute % 60, fold=fold), zone).astimezone(UTC)


def _clock_set(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The second between the two at which the zone's clocks are set."""
    low, high = int(before.timestamp()), int(after.timestamp())
    offset = before.astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


class _OnWall:
    """A window, cut at midnight: the minutes of each weekday in which it is quiet."""

    def __init__(self, window: QuietWindow) -> None:
        self.number = window.number
        self.action = window.action
        self._holidays = window.holidays
        self._by_day: list[list[tuple[int, int]]] = [[] for _ in range(7)]
        for day in window.days:
            if window.from_minute < window.to_minute:
                self._by_day[day].append((window.from_minute, window.to_minute))
            else:
                self._by_day[day].append((window.from_minute, DAY_MINUTES))
                self._by_day[(day + 1) % 7].append((0, window.to_minute))
        self.minutes = {window.from_minute, window.to_minute % DAY_MINUTES} if window.days else set[int]()

    def is_quiet(self, clock: datetime) -> bool:
        minute = clock.hour * 60 + clock.minute
        return clock.date() in self._holidays or any(
            first <= minute < end for first, end in self._by_day[clock.weekday()]
        )


@functools.lru_cache(maxsize=4096)
def quiet_hours(
    channel: ChannelKind, of_brand: tuple[QuietRule, ...], of_campaign: tuple[QuietRule, ...], fallback: Zones
) -> QuietHours | None:
    """What holds on a channel; None where no rule is about it. The brand's rules are numbered first."""
    windows = [window for window in quiet_windows(of_brand + of_campaign) if window.channel_mask & channel.bit]
    return QuietHours(windows, fallback) if windows else None
