"""The way of a run call past the framework, which would cost it half of its time.

A call without a query goes here from the edge straight to the service; everything else (a dry run, another method) takes
the framework's way to the handler in `smart_campaigns`, which answers the same.
"""

import re

from litestar.types import HTTPScope

from stentor.api.edge import Exchange, unescaped
from stentor.api.services import Services
from stentor.api.whole_body import whole_body
from stentor.api.wire.smart_campaigns import PREFIX, answer_to, authorised, call_of

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
        body = await whole_body(exchange, headers.get(b"content-length", b""), bytes_max=self._body_bytes_max)
        key = headers.get(b"idempotency-key")
        call = call_of(caller, generator_id, None if key is None else _text(key), scope, body)
        answer = answer_to(await self._services.triggers.run(call))
        said = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        await exchange.answer(answer.status, said, answer.body)


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("latin-1")
