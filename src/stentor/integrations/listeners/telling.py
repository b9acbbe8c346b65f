"""What became of runs, told to listeners: from the outbox to notices, in one transaction each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from stentor.db.batches import until_short
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.failpoints import failpoint
from stentor.integrations.listeners import bodies
from stentor.integrations.listeners.days import note_published
from stentor.integrations.listeners.enqueueing import enqueue
from stentor.integrations.listeners.model import NOTICE_DAYS_MAX, Event

TOLD_AT_ONCE = 50
_FORGOTTEN_AT_ONCE = 5_000


class Sql(QuerySet, file="telling.sql", package=__package__):
    untold: Statement
    note_told: Statement
    forget_told: Statement


class Happened(msgspec.Struct, frozen=True):
    """What became of a run; `number` is None of an execution that was cancelled before it was one.

    One that has `required_by` is held until then, on `held_channels`; its `channels` are those once it was released.
    """

    id: UUID
    brand_id: UUID
    execution_id: UUID
    kind: Literal["published", "cancelled"]
    at: datetime
    number: int | None
    channels: list[int] | None
    held_channels: list[int] | None
    required_by: datetime | None


class Teller:
    """Makes notices of what became of runs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def tell(self) -> bool:
        """Tells of up to 50 things that happened; whether there was one."""
        async with self._db.transaction() as conn:
            untold = await Sql.untold.rows(conn, Happened, limit=TOLD_AT_ONCE)
            for happened in untold:
                if happened.number is not None and happened.channels is not None:
                    await _tell(conn, happened, happened.number, happened.channels)
            if untold:
                await Sql.note_told.run(conn, ids=[happened.id for happened in untold])
                failpoint("telling.before_commit")
        if untold:
            failpoint("telling.after_commit")
        return bool(untold)


async def _tell(conn: Connection, happened: Happened, number: int, channels: Sequence[int]) -> None:
    if happened.kind == "cancelled":
        body = bodies.told(Event.CAMPAIGN_CANCELLED, happened.at, campaign=number)
        await enqueue(
            conn,
            happened.brand_id,
            Event.CAMPAIGN_CANCELLED,
            body,
            # Who was told that it is to be cleared is told that it is not any more.
            channels=channels or happened.held_channels,
            execution_id=happened.execution_id,
        )
        return
    if happened.required_by is not None:
        body = bodies.told(Event.CLEARANCE_REQUIRED, happened.at, campaign=number, until=happened.required_by)
        await enqueue(
            conn,
            happened.brand_id,
            Event.CLEARANCE_REQUIRED,
            body,
            channels=happened.held_channels,
            execution_id=happened.execution_id,
        )
        return
    await tell_published(
        conn, happened.brand_id, happened.execution_id, at=happened.at, number=number, channels=channels
    )


async def tell_published(
    conn: Connection, brand_id: UUID, execution_id: UUID, *, at: datetime, number: int, channels: Sequence[int]
) -> None:
    """Events 1 and 13: the run is there to be pulled, on each of its channels."""
    processed = bodies.told(Event.CAMPAIGN_PROCESSED, at, campaign=number)
    await enqueue(conn, brand_id, Event.CAMPAIGN_PROCESSED, processed, channels=channels, execution_id=execution_id)
    for channel in channels:
        executed = bodies.told(Event.CHANNEL_EXECUTED, at, campaign=number, channel=channel)
        await enqueue(conn, brand_id, Event.CHANNEL_EXECUTED, executed, channels=[channel], execution_id=execution_id)
    await note_published(conn, brand_id)


async def forget_told(db: Database) -> int:
    """Forgets what listeners were told of 30 days ago; the keeper's chore. Returns how much."""

    async def forget() -> int:
        async with db.transaction() as conn:
            return await Sql.forget_told.run(conn, days=NOTICE_DAYS_MAX, limit=_FORGOTTEN_AT_ONCE)

    return await until_short(forget, _FORGOTTEN_AT_ONCE)
