"""Opt-out lists of a group: who must not be written to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, TypeAlias, get_args
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.channels import mask_of, names_in
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Conflict, Invalid
from stentor.optouts.hashing import HashName
from stentor.optouts.lists import EXPIRY_DAYS_MAX, MEMBERS_MAX, NAME_CHARS_MAX, SCOPE_IDS_MAX
from stentor.optouts.model import Grant, GrantedList, ListDraft, ListKind, ListPatch, ListScope, OptOutList

optout_lists = group_noun(
    "opt-out lists",
    "Who must not be written to. A path names a list by its id, its code or its name. Each group has a built-in list, which "
    "unsubscribes, STOPs, bounces and complaints end in; all enabled lists are asked before a message leaves.",
)

ListChannel: TypeAlias = Literal["email", "sms"]
Reference = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="A list's id, code or name.")]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
ScopeIds = Annotated[
    list[UUID],
    Meta(max_length=SCOPE_IDS_MAX, description="Ids of the campaigns or topics whose messages go by the list."),
]
Members = Annotated[
    list[Reference], Meta(max_length=MEMBERS_MAX, description="Of a grouped list: the lists that it is the union of.")
]
ExpiryDays = Annotated[int, Meta(ge=1, le=EXPIRY_DAYS_MAX, description="Entries lapse so many days after they came.")]


class OptoutListInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A list to be made."""

    name: Name
    kind: Annotated[
        ListKind,
        Meta(
            description="`plain` keeps addresses; `md5`, `sha1`, `sha256`, `sha512` keep their hashes only; `grouped` is a union "
            "of other lists; `linked` is another group's list."
        ),
    ] = "plain"
    hash: (
        Annotated[
            HashName, Meta(description="Of a plain or grouped list: what hashes it is asked by; `md5` unless said.")
        ]
        | None
    ) = None
    channels: (
        Annotated[
            list[ListChannel],
            Meta(
                min_length=1,
                max_length=len(get_args(ListChannel)),
                description="What it is of; `sms` is any phone number. Both unless said.",
            ),
        ]
        | None
    ) = None
    enabled: bool = True
    scope: ListScope = "brand"
    scope_ids: ScopeIds = []
    members: Members = []
    linked: Annotated[
        str,
        Meta(
            max_length=NAME_CHARS_MAX,
            description="Of a linked list: the id or code of the other group's, which has granted it.",
        ),
    ] = ""
    expiry_days: ExpiryDays | None = None


class OptoutListChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to a list; what is left out stays. What it is of, and how it hashes, never changes."""

    name: Name | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    scope: ListScope | UnsetType = UNSET
    scope_ids: ScopeIds | UnsetType = UNSET
    members: Members | UnsetType = UNSET
    expiry_days: ExpiryDays | UnsetType | None = UNSET


class OptoutListBody(msgspec.Struct, frozen=True, kw_only=True):
    """An opt-out list."""

    id: UUID
    code: Annotated[str, Meta(description="Its 16 hex digits, for links and for clients of the opt-out API.")]
    name: str
    kind: ListKind
    hash: HashName
    channels: list[ListChannel]
    enabled: bool
    built_in: bool
    scope: ListScope
    scope_ids: Sequence[UUID]
    members: Annotated[Sequence[UUID], Meta(description="Ids of the lists in a grouped one.")]
    linked: Annotated[str, Meta(description="The code of the list that a linked one reads, else empty.")]
    link_open: Annotated[
        bool, Meta(description="Whether a linked list can be read: it is granted still, and enabled over there.")
    ]
    expiry_days: int | None
    generation: Annotated[int, Meta(description="Counts what changed its files.")]
    entries_in_files: Annotated[int, Meta(description="Entries that came in files; single ones are not counted.")]
    created_at: datetime
    updated_at: datetime


class ListGrantBody(msgspec.Struct, frozen=True, kw_only=True):
    """That another group may link to a list, and read it."""

    grantee_id: UUID
    granted_at: datetime
    granted_by: str


class GrantedListBody(msgspec.Struct, frozen=True, kw_only=True):
    """Another group's list that may be linked to."""

    id: UUID
    code: str
    name: str
    group_id: UUID
    kind: ListKind
    hash: HashName
    channels: list[ListChannel]


_EXAMPLE = {"name": "Partner opt-outs", "kind": "plain", "channels": ["email", "sms"], "expiry_days": 730}


def shown(held: OptOutList) -> OptoutListBody:
    """The list as the API answers it."""
    return OptoutListBody(
        id=held.id,
        code=held.code,
        name=held.name,
        kind=held.kind,
        hash=held.hash,
        channels=_channels(held.channels),
        enabled=held.is_enabled,
        built_in=held.built_in,
        scope=held.scope,
        scope_ids=held.scope_ids,
        members=held.members,
        linked=held.linked_code,
        link_open=held.is_link_open,
        expiry_days=held.expiry_days,
        generation=held.generation,
        entries_in_files=held.entries_in_files,
        created_at=held.created_at,
        updated_at=held.updated_at,
    )


@optout_lists.get("/optout-lists", scope="read")
async def list_optout_lists(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[OptoutListBody]:
    """List the group's opt-out lists, the built-in one among them."""

    async def fetch(after: UUID | None, limit: int) -> list[OptOutList]:
        return await request.services.optout_lists.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda held: held.id, UUID), shown)


@optout_lists.post("/optout-lists", scope="write", status=201, problems=[Conflict], example=_EXAMPLE)
async def create_optout_list(request: ApiRequest, caller: Caller, body: OptoutListInput) -> OptoutListBody:
    """Create an opt-out list."""
    draft = ListDraft(
        name=body.name,
        kind=body.kind,
        hash=body.hash,
        channels=None if body.channels is None else mask_of(body.channels),
        enabled=body.enabled,
        scope=body.scope,
        scope_ids=body.scope_ids,
        members=body.members,
        linked=body.linked,
        expiry_days=body.expiry_days,
    )
    return shown(await request.services.optout_lists.create(caller.brand_id, draft))


@optout_lists.get("/optout-lists/{optout_list:str}", scope="read")
async def get_optout_list(request: ApiRequest, caller: Caller, optout_list: str) -> OptoutListBody:
    """Show an opt-out list."""
    return shown(await request.services.optout_lists.get(caller.brand_id, optout_list))


@optout_lists.patch(
    "/optout-lists/{optout_list:str}",
    scope="write",
    problems=[Conflict],
    example={"enabled": True, "expiry_days": None},
)
async def update_optout_list(
    request: ApiRequest, caller: Caller, optout_list: str, body: OptoutListChanges
) -> OptoutListBody:
    """Change an opt-out list; a disabled one is not asked. The built-in one stays as it is."""
    patch = ListPatch(
        name=body.name,
        enabled=body.enabled,
        scope=body.scope,
        scope_ids=body.scope_ids,
        members=body.members,
        expiry_days=body.expiry_days,
    )
    return shown(await request.services.optout_lists.update(caller.brand_id, optout_list, patch))


@optout_lists.delete("/optout-lists/{optout_list:str}", scope="write", status=204, problems=[Conflict])
async def delete_optout_list(request: ApiRequest, caller: Caller, optout_list: str) -> None:
    """Delete an opt-out list: whoever is on it may be written to again, unless another list says no.

    The built-in list stays, and so does one that a grouped list has as a member.
    """
    await request.services.optout_lists.delete(caller.brand_id, optout_list)


@optout_lists.get("/optout-lists/{optout_list:str}/grants", scope="read")
async def list_optout_grants(
    request: ApiRequest, caller: Caller, optout_list: str, query: ListQuery
) -> Listing[ListGrantBody]:
    """List the groups that an opt-out list is granted to."""

    async def fetch(after: UUID | None, limit: int) -> Sequence[Grant]:
        return await request.services.optout_lists.grants(caller.brand_id, optout_list, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda grant: grant.grantee_id, UUID), _grant)


@optout_lists.put(
    "/optout-lists/{optout_list:str}/grants/{grantee_id:str}", scope="write", status=204, problems=[Conflict, Invalid]
)
async def grant_optout_list(request: ApiRequest, caller: Caller, optout_list: str, grantee_id: UUID) -> None:
    """Grant an opt-out list to another group, which then may make a linked list of it; again changes nothing.

    Ask the other group for its id: whether any group has the one you give is told nobody.
    """
    await request.services.optout_lists.grant(
        caller.brand_id, optout_list, grantee_id, granted_by=f"key {caller.principal.key_number}"
    )


@optout_lists.delete("/optout-lists/{optout_list:str}/grants/{grantee_id:str}", scope="write", status=204)
async def revoke_optout_list(request: ApiRequest, caller: Caller, optout_list: str, grantee_id: UUID) -> None:
    """Take a grant back: linked lists of that group hold nobody from now on."""
    await request.services.optout_lists.revoke(caller.brand_id, optout_list, grantee_id)


@optout_lists.get("/granted-optout-lists", scope="read")
async def list_granted_optout_lists(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[GrantedListBody]:
    """List the opt-out lists of other groups that this one may link to."""

    async def fetch(after: UUID | None, limit: int) -> Sequence[GrantedList]:
        return await request.services.optout_lists.granted(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda granted: granted.id, UUID), _granted)


def _grant(grant: Grant) -> ListGrantBody:
    return ListGrantBody(grantee_id=grant.grantee_id, granted_at=grant.granted_at, granted_by=grant.granted_by)


def _granted(granted: GrantedList) -> GrantedListBody:
    return GrantedListBody(
        id=granted.id,
        code=granted.code,
        name=granted.name,
        group_id=granted.brand_id,
        kind=granted.kind,
        hash=granted.hash,
        channels=_channels(granted.channels),
    )


def _channels(mask: int) -> list[ListChannel]:
    names: dict[str, ListChannel] = {"email": "email", "sms": "sms"}
    return [names[name] for name in names_in(mask)]
