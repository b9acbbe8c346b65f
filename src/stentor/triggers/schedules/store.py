"""Schedules and their occurrences in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.timetable import Moment
from stentor.triggers.model import QueuedCall
from stentor.triggers.schedules.model import Decision, LockedSchedule, Occurrence, Schedule, ScheduleDraft


class Sql(QuerySet, file="queries.sql", package=__package__):
    count_schedules: Statement
    insert_schedule: Statement
    find_schedule: Statement
    lock_schedule: Statement
    page_of_schedules: Statement
    update_schedule: Statement
    delete_schedule: Statement
    page_of_occurrences: Statement
    due_schedules: Statement
    lock_due: Statement
    start_occurrence: Statement
    insert_occurrences: Statement
    forget_occurrences: Statement
    advance: Statement
    schedules_to_come: Statement
    set_alarms: Statement


async def count(conn: Connection, brand_id: UUID) -> tuple[int, datetime]:
    """How many schedules the brand has, and what time it is."""
    ((schedules, now),) = await Sql.count_schedules.tuples(conn, brand_id=brand_id)
    return schedules, now


async def insert(
    conn: Connection,
    brand_id: UUID,
    schedule_id: UUID,
    draft: ScheduleDraft,
    *,
    is_test: bool,
    seen: Moment,
    following: Moment | None,
) -> bool:
    """Makes the schedule; False when its name is taken."""
    made = await Sql.insert_schedule.run(
        conn, id=schedule_id, brand_id=brand_id, is_test=is_test, **_edited(draft), **_moments(seen, following)
    )
    return made > 0


async def update(
    conn: Connection,
    brand_id: UUID,
    schedule_id: UUID,
    draft: ScheduleDraft,
    *,
    seen: Moment,
    following: Moment | None,
) -> None:
    """Replaces what can be edited of the schedule."""
    await Sql.update_schedule.run(
        conn, id=schedule_id, brand_id=brand_id, **_edited(draft), **_moments(seen, following)
    )


async def find(conn: Connection, brand_id: UUID, schedule_id: UUID) -> Schedule | None:
    """The schedule, if it is this brand's."""
    return await Sql.find_schedule.first(conn, Schedule, id=schedule_id, brand_id=brand_id)


async def lock(conn: Connection, brand_id: UUID, schedule_id: UUID) -> LockedSchedule | None:
    """The schedule, locked until the transaction ends; None when the brand has none such."""
    return await Sql.lock_schedule.first(conn, LockedSchedule, id=schedule_id, brand_id=brand_id)


async def page(conn: Connection, brand_id: UUID, after: UUID | None, limit: int) -> list[Schedule]:
    """A brand's schedules in the order of their making, from behind `after`."""
    return await Sql.page_of_schedules.rows(conn, Schedule, brand_id=brand_id, after=after, limit=limit)


async def delete(conn: Connection, brand_id: UUID, schedule_id: UUID) -> bool:
    """Removes the schedule and what is known of its occurrences; False when there is none."""
    return await Sql.delete_schedule.run(conn, id=schedule_id, brand_id=brand_id) > 0


async def page_of_occurrences(
    conn: Connection, brand_id: UUID, schedule_id: UUID, before: datetime | None, limit: int
) -> list[Occurrence]:
    """What came of the schedule's occurrences, the latest first, from before `before`."""
    return await Sql.page_of_occurrences.rows(
        conn, Occurrence, schedule_id=schedule_id, brand_id=brand_id, before=before, limit=limit
    )


async def due(conn: Connection, limit: int) -> list[Schedule]:
    """Schedules that the clock has come to, the longest due first."""
    return await Sql.due_schedules.rows(conn, Schedule, limit=limit)


async def lock_due(conn: Connection, schedule: Schedule) -> LockedSchedule | None:
    """The schedule, locked, if it still is due and as it was; None otherwise."""
    return await Sql.lock_due.first(
        conn, LockedSchedule, id=schedule.id, brand_id=schedule.brand_id, updated_at=schedule.updated_at
    )


async def start_occurrence(conn: Connection, schedule: Schedule, call: QueuedCall, due_at: datetime) -> bool:
    """Writes the execution of an occurrence; False when it is later than its grace allows."""
    started = await Sql.start_occurrence.run(
        conn,
        id=call.id,
        brand_id=call.brand_id,
        publication_id=call.publication_id,
        generator_id=call.generator_id,
        topic_key=call.topic_key,
        context=Jsonb(call.context),
        lane=call.lane,
        is_test=call.is_test,
        triggered_by=call.triggered_by,
        deadline_s=call.deadline_s,
        schedule_id=schedule.id,
        due_at=due_at,
        misfire_grace_s=schedule.misfire_grace_s,
    )
    return started > 0


async def decided(
    conn: Connection, schedule: Schedule, decisions: Sequence[Decision], following: Moment | None, *, kept: int
) -> None:
    """Writes down what came of occurrences, forgets all but the latest `kept`, and sets the alarm for the next one."""
    seen = decisions[-1].moment if decisions else schedule.seen
    if decisions:
        await Sql.insert_occurrences.run(
            conn,
            schedule_id=schedule.id,
            brand_id=schedule.brand_id,
            dues_at=[decision.moment.at for decision in decisions],
            locals_at=[decision.moment.local for decision in decisions],
            outcomes=[decision.outcome for decision in decisions],
            reasons=[decision.reason for decision in decisions],
            messages=[decision.message for decision in decisions],
            execution_ids=[decision.execution_id for decision in decisions],
        )
        await Sql.forget_occurrences.run(conn, schedule_id=schedule.id, brand_id=schedule.brand_id, kept=kept)
    await Sql.advance.run(conn, id=schedule.id, brand_id=schedule.brand_id, **_moments(seen, following))


async def to_come(conn: Connection, after: UUID | None, limit: int) -> list[Schedule]:
    """Schedules that have something to come, in the order of their ids, from behind `after`."""
    return await Sql.schedules_to_come.rows(conn, Schedule, after=after, limit=limit)


async def set_alarms(conn: Connection, changed: Sequence[tuple[Schedule, Moment | None]]) -> int:
    """Sets when these schedules are due next, but for those decided or edited meanwhile; returns how many it set."""
    return await Sql.set_alarms.run(
        conn,
        ids=[schedule.id for schedule, _ in changed],
        seens_at=[schedule.seen_at for schedule, _ in changed],
        updates_at=[schedule.updated_at for schedule, _ in changed],
        nexts_local=[None if following is None else following.local for _, following in changed],
        nexts_at=[None if following is None else following.at for _, following in changed],
    )


def _edited(draft: ScheduleDraft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "generator_id": draft.generator_id,
        "topic_key": draft.topic_key,
        "context": Jsonb(draft.context),
        "time_zone": draft.rule.time_zone,
        "at": draft.rule.at,
        "cron": draft.rule.cron,
        "misfire_grace_s": draft.misfire_grace_s,
        "enabled": draft.enabled,
    }


def _moments(seen: Moment, following: Moment | None) -> dict[str, datetime | None]:
    return {
        "seen_local": seen.local,
        "seen_at": seen.at,
        "next_local": None if following is None else following.local,
        "next_at": None if following is None else following.at,
    }
