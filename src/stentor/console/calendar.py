"""`/console/brands/…/calendar`: what ran and what is to come, by month or week; what comes once is moved to another day."""

import calendar as months
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.clock import Clock
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, Invalid, NotFound, Problem, Unprocessable
from stentor.triggers.calendar import YEARS, Calendar, CalendarService, Entry
from stentor.triggers.schedules.model import Schedule
from stentor.triggers.schedules.service import ScheduleService

CHIPS_OF_MONTH_MAX = 6
"""Of a day in the month; the week shows more."""
CHIPS_OF_WEEK_MAX = 100

View: TypeAlias = Literal["month", "week"]

_AT_THE_PAGE = (Conflict, Invalid, Unprocessable, NotFound)


class Span(msgspec.Struct, frozen=True):
    """Which days are shown, and how to get to those beside them. `at`: the day that was asked for."""

    view: View
    at: date
    first: date
    days: int

    @classmethod
    def of(cls, view: str, at: date) -> "Span":
        """The month's weeks, Monday first, or the week of the day."""
        if view == "week":
            return cls("week", at, at - timedelta(days=at.weekday()), 7)
        begin, last = at.replace(day=1), months.monthrange(at.year, at.month)[1]
        lead = begin.weekday()
        return cls("month", at, begin - timedelta(days=lead), -(-(lead + last) // 7) * 7)

    @property
    def before(self) -> date:
        return self._within(self.first if self.view == "week" else self.at.replace(day=1), -1)

    @property
    def after(self) -> date:
        last = months.monthrange(self.at.year, self.at.month)[1]
        return self._within(self.first + timedelta(days=6) if self.view == "week" else self.at.replace(day=last), 1)

    @property
    def title(self) -> str:
        """`November 2026`, or the week's number and its Monday."""
        if self.view == "month":
            return f"{self.at:%B %Y}"
        return f"Week {self.first.isocalendar().week}, from {self.first.day} {self.first:%B %Y}"

    def is_inside(self, day: date) -> bool:
        """Whether the day is of the month that is shown; of a week all are."""
        return self.view == "week" or (day.year, day.month) == (self.at.year, self.at.month)

    def _within(self, edge: date, days: int) -> date:
        moved = edge + timedelta(days=days)
        return moved if YEARS[0] < moved.year < YEARS[1] else self.at


class CalendarPages:
    """The calendar of a brand, on the clock of its time zone."""

    def __init__(self, door: BrandDoor, *, calendar: CalendarService, schedules: ScheduleService, clock: Clock) -> None:
        self._door = door
        self._calendar = calendar
        self._schedules = schedules
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(f"{HERE}/calendar", include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            told = "It is moved." if "moved" in request.query_params else ""
            return await self._page(request, place, request.query_params, told=told)

        @post(f"{HERE}/calendar/move", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def move(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            try:
                to = await self._moved(place, form)
            except _AT_THE_PAGE as problem:
                return await self._page(request, place, form, problem=problem)
            view = "week" if form.get("view") == "week" else "month"
            return Redirect(f"{place.root}/calendar?view={view}&at={to.isoformat()}&moved=yes", status_code=303)

        return [shown, move]

    async def _moved(self, place: Place, form: Mapping[str, str]) -> date:
        """Moves what the form names, as its page showed it, and answers with its new day."""
        named, _, edited = form.get("what", "").partition(" ")
        to = _date(form.get("to", ""))
        try:
            schedule_id, edited_from = UUID(named), datetime.fromisoformat(edited)
        except ValueError:
            raise Invalid.field("/what", "missing", "Choose what to move.") from None
        if to is None:
            raise Invalid.field("/to", "missing", "Say to which day.")
        schedule = await self._schedules.get(place.brand.id, schedule_id)
        days = (to - _day_of(schedule, self._zone(place))).days
        await self._schedules.move(place.brand.id, schedule_id, days, edited_from=edited_from)
        return to

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        asked: Mapping[str, str],
        *,
        problem: Problem | None = None,
        told: str = "",
    ) -> Response[str]:
        today = self._clock.now().astimezone(self._zone(place)).date()
        span = Span.of(asked.get("view", ""), _date(asked.get("at", "")) or today)
        found = await self._calendar.between(
            place.brand.id, span.first, span.days, place.brand.settings.default_time_zone
        )
        movable = _movable(found) if place.may("write") else []
        return self._door.page(
            request,
            "calendar/calendar.html",
            place,
            tab="calendar",
            problem=problem,
            told=told,
            span=span,
            calendar=found,
            today=today,
            chips_max=CHIPS_OF_WEEK_MAX if span.view == "week" else CHIPS_OF_MONTH_MAX,
            movable=movable,
            chosen=asked.get("what", ""),
            to=asked.get("to", ""),
            token_of=token_of,
            twice=[day for day in found.days if any(entry.again for entry in day.entries)],
        )

    def _zone(self, place: Place) -> ZoneInfo:
        return ZoneInfo(place.brand.settings.default_time_zone)


def token_of(entry: Entry) -> str:
    """What the form calls an entry that can be moved: its schedule, and which state of it was shown."""
    if not entry.is_movable or entry.edited_at is None:
        return ""
    return f"{entry.schedule_id} {entry.edited_at.isoformat()}"


def _movable(found: Calendar) -> list[tuple[str, str]]:
    return [
        (token_of(entry), f"{entry.name}, {day.day.day} {day.day:%B}, {entry.local:%H:%M}")
        for day in found.days
        for entry in day.entries
        if token_of(entry)
    ]


def _day_of(schedule: Schedule, zone: ZoneInfo) -> date:
    """The day on which the calendar shows what comes once."""
    if schedule.at is not None and (schedule.in_their_zones or schedule.next_at is None):
        return date.fromisoformat(schedule.at[:10])
    at: Any = schedule.next_at or schedule.created_at
    return at.astimezone(zone).date()


def _date(text: str) -> date | None:
    try:
        said = date.fromisoformat(text)
    except ValueError:
        return None
    return said if YEARS[0] < said.year < YEARS[1] else None
