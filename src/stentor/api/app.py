"""The HTTP application: all doors behind one edge, with our own answers to every error."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast
from uuid import UUID

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import LitestarException
from prometheus_client import CollectorRegistry

from stentor.accounts.acting import ENGINE, as_actor
from stentor.api import files, health, hooks
from stentor.api.audit import audit
from stentor.api.batches import batches
from stentor.api.calendar import calendar
from stentor.api.connector_runs import connectors
from stentor.api.customer_events import customer_events
from stentor.api.customer_stories import customers
from stentor.api.docs.pages import Reference
from stentor.api.edge import Exchange, check_target
from stentor.api.erasures import erasures
from stentor.api.execution_figures import executions
from stentor.api.hub_clients import hub_clients
from stentor.api.imports import imports
from stentor.api.inbox import inbox
from stentor.api.keys import keys
from stentor.api.listeners import listeners
from stentor.api.messages import messages
from stentor.api.methods import with_options
from stentor.api.metrics import ListMetrics, RequestMetrics
from stentor.api.openapi import document
from stentor.api.optout_entries import optout_entries
from stentor.api.optout_jobs import optout_jobs
from stentor.api.optout_lists import optout_lists
from stentor.api.organisation_audit import organisation_audit
from stentor.api.organisation_groups import organisation_groups
from stentor.api.organisations import organisations
from stentor.api.partner_channels import partner_channels
from stentor.api.partner_facts import partner_events
from stentor.api.policies import policies
from stentor.api.problems import Envelope, Errors, problem_details
from stentor.api.profile_tags import profile_tags
from stentor.api.profiles import profiles
from stentor.api.pulls import pulls
from stentor.api.recipients import recipients
from stentor.api.request import ApiRequest
from stentor.api.retention import retention
from stentor.api.runs import event_generators
from stentor.api.schedules import schedules
from stentor.api.segments import segments
from stentor.api.senders import senders
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.api.slow_bodies import Deadlines
from stentor.api.subscriptions import subscriptions
from stentor.api.template_checks import templates
from stentor.api.test_recipients import test_recipients
from stentor.api.test_sends import campaigns
from stentor.api.topics import topics
from stentor.api.usage import usage
from stentor.api.wire import optizmo, preference_topics, preferences, smart_campaigns
from stentor.api.wire.classic import errors as classic_errors
from stentor.api.wire.classic.lane import ClassicLane
from stentor.api.wire.classic.paths import is_classic
from stentor.api.wire.optout_lane import OptOutLane
from stentor.api.wire.run_lane import RunLane
from stentor.errors import Unavailable
from stentor.forms import STREAM

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


# Requests that are answered at once; each may hold a body of 1 MiB, so this bounds what they hold together. One more is
# told to come back instead of being kept waiting.
REQUESTS_MAX = 2_048

# In the order in which the reference tells of them.
NATIVE = (
    topics,
    customers,
    erasures,
    subscriptions,
    imports,
    customer_events,
    segments,
    batches,
    profiles,
    profile_tags,
    templates,
    campaigns,
    test_recipients,
    policies,
    retention,
    event_generators,
    messages,
    schedules,
    calendar,
    executions,
    recipients,
    pulls,
    senders,
    partner_channels,
    hub_clients,
    connectors,
    partner_events,
    listeners,
    optout_lists,
    optout_entries,
    optout_jobs,
    inbox,
    keys,
    usage,
    audit,
)


class Lane(Protocol):
    """A way past the framework, for requests that come by the thousand per second."""

    def takes(self, scope: "HTTPScope") -> bool:
        """Whether this request may go here; all others take the framework's way."""
        ...

    async def answer(self, scope: "HTTPScope", exchange: Exchange) -> None:
        """Answers the request. What it raises is answered by the app."""
        ...


class Door(msgspec.Struct, frozen=True):
    """Handlers under one path prefix, and how an error under it is written down.

    `owns` says which paths are its own where no prefix does.
    """

    prefix: str
    handlers: "Sequence[ControllerRouterHandler]"
    envelope: Envelope = problem_details
    lane: Lane | None = None
    owns: Callable[[str], bool] | None = None


def create_app(
    services: Services,
    settings: ApiSettings,
    *,
    doors: Sequence[Door] = (),
    registry: CollectorRegistry | None = None,
) -> Litestar:
    """The app over these services. `doors` are those that are not this package's own: pages and console."""
    own = [
        Door("/", [health.routes]),
        Door("/v1/groups", with_options([handler for noun in NATIVE for handler in noun.handlers])),
        Door(
            "/v1/organisations",
            with_options([*organisations.handlers, *organisation_groups.handlers, *organisation_audit.handlers]),
        ),
        Door(
            smart_campaigns.PREFIX,
            smart_campaigns.handlers,
            smart_campaigns.envelope,
            RunLane(services, body_bytes_max=settings.body_bytes_max),
        ),
        Door(preferences.PREFIX, preferences.handlers, preferences.envelope),
        Door(
            optizmo.LISTS,
            with_options(optizmo.optout_files.handlers),
            optizmo.envelope,
            OptOutLane(services),
        ),
        Door(optizmo.COLLECT, [], optizmo.envelope),
        Door(files.PREFIX, files.handlers, files.envelope),
        Door(hooks.PREFIX, hooks.handlers),
        Door(preference_topics.PREFIX, with_options(preference_topics.preference_topics.handlers)),
        Door("", [], classic_errors.envelope, ClassicLane(services, settings), is_classic),
    ]
    app = _App(services, settings, [*own, *doors], registry or CollectorRegistry())
    groups = [
        (noun.tag, noun.about)
        for noun in (
            *NATIVE,
            organisations,
            organisation_audit,
            organisation_groups,
            preferences.preferences,
            preference_topics.preference_topics,
            optizmo.optout_files,
        )
    ]
    groups.append((smart_campaigns.TAG, smart_campaigns.ABOUT))
    app.register(Reference(lambda: document(app.routes, groups, public_url=settings.public_url)).routes())
    return app


class _App(Litestar):
    """Litestar inside the edge: its own middleware would not see a path that is none of ours."""

    def __init__(
        self,
        services: Services,
        settings: ApiSettings,
        doors: Sequence[Door],
        registry: CollectorRegistry,
    ) -> None:
        self._metrics = RequestMetrics(registry)
        list_metrics = ListMetrics(registry)
        self._deadlines = Deadlines()
        self._inside = 0
        self._errors = Errors(
            [(door.prefix, door.envelope) for door in doors if door.owns is None],
            [(door.owns, door.envelope) for door in doors if door.owns is not None],
        )
        self._lanes = [door.lane for door in doors if door.lane is not None]
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
                    "list_metrics": list_metrics,
                    "stopping": asyncio.Event(),
                    "streams": set(),
                    "uploads": set(),
                    "list_uploads": Counter[UUID](),
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
        if http["method"] == "HEAD":
            # A GET from the edge on; the server, which leaves the body out, looks at its own.
            http = cast("HTTPScope", {**scope})
        self._inside += 1
        try:
            await self._serve(http, cast("Receive", receive), cast("Send", send))
        finally:
            self._inside -= 1

    async def _serve(self, http: "HTTPScope", receive: "Receive", send: "Send") -> None:
        exchange = Exchange(http, receive, send, metrics=self._metrics, deadlines=self._deadlines)
        try:
            self._admit(http["path"])
            check_target(http)
            for lane in self._lanes:
                if lane.takes(http):
                    await lane.answer(http, exchange)
                    return
        except Exception as error:  # noqa: BLE001  the framework, too, lets no error pass unanswered
            await self._answer_error(error, http, exchange)
            return
        try:
            # Whoever the handlers find out is calling acts until the answer is there, and no longer.
            with as_actor(ENGINE):
                await super().__call__(http, exchange.receive, exchange.send)
        except LitestarException:
            if not exchange.is_cut_off:
                raise
            await exchange.break_off()
        finally:
            # The framework leaves a stream that broke off to the garbage collector, with all that is behind it.
            if (stream := http["state"].get(STREAM)) is not None:
                await stream.aclose()

    def _admit(self, path: str) -> None:
        # A process that is busy lives, and must not be restarted for it.
        if self._inside > REQUESTS_MAX and path != health.ALIVE:
            raise Unavailable(f"{REQUESTS_MAX} requests are being answered already. Try again in a moment.")

    async def _answer_error(self, error: Exception, scope: "HTTPScope", exchange: Exchange) -> None:
        scope["litestar_app"] = self
        response = self._errors.answer(ApiRequest(scope), error)
        asgi = response.to_asgi_response(app=None, request=ApiRequest(scope))
        await asgi(scope, exchange.receive, exchange.send)
