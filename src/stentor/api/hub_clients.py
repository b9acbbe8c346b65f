"""Hub clients of a group: the credentials by which partners execute its partner channels."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.auth import live
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.channels.partners.attributes import ATTRIBUTE_CHARS_MAX, ATTRIBUTES_MAX, FIELDS, is_field
from stentor.channels.partners.model import (
    CHANNELS_MAX,
    NAME_CHARS_MAX,
    NUMBER_MAX,
    USERNAME_CHARS_MAX,
    ClientPatch,
    Credentials,
    HubClient,
)
from stentor.errors import Conflict, Invalid, Unavailable

hub_clients = group_noun(
    "hub clients",
    "The credentials by which partners call the hub: a user name with a password for `Login`, and an `X-API-KEY`. Each "
    "executes some of the group's partner channels, and pulls no more of people than it was granted there. Needs a key with "
    "the scope `admin`.",
)

_WHY = "A hub client pulls real people"

ClientState: TypeAlias = Literal["live", "all"]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="What people call the service.")]
Attribute = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=ATTRIBUTE_CHARS_MAX,
        description=f"The name of an attribute of customers, or one of {', '.join(FIELDS)}, in any casing.",
    ),
]


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A partner channel that the client executes, what it may pull of people there, and what it may change."""

    number: Annotated[int, Meta(ge=1, le=NUMBER_MAX, description="The partner channel's.")]
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=ATTRIBUTES_MAX, description="What it may pull.")] = ()
    writes: (
        Annotated[
            tuple[Attribute, ...],
            Meta(
                max_length=ATTRIBUTES_MAX,
                description="Attributes that it may change, of anybody in the group; fields such as `Email` are none. Left out, "
                "what it may change on the channel stays: nothing, of a channel that is new to it.",
            ),
        ]
        | UnsetType
    ) = UNSET


Grants = Annotated[
    tuple[Grant, ...], Meta(max_length=CHANNELS_MAX, description="Each partner channel once; all others are closed.")
]


class HubClientInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client to be made."""

    name: Name
    username: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=USERNAME_CHARS_MAX,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$",
            description="Unique in the installation, for ever: `Login` says no group.",
        ),
    ]
    channels: Grants = ()


class HubClientChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to a client; what is left out stays. `channels` replaces all of them."""

    name: Name | UnsetType = UNSET
    channels: Grants | UnsetType = UNSET


class HubClientsQuery(ListQuery, frozen=True, kw_only=True):
    """Which clients are listed."""

    state: Annotated[ClientState, Meta(description="`live`: those that are not revoked; `all`.")] = "live"


class HubClientBody(msgspec.Struct, frozen=True):
    """A client, without its secrets."""

    id: UUID
    name: str
    username: str
    channels: tuple[Grant, ...]
    created_at: datetime
    updated_at: datetime
    last_used_at: Annotated[datetime | None, Meta(description="To the minute.")]
    revoked_at: datetime | None

    @classmethod
    def of(cls, client: HubClient) -> "HubClientBody":
        grants = tuple(Grant(number, names, client.writes.get(number, ())) for number, names in client.channels.items())
        return cls(
            client.id,
            client.name,
            client.username,
            grants,
            client.created_at,
            client.updated_at,
            client.last_used_at,
            client.revoked_at,
        )


class ChangedHubClient(msgspec.Struct, frozen=True):
    """A client as it is now. `unseen_attributes`: names that no one of a sample of the group's customers has an attribute of."""

    client: HubClientBody
    unseen_attributes: tuple[str, ...]


class HubCredentials(msgspec.Struct, frozen=True):
    """A client with its secrets, which cannot be shown again. `unseen_attributes`: as in the answer to a change."""

    client: HubClientBody
    password: Annotated[str, Meta(description="For `Login`, with the user name.")]
    api_key: Annotated[str, Meta(description="For `X-API-KEY`, instead of `Login`.")]
    unseen_attributes: tuple[str, ...]


@hub_clients.get("/hub-clients", scope="admin")
async def list_hub_clients(request: ApiRequest, caller: Caller, query: HubClientsQuery) -> Listing[HubClientBody]:
    """List the group's hub clients, in the order of their making: those that are not revoked, unless asked."""

    async def fetch(after: UUID | None, limit: int) -> list[HubClient]:
        return await request.services.hub_clients.page(
            caller.brand_id, is_revoked_too=query.state == "all", after=after, limit=limit
        )

    return await listing(request, query, Walk(fetch, lambda one: one.id, UUID), HubClientBody.of)


@hub_clients.post(
    "/hub-clients",
    scope="admin",
    status=201,
    idempotent=False,
    problems=[Conflict],
    example={
        "name": "SMS house",
        "username": "sms-house",
        "channels": [{"number": 505, "attributes": ["Phone", "tier"], "writes": ["tier"]}],
    },
)
async def create_hub_client(request: ApiRequest, caller: Caller, body: HubClientInput) -> HubCredentials:
    """Create a hub client.

    The answer is the only place where its password and its key are ever shown. They are not kept, so a call with an
    `Idempotency-Key` is refused.
    """
    live(caller, _WHY)
    _check_no_idempotency(request)
    made = await request.services.hub_clients.create(
        caller.brand_id, body.name, body.username, _granted(body.channels), writes=_writes(body.channels)
    )
    return await _told(request, caller, made)


@hub_clients.get("/hub-clients/{client_id:str}", scope="admin")
async def get_hub_client(request: ApiRequest, caller: Caller, client_id: UUID) -> HubClientBody:
    """Show a hub client, also one that was revoked."""
    return HubClientBody.of(await request.services.hub_clients.get(caller.brand_id, client_id))


@hub_clients.patch(
    "/hub-clients/{client_id:str}",
    scope="admin",
    problems=[Conflict],
    example={"channels": [{"number": 505, "attributes": ["Phone", "Email"]}]},
)
async def change_hub_client(
    request: ApiRequest, caller: Caller, client_id: UUID, body: HubClientChanges
) -> ChangedHubClient:
    """Change a hub client: its name, its partner channels, what it may pull and change. It holds everywhere within a second."""
    live(caller, _WHY)
    patch = ClientPatch(body.name)
    if body.channels is not UNSET:
        patch = ClientPatch(body.name, _granted(body.channels), _writes(body.channels))
    changed = await request.services.hub_clients.update(caller.brand_id, client_id, patch)
    return ChangedHubClient(HubClientBody.of(changed), await _unseen(request, caller, changed))


@hub_clients.post("/hub-clients/{client_id:str}/rotate", scope="admin", idempotent=False, problems=[Conflict])
async def rotate_hub_client(request: ApiRequest, caller: Caller, client_id: UUID) -> HubCredentials:
    """Give a hub client another password and another key, shown in this answer alone.

    The old ones, and tokens that were given for them, are refused everywhere within a second.
    """
    live(caller, _WHY)
    _check_no_idempotency(request)
    made = await request.services.hub_clients.rotate(caller.brand_id, client_id)
    return await _told(request, caller, made)


@hub_clients.delete("/hub-clients/{client_id:str}", scope="admin", status=204)
async def revoke_hub_client(request: ApiRequest, caller: Caller, client_id: UUID) -> None:
    """Revoke a hub client. It is refused everywhere within a second; revoking it again changes nothing."""
    live(caller, _WHY)
    await request.services.hub_clients.revoke(caller.brand_id, client_id)


def _granted(grants: Iterable[Grant]) -> dict[int, tuple[str, ...]]:
    granted: dict[int, tuple[str, ...]] = {}
    for index, grant in enumerate(grants):
        if grant.number in granted:
            raise Invalid.field(
                f"/channels/{index}/number",
                "repeated",
                f"The partner channel {grant.number} is named twice; name it once.",
            )
        granted[grant.number] = grant.attributes
    return granted


def _writes(grants: Iterable[Grant]) -> dict[int, tuple[str, ...]]:
    return {grant.number: grant.writes for grant in grants if grant.writes is not UNSET}


def _check_no_idempotency(request: ApiRequest) -> None:
    if "idempotency-key" in request.headers:
        raise Invalid(
            "A secret is not kept to be shown again, so making one takes no Idempotency-Key. Leave it out; when no answer comes, "
            "find the client by its user name and rotate its credentials."
        )


async def _told(request: ApiRequest, caller: Caller, made: Credentials) -> HubCredentials:
    unseen = await _unseen(request, caller, made.client)
    return HubCredentials(HubClientBody.of(made.client), made.password, made.api_key, unseen)


async def _unseen(request: ApiRequest, caller: Caller, client: HubClient) -> tuple[str, ...]:
    """Attributes that may be misspelt; none where nobody can look now, or there is nobody to look at."""
    granted = [*client.channels.values(), *client.writes.values()]
    names = dict.fromkeys(name for each in granted for name in each if not is_field(name))
    if not names:
        return ()
    try:
        seen = await request.services.segments.seen(caller.brand_id)
    except Unavailable:
        return ()
    known = {one.name for one in seen.attributes}
    return tuple(name for name in names if name not in known) if seen.sampled else ()
