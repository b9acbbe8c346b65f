"""`/p/{token}`: where the preferences link of a message leads. Its reader chooses topics by channel, takes a break, or leaves."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.params import FromPath

from stentor.audience.choices import Choices, ChoiceService, Wanted
from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.topics import TOPICS_MAX
from stentor.clock import Clock
from stentor.domain.vocabulary import CHANNEL_LABELS, ChannelKind, channels_in
from stentor.errors import NotFound
from stentor.forms import posted
from stentor.pages.drawing import AnyRequest, Look, drawn, look_of
from stentor.pages.message_links import Message, MessageLinks
from stentor.pages.unsubscribe import Caller, unknown_link

FORM_BYTES_MAX = 256 * 1024
"""A thousand topics with all their channels have a third of it."""

BREAKS: Mapping[str, timedelta] = {
    "week": timedelta(days=7),
    "month": timedelta(days=30),
    "season": timedelta(days=91),
}
"""What a reader may choose, by the names of the texts."""

Throttled: TypeAlias = Callable[[AnyRequest], None]

_TEXTS_VERSION = "preference page 1"


class PreferencePages:
    """The pages behind preference links. They set no cookie, ask nobody to log in, and show no address but a hint of it.

    `throttled` raises RateLimited for a caller who comes too often.
    """

    def __init__(
        self,
        *,
        links: MessageLinks,
        choices: ChoiceService,
        subscriptions: SubscriptionService,
        clock: Clock,
        caller: Caller,
        throttled: Throttled,
    ) -> None:
        self._links = links
        self._choices = choices
        self._subscriptions = subscriptions
        self._clock = clock
        self._caller = caller
        self._throttled = throttled

    def routes(self) -> Router:
        """The handlers, to be mounted at the root beside those of unsubscribe links, whose errors and style they share."""

        @get("/p/{token:str}", include_in_schema=False)
        async def look(request: AnyRequest, token: FromPath[str]) -> Response[str]:
            self._throttled(request)
            message = await self._links.read(token)
            return unknown_link(request) if message is None else await self._shown(request, token, message)

        @post("/p/{token:str}", include_in_schema=False, status_code=200, request_max_body_size=FORM_BYTES_MAX)
        async def choose(request: AnyRequest, token: FromPath[str]) -> Response[str]:
            self._throttled(request)
            message = await self._links.read(token)
            if message is None:
                return unknown_link(request)
            if message.origin.is_test_send:
                return drawn("test_message.html", look_of(request, message.brand))
            form = await posted(request)
            if form.get("all") == "off":
                return await self._leave(request, token, message)
            await self._save(request, message, form)
            return await self._shown(request, token, message, is_saved=True)

        return Router("/", route_handlers=[look, choose])

    async def _shown(
        self, request: AnyRequest, token: str, message: Message, *, is_saved: bool = False
    ) -> Response[str]:
        choices = await self._choices.of(message.brand.id, message.link.customer_id)
        if choices is None:
            return unknown_link(request)
        look = look_of(request, message.brand, locale=choices.locale)
        return drawn(
            "preferences.html",
            look,
            token=token,
            topics=[(topic, _switches(look, topic.offered, topic.chosen)) for topic in choices.topics],
            # Addresses are read from the left, also among Arabic.
            whose=" · ".join(f"\u2066{hint}\u2069" for hint in (choices.email, choices.phone) if hint),
            break_until=_break(choices, self._clock.now()),
            breaks=tuple(BREAKS),
            is_saved=is_saved,
        )

    async def _leave(self, request: AnyRequest, token: str, message: Message) -> Response[str]:
        try:
            await self._subscriptions.withdraw_all(
                message.brand.id, message.link.customer_id, self._act(request), campaign=message.origin.campaign
            )
        except NotFound:
            return unknown_link(request)
        return drawn("unsubscribed.html", look_of(request, message.brand), token=token, topic="")

    async def _save(self, request: AnyRequest, message: Message, form: Mapping[str, Any]) -> None:
        brand_id, customer, act = message.brand.id, message.link.customer_id, self._act(request)
        try:
            await self._choices.save(brand_id, customer, _wanted(form), act)
            said = form.get("break")
            if said == "none" or said in BREAKS:
                until = self._clock.now() + BREAKS[said] if said in BREAKS else None
                await self._subscriptions.take_break(brand_id, customer, until, act)
        except NotFound:
            # Erased while the page was open: nobody is left to write to.
            return

    def _act(self, request: AnyRequest) -> Act:
        version = f"{_TEXTS_VERSION}, {look_of(request).say.code}"
        return Act(source=Source.PREFERENCE_PAGE, ip=self._caller(request), text_version=version)


def _switches(look: Look, offered: int, chosen: int) -> list[tuple[str, str, bool]]:
    """Each channel of a topic: its label, what it is called, and whether it is on."""
    return [
        (kind.label, look.say.channels.get(kind.label, kind.label), bool(chosen & kind.bit))
        for kind in channels_in(offered)
    ]


def _break(choices: Choices, now: datetime) -> str:
    """The day until which they are on a break; empty for none."""
    until = choices.break_until
    return "" if until is None or until <= now else f"{until:%Y-%m-%d}"


def _wanted(form: Mapping[str, Any]) -> dict[UUID, Wanted]:
    """What was shown (`shown.<topic>` with labels) and what of it is on (`on.<topic>.<channel>`); all else is nothing of ours."""
    wanted: dict[UUID, Wanted] = {}
    for name, value in form.items():
        kind, _, topic = name.partition(".")
        if kind != "shown" or not isinstance(value, str) or len(wanted) >= TOPICS_MAX:
            continue
        try:
            topic_id = UUID(topic)
        except ValueError:
            continue
        labels = [label for label in value.split() if label in CHANNEL_LABELS]
        shown = sum({ChannelKind.named(label).bit for label in labels})
        on = sum({ChannelKind.named(label).bit for label in labels if f"on.{topic}.{label}" in form})
        wanted[topic_id] = Wanted(shown, on)
    return wanted
