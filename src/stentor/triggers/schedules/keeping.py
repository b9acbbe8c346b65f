"""Letting schedules run: each occurrence once, whoever keeps the time, and none late in silence."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfoNotFoundError

import structlog

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.timetable import Moment, next_moment
from stentor.errors import Problem, Unavailable
from stentor.failpoints import failpoint
from stentor.triggers.checking import CallChecker
from stentor.triggers.model import QueuedCall
from stentor.triggers.schedules import store
from stentor.triggers.schedules.model import RUNNABLE, Decision, LockedSchedule, Schedule

log = structlog.get_logger(__name__)

DUE_AT_ONCE_MAX = 500
OCCURRENCES_KEPT_MAX = 1_000

CATCH_UP_MAX = 500
"""Occurrences that are decided in one transaction, after an outage: 20 ms of working out times."""

_PAGE = 200

_Checked: TypeAlias = QueuedCall | Problem


class ScheduleKeeper:
    """What the keeper does for schedules. Several at once, which an election may leave for seconds, harm nothing."""

    def __init__(self, db: Database, checker: CallChecker) -> None:
        self._db = db
        self._checker = checker

    async def run_due(self) -> int:
        """Decides what the clock has come to; the keeper's chore. Returns how many schedules it dealt with.

        Of the times that one schedule was due at, only the latest starts, if it is not later than its grace; the others
        are written down as missed. One schedule that fails is logged, tried again the next time, and holds up no other.
        """
        async with self._db.read() as conn:
            due = await store.due(conn, DUE_AT_ONCE_MAX)
        dealt_with = 0
        for schedule in due:
            try:
                dealt_with += await self._run(schedule)
            except Unavailable:
                raise
            except Exception:
                log.exception("schedule.failed", schedule_id=str(schedule.id), brand_id=str(schedule.brand_id))
        return dealt_with

    async def reckon(self) -> int:
        """Works out anew when everything is due next, by the time zones that this process knows; the keeper's chore.

        An update of the time zone database may bring a time forward, and the alarm that is set would ring late. Returns how
        many schedules changed.
        """
        changed, after = 0, None
        while True:
            async with self._db.transaction() as conn:
                schedules = await store.to_come(conn, after, _PAGE)
                if not schedules:
                    return changed
                moved = list(_moved(schedules))
                changed += await store.set_alarms(conn, moved) if moved else 0
            after = schedules[-1].id

    async def _run(self, schedule: Schedule) -> bool:
        # Before a connection is taken: who holds one and waits for a second one can wait for others who do the same.
        checked = await self._check(schedule)
        async with self._db.transaction() as conn:
            locked = await store.lock_due(conn, schedule)
            if locked is None:
                return False
            due, following = _due(locked)
            latest = due[-1] if due and not _is_due(following, locked) else None
            decisions = [
                await self._decide(conn, locked, moment, checked, is_latest=moment is latest) for moment in due
            ]
            await store.decided(conn, locked, decisions, following, kept=OCCURRENCES_KEPT_MAX)
            failpoint("schedule.before_commit")
        failpoint("schedule.after_commit")
        if decisions:
            log.info(
                "schedule.due",
                schedule_id=str(schedule.id),
                due_at=decisions[-1].moment.at.isoformat(),
                outcome=decisions[-1].outcome,
                reason=decisions[-1].reason,
                occurrences=len(decisions),
            )
        return True

    async def _check(self, schedule: Schedule) -> _Checked:
        try:
            return (await self._checker.check(schedule.call, RUNNABLE)).queued
        except Unavailable:
            raise
        except Problem as problem:
            return problem

    async def _decide(
        self, conn: Connection, schedule: LockedSchedule, moment: Moment, checked: _Checked, *, is_latest: bool
    ) -> Decision:
        if passed_over := _passed_over(moment, schedule):
            return passed_over
        if not is_latest:
            return _missed(moment, "superseded", "A later occurrence was due too when this one could be started.")
        if isinstance(checked, Problem):
            return Decision(moment=moment, outcome="refused", reason=checked.code, message=checked.detail)
        if not await store.start_occurrence(conn, schedule, checked, moment.at):
            return _late(moment, schedule)
        return Decision(moment=moment, outcome="started", execution_id=checked.id)


def _due(schedule: LockedSchedule) -> tuple[list[Moment], Moment | None]:
    """What is due and not decided, the first so many, and what follows. Nothing, where the alarm rang too early."""
    due: list[Moment] = []
    moment = next_moment(schedule.rule, schedule.seen)
    while moment is not None and _is_due(moment, schedule) and len(due) < CATCH_UP_MAX:
        due.append(moment)
        moment = next_moment(schedule.rule, moment)
    return due, moment


def _is_due(moment: Moment | None, schedule: LockedSchedule) -> bool:
    return moment is not None and moment.at <= schedule.now


def _passed_over(moment: Moment, schedule: LockedSchedule) -> Decision | None:
    if not schedule.enabled:
        return _missed(moment, "disabled", "The schedule was disabled.")
    if schedule.silent_until is not None and moment.at <= schedule.silent_until:
        return _missed(moment, "restored", "It was due after the backup, before this restored copy was let go.")
    if schedule.now - moment.at > timedelta(seconds=schedule.misfire_grace_s):
        return _late(moment, schedule)
    return None


def _late(moment: Moment, schedule: Schedule) -> Decision:
    grace_s = schedule.misfire_grace_s
    return _missed(moment, "late", f"It could not be started within the {grace_s} s of its misfire_grace_s.")


def _missed(moment: Moment, reason: str, message: str) -> Decision:
    return Decision(moment=moment, outcome="missed", reason=reason, message=message)


def _moved(schedules: list[Schedule]) -> Iterator[tuple[Schedule, Moment | None]]:
    for schedule in schedules:
        try:
            following = next_moment(schedule.rule, schedule.seen)
        except ZoneInfoNotFoundError:
            log.warning("schedule.zone_unknown", schedule_id=str(schedule.id), time_zone=schedule.time_zone)
            continue
        if (None if following is None else following.at) != schedule.next_at:
            yield schedule, following
