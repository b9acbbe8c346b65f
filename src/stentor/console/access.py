"""Who may look into a brand's inbox: whoever sits at this machine on a fresh installation, is signed in, or has a key.

Where the server listens on this machine alone and has no public address, its own pages are open
to this machine: the connection comes from loopback, no proxy says that it speaks for somebody else, and the address in
the browser is this machine's (a foreign name that was made to lead here would let a foreign page read along). Everywhere
else it opens to users whose role lets them read in the brand. For programs' people, who have a key and no account, the page
takes a key of the brand once and gives a cookie for it, in which the key is sealed: it is asked of the key ring again with
every request, so a revoked key closes the page within a second.
"""

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from litestar.datastructures import Cookie

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.keyring import KeyRing
from stentor.accounts.model import Brand
from stentor.accounts.user_model import SignedIn
from stentor.clock import Clock
from stentor.console.navigation import Side, side_of
from stentor.console.visits import AnyRequest, Visits
from stentor.domain.hosts import is_loopback
from stentor.errors import NotFound, Unauthenticated

COOKIE = "stentor_inbox"
COOKIE_S = 12 * 3600
KEY_CHARS_MAX = 200

_NONCE_BYTES = 12
_SPEAKING_FOR_OTHERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


class Visitor(msgspec.Struct, frozen=True):
    """Who looks, and into whose inbox; `who` is None for whoever has a key, or sits at this machine, without signing in."""

    brand: Brand
    may_delete: bool
    who: SignedIn | None = None
    neighbours: Sequence[Brand] = ()

    @property
    def nav(self) -> Side | None:
        """The side of the brand's pages, for whoever may see them."""
        if self.who is None or not self.who.may("read", self.brand.organisation_id, self.brand.id):
            return None
        return side_of(self.who, self.brand, self.neighbours, "inbox")


class _Pass(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed into the cookie."""

    key: str
    until: int


class InboxAccess:
    """Lets people in. `secret`: 32 bytes derived for these cookies; `host` and `public_url`: as the server was started."""

    def __init__(
        self,
        keys: KeyRing,
        brands: BrandDirectory,
        visits: Visits,
        clock: Clock,
        *,
        secret: bytes,
        host: str,
        public_url: str,
    ) -> None:
        self._visits = visits
        self._keys = keys
        self._brands = brands
        self._clock = clock
        self._aead = AESGCM(secret)
        self._secure = public_url.startswith("https://")
        self._open_to_this_machine = not public_url and is_loopback(host)

    def is_at_this_machine(self, request: AnyRequest) -> bool:
        """Whether everybody's inbox is open to this request."""
        return (
            self._open_to_this_machine
            and request.client is not None
            and is_loopback(request.client.host)
            and is_loopback(_host_name(request.headers))
            and not any(name in request.headers for name in _SPEAKING_FOR_OTHERS)
        )

    async def visitor(self, request: AnyRequest) -> Visitor:
        """Who looks into the inbox of the path's brand. Raises Unauthenticated, also for brands that do not exist."""
        brand = await self._brand(request)
        who = await self._visits.signed_in(request)
        if self.is_at_this_machine(request):
            if brand is None:
                raise NotFound("There is no such brand.")
            return Visitor(brand, may_delete=True, who=who, neighbours=await self._neighbours(who, brand))
        if who is not None and brand is not None and who.may("read", brand.organisation_id, brand.id):
            may_write = who.may("write", brand.organisation_id, brand.id)
            return Visitor(brand, may_write, who, await self._neighbours(who, brand))
        key = self._unsealed(brand, request.cookies.get(COOKIE, "")) if brand else None
        if brand is None or key is None:
            raise Unauthenticated(
                "This inbox opens to members of its brand, and with a key of it or of its organisation."
            )
        return await self._holder(brand, key)

    async def admitted(self, request: AnyRequest, key: str) -> Cookie:
        """The cookie for whoever presents a key that may read there. Raises Unauthenticated for any other text."""
        brand = await self._brand(request)
        if brand is None or len(key) > KEY_CHARS_MAX:
            raise _wrong_key()
        await self._holder(brand, key)
        return Cookie(
            key=COOKIE,
            value=self._sealed(brand, key),
            path=f"/inbox/{brand.id}",
            max_age=COOKIE_S,
            httponly=True,
            secure=self._secure,
            samesite="strict",
        )

    async def _holder(self, brand: Brand, key: str) -> Visitor:
        principal = await self._keys.principal(key)
        if principal is None or not principal.may_act_for(brand) or not principal.may("read"):
            raise _wrong_key()
        return Visitor(brand, may_delete=principal.may("write"))

    async def _neighbours(self, who: SignedIn | None, brand: Brand) -> Sequence[Brand]:
        return () if who is None else await self._brands.of_organisation(brand.organisation_id)

    async def _brand(self, request: AnyRequest) -> Brand | None:
        try:
            return await self._brands.by_id(UUID(request.path_params["brand_id"]))
        except ValueError:
            return None

    def _sealed(self, brand: Brand, key: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        until = int(self._clock.now().timestamp()) + COOKIE_S
        sealed = self._aead.encrypt(nonce, msgspec.json.encode(_Pass(key, until)), brand.id.bytes)
        return base64.urlsafe_b64encode(nonce + sealed).decode("ascii")

    def _unsealed(self, brand: Brand, cookie: str) -> str | None:
        try:
            raw = base64.urlsafe_b64decode(cookie)
            opened = self._aead.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], brand.id.bytes)
        except (binascii.Error, ValueError, InvalidTag):
            return None
        told = msgspec.json.decode(opened, type=_Pass)
        return told.key if told.until > self._clock.now().timestamp() else None


def _host_name(headers: Mapping[str, str]) -> str:
    try:
        return (urlsplit(f"//{headers.get('host', '')}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _wrong_key() -> Unauthenticated:
    return Unauthenticated("This key does not open this inbox. It needs the scope `read`, and must not be revoked.")
