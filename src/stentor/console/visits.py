"""Who is in front of a page: the session behind its cookie, and forms that only our own pages can send.

A form carries a token that is derived from the browser's cookie: of the session, or, before there is one, of a cookie by
chance that is there for this alone. A foreign page can neither read it nor set it.
"""

import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

import msgspec
from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.response import Redirect

from stentor.accounts.acting import Actor, act_as
from stentor.accounts.devices import DEVICE_DAYS_MAX, Devices
from stentor.accounts.sessions import SessionService
from stentor.accounts.user_model import NewSession, Origin, SignedIn
from stentor.console.pages import page
from stentor.errors import Forbidden, Invalid, Problem, Unauthenticated
from stentor.forms import posted

FORM_BYTES_MAX = 16 * 1024
NEXT_CHARS_MAX = 500

SIGN_IN = "/console/sign-in"

THEME_COOKIE = "stentor_theme"
"""What the reader chose, kept by `console.js`: so that a page comes in its colours at once."""

AnyRequest: TypeAlias = Request[Any, Any, Any]

_CHANCE_BYTES = 24
_WITH_PAGES = ("/console", "/inbox")


class Visits:
    """Reads and gives cookies. `form_key`: 32 derived bytes; `is_secure`: whether browsers come by https.

    `origin_of` says where a request comes from, `status_of` which HTTP status a problem has.
    """

    def __init__(
        self,
        sessions: SessionService,
        devices: Devices,
        *,
        form_key: bytes,
        is_secure: bool,
        origin_of: Callable[[AnyRequest], Origin],
        status_of: Callable[[type[Problem]], int],
    ) -> None:
        self._sessions = sessions
        self._devices = devices
        self._form_key = form_key
        self._is_secure = is_secure
        self._origin_of = origin_of
        self._status_of = status_of
        # A browser takes the first name over https alone, from this very host, for all of its paths.
        prefix = "__Host-" if is_secure else ""
        self.cookie_name = f"{prefix}stentor_session"
        self._form_cookie_name = f"{prefix}stentor_form"
        self._device_cookie_name = f"{prefix}stentor_device"
        self.journey_cookie_name = f"{prefix}stentor_journey"

    def origin_of(self, request: AnyRequest) -> Origin:
        """Where the request comes from, and the cookie by which its browser is known to have been signed in before."""
        return msgspec.structs.replace(
            self._origin_of(request), device=request.cookies.get(self._device_cookie_name, "")
        )

    def token(self, request: AnyRequest) -> str:
        """The cookie of this browser's session, whether there still is one or not."""
        return request.cookies.get(self.cookie_name, "")

    async def signed_in(self, request: AnyRequest) -> SignedIn | None:
        """Who is signed in, and acts in this request from here on; None for nobody."""
        who = await self._sessions.signed_in(self.token(request))
        if who is not None:
            act_as(Actor("user", str(who.user.id), who.user.email, self.origin_of(request).ip))
        return who

    async def needed(self, request: AnyRequest) -> SignedIn:
        """Who is signed in. Raises Unauthenticated, which becomes the page to sign in at."""
        who = await self.signed_in(request)
        if who is None:
            raise Unauthenticated("Sign in first.")
        return who

    async def still(self, request: AnyRequest) -> SignedIn | None:
        """Who is signed in now, where the request came a while ago; asked by a page itself, which keeps no session alive."""
        return await self._sessions.remembered(self.token(request))

    async def form(self, request: AnyRequest) -> Mapping[str, str]:
        """The fields of one of our own forms.

        Raises Forbidden for one that another page sent, and Invalid for a NUL character, which no text of ours can hold.
        """
        check_own_form(request)
        fields = {name: value for name, value in (await posted(request)).items() if isinstance(value, str)}
        if not self.is_own(request, fields):
            raise Forbidden(
                "This form was not sent by our page, or has lain open for too long. Load the page anew and try again."
            )
        if any("\x00" in text for text in (*fields, *fields.values())):
            raise Invalid("The form has a NUL character. Remove it.")
        return fields

    def is_own(self, request: AnyRequest, fields: Mapping[str, Any]) -> bool:
        """Whether the form carries the token that goes with this browser's cookie."""
        binding = self._binding(request)
        said = str(fields.get("form_token", "")).encode("utf-8", "replace")
        return bool(binding) and hmac.compare_digest(said, self._form_token(binding).encode("ascii"))

    def page(
        self,
        request: AnyRequest,
        template: str,
        *,
        who: SignedIn | None,
        problem: Problem | None = None,
        session: NewSession | None = None,
        status: int = 200,
        **facts: Any,
    ) -> Response[str]:
        """A page whose forms we take: with the token for this browser, or for the session that it is given here.

        With a `problem` its status is that one's.
        """
        binding = session.token if session is not None else self._binding(request)
        chance = None if binding else secrets.token_urlsafe(_CHANCE_BYTES)
        shown = page(
            template,
            status=status if problem is None else self._status_of(type(problem)),
            who=who,
            problem=problem,
            form_token=self._form_token(binding or chance or ""),
            theme=request.cookies.get(THEME_COOKIE, ""),
            here_at=request.scope["path"],
            **facts,
        )
        if session is not None:
            shown.set_cookie(self.session_cookie(session))
        if chance is not None:
            shown.set_cookie(self._cookie(self._form_cookie_name, chance))
        return shown

    def entered(self, session: NewSession, next_path: str) -> Redirect:
        """Leads whoever came in onwards: to where they wanted to go, or to the question for the second factor.

        Who came in has a browser that is known from then on.
        """
        if not session.is_whole:
            asked = f"/console/second-factor?{urlencode({'next': next_path})}"
            return Redirect(asked, status_code=303, cookies=[self.session_cookie(session)])
        device = self._cookie(
            self._device_cookie_name, self._devices.token(session.user_id), max_age=DEVICE_DAYS_MAX * 86_400
        )
        return Redirect(next_path, status_code=303, cookies=[self.session_cookie(session), device])

    def left(self, path: str = SIGN_IN) -> Redirect:
        """Leads whoever signed out away, without a cookie."""
        return Redirect(path, status_code=303, cookies=[self._cookie(self.cookie_name, "", max_age=0)])

    def session_cookie(self, session: NewSession) -> Cookie:
        """The cookie of a session; it ends with the browser, if the session does not end first."""
        return self._cookie(self.cookie_name, session.token)

    def journey_cookie(self, value: str, *, max_age: int) -> Cookie:
        """What a browser brings back from an identity provider."""
        return self._cookie(self.journey_cookie_name, value, max_age=max_age)

    def _binding(self, request: AnyRequest) -> str:
        return self.token(request) or request.cookies.get(self._form_cookie_name, "")

    def _form_token(self, binding: str) -> str:
        return hmac.digest(self._form_key, binding.encode("utf-8", "replace"), "sha256").hex()

    def _cookie(self, name: str, value: str, *, max_age: int | None = None) -> Cookie:
        # Lax, so that a link in a mail finds its reader signed in. What changes anything is posted, and has a token.
        return Cookie(
            key=name, value=value, path="/", max_age=max_age, httponly=True, secure=self._is_secure, samesite="lax"
        )


def check_own_form(request: AnyRequest) -> None:
    """Raises Forbidden for a form that another site's page sent: it would act with this person's cookie, or place."""
    origin = urlsplit(request.headers.get("origin", ""))
    if request.headers.get("sec-fetch-site") != "same-origin" and origin.netloc != request.headers.get("host"):
        raise Forbidden("This form was sent by another page than ours. Open the page and try again.")


def next_of(said: str | None, default: str = "/console") -> str:
    """Where to go on to: a path of our own pages, or the default for whatever else somebody wrote there."""
    path = said or ""
    is_ours = any(path == root or path.startswith((f"{root}/", f"{root}?")) for root in _WITH_PAGES)
    if not is_ours or len(path) > NEXT_CHARS_MAX or "\\" in path or not path.isascii() or not path.isprintable():
        return default
    return path


def sign_in_at(request: AnyRequest) -> Redirect:
    """The page to sign in at, from which it goes on to what was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    onwards = next_of(asked) if request.method == "GET" else "/console"
    return Redirect(f"{SIGN_IN}?{urlencode({'next': onwards})}", status_code=303)
