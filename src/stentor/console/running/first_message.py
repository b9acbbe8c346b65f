"""The first message of a brand: all that it takes is made by one button, and it arrives while somebody looks."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect, ServerSentEvent

from stentor.audience.customers import CustomerService
from stentor.audience.model import Act, CustomerPatch, Source, TopicDraft
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.topics import TopicService
from stentor.campaigns.generators import GeneratorService
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route, TemplateContent
from stentor.campaigns.service import CampaignService
from stentor.campaigns.templates import TemplateService
from stentor.channels.sandbox.inbox import InboxService
from stentor.channels.sandbox.model import InboxEntry
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.live import Fragments, Live
from stentor.console.pages import fragment
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, NotFound
from stentor.triggers.model import RunCall
from stentor.triggers.service import TriggerService

TOPIC = "first_topic"
GENERATOR = "first-message"
SCHEMA = {
    "type": "object",
    "required": ["match_name", "url"],
    "properties": {"match_name": {"type": "string"}, "url": {"type": "string"}},
}
CONTEXT = {"match_name": "Reds vs Blues", "url": "https://example.com/matches/1"}

# Of a domain that is nobody's, so that they stay made up whatever sender is connected later.
_PEOPLE = (("first-1", "Ada"), ("first-2", "Brahim"), ("first-3", "Chiyo"))
_LETTER = {
    "subject": "{{ context.match_name }} is about to start",
    "html": '<p>Hello {{ first_name | default: "there" }},</p><p>{{ context.match_name }} starts in a few minutes.</p>'
    '<p><a href="{{ context.url }}">Watch it</a></p>',
    "text": 'Hello {{ first_name | default: "there" }}, {{ context.match_name }} starts in a few minutes.',
}
_NAME = "First message"


class FirstMessage:
    """Makes what a first message takes, as far as it is not there yet, and sends it to the sandbox."""

    def __init__(
        self,
        *,
        topics: TopicService,
        customers: CustomerService,
        subscriptions: SubscriptionService,
        templates: TemplateService,
        campaigns: CampaignService,
        generators: GeneratorService,
        triggers: TriggerService,
    ) -> None:
        self._topics = topics
        self._customers = customers
        self._subscriptions = subscriptions
        self._templates = templates
        self._campaigns = campaigns
        self._generators = generators
        self._triggers = triggers

    async def is_ready(self, brand_id: UUID) -> bool:
        """Whether the event generator is there that the call runs."""
        try:
            return (await self._generators.get(brand_id, GENERATOR)).publication_id is not None
        except NotFound:
            return False

    async def send(self, brand_id: UUID, triggered_by: str) -> None:
        """Makes and publishes it all and runs it as a test: whatever sender there is, it stays in the sandbox inbox."""
        if not await self.is_ready(brand_id):
            await self._make(brand_id)
        await self._triggers.run(
            RunCall(
                brand_id=brand_id,
                generator_id=GENERATOR,
                topic_key=TOPIC,
                context=CONTEXT,
                triggered_by=triggered_by,
                is_test=True,
            )
        )

    async def _make(self, brand_id: UUID) -> None:
        # What is there already was made by a press that something broke off.
        topic = TopicDraft(key=TOPIC, name="First topic", channels=ChannelKind.EMAIL.bit)
        with suppress(Conflict):
            await self._topics.create(brand_id, topic)
        for external_id, name in _PEOPLE:
            patch = CustomerPatch(
                external_id=external_id, email=f"{name.lower()}@example.org", attributes={"first_name": name}
            )
            await self._customers.upsert(brand_id, patch)
            act = Act(source=Source.CONSOLE, actor="first message")
            await self._subscriptions.subscribe(brand_id, external_id, TOPIC, None, act)
        campaign_id = await self._campaign(brand_id)
        generator = GeneratorDraft(name=_NAME, campaign_id=campaign_id, context_schema=SCHEMA)
        with suppress(Conflict):
            await self._generators.create(brand_id, generator, generator_id=GENERATOR)
        await self._generators.publish(brand_id, GENERATOR)

    async def _campaign(self, brand_id: UUID) -> UUID:
        for one in await self._campaigns.page(brand_id):
            if one.name == _NAME:
                return one.id
        content = TemplateContent("en", {"en": _LETTER})
        try:
            template = await self._templates.create(brand_id, name=_NAME, channel=ChannelKind.EMAIL, content=content)
        except Conflict:
            template = next(one for one in await self._templates.page(brand_id) if one.name == _NAME)
        draft = CampaignDraft(name=_NAME, consent_basis="topic", routes=(Route(ChannelKind.EMAIL, template.id),))
        return (await self._campaigns.create(brand_id, draft)).id


class Arrived(msgspec.Struct, frozen=True):
    """What came to the inbox: the newest messages of the brand."""

    entries: Sequence[InboxEntry]


class FirstMessagePages:
    """The page of a first message. `base_url`: where programs call."""

    def __init__(self, door: BrandDoor, live: Live, *, first: FirstMessage, inbox: InboxService, base_url: str) -> None:
        self._door = door
        self._live = live
        self._first = first
        self._inbox = inbox
        self._base_url = base_url

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(f"{HERE}/first", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            return await self._page(request, await self._door.inside(request))

        @post(f"{HERE}/first", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def send(request: AnyRequest) -> Redirect:
            place, _ = await self._door.posted(request, "write")
            await self._first.send(place.brand.id, place.who.user.email)
            return Redirect(f"{place.root}/first#arrived", status_code=303)

        @get(f"{HERE}/first/live", include_in_schema=False)
        async def live(request: AnyRequest) -> ServerSentEvent:
            place = await self._door.inside(request)
            brand_id = place.brand.id

            async def look() -> Arrived:
                return await self._arrived(brand_id)

            def draw(arrived: Arrived) -> Mapping[str, str]:
                return {"arrived": fragment("running/first_arrived.html", arrived=arrived, brand_id=brand_id)}

            return self._live.stream(request, place, ("first", brand_id), Fragments(look, draw))

        return [page, send, live]

    async def _arrived(self, brand_id: UUID) -> Arrived:
        return Arrived((await self._inbox.page(brand_id, limit=5)).entries)

    async def _page(self, request: AnyRequest, place: Place) -> Response[str]:
        return self._door.page(
            request,
            "running/first.html",
            place,
            tab="home",
            is_ready=await self._first.is_ready(place.brand.id),
            arrived=await self._arrived(place.brand.id),
            brand_id=place.brand.id,
            may_send=place.may("write"),
            may_make_tokens=place.who.may("tokens", place.brand.organisation_id),
            url=f"{self._base_url}/smart-campaigns/v1/event-generators/{GENERATOR}/run",
            topic=TOPIC,
            context=CONTEXT,
        )
