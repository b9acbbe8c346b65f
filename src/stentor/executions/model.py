"""One execution as doors see it."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from stentor.executions.pacing import DuePlan
from stentor.executions.quiet_plan import QuietPlan

ExecutionState = Literal["scheduled", "queued", "planning", "sending", "ended", "cancelled", "failed"]
OVER: frozenset[ExecutionState] = frozenset({"ended", "cancelled", "failed"})
"""The states in which nothing is planned or sent any more."""

ErrorCode = Literal[
    "TOPIC_NOT_FOUND", "TOPIC_DISABLED", "AUDIENCE_NOT_FOUND", "TEMPLATE_INVALID", "CANCELLED", "DEADLINE", "INTERNAL"
]
"""Why an execution was never published; clients read these words."""


class Execution(msgspec.Struct, frozen=True):
    """One run of a campaign."""

    id: UUID
    brand_id: UUID
    publication_id: UUID
    generator_id: str
    topic_key: str
    topic_id: UUID | None
    context: dict[str, Any]
    lane: int
    is_test: bool
    recipients: int
    """How many people the call named; 0 where a topic's subscribers, or those of `audience`, are meant."""
    campaign_id: UUID | None
    """The campaign, where it was run itself and not by an event generator."""
    audience: dict[str, Any] | None
    cast_at: datetime | None
    """When its people were fixed as a cast; None where they are not, or not yet."""
    cast_size: int | None
    local_at: datetime | None
    """What everybody's own clock shows when they are written to, without a zone."""
    spread_s: int
    per_hour: int | None
    parent_id: UUID | None
    """The execution that it goes on from: whose people it takes, as its experiment's winner for the rest, or of a step the run."""
    step: int
    """Which step of its campaign it is, 0 for the first."""
    triggered_by: str
    request_id: str
    """Of the request that started it; empty where none did."""
    state: ExecutionState
    audience_size: int
    error_code: ErrorCode | None
    error_message: str | None
    created_at: datetime
    start_at: datetime | None
    schedule_id: UUID | None
    occurrence_at: datetime | None
    status_at: datetime
    published_at: datetime | None
    paused_at: datetime | None
    restored_at: datetime | None
    """When a backup that caught it under way was restored; it was paused then."""
    cancelled_at: datetime | None
    ended_at: datetime | None

    @property
    def meant_at(self) -> datetime | None:
        """When it was fixed whom it means; None before that."""
        return self.created_at if self.recipients else self.cast_at or self.published_at


TRIGGER_CHARS_MAX = 200
"""How long a part of `triggered_by` may be that is looked for."""


class ExecutionFilter(msgspec.Struct, frozen=True):
    """What a list of executions is narrowed to; None is all of them. `triggered_by` is a part of what they say."""

    states: tuple[ExecutionState, ...] | None = None
    campaign_id: UUID | None = None
    triggered_by: str | None = None


ALL = ExecutionFilter()
"""Every execution of a brand."""


class Origin(msgspec.Struct, frozen=True):
    """Where a message came from: its brand, the topic it was about, if it was about one, and its campaign's name."""

    brand_id: UUID
    topic_id: UUID | None
    campaign: str = ""
    is_test_send: bool = False


class QueuedExecution(msgspec.Struct, frozen=True):
    """An execution that a planner or a caster holds locked."""

    id: UUID
    brand_id: UUID
    publication_id: UUID
    topic_key: str
    topic_id: UUID | None
    lane: int
    is_test: bool
    recipients: int
    audience: dict[str, Any] | None
    cast_at: datetime | None
    cast_size: int | None
    local_at: datetime | None
    spread_s: int
    per_hour: int | None


class ClaimedSlice(msgspec.Struct, frozen=True):
    """A slice that a planner holds locked, with what its execution was resolved to."""

    execution_id: UUID
    number: int
    brand_id: UUID
    lane: int
    part_from: int
    part_to: int
    chunks: int
    chunk_base: int
    publication_id: UUID
    topic_id: UUID | None
    is_test: bool
    cast_at: datetime | None
    cast_size: int | None
    local_at: datetime | None
    spread_s: int
    per_hour: int | None


AudienceTable = Literal["topic", "cast", "named"]
"""Where planning finds the people of an execution: subscriptions, its cast, or whom its call named."""


class PlannedRoute(msgspec.Struct, frozen=True):
    """One route of one execution in one slice, as the planning statement takes it."""

    execution_id: UUID
    table: AudienceTable
    audience_id: UUID
    """The topic, or the execution itself."""
    ordinal: int
    """The route's place in the publication."""
    variant_base: int
    """The number of its first language among those of all routes of the channel."""
    channel: int
    sender_id: UUID
    lane: int
    languages: str | None
    """The variants' languages in their order, lower-case, joined by commas; None when there is one variant only."""
    chunk_base: int
    chunks: int
    part_from: int
    part_to: int
    quiet: QuietPlan | DuePlan | None = None
    """What quiet hours make of its people, or when they fall due; None where it is open for everybody, and now."""
    pulled: bool = False
    """Whether a partner pulls its people: its chunks wait for that, and no worker claims them."""

    def holds_chunk(self, place: int) -> bool:
        """Whether the chunk at that place is one of its own."""
        return self.chunk_base <= place < self.chunk_base + self.chunks

    @property
    def mask(self) -> int:
        """What its people have in the mask of what is meant for them: its channel in a topic, itself in a cast."""
        return 1 << (self.ordinal if self.table == "cast" else self.channel)


class VerdictCount(msgspec.Struct, frozen=True):
    """How many sends of one chunk got one verdict at planning."""

    execution_id: UUID
    channel: int
    chunk: int
    state: int
    reason: int
    sends: int
