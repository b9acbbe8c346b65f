"""`/console/organisations/…`: members and invitations, and API tokens, for those who may."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.accounts.invitations import InvitationService
from stentor.accounts.letters import link_of
from stentor.accounts.model import SCOPES, KeyState, NewKey, Organisation
from stentor.accounts.roles import Permission, grantable
from stentor.accounts.service import AccountService
from stentor.accounts.user_model import NewInvitation, SignedIn
from stentor.accounts.users import UserService
from stentor.clock import Clock
from stentor.console.account import read_id
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest, Visits
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, Problem, RateLimited

if TYPE_CHECKING:
    from stentor.accounts.model import Scope
    from stentor.accounts.roles import Role

_AT_THE_FORM = (Conflict, Forbidden, Invalid, NotFound, RateLimited)
_HERE = "/organisations/{organisation_id:str}"
_DAYS = {"30": "30 days", "90": "90 days", "365": "a year", "": "never"}
_NUMBER_DIGITS = 18


class OrganisationPages:
    """The pages about an organisation. To whoever has no role in it, it does not exist."""

    def __init__(
        self,
        *,
        visits: Visits,
        accounts: AccountService,
        users: UserService,
        invitations: InvitationService,
        clock: Clock,
        base_url: str,
    ) -> None:
        self._visits = visits
        self._accounts = accounts
        self._users = users
        self._invitations = invitations
        self._clock = clock
        self._base_url = base_url

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._members(), *self._changing_members(), *self._tokens()]

    def _members(self) -> list[HTTPRouteHandler]:
        @get(f"{_HERE}/members", include_in_schema=False)
        async def members(request: AnyRequest) -> Response[str]:
            who, organisation = await self._inside(request, "read")
            return await self._members_page(request, who, organisation)

        @post(f"{_HERE}/members/invite", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def invite(request: AnyRequest) -> Response[str]:
            form = await self._visits.form(request)
            who, organisation = await self._inside(request, "members")
            try:
                invitation = await self._invitations.invite(
                    form.get("email", ""),
                    organisation_id=organisation.id,
                    role=cast("Role", form.get("role", "")),
                    brand_id=_brand(form),
                    owners_too=who.may("owners", organisation.id),
                )
            except _AT_THE_FORM as problem:
                return await self._members_page(request, who, organisation, problem=problem, typed=form)
            link = link_of(self._base_url, "invitation", self._invitations.token(invitation))
            return await self._members_page(request, who, organisation, invited=invitation, link=link)

        @post(
            f"{_HERE}/invitations/{{invitation_id:str}}/withdraw",
            include_in_schema=False,
            request_max_body_size=FORM_BYTES_MAX,
        )
        async def withdraw(request: AnyRequest) -> Response[str] | Redirect:
            await self._visits.form(request)
            who, organisation = await self._inside(request, "members")
            try:
                await self._invitations.withdraw(
                    organisation.id,
                    read_id(request.path_params["invitation_id"]),
                    owners_too=who.may("owners", organisation.id),
                )
            except Conflict as problem:
                return await self._members_page(request, who, organisation, problem=problem)
            return Redirect(f"/console/organisations/{organisation.id}/members", status_code=303)

        return [members, invite, withdraw]

    def _changing_members(self) -> list[HTTPRouteHandler]:
        @post(f"{_HERE}/members/{{user_id:str}}/role", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            form = await self._visits.form(request)
            who, organisation = await self._inside(request, "members")
            try:
                await self._users.set_role(
                    organisation.id,
                    read_id(request.path_params["user_id"]),
                    cast("Role", form.get("role", "")) or None,
                    brand_id=_brand(form),
                    owners_too=who.may("owners", organisation.id),
                )
            except _AT_THE_FORM as problem:
                return await self._members_page(request, who, organisation, problem=problem)
            return Redirect(f"/console/organisations/{organisation.id}/members", status_code=303)

        @post(f"{_HERE}/members/{{user_id:str}}/remove", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def remove(request: AnyRequest) -> Response[str] | Redirect:
            await self._visits.form(request)
            who, organisation = await self._inside(request, "members")
            try:
                await self._users.remove(
                    organisation.id,
                    read_id(request.path_params["user_id"]),
                    owners_too=who.may("owners", organisation.id),
                )
            except _AT_THE_FORM as problem:
                return await self._members_page(request, who, organisation, problem=problem)
            return Redirect(f"/console/organisations/{organisation.id}/members", status_code=303)

        return [change, remove]

    def _tokens(self) -> list[HTTPRouteHandler]:
        @get(f"{_HERE}/tokens", include_in_schema=False)
        async def tokens(request: AnyRequest) -> Response[str]:
            who, organisation = await self._inside(request, "tokens")
            state: KeyState = "ended" if request.query_params.get("state") == "ended" else "live"
            return await self._tokens_page(request, who, organisation, state=state)

        @post(f"{_HERE}/tokens/create", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def create(request: AnyRequest) -> Response[str]:
            form = await self._visits.form(request)
            who, organisation = await self._inside(request, "admin")
            days = form.get("days", "")
            try:
                made = await self._accounts.create_key(
                    form.get("name", ""),
                    organisation_id=organisation.id,
                    brand_id=_brand(form),
                    scopes=[cast("Scope", scope) for scope in SCOPES if form.get(f"scope_{scope}")],
                    is_test="is_test" in form,
                    expires_at=self._clock.now() + timedelta(days=int(days)) if days in _DAYS and days else None,
                )
            except _AT_THE_FORM as problem:
                return await self._tokens_page(request, who, organisation, problem=problem)
            return await self._tokens_page(request, who, organisation, made=made)

        @post(f"{_HERE}/tokens/{{number:str}}/revoke", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def revoke(request: AnyRequest) -> Redirect:
            await self._visits.form(request)
            _, organisation = await self._inside(request, "tokens")
            number = request.path_params["number"]
            if not number.isascii() or not number.isdigit() or len(number) > _NUMBER_DIGITS:
                raise NotFound("There is no such token.")
            await self._accounts.revoke_key(organisation.id, int(number))
            return Redirect(f"/console/organisations/{organisation.id}/tokens", status_code=303)

        return [tokens, create, revoke]

    async def _inside(self, request: AnyRequest, permission: Permission) -> tuple[SignedIn, Organisation]:
        """Whoever may do this in the organisation of the path. Raises Unauthenticated, NotFound, Forbidden."""
        who = await self._visits.needed(request)
        organisation_id = read_id(request.path_params["organisation_id"])
        role = who.role(organisation_id)
        if role is None:
            raise NotFound("There is no such organisation.")
        if not who.may(permission, organisation_id):
            raise Forbidden(f"Your role here is {role}, which may not do that. Ask an owner or an admin.")
        return who, await self._accounts.organisation(organisation_id)

    async def _members_page(
        self,
        request: AnyRequest,
        who: SignedIn,
        organisation: Organisation,
        *,
        problem: Problem | None = None,
        invited: NewInvitation | None = None,
        link: str = "",
        typed: Mapping[str, str] | None = None,
    ) -> Response[str]:
        roles = grantable(who.permissions(organisation.id))
        open_now = await self._invitations.open_invitations(organisation.id) if roles else []
        brands = await self._accounts.brands_of(organisation.id)
        return self._visits.page(
            request,
            "members.html",
            who=who,
            problem=problem,
            organisation=organisation,
            members=await self._users.members(organisation.id),
            roles=roles,
            brands=brands,
            brand_names={brand.id: brand.name for brand in brands},
            invitations=[
                (one, link_of(self._base_url, "invitation", self._invitations.token(one)) if one.role in roles else "")
                for one in open_now
            ],
            sends_mail=self._invitations.sends_mail,
            invited=invited,
            link=link,
            typed_email=(typed or {}).get("email", ""),
        )

    async def _tokens_page(
        self,
        request: AnyRequest,
        who: SignedIn,
        organisation: Organisation,
        *,
        state: KeyState = "live",
        problem: Problem | None = None,
        made: NewKey | None = None,
    ) -> Response[str]:
        brands = await self._accounts.brands_of(organisation.id)
        facts: dict[str, Any] = {
            "organisation": organisation,
            "keys": await self._accounts.keys_of_organisation(organisation.id, state),
            "state": state,
            "brands": brands,
            "brand_names": {brand.id: brand.name for brand in brands},
            "may_create": who.may("admin", organisation.id),
            "scopes": SCOPES,
            "days": _DAYS,
            "now": self._clock.now(),
            "made": made,
        }
        return self._visits.page(request, "tokens.html", who=who, problem=problem, **facts)


def _brand(form: Mapping[str, str]) -> UUID | None:
    said = form.get("brand_id", "")
    return read_id(said) if said else None
