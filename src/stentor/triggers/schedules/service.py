"""Schedules as their owners see them: made, changed, looked at. The keeper lets them run."""

from datetime import UTC, datetime
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
from stentor.errors import Forbidden, Invalid, NotFound, QuotaExceeded
from stentor.triggers.checking import CallChecker
from stentor.triggers.model import RunCall
from stentor.triggers.schedules import store
from stentor.triggers.schedules.model import RUNNABLE, Occurrence, Schedule, ScheduleDraft

SCHEDULES_MAX = 1_000
NAME_CHARS_MAX = 200
PAGE_MAX = 100

# How far a schedule is, which the keeper moves on.
_MOVING = {"seen_local", "seen_at", "next_at", "now", "silent_until"}

MISFIRE_GRACE_S_MIN = 60
MISFIRE_GRACE_S_MAX = 7 * 24 * 3600


class ScheduleService:
    """The schedules of all brands; every call names its brand and sees nothing of the others."""

    def __init__(self, db: Database, checker: CallChecker) -> None:
        self._db = db
        self._checker = checker

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
        self, brand_id: UUID, schedule_id: UUID, draft: ScheduleDraft, *, is_test: bool = False
    ) -> Schedule:
        """The schedule, replaced as a whole. Another rule counts from now on; the same one goes on where it was.

        Raises NotFound, Forbidden where a test would change one that is none, and what `create` raises.
        """
        draft = await self._checked(brand_id, draft)
        async with self._db.transaction() as conn:
            held = await store.lock(conn, brand_id, schedule_id)
            if held is None:
                raise _missing()
            if is_test and not held.is_test:
                raise Forbidden("A test key sends nothing to people: this schedule is no test. Use another key.")
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

    async def delete(self, brand_id: UUID, schedule_id: UUID) -> None:
        """Removes the schedule with its occurrences; executions that it started go on. Raises NotFound."""
        async with self._db.transaction() as conn:
            held = await _found(conn, brand_id, schedule_id)
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
        call = RunCall(
            brand_id=brand_id,
            generator_id=draft.generator_id,
            topic_key=draft.topic_key,
            context=draft.context,
            triggered_by="",
        )
        try:
            await self._checker.check(call, RUNNABLE)
        except NotFound as missing:
            raise Invalid.field("/event_generator_id", "unknown-event-generator", missing.detail) from missing
        return msgspec.structs.replace(draft, name=checked_name(draft.name, NAME_CHARS_MAX))


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


def _missing() -> NotFound:
    return NotFound("This brand has no such schedule. List them with GET …/schedules.")
