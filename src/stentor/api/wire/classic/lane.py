"""The way of this family's calls past the framework, which knows no paths without casing and no answers without chunks."""

from collections.abc import AsyncGenerator
from typing import Any

from litestar.exceptions import MethodNotAllowedException
from litestar.types import HTTPScope

from stentor.accounts.acting import ENGINE, as_actor
from stentor.api.edge import Exchange, unescaped
from stentor.api.proxies import client_address
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.api.spool import Spooled, send_spooled
from stentor.api.whole_body import whole_body
from stentor.api.wire.classic.access import admitted
from stentor.api.wire.classic.calls import ENCODER, Call, Guest
from stentor.api.wire.classic.functions import functions_at
from stentor.api.wire.classic.paths import Target, is_classic, target_of
from stentor.api.wire.classic.reading import read_body, read_query
from stentor.api.wire.classic.registry import BODY_BYTES_MAX, Function
from stentor.errors import Invalid, Unavailable

LARGE_BODIES_MAX = 16
"""Bodies beyond 1 MiB that a process takes in at once."""

_JSON = (b"content-type", b"application/json")


class ClassicLane:
    """Answers all calls of this family. Errors from before the first byte are raised, for the app to write down."""

    def __init__(self, services: Services, settings: ApiSettings) -> None:
        self._services = services
        self._settings = settings
        self._large = 0

    def takes(self, scope: HTTPScope) -> bool:
        """Whether this request may go here."""
        return is_classic(scope["path"])

    async def answer(self, scope: HTTPScope, exchange: Exchange) -> None:
        """Answers the request. Raises the Problem that it met with."""
        target = target_of(scope["path"])
        if target is None:
            raise MethodNotAllowedException
        known = functions_at(target)
        verbs = ", ".join(sorted({*known, *({"HEAD"} if "GET" in known else ()), "OPTIONS"}))
        if known and scope["method"] == "OPTIONS":
            await exchange.answer(200, [(b"allow", verbs.encode())], b"")
            return
        function = next((one for verb, one in known.items() if verb == scope["method"]), None)
        if function is None:
            raise MethodNotAllowedException(headers={"Allow": verbs} if known else None)
        scope["path_template"] = function.template
        # Whoever is found out to be calling acts until the answer is there, and no longer.
        with as_actor(ENGINE):
            await self._call(scope, exchange, function, target)

    async def _call(self, scope: HTTPScope, exchange: Exchange, function: Function, target: Target) -> None:
        if function.is_open:
            guest = Guest(self._services, client_address(scope, self._settings.trusted_proxies))
            await self._send(exchange, await self._handled(scope, exchange, function, target, guest))
            return
        call = await admitted(self._services, scope, self._settings, target.version)
        try:
            await self._send(exchange, await self._handled(scope, exchange, function, target, call), call)
        finally:
            for spool in call.opened:
                spool.close()

    async def _handled(
        self, scope: HTTPScope, exchange: Exchange, function: Function, target: Target, call: Call | Guest
    ) -> Any:
        arguments: dict[str, Any] = {}
        if function.query is not None:
            arguments["query"] = read_query(scope["query_string"], function.query)
        if function.of_one:
            arguments["id"] = unescaped(target.id or "")
        if function.body is not None:
            body = await self._body(scope, exchange, function)
            if function.items_max is not None and len(body) > function.items_max:
                raise Invalid(
                    f"{function.name} takes at most {function.items_max} items in a call, and these are {len(body)}. Nothing "
                    "was changed. Send them in parts."
                )
            arguments["body"] = body
        return await function.handler(call, **arguments)

    async def _body(self, scope: HTTPScope, exchange: Exchange, function: Function) -> Any:
        declared = dict(scope["headers"]).get(b"content-length", b"")
        is_large = function.body_bytes_max > BODY_BYTES_MAX
        if is_large and self._large >= LARGE_BODIES_MAX:
            raise Unavailable("Other large calls are still coming in. Send yours in a moment.", retry_after_s=5)
        self._large += is_large
        try:
            return read_body(await whole_body(exchange, declared, bytes_max=function.body_bytes_max), function.body)
        finally:
            self._large -= is_large

    async def _send(self, exchange: Exchange, value: Any, call: Call | None = None) -> None:
        if value is None:
            await exchange.answer(200, [], b"")
            return
        if isinstance(value, AsyncGenerator) and call is not None:
            value = await call.listed(value)
        if not isinstance(value, Spooled):
            await exchange.answer(200, [_JSON], ENCODER.encode(value))
            return
        await send_spooled(exchange, value)
