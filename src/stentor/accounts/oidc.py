"""Signing in by an identity provider: OpenID Connect's code flow, with discovery, PKCE, state and nonce."""

import base64
import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from stentor.accounts.joining import Identity
from stentor.accounts.sealing import Seal
from stentor.clock import Clock, boottime_s
from stentor.domain.hosts import is_loopback
from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Forbidden, Unavailable

log = structlog.get_logger(__name__)

ANSWER_BYTES_MAX = 256 * 1024
# Between leaving for the provider and coming back.
JOURNEY_S_MAX = 600
CODE_CHARS_MAX = 4_096

_TIMEOUT = aiohttp.ClientTimeout(total=10.0, connect=5.0)
# How long what a provider says of itself is taken as said; its keys are asked for anew when one is missing.
_KEEP_S = 3_600.0
_KEYS_ANEW_EVERY_S = 30.0
_LEEWAY_S = 60
# What nobody else than the provider can sign: no shared secrets, and never `none`.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
_ABOUT = b"oidc journey"
_NAME_CHARS_MAX = 200


class OidcSettings(msgspec.Struct, frozen=True):
    """The provider, what this installation is registered as with it, and what its button says."""

    issuer: str
    client_id: str
    client_secret: str
    name: str
    redirect_uri: str


class _Journey(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed into the browser's cookie while it is at the provider."""

    state: str
    nonce: str
    verifier: str
    next: str
    until: int


class _Provider(msgspec.Struct, frozen=True):
    """What a provider says of itself (OpenID Connect Discovery 1.0)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str


class _Claims(msgspec.Struct, frozen=True):
    """What is read of an id token beside what the registry checks."""

    sub: str
    nonce: str = ""
    email: str | None = None
    email_verified: bool | str = False
    name: str = ""
    azp: str | None = None


class OidcClient:
    """Sends browsers to the provider and reads with whom they come back. `key`: 32 bytes derived for the cookie."""

    def __init__(self, settings: OidcSettings, clock: Clock, *, key: bytes) -> None:
        self.settings = settings
        self._clock = clock
        self._seal = Seal(key)
        self._provider: tuple[_Provider, float] | None = None
        self._keys: tuple[KeySet, float] | None = None

    async def leave(self, next_path: str) -> tuple[str, str]:
        """Where to send a browser, and the cookie that it has to bring back. Raises Unavailable."""
        provider = await self._discovered()
        verifier = secrets.token_urlsafe(48)
        until = int(self._clock.now().timestamp()) + JOURNEY_S_MAX
        journey = _Journey(secrets.token_urlsafe(24), secrets.token_urlsafe(24), verifier, next_path, until)
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.settings.redirect_uri,
            "scope": "openid email profile",
            "state": journey.state,
            "nonce": journey.nonce,
            "code_challenge": _unpadded(hashlib.sha256(verifier.encode("ascii")).digest()),
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(provider.authorization_endpoint).query else "?"
        sealed = self._seal.seal(msgspec.json.encode(journey), _ABOUT)
        return provider.authorization_endpoint + joint + urlencode(asked), _unpadded(sealed)

    async def returned(self, cookie: str, *, state: str, code: str, issuer: str | None) -> tuple[Identity, str]:
        """Who came back, and the path to go on to.

        Raises Forbidden when the answer is not one to this browser's question, or is not the provider's; Unavailable.
        """
        journey = self._read(cookie)
        if journey is None or not hmac.compare_digest(journey.state.encode(), state.encode("utf-8", "replace")):
            raise _astray()
        provider = await self._discovered()
        # RFC 9207: an answer that another provider was made to give.
        if not code or len(code) > CODE_CHARS_MAX or issuer not in {None, provider.issuer}:
            raise _astray()
        claims = await self._claims(provider, await self._id_token(provider, code, journey.verifier))
        if not hmac.compare_digest(claims.nonce.encode(), journey.nonce.encode()):
            raise _astray()
        is_verified = claims.email_verified in {True, "true"}
        name = NOT_IN_A_LINE.sub(" ", claims.name).strip()[:_NAME_CHARS_MAX]
        identity = Identity(provider.issuer, claims.sub, claims.email if is_verified else None, name)
        return identity, journey.next

    def _read(self, cookie: str) -> _Journey | None:
        try:
            sealed = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
        except ValueError:
            return None
        opened = self._seal.open(sealed, _ABOUT)
        journey = None if opened is None else msgspec.json.decode(opened, type=_Journey)
        return journey if journey is not None and journey.until > self._clock.now().timestamp() else None

    async def _discovered(self) -> _Provider:
        if self._provider is None or boottime_s() - self._provider[1] > _KEEP_S:
            issuer = self.settings.issuer
            said = await _asked("GET", issuer.rstrip("/") + "/.well-known/openid-configuration")
            provider = _decoded(said, _Provider)
            if provider.issuer != issuer:
                raise _broken(f"it calls itself {provider.issuer!r}, but STENTOR_OIDC_ISSUER is {issuer!r}")
            for url in (provider.authorization_endpoint, provider.token_endpoint, provider.jwks_uri):
                check_url(url)
            self._provider = provider, boottime_s()
        return self._provider[0]

    async def _id_token(self, provider: _Provider, code: str, verifier: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.settings.redirect_uri,
            "client_id": self.settings.client_id,
            "client_secret": self.settings.client_secret,
            "code_verifier": verifier,
        }
        return _decoded(await _asked("POST", provider.token_endpoint, form), _Tokens).id_token

    async def _claims(self, provider: _Provider, id_token: str) -> _Claims:
        try:
            token = await self._verified(provider, id_token)
            # By our own clock, which tests move.
            registry = jwt.JWTClaimsRegistry(
                now=lambda: int(self._clock.now().timestamp()),
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": provider.issuer},
                aud={"essential": True, "value": self.settings.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
            )
            registry.validate(token.claims)
            claims = msgspec.convert(token.claims, _Claims)
        except (JoseError, msgspec.ValidationError, ValueError) as error:
            log.warning("oidc.refused", why=f"{type(error).__name__}: {error}"[:200])
            raise _astray() from None
        if claims.azp not in {None, self.settings.client_id}:
            raise _astray()
        return claims

    async def _verified(self, provider: _Provider, id_token: str) -> jwt.Token:
        keys = await self._provider_keys(provider, anew=False)
        try:
            return jwt.decode(id_token, keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            # A provider that changed its keys signs with one that was not there before.
            fresh = await self._provider_keys(provider, anew=True)
            if fresh is keys:
                raise
            return jwt.decode(id_token, fresh, algorithms=_ALGORITHMS)

    async def _provider_keys(self, provider: _Provider, *, anew: bool) -> KeySet:
        keep_s = _KEYS_ANEW_EVERY_S if anew else _KEEP_S
        if self._keys is None or boottime_s() - self._keys[1] > keep_s:
            said = _decoded(await _asked("GET", provider.jwks_uri), dict[str, Any])
            try:
                self._keys = KeySet.import_key_set(said), boottime_s()
            except (JoseError, ValueError, KeyError, TypeError):
                raise _broken("its keys cannot be read") from None
        return self._keys[0]


def check_url(url: str) -> None:
    """Raises Unavailable for an address of a provider that is not https; on this machine http will do."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise _broken("one of its addresses is not https")


async def _asked(method: str, url: str, form: dict[str, str] | None = None) -> bytes:
    check_url(url)
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                method, url, data=form, allow_redirects=False, headers={"Accept": "application/json"}
            ) as answer,
        ):
            said = await answer.content.read(ANSWER_BYTES_MAX + 1)
            while len(said) <= ANSWER_BYTES_MAX and (more := await answer.content.read(ANSWER_BYTES_MAX)):
                said += more
            if form is not None and answer.status in {400, 401}:
                # What it says of itself is for the log: an address and a code are in none of it.
                log.warning("oidc.code_refused", status=answer.status, why=said[:200].decode("utf-8", "replace"))
                raise _astray()
            if answer.status != 200 or len(said) > ANSWER_BYTES_MAX:
                raise _broken(f"it answered {answer.status}")
            return said
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _broken(f"{type(error).__name__}") from None


def _decoded(said: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(said, type=kind)
    except msgspec.MsgspecError:
        raise _broken("its answer cannot be read") from None


def _astray() -> Forbidden:
    return Forbidden("The identity provider's answer does not belong to this sign-in, or came too late. Sign in again.")


def _broken(reason: str) -> Unavailable:
    return Unavailable("The identity provider cannot be asked at the moment. Try again in a minute.", reason=reason)


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
