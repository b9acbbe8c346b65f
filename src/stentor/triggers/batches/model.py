"""Batches and their schedules."""

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.audience.model import Act, Tag, TaggedProfile
from stentor.executions.model import ExecutionState
from stentor.triggers.model import ScheduleStatus

BatchKind: TypeAlias = Literal["call", "stream"]


class ScheduleWish(msgspec.Struct, frozen=True):
    """What a caller wants to run, and when; the time is UTC."""

    start_at: datetime
    campaign_id: UUID


class BatchCall(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller hands over: the body as it was sent, and how they came."""

    brand_id: UUID
    body: Any
    region: str | None
    profiles_max: int
    act: Act
    is_test: bool = False


class BatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it is stored. `state` is its execution's; None before there is one, and when its history was dropped.

    `import_state` is a stream's.
    """

    id: UUID
    kind: BatchKind
    tag_id: UUID | None
    campaign_id: UUID | None
    campaign_name: str
    start_at: datetime | None
    schedule_id: UUID | None
    scheduled_at: datetime | None
    execution_id: UUID | None
    profiles: int
    is_test: bool
    created_at: datetime
    updated_at: datetime
    state: ExecutionState | None
    is_paused: bool
    import_state: Literal["running", "succeeded", "failed"] | None


class BatchSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """When a batch's campaign runs, and how far it is."""

    id: UUID
    batch_id: UUID
    campaign_id: UUID
    campaign_name: str
    tag_id: UUID | None
    status: ScheduleStatus
    start_at: datetime
    execution_id: UUID | None
    is_test: bool
    created_at: datetime
    updated_at: datetime


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, its people in the order in which they came (not those of a stream), and what is to be run for them."""

    row: BatchRow
    tag: Tag | None
    profiles: list[TaggedProfile]

    @property
    def schedule(self) -> BatchSchedule | None:
        return schedule_of(self.row)


def schedule_of(row: BatchRow) -> BatchSchedule | None:
    """The schedule of a batch, if it has one."""
    if row.schedule_id is None or row.campaign_id is None or row.start_at is None or row.scheduled_at is None:
        return None
    return BatchSchedule(
        id=row.schedule_id,
        batch_id=row.id,
        campaign_id=row.campaign_id,
        campaign_name=row.campaign_name,
        tag_id=row.tag_id,
        status=_status(row),
        start_at=row.start_at,
        execution_id=row.execution_id,
        is_test=row.is_test,
        created_at=row.created_at,
        updated_at=row.scheduled_at,
    )


def _status(row: BatchRow) -> ScheduleStatus:
    match row.state:
        case "scheduled":
            return "scheduled"
        case "queued" | "planning" | "sending":
            return "running"
        case "ended":
            return "finished"
        case "cancelled" | "failed":
            return "cancelled"
        case None:
            # The history of an execution is dropped long after its end.
            if row.execution_id is not None:
                return "finished"
            # A stream that is still coming; of one that failed nothing will ever run.
            return "scheduled" if row.import_state == "running" else "cancelled"
