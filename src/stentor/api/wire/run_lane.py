"""The way of a run call past the framework, which would cost it half of its time.

A call without a query goes here from the edge straight to the service; everything else (a dry run, another method) takes
the framework's way to the handler in `smart_campaigns`, which answers the same.
"""

import re

from litestar.types import HTTPReceiveMessage, HTTPScope

from stentor.api.edge import Exchange, unescaped
from stentor.api.services import Services
from stentor.api.wire.smart_campaigns import PREFIX, answer_to, authorised, call_of
from stentor.errors import Invalid, TooLarge

_RUN = re.compile(re.escape(PREFIX) + r"/event-generators/([^/]+)/run/?")
_TEMPLATE = f"{PREFIX}/event-generators/{{event_generator_id}}/run"


class RunLane:
    """Answers the run calls that it takes; errors are raised, for the app to write down."""

    def __init__(self, services: Services, *, body_bytes_max: int) -> None:
        self._services = services
        self._body_bytes_max = body_bytes_max

    def takes(self, scope: HTTPScope) -> bool:
        """Whether this request may go here."""
        return (
            scope["method"] == "POST"
            and not scope["query_string"]
            and scope["path"].startswith(PREFIX)
            and _RUN.fullmatch(scope["path"]) is not None
        )

    async def answer(self, scope: HTTPScope, exchange: Exchange) -> None:
        """Accepts the call and answers it. Raises the Problem that it met with."""
        scope["path_template"] = _TEMPLATE
        generator_id = unescaped(scope["path"].split("/")[4])
        headers = dict(scope["headers"])
        caller = await authorised(
            self._services, _text(headers.get(b"x-api-key")), _text(headers.get(b"x-brand-key")), "run"
        )
        body = await self._body(exchange, headers.get(b"content-length", b""))
        key = headers.get(b"idempotency-key")
        call = call_of(caller, generator_id, None if key is None else _text(key), scope, body)
        answer = answer_to(await self._services.triggers.run(call))
        said = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        await exchange.answer(answer.status, said, answer.body)

    async def _body(self, exchange: Exchange, declared: bytes) -> bytes:
        event = await exchange.receive()
        body = self._bounded(_part(event))
        # A body that is as long as declared is whole; to hear that nothing follows costs as much as the body did.
        if not event.get("more_body") or declared == b"%d" % len(body):
            return body
        parts = bytearray(body)
        while event.get("more_body"):
            event = await exchange.receive()
            parts += self._bounded(_part(event), len(parts))
        return bytes(parts)

    def _bounded(self, part: bytes, before: int = 0) -> bytes:
        if before + len(part) > self._body_bytes_max:
            raise TooLarge(f"The body has more than {self._body_bytes_max} bytes. Send ids, not contents.")
        return part


def _part(event: HTTPReceiveMessage) -> bytes:
    if event["type"] == "http.disconnect":
        raise Invalid("The body did not arrive whole. Send it again.")
    return event["body"]


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("latin-1")
