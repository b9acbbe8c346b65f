"""What is known of hubs that this installation executes campaigns for: connectors, their channels, and what they run."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal
from uuid import UUID

import msgspec

from stentor.domain.vocabulary import ChannelKind

CONNECTORS_MAX = 50
"""Connectors of a brand."""
CHANNELS_MAX = 20
"""ChannelIDs of a connector."""
ATTRIBUTES_MAX = 50
"""Attributes that a connector pulls."""
NAME_CHARS_MAX = 200
SECRET_CHARS_MAX = 1_000
APP_CHARS_MAX = 200
NUMBER_MAX = 2**31 - 1
PAGE_ROWS = 2_000
"""People who are asked for in one page of a pull; each page is kept while the next one comes."""
PEOPLE_MAX = 5_000_000
"""People of one run."""
GROUPS_TO_THE_SECOND = 500
"""Different templates and times of a run that start when the hub says; those after them start with the next full minute."""
GROUPS_TO_THE_MINUTE = 1_000
"""Different templates and times of a run that start within a minute; those after them start with the next full hour."""
GROUPS_MAX = 2_000
"""Different templates and times of a run."""
ITEMS_MAX = 100
"""Templates, apps or metrics in one call to a hub."""
TOLD_MAX = 5_000
"""People who are named to a hub in one call."""
SAID_CHARS_MAX = 500
"""Of what is kept of a row that no customer was made of: its CustomerID, and why."""
LEAVE_WITHIN = timedelta(hours=24)
"""For so long a hub is asked to forget a connector that was switched off or deleted; then it is left as it is."""
PUSH_EVERY_S = 14_400
PUSH_EVERY_S_MIN = 60
PUSH_EVERY_S_MAX = 86_400
PUSH_DAYS = 7
PUSH_DAYS_MAX = 30

Zone = Literal["utc", "brand", "recipient"]
"""How a hub's times are read: as UTC, as everywhere in that API, or as the wall's time where the brand or the recipient is."""
RunState = Literal["noticed", "pulled", "running", "closed", "failed"]

EXTERNAL_ID = "external_id"
FIELDS = ("email", "phone", "locale", "time_zone", EXTERNAL_ID)
"""Where a pulled attribute can go besides the attributes of customers."""
ATTRIBUTE_PREFIX = "attributes."
ATTRIBUTES = MappingProxyType({"Email": "email", "Phone": "phone"})
"""What a connector pulls unless it is told otherwise."""


class ConnectorChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A ChannelID of the hub. `campaign_id`: by whose sender, consent and policy our templates of its channel are sent."""

    number: int
    campaign_id: UUID
    channel: ChannelKind
    app_id: str = ""
    app_name: str = ""


class ChannelDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A ChannelID as somebody sets it up. The app, if there is one, is told to the hub with its templates."""

    number: int
    campaign_id: UUID
    app_id: str = ""
    app_name: str = ""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A connector as somebody sets it up. Without a `username` the secret is an X-API-KEY, otherwise its password.

    `attributes`: for each attribute of the hub where it goes here: one of `FIELDS`, or `attributes.` and a name.
    """

    name: str
    url: str
    secret: str
    channels: tuple[ChannelDraft, ...]
    username: str = ""
    zone: Zone = "utc"
    attributes: Mapping[str, str] = msgspec.field(default_factory=lambda: dict(ATTRIBUTES))
    push_every_s: int = PUSH_EVERY_S
    push_days: int = PUSH_DAYS


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to a connector; what is None stays as it is. `channels` replaces all of them, as `attributes` does."""

    name: str | None = None
    url: str | None = None
    username: str | None = None
    secret: str | None = None
    channels: tuple[ChannelDraft, ...] | None = None
    zone: Zone | None = None
    attributes: Mapping[str, str] | None = None
    push_every_s: int | None = None
    push_days: int | None = None
    enabled: bool | None = None


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """A hub for which the brand is the service, without its secret. The `…_at` say when something went well last."""

    id: UUID
    brand_id: UUID
    name: str
    url: str
    username: str
    zone: Zone
    attributes: dict[str, str]
    push_every_s: int
    push_days: int
    enabled: bool
    created_at: datetime
    updated_at: datetime
    listener_url: str
    synced_at: datetime | None
    noticed_at: datetime | None
    pulled_at: datetime | None
    pushed_at: datetime | None
    failed_at: datetime | None
    last_error: str
    deleted_at: datetime | None = None
    channels: tuple[ConnectorChannel, ...] = ()

    @property
    def state(self) -> Literal["off", "new", "failing", "ready"]:
        """How it stands: switched off, not yet joined, in trouble since it last succeeded, or joined."""
        if not self.enabled:
            return "off"
        if self.last_error:
            return "failing"
        return "ready" if self.synced_at else "new"


class ConnectorRun(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign of a hub that is executed here. `rows`: how many the hub named; `people`: how many of them are taken in.

    `refused`: of how many rows no customer was made; `revoked`: how many of the people the hub revoked after the pull.
    """

    id: UUID
    connector_id: UUID
    campaign_number: int
    channel_number: int
    state: RunState
    noticed_at: datetime
    cancelled_at: datetime | None
    pulled_at: datetime | None
    started_at: datetime | None
    pushed_at: datetime | None
    push_until: datetime | None
    rows_read: int
    people: int
    refused: int
    revoked: int
    last_error: str
    executions: tuple[UUID, ...] = ()


class RefusedRow(msgspec.Struct, frozen=True):
    """A row of a hub's list that no customer was made of. `row_number`: its place on the list, from 0 on."""

    row_number: int
    external_id: str
    template_number: int
    why: str
    is_told: bool


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to talk to a hub, its secret sealed."""

    id: UUID
    brand_id: UUID
    url: str
    username: str
    secret: bytes
