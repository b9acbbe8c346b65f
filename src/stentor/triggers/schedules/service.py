"""Schedules as their owners see them: made, changed, looked at. The keeper lets them run."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from stentor.accounts.audit import record
from stentor.db.connection import Connection
from stentor.db.names import name_free, name_taken
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.text import checked_name
from stentor.domain.timetable import Moment, Rule, checked_rule, moment_of, next_moment
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, QuotaExceeded, Unprocessable
from stentor.executions.pacing import FIRST_ZONE
from stentor.executions.service import ExecutionService
from stentor.triggers.campaign_runs import check_audience
from stentor.triggers.schedules import store
from stentor.triggers.schedules.model import CampaignTarget, Occurrence, Schedule, ScheduleDraft
from stentor.triggers.schedules.targets import TargetChecker

SCHEDULES_MAX = 20_000
NAME_CHARS_MAX = 200
PAGE_MAX = 100
MOVED_DAYS_MAX = 400
"""How far a schedule is moved at once."""

# How far a schedule is, which the keeper moves on.
_MOVING = {
    "seen_local",
    "seen_at",
    "next_at",
    "now",
    "silent_until",
    "campaign_name",
    "last_execution_id",
    "last_state",
}

_WALL_TIME = re.compile(r"[0-9T:-]{16,19}", re.ASCII)

MISFIRE_GRACE_S_MIN = 60
MISFIRE_GRACE_S_MAX = 7 * 24 * 3600


class ScheduleService:
    """The schedules of all brands; every call names its brand and sees nothing of the others."""

    def __init__(self, db: Database, checker: TargetChecker, executions: ExecutionService) -> None:
        self._db = db
        self._checker = checker
        self._executions = executions

    async def create(self, brand_id: UUID, draft: ScheduleDraft, *, is_test: bool) -> Schedule:
        """The new schedule, which counts from now on; what a test key makes runs as a test.

        Raises Invalid for a rule that cannot be read or never comes and for what a run would refuse; Unprocessable for an
        event generator that no schedule may run or that was never published; Conflict for a name in use; QuotaExceeded.
        """
        draft = await self._checked(brand_id, draft)
        schedule_id = new_id()
        async with self._db.transaction() as conn:
            schedules, now = await store.count(conn, brand_id)
            if schedules >= SCHEDULES_MAX:
                raise QuotaExceeded(f"A brand has at most {SCHEDULES_MAX} schedules. Delete those that are over.")
            draft, seen, following = _from(draft, now)
            if not await store.insert(
                conn, brand_id, schedule_id, draft, is_test=is_test, seen=seen, following=following
            ):
                raise name_taken("schedule", draft.name)
            schedule = await _found(conn, brand_id, schedule_id)
            await record(conn, "schedule.created", schedule_id, brand_id=brand_id, after=_told(schedule))
            return schedule

    async def update(
        self,
        brand_id: UUID,
        schedule_id: UUID,
        draft: ScheduleDraft,
        *,
        is_test: bool = False,
        edited_from: datetime | None = None,
    ) -> Schedule:
        """The schedule, replaced as a whole. Another rule counts from now on; the same one goes on where it was.

        `edited_from`: the `updated_at` of what the draft was made of. Raises NotFound, Conflict when somebody edited it since then,
        Forbidden where a test would change one that is none, and what `create` raises.
        """
        draft = await self._checked(brand_id, draft)
        async with self._db.transaction() as conn:
            held = await store.lock(conn, brand_id, schedule_id)
            if held is None:
                raise _missing()
            _check_is_theirs(held, is_test=is_test)
            if edited_from is not None and edited_from != held.updated_at:
                raise Conflict("Somebody changed this schedule meanwhile. Load the page anew, then change it again.")
            if _is_same(draft.rule, held.rule):
                draft = msgspec.structs.replace(draft, rule=held.rule)
                seen, following = held.seen, next_moment(held.rule, held.seen)
            else:
                # Not before what is decided, if the database's clock was put back since.
                draft, seen, following = _from(draft, max(held.now, held.seen_at))
            with name_free("schedule", draft.name):
                await store.update(conn, brand_id, schedule_id, draft, seen=seen, following=following)
            changed = await _found(conn, brand_id, schedule_id)
            await record(
                conn, "schedule.updated", schedule_id, brand_id=brand_id, before=_told(held), after=_told(changed)
            )
            return changed

    async def move(self, brand_id: UUID, schedule_id: UUID, days: int, *, edited_from: datetime) -> Schedule:
        """The schedule, due so many days later, or earlier, at the same time of its clock. `edited_from`: as in `update`.

        Raises NotFound, Unprocessable for one that comes again and again, Conflict for one that is over or was edited since, and
        Invalid for a day that is past, or more than 400 days away from the one that it had.
        """
        schedule = await self.get(brand_id, schedule_id)
        if schedule.at is None:
            raise Unprocessable("This schedule comes again and again. Change its rule instead.")
        if schedule.next_at is None:
            raise Conflict("Nothing of this schedule is to come any more. Make a new one, or let it go on first.")
        if abs(days) > MOVED_DAYS_MAX:
            raise Invalid.field("/at", "too-far", f"A schedule is moved by at most {MOVED_DAYS_MAX} days at once.")
        try:
            moved = date.fromisoformat(schedule.at[:10]) + timedelta(days=days)
        except OverflowError:
            raise Invalid.field("/at", "never", "There is no such day. Choose one of the years 1 to 9999.") from None
        draft = ScheduleDraft(
            name=schedule.name,
            target=schedule.target,
            context=schedule.context,
            rule=msgspec.structs.replace(schedule.rule, at=f"{moved.isoformat()}{schedule.at[10:]}"),
            misfire_grace_s=schedule.misfire_grace_s,
            enabled=schedule.enabled,
        )
        return await self.update(brand_id, schedule_id, draft, edited_from=edited_from)

    async def get(self, brand_id: UUID, schedule_id: UUID) -> Schedule:
        """The schedule. Raises NotFound."""
        async with self._db.read() as conn:
            return await _found(conn, brand_id, schedule_id)

    async def page(self, brand_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX) -> list[Schedule]:
        """At most `limit` (and 100) schedules in the order of their making, from behind `after`."""
        async with self._db.read() as conn:
            return await store.page(conn, brand_id, after, min(limit, PAGE_MAX))

    async def count(self, brand_id: UUID) -> int:
        """How many schedules the brand has."""
        async with self._db.read() as conn:
            return (await store.count(conn, brand_id))[0]

    async def cancel(self, brand_id: UUID, schedule_id: UUID, *, is_test: bool = False) -> Schedule:
        """Ends what a schedule runs, also what it started last: who was not written to yet is skipped.

        Nothing more of it starts until it is enabled again. Raises NotFound, Conflict when it is over or cancelled already,
        and Forbidden where a test (`is_test`) would end one that is none.
        """
        async with self._db.transaction() as conn:
            await store.lock(conn, brand_id, schedule_id)
            held = await _found(conn, brand_id, schedule_id)
            _check_is_theirs(held, is_test=is_test)
            if held.status in {"finished", "cancelled"}:
                raise Conflict(
                    f"Only a schedule that is to come or runs can be cancelled; this one is {held.status}.",
                    status=held.status,
                )
            await store.disable(conn, brand_id, schedule_id)
            if held.last_execution_id is not None and held.is_under_way:
                await self._executions.cancel_with(conn, brand_id, held.last_execution_id)
            cancelled = await _found(conn, brand_id, schedule_id)
            await record(
                conn, "schedule.cancelled", schedule_id, brand_id=brand_id, before=_told(held), after=_told(cancelled)
            )
            return cancelled

    async def delete(self, brand_id: UUID, schedule_id: UUID, *, is_test: bool = False) -> None:
        """Removes the schedule with its occurrences; executions that it started go on.

        Raises NotFound, and Forbidden where a test (`is_test`) would remove one that is none.
        """
        async with self._db.transaction() as conn:
            held = await _found(conn, brand_id, schedule_id)
            _check_is_theirs(held, is_test=is_test)
            if not await store.delete(conn, brand_id, schedule_id):
                raise _missing()
            await record(conn, "schedule.deleted", schedule_id, brand_id=brand_id, before=_told(held))

    async def occurrences(
        self, brand_id: UUID, schedule_id: UUID, *, before: datetime | None = None, limit: int = PAGE_MAX
    ) -> list[Occurrence]:
        """What came of its occurrences, the latest first, at most `limit` (and 100), from before `before`. Raises NotFound."""
        async with self._db.read() as conn:
            await _found(conn, brand_id, schedule_id)
            return await store.page_of_occurrences(conn, brand_id, schedule_id, before, min(limit, PAGE_MAX))

    async def _checked(self, brand_id: UUID, draft: ScheduleDraft) -> ScheduleDraft:
        if not MISFIRE_GRACE_S_MIN <= draft.misfire_grace_s <= MISFIRE_GRACE_S_MAX:
            message = f"A misfire_grace_s has {MISFIRE_GRACE_S_MIN} to {MISFIRE_GRACE_S_MAX} seconds."
            raise Invalid.field("/misfire_grace_s", "range", message)
        try:
            await self._checker.check(brand_id, draft.target, draft.context)
        except NotFound as missing:
            if isinstance(draft.target, CampaignTarget):
                raise Invalid.field("/campaign_id", "unknown-campaign", missing.detail) from missing
            raise Invalid.field("/event_generator_id", "unknown-event-generator", missing.detail) from missing
        if isinstance(draft.target, CampaignTarget):
            async with self._db.read() as conn:
                await check_audience(conn, brand_id, draft.target.audience)
            draft = _by_their_clocks(draft, draft.target)
        return msgspec.structs.replace(draft, name=checked_name(draft.name, NAME_CHARS_MAX))


def _by_their_clocks(draft: ScheduleDraft, target: CampaignTarget) -> ScheduleDraft:
    """The draft with the zone where each time comes first, where it goes by everybody's own clock."""
    if not target.in_their_zones:
        return draft
    if draft.rule.at is not None and not _WALL_TIME.fullmatch(draft.rule.at):
        message = "By everybody's own clock a time has no offset: write it as `2026-12-24T18:00`."
        raise Invalid.field("/at", "has-offset", message)
    if draft.rule.cron is not None and (set(draft.rule.cron.split()[:2]) & {"*"} or "*" in draft.rule.cron[:1]):
        message = "By everybody's own clock a run is at a time of the day: write minute and hour as numbers."
        raise Invalid.field("/cron", "no-time-of-day", message)
    rule = msgspec.structs.replace(draft.rule, time_zone=FIRST_ZONE)
    return msgspec.structs.replace(draft, rule=rule)


def _from(draft: ScheduleDraft, now: datetime) -> tuple[ScheduleDraft, Moment, Moment | None]:
    """The draft with its rule in proper form, and from where it counts, and its first moment."""
    rule = checked_rule(draft.rule, now.astimezone(UTC))
    seen = moment_of(now, rule.time_zone)
    return msgspec.structs.replace(draft, rule=rule), seen, next_moment(rule, seen)


def _is_same(rule: Rule, held: Rule) -> bool:
    return (rule.at, rule.cron, rule.time_zone.lower()) == (held.at, held.cron, held.time_zone.lower())


def _told(schedule: Schedule) -> dict[str, Any]:
    """The schedule as the audit log tells of it: what was said of it, and not how far it is."""
    told = msgspec.structs.asdict(schedule)
    return {name: value for name, value in told.items() if name not in _MOVING}


async def _found(conn: Connection, brand_id: UUID, schedule_id: UUID) -> Schedule:
    schedule = await store.find(conn, brand_id, schedule_id)
    if schedule is None:
        raise _missing()
    return schedule


def _check_is_theirs(schedule: Schedule, *, is_test: bool) -> None:
    """Raises Forbidden where a test key would change what writes to people."""
    if is_test and not schedule.is_test:
        raise Forbidden("A test key sends nothing to people: this schedule is no test. Use another key.")


def _missing() -> NotFound:
    return NotFound("This brand has no such schedule. List them with GET …/schedules.")
