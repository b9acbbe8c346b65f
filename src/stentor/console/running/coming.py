"""What starts within a day: executions that wait for their time, and what schedules are going to start."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from stentor.console.choosing import all_pages
from stentor.executions.today import TodayService
from stentor.triggers.schedules.model import Schedule
from stentor.triggers.schedules.service import PAGE_MAX, ScheduleService

_SHOWN_MAX = 10
WITHIN = timedelta(hours=24)


class Coming(msgspec.Struct, frozen=True):
    """Something that starts: when, under which name, and its page below the brand's own address."""

    at: datetime
    name: str
    what: str
    page: str
    is_paused: bool = False


class ComingUp:
    """Looks ahead for a brand."""

    def __init__(self, today: TodayService, schedules: ScheduleService) -> None:
        self._today = today
        self._schedules = schedules

    async def of(self, brand_id: UUID, now: datetime) -> list[Coming]:
        """The next ten within 24 hours, the earliest first."""
        waiting = await self._today.coming(brand_id)
        found = [
            Coming(
                one.start_at,
                one.name or one.triggered_by,
                "execution" if one.paused_at is None else "execution, paused",
                f"executions/{one.id}",
                one.paused_at is not None,
            )
            for one in waiting
            if one.start_at is not None
        ]
        found += [
            Coming(one.next_at, one.name, "schedule", f"schedules/{one.id}")
            for one in await self._enabled(brand_id)
            if one.next_at is not None and one.next_at < now + WITHIN
        ]
        return sorted(found, key=lambda one: one.at)[:_SHOWN_MAX]

    async def _enabled(self, brand_id: UUID) -> Sequence[Schedule]:
        async def fetch(after: UUID | None) -> list[Schedule]:
            return await self._schedules.page(brand_id, after=after, limit=PAGE_MAX)

        return [one for one in await all_pages(fetch, lambda one: one.id, PAGE_MAX) if one.enabled]
