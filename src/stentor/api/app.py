"""The HTTP application: all doors behind one edge, with our own answers to every error."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from prometheus_client import CollectorRegistry

from stentor.api import health
from stentor.api.campaigns import campaigns
from stentor.api.customers import customers
from stentor.api.docs.pages import Reference
from stentor.api.edge import Exchange, check_target
from stentor.api.executions import executions
from stentor.api.keys import keys
from stentor.api.metrics import RequestMetrics
from stentor.api.openapi import document
from stentor.api.problems import Envelope, Errors, problem_details
from stentor.api.request import ApiRequest
from stentor.api.runs import event_generators
from stentor.api.senders import senders
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.api.subscriptions import subscriptions
from stentor.api.templates import templates
from stentor.api.topics import topics
from stentor.errors import Problem

if TYPE_CHECKING:
    from litestar.types import (
        ControllerRouterHandler,
        ExceptionHandlersMap,
        HTTPScope,
        LifeSpanReceive,
        LifeSpanScope,
        LifeSpanSend,
        Receive,
        Scope,
        Send,
    )


# In the order in which the reference tells of them.
NOUNS = (topics, customers, subscriptions, templates, campaigns, event_generators, executions, senders, keys)


class Door(msgspec.Struct, frozen=True):
    """Handlers under one path prefix, and how an error under it is written down."""

    prefix: str
    handlers: "Sequence[ControllerRouterHandler]"
    envelope: Envelope = problem_details


def create_app(
    services: Services,
    settings: ApiSettings,
    *,
    doors: Sequence[Door] = (),
    registry: CollectorRegistry | None = None,
) -> Litestar:
    """The app over these services. `doors` are those that are not this package's own: pages and console."""
    native = Door("/v1/groups", [handler for noun in NOUNS for handler in noun.handlers])
    app = _App(services, settings, [Door("/", [health.routes]), native, *doors], registry or CollectorRegistry())
    app.register(Reference(document(app.routes, NOUNS, public_url=settings.public_url)).routes())
    return app


class _App(Litestar):
    """Litestar inside the edge: its own middleware would not see a path that is none of ours."""

    def __init__(
        self, services: Services, settings: ApiSettings, doors: Sequence[Door], registry: CollectorRegistry
    ) -> None:
        self._metrics = RequestMetrics(registry)
        self._errors = Errors([(door.prefix, door.envelope) for door in doors])
        super().__init__(
            route_handlers=[handler for door in doors for handler in door.handlers],
            exception_handlers=cast("ExceptionHandlersMap", {Exception: self._errors.answer}),
            request_class=ApiRequest,
            request_max_body_size=settings.body_bytes_max,
            state=State(
                {
                    "services": services,
                    "settings": settings,
                    "metrics": self._metrics,
                    "stopping": asyncio.Event(),
                    "streams": set(),
                }
            ),
            openapi_config=None,
            logging_config=None,
        )

    async def __call__(
        self,
        scope: "Scope | LifeSpanScope",
        receive: "Receive | LifeSpanReceive",
        send: "Send | LifeSpanSend",
    ) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        http = cast("HTTPScope", scope)
        exchange = Exchange(http, cast("Receive", receive), cast("Send", send), self._metrics)
        try:
            check_target(http)
        except Problem as problem:
            http["litestar_app"] = self
            response = self._errors.answer(ApiRequest(http), problem)
            asgi = response.to_asgi_response(app=None, request=ApiRequest(http))
            await asgi(http, exchange.receive, exchange.send)
            return
        await super().__call__(http, exchange.receive, exchange.send)
