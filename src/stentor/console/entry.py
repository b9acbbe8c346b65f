"""`/console/sign-in` and what belongs to it: the second factor, forgotten passwords, invitations, identity providers."""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlencode

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.accounts.invitations import InvitationService
from stentor.accounts.joining import JoiningService, is_to
from stentor.accounts.oidc import JOURNEY_S_MAX, OidcClient
from stentor.accounts.service import AccountService
from stentor.accounts.sessions import SessionService
from stentor.accounts.sign_in import SignInService
from stentor.accounts.user_model import Invitation, SignedIn
from stentor.console.visits import FORM_BYTES_MAX, SIGN_IN, AnyRequest, Visits, next_of
from stentor.errors import Conflict, Forbidden, Invalid, Problem, RateLimited, Unauthenticated, Unavailable

A = TypeVar("A", Response[str], Redirect)

# What somebody can do something about at the form; all else has a page of its own.
_AT_THE_FORM = (Conflict, Forbidden, Invalid, RateLimited, Unauthenticated, Unavailable)


class EntryPages:
    """The pages for whoever is not signed in yet."""

    def __init__(
        self,
        *,
        visits: Visits,
        sign_in: SignInService,
        joining: JoiningService,
        sessions: SessionService,
        invitations: InvitationService,
        accounts: AccountService,
        oidc: OidcClient | None,
    ) -> None:
        self._visits = visits
        self._sign_in = sign_in
        self._joining = joining
        self._sessions = sessions
        self._invitations = invitations
        self._accounts = accounts
        self._oidc = oidc

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [
            *self._by_password(),
            *self._by_second_factor(),
            *self._by_link(),
            *self._by_invitation(),
            *(self._by_provider(self._oidc) if self._oidc is not None else ()),
        ]

    def _by_password(self) -> list[HTTPRouteHandler]:
        @get("/sign-in", include_in_schema=False)
        async def ask(request: AnyRequest) -> Response[str] | Redirect:
            onwards = next_of(request.query_params.get("next"))
            if await self._visits.signed_in(request) is not None:
                return Redirect(onwards, status_code=303)
            return self._form(request, onwards)

        @post("/sign-in", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def enter(request: AnyRequest) -> Response[str] | Redirect:
            form = await self._visits.form(request)
            email, onwards = form.get("email", ""), next_of(form.get("next"))
            try:
                session = await self._sign_in.by_password(
                    email,
                    form.get("password", ""),
                    self._visits.origin_of(request),
                    instead_of=self._visits.token(request) or None,
                )
            except _AT_THE_FORM as problem:
                return self._form(request, onwards, email=email, problem=problem)
            return self._visits.entered(session, onwards)

        @post("/sign-out", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def leave(request: AnyRequest) -> Redirect:
            await self._visits.form(request)
            await self._sessions.sign_out(self._visits.token(request))
            return self._visits.left()

        return [ask, enter, leave]

    def _by_second_factor(self) -> list[HTTPRouteHandler]:
        @get("/second-factor", include_in_schema=False)
        async def ask(request: AnyRequest) -> Response[str] | Redirect:
            onwards = next_of(request.query_params.get("next"))
            if await self._sessions.half_signed_in(self._visits.token(request)) is None:
                return Redirect(f"{SIGN_IN}?{urlencode({'next': onwards})}", status_code=303)
            return self._visits.page(request, "second_factor.html", who=None, next=onwards)

        @post("/second-factor", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def enter(request: AnyRequest) -> Response[str] | Redirect:
            form = await self._visits.form(request)
            onwards = next_of(form.get("next"))
            try:
                session = await self._sign_in.by_second_factor(
                    self._visits.token(request), form.get("code", ""), self._visits.origin_of(request)
                )
            except Unauthenticated as problem:
                return self._form(request, onwards, problem=problem)
            except _AT_THE_FORM as problem:
                return self._visits.page(request, "second_factor.html", who=None, problem=problem, next=onwards)
            return self._visits.entered(session, onwards)

        return [ask, enter]

    def _by_link(self) -> list[HTTPRouteHandler]:
        @get("/forgotten", include_in_schema=False)
        async def ask(request: AnyRequest) -> Response[str]:
            return self._forgotten(request)

        @post("/forgotten", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def forget(request: AnyRequest) -> Response[str]:
            form = await self._visits.form(request)
            try:
                await self._sign_in.forgotten(form.get("email", ""), self._visits.origin_of(request))
            except _AT_THE_FORM as problem:
                return self._forgotten(request, problem=problem)
            return self._forgotten(request, is_asked=True)

        @get("/password/{token:str}", include_in_schema=False)
        async def choose(request: AnyRequest) -> Response[str]:
            user = await self._sign_in.linked(request.path_params["token"])
            return self._visits.page(request, "password.html", who=None, email=user.email)

        @post("/password/{token:str}", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def chosen(request: AnyRequest) -> Response[str] | Redirect:
            form = await self._visits.form(request)
            token = request.path_params["token"]
            user = await self._sign_in.linked(token)
            try:
                check_twice(form)
                session = await self._sign_in.by_link(
                    token,
                    form.get("password", ""),
                    self._visits.origin_of(request),
                    instead_of=self._visits.token(request) or None,
                )
            except _AT_THE_FORM as problem:
                return self._visits.page(request, "password.html", who=None, problem=problem, email=user.email)
            return self._visits.entered(session, "/console")

        return [ask, forget, choose, chosen]

    def _by_invitation(self) -> list[HTTPRouteHandler]:
        @get("/invitation/{token:str}", include_in_schema=False)
        async def ask(request: AnyRequest) -> Response[str]:
            invitation = await self._invitations.found(request.path_params["token"])
            return await self._invited(request, invitation, await self._visits.signed_in(request))

        @post("/invitation/{token:str}", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def accept(request: AnyRequest) -> Response[str] | Redirect:
            form = await self._visits.form(request)
            token, who = request.path_params["token"], await self._visits.signed_in(request)
            invitation = await self._invitations.found(token)
            try:
                if who is not None:
                    session = await self._joining.accept_as(token, who, self._visits.token(request))
                else:
                    check_twice(form)
                    session = await self._joining.accept(
                        token,
                        email=form.get("email", ""),
                        name=form.get("name", ""),
                        password=form.get("password", ""),
                        origin=self._visits.origin_of(request),
                        instead_of=self._visits.token(request) or None,
                    )
            except _AT_THE_FORM as problem:
                typed = {"email": form.get("email", ""), "name": form.get("name", "")}
                return await self._invited(request, invitation, who, problem=problem, **typed)
            return self._visits.entered(session, "/console")

        return [ask, accept]

    def _by_provider(self, oidc: OidcClient) -> list[HTTPRouteHandler]:
        @post("/oidc/start", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def leave(request: AnyRequest) -> Response[str]:
            form = await self._visits.form(request)
            onwards = next_of(form.get("next"))
            try:
                address, cookie = await oidc.leave(onwards)
            except Unavailable as problem:
                return self._form(request, onwards, problem=problem)
            # A page with a link and not a redirect: our policy lets forms, and what answers them, lead nowhere else.
            left = self._visits.page(request, "oidc_leave.html", who=None, address=address, provider=oidc.settings.name)
            left.set_cookie(self._visits.journey_cookie(cookie, max_age=JOURNEY_S_MAX))
            left.headers["Refresh"] = f"0;url={address}"
            return left

        @get("/oidc/callback", include_in_schema=False)
        async def back(request: AnyRequest) -> Response[str] | Redirect:
            said = request.query_params
            cookie = request.cookies.get(self._visits.journey_cookie_name, "")
            try:
                if "error" in said:
                    raise Forbidden(f"{oidc.settings.name} let nobody in. Sign in again, or ask whoever runs it.")
                identity, onwards = await oidc.returned(
                    cookie, state=said.get("state", ""), code=said.get("code", ""), issuer=said.get("iss")
                )
                session = await self._joining.by_identity(
                    identity, self._visits.origin_of(request), instead_of=self._visits.token(request) or None
                )
            except _AT_THE_FORM as problem:
                return self._without_journey(self._form(request, "/console", problem=problem))
            return self._without_journey(self._visits.entered(session, next_of(onwards)))

        return [leave, back]

    def _form(
        self, request: AnyRequest, onwards: str, *, email: str = "", problem: Problem | None = None
    ) -> Response[str]:
        provider = None if self._oidc is None else self._oidc.settings.name
        return self._visits.page(
            request, "sign_in.html", who=None, problem=problem, email=email, next=onwards, provider=provider
        )

    def _forgotten(
        self, request: AnyRequest, *, is_asked: bool = False, problem: Problem | None = None
    ) -> Response[str]:
        return self._visits.page(
            request,
            "forgotten.html",
            who=None,
            problem=problem,
            is_asked=is_asked,
            sends_mail=self._sign_in.sends_mail,
        )

    async def _invited(
        self,
        request: AnyRequest,
        invitation: Invitation,
        who: SignedIn | None,
        *,
        problem: Problem | None = None,
        email: str = "",
        name: str = "",
    ) -> Response[str]:
        organisation = await self._accounts.organisation(invitation.organisation_id)
        brand = None if invitation.brand_id is None else await self._accounts.brand(invitation.brand_id)
        is_mine = who is not None and is_to(invitation, who.user)
        return self._visits.page(
            request,
            "invitation.html",
            who=who,
            problem=problem,
            invitation=invitation,
            place=organisation.name if brand is None else brand.name,
            is_mine=is_mine,
            email=invitation.email or email,
            name=name,
            sign_in=f"{SIGN_IN}?{urlencode({'next': request.url.path})}",
        )

    def _without_journey(self, answer: A) -> A:
        answer.set_cookie(self._visits.journey_cookie("", max_age=0))
        return answer


def check_twice(form: Mapping[str, str]) -> None:
    """Raises Invalid where a password was typed differently the second time."""
    if form.get("password") != form.get("again"):
        raise Invalid.field("/again", "password-differs", "The two passwords differ. Type the same one twice.")
