"""What the audience knows: customers, topics, subscriptions, channel flags and how each choice came about."""

from datetime import date, datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind, channels_in
from stentor.errors import Violation


class CustomerPatch(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says of one person: a field left out is kept, None takes it away.

    `attributes` are merged by name at the top level; a None among them removes that one, None as a whole removes all.
    """

    external_id: str
    email: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET
    push_tokens: list[str] | UnsetType | None = UNSET
    locale: str | UnsetType | None = UNSET
    time_zone: str | UnsetType | None = UNSET
    attributes: dict[str, Any] | UnsetType | None = UNSET


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """One person in a brand. Masks hold `1 << channel number` for each channel."""

    customer_id: UUID
    external_id: str
    email: str | None
    phone: str | None
    push_tokens: list[str]
    locale: str | None
    time_zone: str | None
    attributes: dict[str, Any]
    address_mask: int
    valid_mask: int
    agreed_mask: int
    refused_mask: int
    bounced_mask: int
    complained_mask: int
    shared_address: bool
    break_until: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def agreed(self) -> list[ChannelKind]:
        """The channels whose flag is yes."""
        return channels_in(self.agreed_mask)

    @property
    def refused(self) -> list[ChannelKind]:
        """The channels whose flag is no."""
        return channels_in(self.refused_mask)


class Fate(StrEnum):
    """What an upsert did with one person."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class Upserted(msgspec.Struct, frozen=True):
    """The person as stored, and what of the request is kept but cannot be used, such as an address that is none."""

    customer: Customer
    fate: Fate
    warnings: tuple[Violation, ...]


class Source(StrEnum):
    """Through which door a choice came."""

    API = "api"
    BATCH = "batch"
    IMPORT = "import"
    CONSOLE = "console"
    UNAUTHENTICATED = "unauthenticated"
    """The Preference Centre, whose callers carry no key."""
    PREFERENCE_PAGE = "preference_page"
    UNSUBSCRIBE_LINK = "unsubscribe_link"
    ONE_CLICK = "one_click"
    REPLY = "reply"
    """A text message such as STOP or START."""
    PARTNER = "partner"
    """A partner that executes a campaign says that the person opted out there."""
    ERASURE = "erasure"
    """Nobody's choice: the person was erased, and with them what they had chosen."""
    MERGE = "merge"
    """Two profiles became one: what both had chosen, the stricter of it."""


BY_THE_PERSON = (
    Source.UNAUTHENTICATED,
    Source.PREFERENCE_PAGE,
    Source.UNSUBSCRIBE_LINK,
    Source.ONE_CLICK,
    Source.REPLY,
    Source.PARTNER,
)
"""The doors that people use themselves: what was withdrawn there, no import brings back."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """How a choice came about, for the ledger: the door, who acted, from which address, on which version of the text."""

    source: Source
    actor: str = ""
    ip: IPv4Address | IPv6Address | None = None
    text_version: str = ""
    note: str = ""


class Choice(msgspec.Struct, frozen=True):
    """A change of one subscription: channels to add to it, and channels to take from it (masks)."""

    customer_id: UUID
    topic_id: UUID
    add: int = 0
    remove: int = 0

    @classmethod
    def exactly(cls, customer_id: UUID, topic_id: UUID, channels: int) -> "Choice":
        """The subscription shall have these channels and no others."""
        return cls(customer_id, topic_id, channels, ALL_CHANNELS_MASK & ~channels)


class FlagChoice(msgspec.Struct, frozen=True):
    """A change of a person's channel flags: channels that become yes, no or unset (masks)."""

    customer_id: UUID
    agree: int = 0
    refuse: int = 0
    unset: int = 0


ConsentKind: TypeAlias = Literal[
    "subscribed", "unsubscribed", "agreed", "refused", "unset", "requested", "break", "break_over"
]


class ConsentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger. `requested` is an opt-in that waits for its confirmation and changes nothing.

    `until`: of a break, when it ends.
    """

    customer_id: UUID
    event_id: UUID
    at: datetime
    kind: ConsentKind
    topic_id: UUID | None
    channels: int
    source: str
    actor: str
    ip: IPv4Address | IPv6Address | None
    text_version: str
    note: str
    until: datetime | None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A person's choice for one topic; no channels is a withdrawal that is remembered."""

    topic_id: UUID
    topic_key: str
    channels: int
    changed_at: datetime


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A name that people were given: by a batch, which makes one of its own, or one by one."""

    id: UUID
    name: str
    created_at: datetime
    updated_at: datetime


class TaggedProfile(msgspec.Struct, frozen=True):
    """The two ids of a person who has a tag."""

    external_id: str
    uuid: UUID


class TopicDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A topic to be made. `key` is what API calls name it by; `channels` is a mask."""

    key: str
    name: str
    description: str = ""
    channels: int
    enabled: bool = True


class TopicPatch(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to a topic; its key never changes. What is left out is kept."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    channels: int | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """What people opt in to. `subscribers` is a running count for display and sizing; it decides nothing."""

    id: UUID
    key: str
    name: str
    description: str
    channels: int
    enabled: bool
    subscribers: int
    created_at: datetime
    updated_at: datetime


class TopicDay(msgspec.Struct, frozen=True):
    """A day (UTC) of a topic: subscriptions that got their first channel, and that lost their last one."""

    day: date
    gained: int
    lost: int


class TopicGrowth(msgspec.Struct, frozen=True, kw_only=True):
    """How a topic grows: who is subscribed now, in all and on each channel that it has ever been chosen for, and its days.

    `days` are those of the question on which anything changed, both ends included. Counted since the release that has this.
    """

    subscribers: int
    by_channel: dict[str, int]
    first_day: date
    last_day: date
    days: list[TopicDay]

    @property
    def gained(self) -> int:
        return sum(one.gained for one in self.days)

    @property
    def lost(self) -> int:
        return sum(one.lost for one in self.days)


FileKind: TypeAlias = Literal["customers", "subscriptions", "events"]
ImportKind: TypeAlias = Literal["customers", "subscriptions", "events", "profiles"]
"""Profiles come as the stream of a batch."""
ImportFormat: TypeAlias = Literal["csv", "ndjson"]


class ImportJob(msgspec.Struct, frozen=True, kw_only=True):
    """One import and where it stands. Of the lines that say something, each is added, changed, unchanged or rejected.

    `bytes_done` is where it would go on. `bad_addresses` counts addresses that were kept although they are none;
    `problem` says why an import failed.
    """

    id: UUID
    kind: ImportKind
    format: ImportFormat
    source: str
    state: Literal["running", "succeeded", "failed"]
    bytes_done: int
    bytes_total: int | None
    lines_done: int
    added: int
    changed: int
    unchanged: int
    rejected: int
    bad_addresses: int
    problem: str
    created_at: datetime
    updated_at: datetime


class Reject(msgspec.Struct, frozen=True):
    """A line that an import did not take, and why, in a sentence."""

    line: int
    reason: str
