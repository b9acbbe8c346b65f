"""Schedules and their occurrences in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.timetable import Moment
from stentor.triggers.schedules.model import (
    Fate,
    GeneratorTarget,
    LockedSchedule,
    Occurrence,
    Schedule,
    ScheduleDraft,
    Target,
)
from stentor.triggers.schedules.targets import Occurring


class Sql(QuerySet, file="queries.sql", package=__package__):
    count_schedules: Statement
    insert_schedule: Statement
    find_schedule: Statement
    lock_schedule: Statement
    page_of_schedules: Statement
    update_schedule: Statement
    disable_schedule: Statement
    delete_schedule: Statement
    page_of_occurrences: Statement
    due_schedules: Statement
    lock_due: Statement
    start_occurrences: Statement
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


async def disable(conn: Connection, brand_id: UUID, schedule_id: UUID) -> None:
    """Lets nothing more of the schedule start."""
    await Sql.disable_schedule.run(conn, id=schedule_id, brand_id=brand_id)


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


async def lock_due(conn: Connection, schedules: Sequence[Schedule]) -> list[LockedSchedule]:
    """Those of the schedules that are still due and as they were, locked."""
    return await Sql.lock_due.rows(
        conn,
        LockedSchedule,
        ids=[schedule.id for schedule in schedules],
        updates_at=[schedule.updated_at for schedule in schedules],
    )


async def start_occurrences(conn: Connection, occurring: Sequence[Occurring]) -> set[UUID]:
    """Writes the executions of these occurrences, but for those that are later than their grace allows; returns their ids."""
    return set(await Sql.start_occurrences.column(conn, occurring=Jsonb(occurring))) if occurring else set()


async def decided(conn: Connection, fates: Sequence[Fate], *, kept: int) -> None:
    """Writes down what came of schedules' occurrences, forgets all but each one's latest `kept`, and sets their alarms."""
    each = [(fate.schedule, decision) for fate in fates for decision in fate.decisions]
    if each:
        await Sql.insert_occurrences.run(
            conn,
            schedule_ids=[schedule.id for schedule, _ in each],
            brand_ids=[schedule.brand_id for schedule, _ in each],
            dues_at=[decision.moment.at for _, decision in each],
            locals_at=[decision.moment.local for _, decision in each],
            outcomes=[decision.outcome for _, decision in each],
            reasons=[decision.reason for _, decision in each],
            messages=[decision.message for _, decision in each],
            execution_ids=[decision.execution_id for _, decision in each],
        )
        await Sql.forget_occurrences.run(conn, ids=sorted({schedule.id for schedule, _ in each}), kept=kept)
    seens = [fate.decisions[-1].moment if fate.decisions else fate.schedule.seen for fate in fates]
    await Sql.advance.run(
        conn,
        ids=[fate.schedule.id for fate in fates],
        seens_local=[seen.local for seen in seens],
        seens_at=[seen.at for seen in seens],
        nexts_local=[None if fate.following is None else fate.following.local for fate in fates],
        nexts_at=[None if fate.following is None else fate.following.at for fate in fates],
    )


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
        **_target(draft.target),
        "context": Jsonb(draft.context),
        "time_zone": draft.rule.time_zone,
        "at": draft.rule.at,
        "cron": draft.rule.cron,
        "misfire_grace_s": draft.misfire_grace_s,
        "enabled": draft.enabled,
    }


def _target(target: Target) -> dict[str, Any]:
    if isinstance(target, GeneratorTarget):
        columns = msgspec.structs.asdict(target)
        return {
            **columns,
            **dict.fromkeys(("campaign_id", "audience", "per_hour")),
            "in_their_zones": False,
            "spread_s": 0,
        }
    columns = msgspec.structs.asdict(target)
    return {**columns, "audience": Jsonb(target.audience), "generator_id": "", "topic_key": ""}


def _moments(seen: Moment, following: Moment | None) -> dict[str, datetime | None]:
    return {
        "seen_local": seen.local,
        "seen_at": seen.at,
        "next_local": None if following is None else following.local,
        "next_at": None if following is None else following.at,
    }
