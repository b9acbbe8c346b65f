"""Listeners and notices: what a client can be told of, and how that stands."""

from datetime import datetime
from enum import StrEnum, unique
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

LISTENERS_MAX = 500
"""Of a brand."""
BODY_CHARS_MAX = 64 * 1024
BACKLOG_MAX = 10_000
"""Notices that wait for one listener; those that come beyond are kept as missed."""
NOTICES_KEPT_MAX = 100_000
"""Of one listener, ended or not; the oldest go."""
NOTICE_DAYS_MAX = 30
"""How long a notice is kept."""
REPLAYED_MAX = 10_000
"""Notices that one replay sends again."""

NoticeState: TypeAlias = Literal["waiting", "delivered", "given_up", "missed", "withdrawn"]
"""`missed`: made while its listener was disabled or had `BACKLOG_MAX` waiting. `given_up`: no yes in three days of tries. `withdrawn`:
while it waited it became something that must not be told any more, to that client or of that person."""


@unique
class Event(StrEnum):
    """What a client can be told of, as the native API names it; what the classic API has for it are the numbers."""

    CAMPAIGN_PROCESSED = "campaign_processed"
    DAY_PROCESSED = "day_processed"
    DAY_CLOSED = "day_closed"
    CAMPAIGN_CANCELLED = "campaign_cancelled"
    CLEARANCE_REQUIRED = "clearance_required"
    TRIGGER_MET = "trigger_met"
    CHANNEL_EXECUTED = "channel_executed"
    REVOCATION = "revocation"
    ATTRIBUTES_UPDATED = "attributes_updated"

    @property
    def number(self) -> int | None:
        """The EventTypeID; None for an event that the classic API does not have."""
        return _NUMBERS.get(self)

    @property
    def is_of_channels(self) -> bool:
        """Whether a listener for it can be one channel's."""
        return self not in _OF_NO_CHANNEL


_NUMBERS = {
    Event.CAMPAIGN_PROCESSED: 1,
    Event.DAY_PROCESSED: 2,
    Event.DAY_CLOSED: 3,
    Event.CAMPAIGN_CANCELLED: 4,
    Event.CLEARANCE_REQUIRED: 5,
    Event.TRIGGER_MET: 11,
    Event.CHANNEL_EXECUTED: 13,
}
_OF_NO_CHANNEL = frozenset({Event.DAY_PROCESSED, Event.DAY_CLOSED, Event.CLEARANCE_REQUIRED, Event.ATTRIBUTES_UPDATED})

EVENT_TYPES: dict[int, Event] = {number: event for event, number in _NUMBERS.items()}
"""Events by their EventTypeID."""


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A URL at which a client is told of an event, and how that goes.

    `channel` is the number of a partner channel; None: all that the client executes. `answer` is what it said last, and
    `failing_since` is set from its first failure after a yes on. `waiting` counts notices on their way, at most `BACKLOG_MAX`.
    """

    id: UUID
    brand_id: UUID
    client_id: UUID
    event: Event
    channel: int | None
    url: str
    created_at: datetime
    updated_at: datetime
    answered_at: datetime | None
    answer: str
    delivered_at: datetime | None
    failing_since: datetime | None
    failures: int
    disabled_at: datetime | None
    disabled_why: str
    waiting: int

    @property
    def event_type_id(self) -> int | None:
        """The classic API's number of its event."""
        return self.event.number


class Hearer(msgspec.Struct, frozen=True):
    """A listener that is told of something, and how many more notices may wait for it: none while it is switched off."""

    listener_id: UUID
    room: int


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One notification to one listener: what it said, and what became of it."""

    id: UUID
    listener_id: UUID
    event: Event
    body: str
    execution_id: UUID | None
    made_at: datetime
    due_at: datetime | None
    """When it is tried next; None once it has ended."""
    tries: int
    status: int | None
    answer: str
    answered_at: datetime | None
    state: NoticeState

    @property
    def webhook_id(self) -> str:
        """The `webhook-id` of each of its tries."""
        return webhook_id_of(self.id)


def webhook_id_of(notice_id: UUID) -> str:
    """What receivers know the notice by, at each try."""
    return f"msg_{notice_id.hex}"
