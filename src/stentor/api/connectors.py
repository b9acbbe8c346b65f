"""Connectors of a group: the hubs for which it is the service."""

from datetime import datetime
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.auth import live
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Conflict, Invalid
from stentor.integrations.connector.model import (
    APP_CHARS_MAX,
    ATTRIBUTES,
    CHANNELS_MAX,
    NAME_CHARS_MAX,
    NUMBER_MAX,
    PUSH_DAYS,
    PUSH_DAYS_MAX,
    PUSH_EVERY_S,
    PUSH_EVERY_S_MAX,
    PUSH_EVERY_S_MIN,
    SECRET_CHARS_MAX,
    ChannelDraft,
    Connector,
    Draft,
    Patch,
    Zone,
)

connectors = group_noun(
    "connectors",
    "Hubs with the channel-integration API, for which this group is the service: it registers there as a listener, offers its "
    "templates, executes the hub's campaigns, and tells the hub what became of them. Needs a key with the scope `admin`.",
)

T = TypeVar("T")

_WHY = "A connector writes to real people"

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="What people call the hub.")]
Url = Annotated[str, Meta(description="The hub's address, as far as it stands before `/current`.")]
Secret = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=SECRET_CHARS_MAX,
        description="The password of `username`; without one, the `X-API-KEY`. It is kept sealed and never shown.",
    ),
]
Username = Annotated[str, Meta(max_length=NAME_CHARS_MAX, description="For `Login`; empty for an `X-API-KEY`.")]
ZoneName = Annotated[
    Zone,
    Meta(
        description="How the hub's times are read: `utc`, as that API says; `brand` or `recipient`: as the time on the wall there."
    ),
]
Attributes = Annotated[
    dict[str, str],
    Meta(
        description="The attributes to pull, and where each goes: email, phone, locale, time_zone, external_id (instead of the "
        "CustomerID), or attributes.NAME."
    ),
]
PushEvery = Annotated[
    int, Meta(ge=PUSH_EVERY_S_MIN, le=PUSH_EVERY_S_MAX, description="Seconds from one push of figures to the next.")
]
PushDays = Annotated[
    int, Meta(ge=1, le=PUSH_DAYS_MAX, description="Days after a campaign's last start in which figures are pushed.")
]


class ConnectorChannelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A channel of the hub. The campaign here says by which sender, consent and policy our templates are sent for it."""

    number: Annotated[int, Meta(ge=1, le=NUMBER_MAX, description="Its `ChannelID`.")]
    campaign_id: Annotated[UUID, Meta(description="A published campaign of the kind batch with one channel.")]
    app_id: Annotated[str, Meta(max_length=APP_CHARS_MAX, description="The app that it sends by, if any.")] = ""
    app_name: Annotated[str, Meta(max_length=APP_CHARS_MAX)] = ""


Channels = Annotated[tuple[ConnectorChannelBody, ...], Meta(min_length=1, max_length=CHANNELS_MAX)]


class ConnectorInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A connector to be made."""

    name: Name
    url: Url
    secret: Secret
    channels: Channels
    username: Username = ""
    zone: ZoneName = "utc"
    attributes: Attributes = msgspec.field(default_factory=lambda: dict(ATTRIBUTES))
    push_every_s: PushEvery = PUSH_EVERY_S
    push_days: PushDays = PUSH_DAYS


class ConnectorChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to a connector; what is left out stays. `channels` and `attributes` replace all of theirs."""

    name: Name | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    secret: Secret | UnsetType = UNSET
    channels: Channels | UnsetType = UNSET
    username: Username | UnsetType = UNSET
    zone: ZoneName | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET
    push_every_s: PushEvery | UnsetType = UNSET
    push_days: PushDays | UnsetType = UNSET
    enabled: (
        Annotated[
            bool,
            Meta(
                description="False: the hub is asked to forget its listeners, templates and apps; no figures are told, and nothing is heard."
            ),
        ]
        | UnsetType
    ) = UNSET


class ConnectorBody(msgspec.Struct, frozen=True):
    """A connector, without its secret. The times say when something went well last, and `failed_at` when something did not."""

    id: UUID
    name: str
    url: str
    username: str
    zone: Zone
    attributes: dict[str, str]
    push_every_s: int
    push_days: int
    channels: tuple[ConnectorChannelBody, ...]
    state: Annotated[
        Literal["off", "new", "failing", "ready"], Meta(description="`failing`: `last_error` says what to do next.")
    ]
    created_at: datetime
    updated_at: datetime
    synced_at: datetime | None
    noticed_at: datetime | None
    pulled_at: datetime | None
    pushed_at: datetime | None
    failed_at: datetime | None
    last_error: str

    @classmethod
    def of(cls, one: Connector) -> "ConnectorBody":
        return cls(
            id=one.id,
            name=one.name,
            url=one.url,
            username=one.username,
            zone=one.zone,
            attributes=one.attributes,
            push_every_s=one.push_every_s,
            push_days=one.push_days,
            channels=tuple(
                ConnectorChannelBody(each.number, each.campaign_id, each.app_id, each.app_name) for each in one.channels
            ),
            state=one.state,
            created_at=one.created_at,
            updated_at=one.updated_at,
            synced_at=one.synced_at,
            noticed_at=one.noticed_at,
            pulled_at=one.pulled_at,
            pushed_at=one.pushed_at,
            failed_at=one.failed_at,
            last_error=one.last_error,
        )


class ConnectorCheck(msgspec.Struct, frozen=True):
    """Whether the hub lets the connector in; if not, why, and what to do next."""

    ok: bool
    problem: str


@connectors.get("/connectors", scope="admin")
async def list_connectors(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[ConnectorBody]:
    """List the group's connectors, in the order of their making."""

    async def fetch(after: UUID | None, limit: int) -> list[Connector]:
        return await request.services.connectors.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda one: one.id, UUID), ConnectorBody.of)


@connectors.post(
    "/connectors",
    scope="admin",
    status=201,
    idempotent=False,
    problems=[Conflict],
    example={
        "name": "Optimove",
        "url": "https://api5.optimove.net",
        "secret": "the key that the hub gave you",
        "channels": [{"number": 505, "campaign_id": "0198c5a0-0000-7000-8000-000000000001"}],
        "attributes": {"Email": "email", "Phone": "phone", "FirstName": "attributes.first_name"},
    },
)
async def create_connector(request: ApiRequest, caller: Caller, body: ConnectorInput) -> ConnectorBody:
    """Create a connector. It joins its hub within seconds; check it to see whether the hub lets it in."""
    live(caller, _WHY)
    _check_no_idempotency(request)
    draft = Draft(
        name=body.name,
        url=body.url,
        secret=body.secret,
        channels=_drafts(body.channels),
        username=body.username,
        zone=body.zone,
        attributes=body.attributes,
        push_every_s=body.push_every_s,
        push_days=body.push_days,
    )
    return ConnectorBody.of(await request.services.connectors.create(caller.brand_id, draft))


@connectors.get("/connectors/{connector_id:str}", scope="admin")
async def get_connector(request: ApiRequest, caller: Caller, connector_id: UUID) -> ConnectorBody:
    """Show a connector: how it stands, and when it last heard of, pulled and pushed something."""
    return ConnectorBody.of(await request.services.connectors.get(caller.brand_id, connector_id))


@connectors.patch(
    "/connectors/{connector_id:str}",
    scope="admin",
    idempotent=False,
    problems=[Conflict],
    example={"push_every_s": 3600},
)
async def change_connector(
    request: ApiRequest, caller: Caller, connector_id: UUID, body: ConnectorChanges
) -> ConnectorBody:
    """Change a connector, or switch it off and on. Another URL or other credentials let the hub be told everything again."""
    live(caller, _WHY)
    _check_no_idempotency(request)
    patch = Patch(
        name=_said(body.name),
        url=_said(body.url),
        username=_said(body.username),
        secret=_said(body.secret),
        channels=None if body.channels is UNSET else _drafts(body.channels),
        zone=_said(body.zone),
        attributes=_said(body.attributes),
        push_every_s=_said(body.push_every_s),
        push_days=_said(body.push_days),
        enabled=_said(body.enabled),
    )
    return ConnectorBody.of(await request.services.connectors.update(caller.brand_id, connector_id, patch))


@connectors.post("/connectors/{connector_id:str}/check", scope="admin", idempotent=False)
async def check_connector(request: ApiRequest, caller: Caller, connector_id: UUID) -> ConnectorCheck:
    """Log in to the hub, and say whether it lets the connector in. Nothing is told to it."""
    live(caller, _WHY)
    problem = await request.services.connectors.check(caller.brand_id, connector_id)
    return ConnectorCheck(not problem, problem)


@connectors.delete("/connectors/{connector_id:str}", scope="admin", status=204)
async def delete_connector(request: ApiRequest, caller: Caller, connector_id: UUID) -> None:
    """Delete a connector, and what is known of its runs. What is being sent goes on.

    The hub is told no figures any more, and its listeners, templates and apps of this connector are taken away there.
    """
    live(caller, _WHY)
    await request.services.connectors.delete(caller.brand_id, connector_id)


def _said(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value


def _drafts(channels: tuple[ConnectorChannelBody, ...]) -> tuple[ChannelDraft, ...]:
    return tuple(
        ChannelDraft(number=one.number, campaign_id=one.campaign_id, app_id=one.app_id, app_name=one.app_name)
        for one in channels
    )


def _check_no_idempotency(request: ApiRequest) -> None:
    if "idempotency-key" in request.headers:
        raise Invalid(
            "A secret is not kept to be compared, so this call takes no Idempotency-Key. Leave it out; a name is given once."
        )
