"""What is known of partners that execute campaigns: their channels, templates and apps, and their credentials."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid

NUMBER_MAX = 2**31 - 1
"""Of the numbers of partner channels and templates: what a four-byte integer holds."""
FIRST_NUMBER = 501
"""The first number that a channel gets by itself: those of other hubs begin below it."""
NAME_CHARS_MAX = 200
"""Of a partner channel's or a hub client's name."""
USERNAME_CHARS_MAX = 100
CONTENT_NAME_CHARS_MAX = 500
"""Of a partner template's or app's name."""
APP_ID_CHARS_MAX = 200

CHANNELS_MAX = 200
"""Partner channels of a brand."""
CHANNELS_EVER_MAX = 1_000
"""Numbers of partner channels of a brand, with those that were deleted: a number is for ever."""
CLIENTS_MAX = 200
"""Hub clients of a brand that are not revoked."""
CLIENTS_EVER_MAX = 2_000
"""Hub clients of a brand, with those that were revoked."""
TEMPLATES_MAX = 10_000
"""Of a partner channel."""
TEMPLATES_EVER_MAX = 50_000
"""Numbers of templates of a partner channel, with those that were deleted: one that comes back is the same template."""
APPS_MAX = 1_000
"""Of a partner channel."""
ITEMS_MAX = 100
"""Templates or apps that one call adds or deletes."""


class PartnerChannel(msgspec.Struct, frozen=True):
    """A channel of a brand that a partner executes. `number` is its ChannelID there; `sender_id` its listener sender."""

    brand_id: UUID
    number: int
    name: str
    channel: ChannelKind
    sender_id: UUID
    created_at: datetime
    updated_at: datetime


class PartnerTemplate(msgspec.Struct, frozen=True):
    """Content that lies with a partner. `number` is its TemplateID there, `id` what a campaign's route names."""

    id: UUID
    brand_id: UUID
    channel_number: int
    number: int
    name: str
    app_id: str | None
    created_at: datetime
    updated_at: datetime


class PartnerApp(msgspec.Struct, frozen=True):
    """An app by which a partner sends on a channel."""

    channel_number: int
    app_id: str
    name: str
    created_at: datetime
    updated_at: datetime


class NewTemplate(msgspec.Struct, frozen=True):
    """A template as a service says it: a known number means another name or app."""

    number: int
    name: str
    app_id: str | None = None


class NewApp(msgspec.Struct, frozen=True):
    """An app as a service says it: a known id means another name."""

    app_id: str
    name: str


class TemplateKey(msgspec.Struct, frozen=True, order=True):
    """Which template is meant."""

    channel_number: int
    number: int


class AppKey(msgspec.Struct, frozen=True, order=True):
    """Which app is meant."""

    channel_number: int
    app_id: str


class HubClient(msgspec.Struct, frozen=True):
    """A service's credentials for one brand as they are listed: never password and key.

    `channels`: the numbers of the partner channels that it executes, each with the names of what it may pull there; `writes`: of the
    same ones, with those of what it may change.
    """

    id: UUID
    brand_id: UUID
    name: str
    username: str
    channels: dict[int, tuple[str, ...]]
    writes: dict[int, tuple[str, ...]]
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None
    """To the minute; None for one that never called."""
    revoked_at: datetime | None


class ClientPatch(msgspec.Struct, frozen=True):
    """What is said to change a client: what is left out stays; `channels` replaces all of them.

    `writes`: what it may change, on those channels that are named in it.
    """

    name: str | UnsetType = UNSET
    channels: Mapping[int, tuple[str, ...]] | UnsetType = UNSET
    writes: Mapping[int, tuple[str, ...]] = msgspec.field(default_factory=dict)


class Credentials(msgspec.Struct, frozen=True):
    """A client with its secrets, at the only moment when these are known: the password of Login, and the X-API-KEY."""

    client: HubClient
    password: str
    api_key: str

    def __repr__(self) -> str:
        return f"<Credentials of {self.client.username}>"


class HubCaller(msgspec.Struct, frozen=True):
    """Who calls: a hub client that is not revoked, and what it may pull on each of its channels, as of half a second ago.

    `stamp` changes with its credentials: a token that was given for them is kept with it, and ends with it.
    """

    client_id: UUID
    brand_id: UUID
    name: str
    channels: dict[int, tuple[str, ...]]
    stamp: bytes
    may_write: frozenset[str] = frozenset()
    """Attributes that it may change, on whichever of its channels that was granted: an attribute is of a person, and of no channel."""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"hub client {self.name}"

    def executes(self, number: int) -> bool:
        """Whether that partner channel is one of its own."""
        return number in self.channels


def checked_number(pointer: str, number: int, noun: str, *, least: int = 1) -> int:
    """The number. Raises Invalid where it is no number of such a thing."""
    if not least <= number <= NUMBER_MAX:
        raise Invalid.field(pointer, "range", f"{noun} is a whole number from {least} to {NUMBER_MAX}.")
    return number
