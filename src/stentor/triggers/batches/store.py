"""Batches in the database, and the executions that run campaigns for them."""

from datetime import datetime
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id
from stentor.executions.service import START_GRACE
from stentor.triggers.batches.model import BatchKind, BatchRow
from stentor.triggers.campaign_runs import Runnable
from stentor.triggers.schedules.model import Occurrence


class Sql(QuerySet, file="queries.sql", package=__package__):
    insert_batch: Statement
    drop_waiting: Statement
    find_batch: Statement
    find_by_schedule: Statement
    occurrence_of_schedule: Statement
    lock_batch: Statement
    page_of_batches: Statement
    count_batches: Statement
    count_schedules: Statement
    page_of_schedules: Statement
    reschedule: Statement
    touch_schedule: Statement
    end_stream: Statement
    waiting_for_tag: Statement


class NewBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it is written."""

    id: UUID
    kind: BatchKind
    tag_id: UUID
    campaign: Runnable | None
    start_at: datetime | None
    execution_id: UUID | None
    profiles: int
    is_test: bool
    made_by: str


async def insert(conn: Connection, brand_id: UUID, batch: NewBatch) -> BatchRow:
    """Writes the batch, behind its execution, and answers with it as it is now."""
    campaign = batch.campaign
    [row] = await Sql.insert_batch.rows(
        conn,
        BatchRow,
        id=batch.id,
        brand_id=brand_id,
        kind=batch.kind,
        tag_id=batch.tag_id,
        campaign_id=campaign and campaign.campaign_id,
        campaign_name=campaign.name if campaign else "",
        start_at=batch.start_at,
        schedule_id=campaign and new_id(),
        execution_id=batch.execution_id,
        profiles=batch.profiles,
        is_test=batch.is_test,
        made_by=batch.made_by,
    )
    return row


async def drop_waiting(conn: Connection, brand_id: UUID, execution_id: UUID) -> bool:
    """Removes an execution that waits for its start; False when it has begun, is over, or is paused."""
    return await Sql.drop_waiting.run(conn, id=execution_id, brand_id=brand_id) > 0


async def find(conn: Connection, brand_id: UUID, batch_id: UUID) -> BatchRow | None:
    """The batch, if it is this brand's."""
    return await Sql.find_batch.first(conn, BatchRow, id=batch_id, brand_id=brand_id)


async def find_by_schedule(conn: Connection, brand_id: UUID, schedule_id: UUID) -> BatchRow | None:
    """The batch whose schedule has that id."""
    return await Sql.find_by_schedule.first(conn, BatchRow, schedule_id=schedule_id, brand_id=brand_id)


async def occurrences(
    conn: Connection, brand_id: UUID, schedule_id: UUID, *, before: datetime | None
) -> list[Occurrence]:
    """What came of the one time of a batch's schedule; nothing as long as it is to come, or where it never came."""
    return await Sql.occurrence_of_schedule.rows(
        conn, Occurrence, brand_id=brand_id, schedule_id=schedule_id, before=before, grace=START_GRACE
    )


async def lock(conn: Connection, brand_id: UUID, batch_id: UUID) -> None:
    """Locks the batch until the transaction ends."""
    await Sql.lock_batch.run(conn, id=batch_id, brand_id=brand_id)


async def page(conn: Connection, brand_id: UUID, before: UUID | None, limit: int) -> list[BatchRow]:
    """Batches, newest first, from before the id `before`."""
    return await Sql.page_of_batches.rows(conn, BatchRow, brand_id=brand_id, before=before, limit=limit)


async def count(conn: Connection, brand_id: UUID, most: int) -> int:
    """How many batches there are, as far as that."""
    return await Sql.count_batches.value(conn, brand_id=brand_id, most=most)


async def count_schedules(conn: Connection, brand_id: UUID, most: int) -> int:
    """How many batches have a schedule, as far as that."""
    return await Sql.count_schedules.value(conn, brand_id=brand_id, most=most)


async def page_of_schedules(conn: Connection, brand_id: UUID, after: UUID | None, limit: int) -> list[BatchRow]:
    """Batches that have a schedule, in the order of those, from behind the schedule `after`."""
    return await Sql.page_of_schedules.rows(conn, BatchRow, brand_id=brand_id, after=after, limit=limit)


async def reschedule(
    conn: Connection,
    brand_id: UUID,
    batch_id: UUID,
    campaign: Runnable,
    start_at: datetime,
    *,
    execution_id: UUID | None,
) -> None:
    """Writes what is to be run for a locked batch now, and when."""
    await Sql.reschedule.run(
        conn,
        id=batch_id,
        brand_id=brand_id,
        campaign_id=campaign.campaign_id,
        campaign_name=campaign.name,
        start_at=start_at,
        execution_id=execution_id,
    )


async def touch_schedule(conn: Connection, brand_id: UUID, batch_id: UUID) -> None:
    """Notes that the schedule was changed now."""
    await Sql.touch_schedule.run(conn, id=batch_id, brand_id=brand_id)


async def end_stream(
    conn: Connection, brand_id: UUID, batch_id: UUID, *, profiles: int, execution_id: UUID | None
) -> None:
    """Writes how many people came by the stream, and what runs for them."""
    await Sql.end_stream.run(conn, id=batch_id, brand_id=brand_id, profiles=profiles, execution_id=execution_id)


async def is_awaited(conn: Connection, brand_id: UUID, tag_id: UUID) -> bool:
    """Whether a campaign is still to be run for the people of the tag."""
    return bool(await Sql.waiting_for_tag.value(conn, tag_id=tag_id, brand_id=brand_id))
