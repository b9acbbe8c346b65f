"""Requests as handlers see them: JSON taken strictly, the caller behind its proxies, the request id."""

import functools
import re
from typing import Any

import msgspec
from litestar import Request

from stentor.api.proxies import client_address
from stentor.api.strict_json import decode
from stentor.errors import Problem

_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;\s*charset\s*=\s*\"?utf-8\"?\s*)?\Z", re.IGNORECASE)


class UnsupportedMedia(Problem):
    code = "unsupported-media"
    title = "The body has a type that is not read here"


class ApiRequest(Request[Any, Any, Any]):
    """A request whose `data` is decoded straight into the type that the handler's `data` argument names."""

    @property
    def request_id(self) -> str:
        return self.scope["state"].get("request_id", "")

    @property
    def client_address(self) -> str:
        """The caller's address, behind the proxies that are trusted; empty when it has none."""
        return client_address(self.scope, self.app.state.settings.trusted_proxies)

    async def json(self) -> Any:  # pyrefly: ignore[missing-override-decorator]  # it came with Python 3.12
        """The body as the handler's type. Raises Invalid with a pointer, UnsupportedMedia for what is not JSON."""
        declared = self.route_handler.parsed_fn_signature.parameters.get("data")
        decoder = _decoder(declared.raw if declared else Any)
        self.check_media(_JSON, "application/json")
        return decode(await self.body(), decoder)

    def check_media(self, allowed: re.Pattern[str], example: str) -> None:
        """Raises UnsupportedMedia for a compressed body and for a Content-Type that is said and not allowed."""
        if encoding := self.headers.get("content-encoding", "").removeprefix("identity"):
            raise UnsupportedMedia(f"A body in `Content-Encoding: {encoding[:40]}` is not read. Send it uncompressed.")
        said = self.headers.get("content-type", "")
        if said and not allowed.match(said):
            raise UnsupportedMedia(f"The body is sent as `{said[:80]}`. Send it with `Content-Type: {example}`.")


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
