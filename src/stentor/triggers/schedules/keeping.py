"""Letting schedules run: each occurrence once, whoever keeps the time, and none late in silence."""

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfoNotFoundError

import structlog

from stentor.clock import boottime_s
from stentor.db.pool import Database
from stentor.domain.timetable import Moment, next_moment
from stentor.errors import Problem, Unavailable
from stentor.failpoints import failpoint
from stentor.triggers.schedules import store
from stentor.triggers.schedules.model import Decision, Fate, LockedSchedule, Schedule
from stentor.triggers.schedules.targets import Occurring, Start, TargetChecker

log = structlog.get_logger(__name__)

DUE_AT_ONCE_MAX = 500
OCCURRENCES_KEPT_MAX = 1_000

CATCH_UP_MAX = 500
"""Occurrences that are decided in one transaction, after an outage: 20 ms of working out times."""

_PAGE = 200
# For so long the keeper goes on with schedules while more are due than it takes at once; its other chores wait.
_TURN_S = 5.0

_Checked: TypeAlias = Start | Problem


class ScheduleKeeper:
    """What the keeper does for schedules. Several at once, which an election may leave for seconds, harm nothing."""

    def __init__(self, db: Database, checker: TargetChecker) -> None:
        self._db = db
        self._checker = checker

    async def run_due(self) -> int:
        """Decides what the clock has come to; the keeper's chore. Returns how many schedules it dealt with.

        Of the times that one schedule was due at, only the latest starts, if it is not later than its grace; the others
        are written down as missed. Many are decided in one transaction. Where one of them makes that fail, halves are decided apart
        until it is alone: it is logged, tried again the next time, and holds up no other.
        """
        ends_s, dealt_with = boottime_s() + _TURN_S, 0
        while True:
            async with self._db.read() as conn:
                due = await store.due(conn, DUE_AT_ONCE_MAX)
            if not due:
                return dealt_with
            decided = await self._run_all(due)
            dealt_with += decided
            if len(due) < DUE_AT_ONCE_MAX or not decided or boottime_s() > ends_s:
                return dealt_with

    async def _run_all(self, due: Sequence[Schedule]) -> int:
        try:
            return await self._run(due)
        except Unavailable:
            raise
        except Exception:
            if len(due) > 1:
                half = len(due) // 2
                return await self._run_all(due[:half]) + await self._run_all(due[half:])
            log.exception("schedule.failed", schedule_id=str(due[0].id), brand_id=str(due[0].brand_id))
            return 0

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

    async def _run(self, schedules: Sequence[Schedule]) -> int:
        # Before a connection is taken: who holds one and waits for a second one can wait for others who do the same.
        checked = {schedule.id: await self._check(schedule) for schedule in schedules}
        async with self._db.transaction() as conn:
            locked = await store.lock_due(conn, schedules)
            coming = [_Coming(schedule, *_due(schedule), checked[schedule.id]) for schedule in locked]
            started = await store.start_occurrences(
                conn, [each for one in coming if (each := one.occurring) is not None]
            )
            fates = [Fate(one.schedule, one.decisions(started), one.following) for one in coming]
            if fates:
                await store.decided(conn, fates, kept=OCCURRENCES_KEPT_MAX)
            failpoint("schedule.before_commit")
        failpoint("schedule.after_commit")
        for fate in fates:
            if fate.decisions:
                log.info(
                    "schedule.due",
                    schedule_id=str(fate.schedule.id),
                    due_at=fate.decisions[-1].moment.at.isoformat(),
                    outcome=fate.decisions[-1].outcome,
                    reason=fate.decisions[-1].reason,
                    occurrences=len(fate.decisions),
                )
        return len(fates)

    async def _check(self, schedule: Schedule) -> _Checked:
        try:
            return await self._checker.check(
                schedule.brand_id,
                schedule.target,
                schedule.context,
                triggered_by=schedule.triggered_by,
                is_test=schedule.is_test,
            )
        except Unavailable:
            raise
        except Problem as problem:
            return problem


class _Coming(NamedTuple):
    """A schedule that is due: the times that nobody has decided about, what follows them, and what it would start."""

    schedule: LockedSchedule
    due: list[Moment]
    following: Moment | None
    checked: _Checked

    @property
    def latest(self) -> Moment | None:
        """The one that may start: nothing later is due."""
        return self.due[-1] if self.due and not _is_due(self.following, self.schedule) else None

    @property
    def occurring(self) -> Occurring | None:
        """What starts, if it is not too late by now."""
        moment = self.latest
        if moment is None or isinstance(self.checked, Problem) or _passed_over(moment, self.schedule):
            return None
        schedule = self.schedule
        return Occurring(self.checked, schedule.id, moment.at, moment.local, schedule.misfire_grace_s)

    def decisions(self, started: Collection[UUID]) -> list[Decision]:
        """What came of each time, once these executions were started."""
        return [self._decision(moment, started) for moment in self.due]

    def _decision(self, moment: Moment, started: Collection[UUID]) -> Decision:
        if passed_over := _passed_over(moment, self.schedule):
            return passed_over
        if moment is not self.latest:
            return _missed(moment, "superseded", "A later occurrence was due too when this one could be started.")
        if isinstance(self.checked, Problem):
            return Decision(moment=moment, outcome="refused", reason=self.checked.code, message=self.checked.detail)
        if self.checked.id not in started:
            return _late(moment, self.schedule)
        return Decision(moment=moment, outcome="started", execution_id=self.checked.id)


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
