"""Requests as handlers see them: JSON taken strictly, the caller behind its proxies, the request id."""

import re
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from litestar import Request

from stentor.accounts.model import Brand, Principal
from stentor.api.proxies import Address, client_address
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.api.strict_json import decode, decode_query
from stentor.errors import Problem

T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)

_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;\s*charset\s*=\s*\"?utf-8\"?\s*)?\Z", re.IGNORECASE)

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any)


class UnsupportedMedia(Problem):
    code = "unsupported-media"
    title = "The body has a type that is not read here"


class Caller(msgspec.Struct, frozen=True):
    """Who calls, and for which brand."""

    principal: Principal
    brand: Brand

    @property
    def brand_id(self) -> UUID:
        return self.brand.id


class ApiRequest(Request[Any, Any, Any]):
    """A request with what handlers need of it at hand."""

    @property
    def services(self) -> Services:
        return self.app.state.services

    @property
    def settings(self) -> ApiSettings:
        return self.app.state.settings

    @property
    def request_id(self) -> str:
        return self.scope["state"].get("request_id", "")

    @property
    def client_address(self) -> Address | None:
        """The caller's address, behind the proxies that are trusted; None when it has none."""
        return client_address(self.scope, self.settings.trusted_proxies)

    @property
    def base_url_text(self) -> str:
        """What links in answers begin with: the public URL, or else the address that was asked."""
        return self.settings.public_url or f"{self.scope['scheme']}://{self.headers.get('host', '')}"

    async def decoded(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as JSON of the decoder's type. Raises Invalid with a pointer, UnsupportedMedia for what is not JSON."""
        self.check_media(_JSON, "application/json")
        return decode(await self.body(), decoder)

    async def json_value(self) -> Any:
        """The body as plain JSON, whatever it says. Raises as `decoded`."""
        return await self.decoded(_ANY)

    def decoded_query(self, kind: type[Q], *, known_alone: bool = False) -> Q:
        """The parameters of the query as `kind`. Raises Invalid with a pointer.

        Ones it does not know are ignored, for the clients of the wire families, or refused with `known_alone`.
        """
        return decode_query(dict(self.query_params), kind, known_alone=known_alone)

    def check_media(self, allowed: re.Pattern[str], example: str) -> None:
        """Raises UnsupportedMedia for a compressed body and for a Content-Type that is said and not allowed."""
        if encoding := self.headers.get("content-encoding", "").removeprefix("identity"):
            raise UnsupportedMedia(f"A body in `Content-Encoding: {encoding[:40]}` is not read. Send it uncompressed.")
        said = self.headers.get("content-type", "")
        if said and not allowed.match(said):
            raise UnsupportedMedia(f"The body is sent as `{said[:80]}`. Send it with `Content-Type: {example}`.")
