"""A call that runs a campaign, and what becomes of it."""

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.accounts.acting import acting
from stentor.answers.model import Answer, Idempotency
from stentor.domain.vocabulary import Lane

ScheduleStatus: TypeAlias = Literal["scheduled", "running", "finished", "cancelled"]
"""`running`: nothing more is to come, and what it started last is under way; `cancelled`: it is disabled, or was ended."""


class RunCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of an event generator, to start at once or at `start_at`.

    `triggered_by` says who called, for people: `key 12`.
    """

    brand_id: UUID
    generator_id: str
    topic_key: str
    context: dict[str, Any]
    triggered_by: str
    is_test: bool = False
    start_at: datetime | None = None
    idempotency: Idempotency | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The call is on disk as a new execution, which is queued, or scheduled."""

    execution_id: UUID


class Replayed(msgspec.Struct, frozen=True):
    """An equal call was accepted before; this is what it was answered."""

    answer: Answer


class Deduplicated(msgspec.Struct, frozen=True):
    """Another call told of the same event before; this is its execution."""

    execution_id: UUID


RunOutcome: TypeAlias = Accepted | Replayed | Deduplicated


class QueuedCall(msgspec.Struct, frozen=True):
    """A checked call as it is written: the columns of its execution, and the rate that its brand may run at."""

    id: UUID
    brand_id: UUID
    rate_per_s: int
    publication_id: UUID
    generator_id: str
    topic_key: str
    context: msgspec.Raw
    lane: Lane
    is_test: bool
    triggered_by: str
    deadline_s: int | None = None
    recipients: int = 0
    """How many people the call named; 0 where a topic's subscribers are meant."""
    start_at: datetime | None = None
    request_id: str = msgspec.field(default_factory=lambda: acting().request_id)
    """Of the request that made the call; empty where none did."""
