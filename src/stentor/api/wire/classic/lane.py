"""The way of this family's calls past the framework, which knows no paths without casing and no answers without chunks."""

from collections.abc import AsyncGenerator
from contextlib import nullcontext
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
from stentor.api.wire.classic.turns import Turns
from stentor.errors import Invalid

LARGE_BODIES_MAX = 16
"""Bodies of functions that take more than 1 MiB that a process takes in at once."""
LARGE_BODIES_OF_ONE_MAX = 4
"""Those of one client."""
LISTS_MAX = 4
"""Lists of people that a process writes at once, each with a connection to the database; others wait for their turn."""
LISTS_OF_ONE_MAX = 2
"""Those of one client."""

_LIST_WAIT_S = 30.0
_BODY_WAIT_S = 5.0

_JSON = (b"content-type", b"application/json")


class ClassicLane:
    """Answers all calls of this family. Errors from before the first byte are raised, for the app to write down."""

    def __init__(self, services: Services, settings: ApiSettings) -> None:
        self._services = services
        self._settings = settings
        self._bodies = Turns(
            "large calls", at_once=LARGE_BODIES_MAX, of_one=LARGE_BODIES_OF_ONE_MAX, wait_s=_BODY_WAIT_S
        )
        self._lists = Turns("lists", at_once=LISTS_MAX, of_one=LISTS_OF_ONE_MAX, wait_s=_LIST_WAIT_S)

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
            body = await self._body(scope, exchange, function, call)
            if function.items_max is not None and len(body) > function.items_max:
                raise Invalid(
                    f"{function.name} takes at most {function.items_max} items in a call, and these are {len(body)}. Nothing "
                    "was changed. Send them in parts."
                )
            arguments["body"] = body
        return await function.handler(call, **arguments)

    async def _body(self, scope: HTTPScope, exchange: Exchange, function: Function, call: Call | Guest) -> Any:
        declared = dict(scope["headers"]).get(b"content-length", b"")
        is_large = function.body_bytes_max > BODY_BYTES_MAX and isinstance(call, Call)
        async with self._bodies.turn(call.client.client_id) if is_large else nullcontext():
            return read_body(await whole_body(exchange, declared, bytes_max=function.body_bytes_max), function.body)

    async def _send(self, exchange: Exchange, value: Any, call: Call | None = None) -> None:
        if value is None:
            await exchange.answer(200, [], b"")
            return
        if isinstance(value, AsyncGenerator) and call is not None:
            async with self._lists.turn(call.client.client_id):
                value = await call.listed(value)
        if not isinstance(value, Spooled):
            await exchange.answer(200, [_JSON], ENCODER.encode(value))
            return
        await send_spooled(exchange, value)
