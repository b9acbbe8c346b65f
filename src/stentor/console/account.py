"""`/console` and `/console/account`: where somebody may go, and what is theirs: password, second factor, sessions."""

from uuid import UUID

import segno
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect
from markupsafe import Markup

from stentor.accounts import totp
from stentor.accounts.second_factors import SecondFactors
from stentor.accounts.service import AccountService
from stentor.accounts.sessions import SessionService
from stentor.accounts.sign_in import SignInService
from stentor.accounts.user_model import NewSession, SignedIn
from stentor.console.entry import check_twice
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest, Visits
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, Problem, RateLimited, Unavailable

_AT_THE_FORM = (Conflict, Forbidden, Invalid, RateLimited, Unavailable)
_ISSUER = "Stentor"


class MyAccountPages:
    """The pages of whoever is signed in, about themselves. `provider`: what the identity provider is called, if there is one."""

    def __init__(
        self,
        *,
        visits: Visits,
        sign_in: SignInService,
        sessions: SessionService,
        factors: SecondFactors,
        accounts: AccountService,
        provider: str | None,
    ) -> None:
        self._visits = visits
        self._sign_in = sign_in
        self._sessions = sessions
        self._factors = factors
        self._accounts = accounts
        self._provider = provider

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._password_and_sessions(), *self._second_factor()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get("/", include_in_schema=False)
        async def home(request: AnyRequest) -> Response[str]:
            who = await self._visits.needed(request)
            places = []
            for organisation_id in dict.fromkeys(one.organisation_id for one in who.memberships):
                organisation = await self._accounts.organisation(organisation_id)
                brands = [
                    (brand, who.role(organisation_id, brand.id))
                    for brand in await self._accounts.brands_of(organisation_id)
                    if who.may("read", organisation_id, brand.id)
                ]
                places.append((organisation, who.role(organisation_id), brands))
            return self._visits.page(request, "organisations.html", who=who, places=places)

        @get("/account", include_in_schema=False)
        async def account(request: AnyRequest) -> Response[str]:
            return await self._page(request, await self._visits.needed(request))

        return [home, account]

    def _password_and_sessions(self) -> list[HTTPRouteHandler]:
        @post("/account/password", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def change(request: AnyRequest) -> Response[str]:
            form, who = await self._visits.form(request), await self._visits.needed(request)
            try:
                check_twice(form)
                session = await self._sign_in.change_password(
                    who, self._visits.token(request), form.get("old", ""), form.get("password", "")
                )
            except _AT_THE_FORM as problem:
                return await self._page(request, who, problem=problem)
            return await self._page(
                request, who, session=session, told="Your password is changed. All other browsers are signed out."
            )

        @post("/account/sessions/{session_id:str}/end", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def end(request: AnyRequest) -> Redirect:
            await self._visits.form(request)
            who = await self._visits.needed(request)
            await self._sessions.end(who.user.id, read_id(request.path_params["session_id"]))
            return Redirect("/console/account", status_code=303)

        @post("/account/sessions/end-others", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def end_others(request: AnyRequest) -> Redirect:
            await self._visits.form(request)
            who = await self._visits.needed(request)
            await self._sessions.end_others(who.user.id, who.session.id)
            return Redirect("/console/account", status_code=303)

        return [change, end, end_others]

    def _second_factor(self) -> list[HTTPRouteHandler]:
        @post("/account/second-factor", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def begin(request: AnyRequest) -> Response[str]:
            form, who = await self._visits.form(request), await self._visits.needed(request)
            try:
                secret = await self._sign_in.begin_second_factor(who, form.get("password", ""))
            except _AT_THE_FORM as problem:
                return await self._page(request, who, problem=problem)
            return self._setting_up(request, who, secret)

        @post("/account/second-factor/confirm", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def confirm(request: AnyRequest) -> Response[str]:
            form, who = await self._visits.form(request), await self._visits.needed(request)
            try:
                session, codes = await self._sign_in.confirm_second_factor(
                    who, self._visits.token(request), form.get("code", "")
                )
            except _AT_THE_FORM as problem:
                secret = await self._factors.begun(who.user.id, who.session.id)
                if secret is None:
                    return await self._page(request, who, problem=problem)
                return self._setting_up(request, who, secret, problem=problem)
            return self._visits.page(request, "recovery_codes.html", who=who, session=session, codes=codes)

        @post("/account/second-factor/remove", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def remove(request: AnyRequest) -> Response[str]:
            form, who = await self._visits.form(request), await self._visits.needed(request)
            try:
                session = await self._sign_in.remove_second_factor(
                    who, self._visits.token(request), form.get("code", "")
                )
            except _AT_THE_FORM as problem:
                return await self._page(request, who, problem=problem)
            return await self._page(request, who, session=session, told="No second factor is asked for any more.")

        return [begin, confirm, remove]

    async def _page(
        self,
        request: AnyRequest,
        who: SignedIn,
        *,
        session: NewSession | None = None,
        problem: Problem | None = None,
        told: str = "",
    ) -> Response[str]:
        return self._visits.page(
            request,
            "account.html",
            who=who,
            session=session,
            problem=problem,
            told=told,
            sessions=await self._sessions.sessions(who.user.id),
            codes_left=await self._factors.codes_left(who.user.id),
            provider=self._provider,
        )

    def _setting_up(
        self, request: AnyRequest, who: SignedIn, secret: bytes, *, problem: Problem | None = None
    ) -> Response[str]:
        address = totp.address(secret, account=who.user.email, issuer=_ISSUER)
        code = segno.make(address, error="m", micro=False)
        # Black on white in either theme: apps read nothing else for sure.
        picture = Markup(code.svg_inline(scale=4, border=4, dark="#000", light="#fff"))  # noqa: S704  it is made of squares
        return self._visits.page(
            request,
            "second_factor_new.html",
            who=who,
            problem=problem,
            picture=picture,
            address=address,
            written=totp.written(secret),
        )


def read_id(text: str) -> UUID:
    """The id in a path. Raises NotFound for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("This is not the id of anything.") from None
