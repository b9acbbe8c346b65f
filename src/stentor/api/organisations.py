"""The native API beside the groups: an organisation's members, invitations and keys, under `/v1/organisations`.

Its groups are in `organisation_groups`.

It opens to keys of the whole organisation with the scope `admin`, test keys excepted: nothing here has a sandbox. To a key of
one brand no organisation exists.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.accounts.letters import link_of
from stentor.accounts.limits import limits_of_organisation_key
from stentor.accounts.model import NAME_CHARS_MAX, ApiKey, Organisation, Principal, Scope
from stentor.accounts.roles import ALLOWED, ROLES, Permission, Role
from stentor.accounts.user_model import BrandRole, Invitation, Member
from stentor.api.auth import authenticated
from stentor.api.keys import KeyInput, KeysQuery, SecretKey, check_no_idempotency, read_number
from stentor.api.noun import Noun
from stentor.api.operation import Operation
from stentor.api.paging import Listing, Walk, listing
from stentor.api.rates import tell
from stentor.api.request import ApiRequest
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.errors import Conflict, Forbidden, NotFound

PREFIX = "/v1/organisations"


class OrganisationCaller(msgspec.Struct, frozen=True):
    """Who calls, and for which organisation."""

    principal: Principal
    organisation: Organisation


async def organisation_access(request: ApiRequest, scope: Scope) -> OrganisationCaller:
    """The caller of a path under `/v1/organisations/{organisation_id}`.

    Raises Unauthenticated without a valid key, NotFound when the organisation is not there or not the key's, Forbidden
    when the key may not do this, or is a test key.
    """
    principal = await authenticated(request)
    said = request.path_params.get("organisation_id")
    if principal.brand_id is not None or said not in {None, str(principal.organisation_id)}:
        raise NotFound("This key has no such organisation.")
    if not principal.may(scope):
        raise Forbidden(f"This needs a key of the organisation with the scope `{scope}`.")
    if principal.is_test:
        raise Forbidden(
            "People and keys have no sandbox: a test key sees and changes none. Use a key that is no test key."
        )
    return OrganisationCaller(principal, await request.services.accounts.organisation(principal.organisation_id))


async def organisation_pace(request: ApiRequest, operation: Operation, path: str, caller: OrganisationCaller) -> None:  # noqa: ARG001
    """Counts the call against what the installation lets a key ask of these paths in a second. Raises RateLimited."""
    limits = limits_of_organisation_key(caller.principal, request.settings.organisation_rate_per_s)
    if limits:
        tell(request.scope, await request.services.limiter.take(limits))


organisations = Noun(
    "organisations",
    "Who may do what: members, invitations and keys of an organisation. Needs a key of the whole organisation, not of one "
    "brand, with the scope `admin`, and no test key. Owners are made and unmade by owners, in the console or with `stentor user`.",
    prefix=PREFIX,
    access=organisation_access,
    pace=organisation_pace,
)


class OrganisationBody(msgspec.Struct, frozen=True):
    """An organisation."""

    id: UUID
    tenant_id: Annotated[int, Meta(description="Its number, the X-Tenant-Id of older clients.")]
    name: str
    created_at: datetime


class NameInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it is to be called."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]


class RoleBody(msgspec.Struct, frozen=True):
    """What whoever has a role may do."""

    role: Role
    permissions: tuple[Permission, ...]


class MemberBody(msgspec.Struct, frozen=True):
    """Somebody with a role in the organisation, or in some of its groups."""

    user_id: UUID
    email: str
    name: str
    role: Annotated[Role | None, Meta(description="In the whole organisation; null for who has roles in groups alone.")]
    group_roles: tuple[BrandRole, ...]
    has_second_factor: bool
    is_disabled: bool

    @classmethod
    def of(cls, member: Member) -> "MemberBody":
        user = member.user
        return cls(
            user.id,
            user.email,
            user.name,
            member.role,
            member.brand_roles,
            member.has_second_factor,
            user.disabled_at is not None,
        )


class RoleInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role to be given."""

    role: Annotated[Role | None, Meta(description="null takes the role there.")]
    group_id: Annotated[UUID | None, Meta(description="In which group; left out, in the whole organisation.")] = None


class InvitationInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to invite, to what."""

    email: Annotated[str, Meta(min_length=3, max_length=ADDRESS_CHARS_MAX)]
    role: Role
    group_id: Annotated[UUID | None, Meta(description="In which group; left out, in the whole organisation.")] = None


class InvitationBody(msgspec.Struct, frozen=True):
    """An invitation that waits. Whoever has its link can take the role."""

    id: UUID
    email: Annotated[str | None, Meta(description="null for one that is for whoever has the link.")]
    role: Role
    group_id: UUID | None
    invited_by: str
    created_at: datetime
    expires_at: datetime
    link: Annotated[
        str, Meta(description="Mailed too, where the installation has a sender of its own. Empty for an owner's.")
    ]


class NewInvitationBody(InvitationBody, frozen=True):
    """An invitation that was just made."""

    is_mailed: Annotated[
        bool,
        Meta(
            description="Whether a letter with the link is on its way. false without a sender, and where the address gets too "
            "many of them, whoever wrote them: hand the link over."
        ),
    ]


class OrganisationKeyInput(KeyInput, frozen=True, forbid_unknown_fields=True):
    """A key to be made."""

    group_id: Annotated[UUID | None, Meta(description="For which group; left out, for all of the organisation.")] = None


class OrganisationKey(msgspec.Struct, frozen=True):
    """A key as it is listed, without its secret."""

    number: int
    group_id: UUID | None
    name: str
    hint: Annotated[str, Meta(description="The beginning of the secret.")]
    scopes: tuple[Scope, ...]
    is_test: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: Annotated[datetime | None, Meta(description="To the minute.")]
    made_by: Annotated[str, Meta(description="Who made it, as they were called then; empty for an older one.")]

    @classmethod
    def of(cls, key: ApiKey) -> "OrganisationKey":
        return cls(
            key.number,
            key.brand_id,
            key.name,
            key.hint,
            key.scopes,
            key.is_test,
            key.created_at,
            key.expires_at,
            key.revoked_at,
            key.last_used_at,
            key.made_by,
        )


@organisations.get("", scope="admin")
async def list_organisations(request: ApiRequest, caller: OrganisationCaller) -> Listing[OrganisationBody]:  # noqa: ARG001
    """List the organisations that the key sees: its own."""
    own = caller.organisation
    return Listing([OrganisationBody(own.id, own.number, own.name, own.created_at)])


@organisations.patch("/{organisation_id:str}", scope="admin", problems=[Conflict], example={"name": "Sports Club"})
async def rename_organisation(request: ApiRequest, caller: OrganisationCaller, body: NameInput) -> OrganisationBody:
    """Give the organisation another name."""
    renamed = await request.services.accounts.rename_organisation(caller.organisation.id, body.name)
    return OrganisationBody(renamed.id, renamed.number, renamed.name, renamed.created_at)


@organisations.get("/{organisation_id:str}/roles", scope="admin")
async def list_roles(request: ApiRequest, caller: OrganisationCaller) -> Listing[RoleBody]:  # noqa: ARG001
    """List the roles, from the strongest to the weakest, and what each may do."""
    return Listing([RoleBody(role, tuple(sorted(ALLOWED[role]))) for role in ROLES])


@organisations.get("/{organisation_id:str}/members", scope="admin")
async def list_organisation_members(request: ApiRequest, caller: OrganisationCaller) -> Listing[MemberBody]:
    """List everybody with a role in the organisation or in one of its groups."""
    found = await request.services.users.members(caller.organisation.id)
    return Listing([MemberBody.of(member) for member in found])


@organisations.put(
    "/{organisation_id:str}/members/{user_id:str}", scope="admin", problems=[Conflict], example={"role": "marketer"}
)
async def set_member_role(
    request: ApiRequest, caller: OrganisationCaller, user_id: UUID, body: RoleInput
) -> MemberBody:
    """Give a member a role.

    It takes the place of the one that was there; a role in a group takes the place of the organisation's. Whoever's role
    changes is signed out, and keys that they made and that may do more than they are revoked. What an owner may do is changed by owners alone.
    """
    member = await request.services.users.set_role(
        caller.organisation.id, user_id, body.role, brand_id=body.group_id, owners_too=False
    )
    return MemberBody.of(member)


@organisations.delete("/{organisation_id:str}/members/{user_id:str}", scope="admin", status=204, problems=[Conflict])
async def remove_member(request: ApiRequest, caller: OrganisationCaller, user_id: UUID) -> None:
    """Take somebody all roles in the organisation and its groups, sign them out, and revoke the keys that they made there."""
    await request.services.users.remove(caller.organisation.id, user_id, owners_too=False)


@organisations.get("/{organisation_id:str}/invitations", scope="admin")
async def list_invitations(request: ApiRequest, caller: OrganisationCaller) -> Listing[InvitationBody]:
    """List the invitations that wait."""
    found = await request.services.invitations.open_invitations(caller.organisation.id)
    return Listing([_told(request, invitation) for invitation in found])


@organisations.post(
    "/{organisation_id:str}/invitations",
    scope="admin",
    status=201,
    problems=[Conflict],
    idempotent=False,
    example={"email": "ann@example.org", "role": "marketer"},
)
async def invite_member(request: ApiRequest, caller: OrganisationCaller, body: InvitationInput) -> NewInvitationBody:
    """Invite somebody for seven days.

    An open invitation to the same address and place is replaced. Its link is mailed where the installation has a sender
    of its own, unless the address gets too many letters, and is in the answer to be handed over.
    """
    made = await request.services.invitations.invite(
        body.email, organisation_id=caller.organisation.id, role=body.role, brand_id=body.group_id, owners_too=False
    )
    return NewInvitationBody(**msgspec.structs.asdict(_told(request, made)), is_mailed=made.is_mailed)


@organisations.delete(
    "/{organisation_id:str}/invitations/{invitation_id:str}", scope="admin", status=204, problems=[Conflict]
)
async def withdraw_invitation(request: ApiRequest, caller: OrganisationCaller, invitation_id: UUID) -> None:
    """Withdraw an invitation; its link leads nowhere from then on."""
    await request.services.invitations.withdraw(caller.organisation.id, invitation_id, owners_too=False)


@organisations.get("/{organisation_id:str}/keys", scope="admin")
async def list_organisation_keys(
    request: ApiRequest, caller: OrganisationCaller, query: KeysQuery
) -> Listing[OrganisationKey]:
    """List the keys of the organisation and its groups, in the order of their numbers: those that are live, unless asked."""

    async def fetch(after: int | None, limit: int) -> list[ApiKey]:
        accounts = request.services.accounts
        return await accounts.keys_of_organisation(caller.organisation.id, query.state, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda key: key.number, int), OrganisationKey.of)


@organisations.post(
    "/{organisation_id:str}/keys",
    scope="admin",
    status=201,
    idempotent=False,
    example={"name": "Backend", "scopes": ["run"]},
)
async def create_organisation_key(
    request: ApiRequest, caller: OrganisationCaller, body: OrganisationKeyInput
) -> SecretKey:
    """Make a key for one group or for all of the organisation.

    The answer is the only place where its secret is ever shown. It is not kept, so a call with an `Idempotency-Key` is
    refused.
    """
    check_no_idempotency(request)
    made = await request.services.accounts.create_key(
        body.name,
        brand_id=body.group_id,
        organisation_id=caller.organisation.id,
        scopes=body.scopes,
        is_test=body.is_test,
        expires_at=body.expires_at,
    )
    return SecretKey(made.number, made.token, made.api_key, made.hint)


@organisations.delete("/{organisation_id:str}/keys/{key_number:str}", scope="admin", status=204)
async def revoke_organisation_key(request: ApiRequest, caller: OrganisationCaller, key_number: str) -> None:
    """Revoke a key of the organisation or of one of its groups.

    It is refused everywhere within a second; revoking it again changes nothing.
    """
    await request.services.accounts.revoke_key(caller.organisation.id, read_number(key_number))


def _told(request: ApiRequest, invitation: Invitation) -> InvitationBody:
    # Whoever may not make an owner must not come by a link that does.
    token = "" if invitation.role == "owner" else request.services.invitations.token(invitation)
    return InvitationBody(
        invitation.id,
        invitation.email,
        invitation.role,
        invitation.brand_id,
        invitation.invited_by,
        invitation.created_at,
        invitation.expires_at,
        link_of(request.base_url_text, "invitation", token) if token else "",
    )
