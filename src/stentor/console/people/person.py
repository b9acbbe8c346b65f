"""`/console/brands/…/customers/{customer}`: one person, what they chose, and all that was sent and not sent to them, and why."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect, Stream

from stentor.audience.finding import PersonFinder
from stentor.audience.model import ConsentEvent, Customer, Subscription, Tag, Topic
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.tags import TagService
from stentor.audience.topics import PAGE_MAX as TOPICS_READ_MAX
from stentor.audience.topics import TopicService
from stentor.console.account import read_id
from stentor.console.brand import BrandDoor, Place, id_in
from stentor.console.fields import duration_of
from stentor.console.people.customers import ONE
from stentor.console.people.view import (
    ANSWERS,
    CAUSES,
    CHOICES,
    EPOCH,
    NODES,
    SOURCES,
    ZONES_FROM,
    addresses_of,
    matrix,
    name_of,
    shown_channels,
    value_shown,
    written,
)
from stentor.console.visits import AnyRequest
from stentor.domain.vocabulary import channels_in
from stentor.erasures.exporting import ExportService, as_document
from stentor.errors import Problem, Unavailable
from stentor.executions.reaching import Reach, ReachService
from stentor.executions.service import ExecutionService
from stentor.executions.timeline import Position, TimelinePage, TimelineService
from stentor.integrations.pulls.service import PullService

ENTRIES_SHOWN = 25
LEDGER_SHOWN = 12
LEDGER_PAGE = 100
LEDGER_READ_MAX = 500
"""Lines of a ledger in which the proof of each subscription is looked for."""


class PersonPages:
    """One person in the console, to look at."""

    def __init__(
        self,
        door: BrandDoor,
        *,
        finder: PersonFinder,
        subscriptions: SubscriptionService,
        topics: TopicService,
        tags: TagService,
        timelines: TimelineService,
        reach: ReachService,
        executions: ExecutionService,
        pulls: PullService,
        exports: ExportService,
    ) -> None:
        self._door = door
        self._finder = finder
        self._subscriptions = subscriptions
        self._topics = topics
        self._tags = tags
        self._timelines = timelines
        self._reach = reach
        self._executions = executions
        self._pulls = pulls
        self._exports = exports

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._whole(), *self._parts()]

    def _whole(self) -> list[HTTPRouteHandler]:
        @get(ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str] | Redirect:
            place, asked = await self._door.inside(request), read_id(request.path_params["customer_id"])
            person = await self._finder.get(place.brand.id, asked)
            if person.customer_id != asked:
                return Redirect(f"{place.root}/customers/{person.customer_id}?merged=yes", status_code=303)
            return await self.page(request, place, person)

        @get(f"{ONE}/export", include_in_schema=False)
        async def export(request: AnyRequest) -> Stream:
            place = await self._door.inside(request)
            person = await self._finder.get(place.brand.id, read_id(request.path_params["customer_id"]))
            text = as_document(self._exports.everything(place.brand.id, person.external_id))
            # Before the first byte: who was erased a moment ago is answered as a page.
            first = await anext(text)
            return Stream(
                _stream(first, text),
                media_type="application/json",
                headers={"Content-Disposition": f'attachment; filename="customer-{person.customer_id}.json"'},
            )

        return [one, export]

    def _parts(self) -> list[HTTPRouteHandler]:
        @get(f"{ONE}/timeline", include_in_schema=False)
        async def timeline(request: AnyRequest) -> Response[str]:
            place, person = await self._found(request)
            before = _position(request.query_params.get("before", ""))
            page = await self._timeline(place, person, before)
            return self._door.page(
                request,
                "people/timeline.html",
                place,
                tab="customers",
                person=person,
                name=name_of(person),
                is_first=before is None,
                topic_names=await self._topic_names(place),
                **_timeline_facts(page),
            )

        @get(f"{ONE}/ledger", include_in_schema=False)
        async def ledger(request: AnyRequest) -> Response[str]:
            place, person = await self._found(request)
            before = id_in(request.query_params, "before")
            found = await self._subscriptions.ledger(
                place.brand.id, person.external_id, before=before, limit=LEDGER_PAGE + 1
            )
            return self._door.page(
                request,
                "people/ledger.html",
                place,
                tab="customers",
                person=person,
                name=name_of(person),
                ledger=found[:LEDGER_PAGE],
                more=found[LEDGER_PAGE - 1].event_id if len(found) > LEDGER_PAGE else None,
                is_first=before is None,
                topic_names=await self._topic_names(place),
                sources=SOURCES,
                choices=CHOICES,
                channels_in=channels_in,
            )

        @get(f"{ONE}/runs/{{execution_id:str}}", include_in_schema=False)
        async def trace(request: AnyRequest) -> Response[str]:
            place, person = await self._found(request)
            execution_id = read_id(request.path_params["execution_id"])
            external_id = request.query_params.get("as") or person.external_id
            told = await self._executions.explain(place.brand.id, execution_id, external_id)
            fetched = await self._pulls.trace(place.brand.id, execution_id, told.customer_id)
            return self._door.page(
                request,
                "people/trace.html",
                place,
                tab="customers",
                person=person,
                name=name_of(person),
                told=told,
                fetched=fetched,
                answers=ANSWERS,
            )

        return [timeline, ledger, trace]

    async def page(
        self, request: AnyRequest, place: Place, person: Customer, *, problem: Problem | None = None
    ) -> Response[str]:
        """The page of the person, with what went wrong with what was ordered there."""
        chosen, ledger, topics, tags = await self._choices(place, person)
        reach, unreachable = await self._reached(place, person)
        rows = matrix(person, topics, chosen, ledger)
        return self._door.page(
            request,
            "people/person.html",
            place,
            tab="customers",
            problem=problem,
            person=person,
            name=name_of(person),
            rows=rows,
            row_channels=shown_channels(rows),
            more_topics=len(topics) - len(rows),
            topic_names={topic.id: topic.name for topic in topics},
            ledger=ledger[:LEDGER_SHOWN],
            ledger_goes_on=len(ledger) > LEDGER_SHOWN,
            tags=tags,
            addresses=addresses_of(person),
            duration_of=duration_of,
            offered_tags=await self._tags.page(place.brand.id, before=None, limit=LEDGER_PAGE),
            attributes=[(name, value_shown(value)) for name, value in sorted(person.attributes.items())],
            reach=reach,
            unreachable=unreachable,
            causes=CAUSES,
            zones_from=ZONES_FROM,
            told=_TOLD.get(next(iter(request.query_params), ""), ""),
            **_timeline_facts(await self._timeline(place, person, None)),
        )

    async def _found(self, request: AnyRequest) -> tuple[Place, Customer]:
        place = await self._door.inside(request)
        return place, await self._finder.get(place.brand.id, read_id(request.path_params["customer_id"]))

    async def _choices(
        self, place: Place, person: Customer
    ) -> tuple[list[Subscription], list[ConsentEvent], list[Topic], list[Tag]]:
        brand_id = place.brand.id
        return (
            await self._subscriptions.of_customer(brand_id, person.external_id),
            await self._subscriptions.ledger(brand_id, person.external_id, limit=LEDGER_READ_MAX),
            await self._topics.page(brand_id, limit=TOPICS_READ_MAX),
            await self._finder.tags(brand_id, person.customer_id),
        )

    async def _reached(self, place: Place, person: Customer) -> tuple[Reach | None, str]:
        try:
            return await self._reach.of(place.brand.id, person), ""
        except Unavailable as problem:
            # A file of an opt-out list is away: all else of the person is still worth a look.
            return None, problem.detail

    async def _timeline(self, place: Place, person: Customer, before: Position | None) -> TimelinePage:
        return await self._timelines.page(place.brand.id, person.customer_id, before=before, limit=ENTRIES_SHOWN)

    async def _topic_names(self, place: Place) -> dict[UUID, str]:
        return {topic.id: topic.name for topic in await self._topics.page(place.brand.id, limit=TOPICS_READ_MAX)}


_TOLD = {
    "saved": "What you changed is saved.",
    "warned": "It is saved. An address that is marked below cannot be written to.",
    "merged": "That one was merged into this person.",
    "chosen": "The choice is in the ledger, and holds at once.",
    "suppressed": "Nobody writes to them there any more.",
    "tagged": "Their tags are changed.",
}
"""What is told on the page that an order led to, by the name in its address."""


def _timeline_facts(page: TimelinePage) -> dict[str, Any]:
    return {
        "entries": page.entries,
        "older": None if page.before is None else written(page.before),
        "answers": ANSWERS,
        "nodes": NODES,
        "sources": SOURCES,
        "choices": CHOICES,
        "channels_in": channels_in,
    }


def _position(text: str) -> Position | None:
    """Where a page of the timeline begins; a text that is no place begins with the newest."""
    try:
        microseconds, rank, entry = text.split("_")
        return Position(EPOCH + timedelta(microseconds=int(microseconds)), int(rank), UUID(entry))
    except (ValueError, OverflowError):
        return None


async def _stream(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        yield first
        async for piece in rest:
            yield piece
    finally:
        await rest.aclose()
