"""`/console/brands/…/topics`: the Preference Centre: what people can opt in to, on which channels they did, and how that grows."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.audience.model import Topic, TopicDraft, TopicGrowth, TopicPatch
from stentor.audience.topics import DESCRIPTION_CHARS_MAX, KEY_CHARS_MAX, NAME_CHARS_MAX, TopicService
from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, Place, id_in
from stentor.console.fields import errors_at
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.domain.vocabulary import ChannelKind, channel_mask, channels_in
from stentor.errors import Conflict, Invalid, Problem

SHOWN = 100

_AT_THE_FORM = (Conflict, Invalid)
_LIST = f"{HERE}/topics"
_ONE = f"{_LIST}/{{topic_id:str}}"
_TOLD = {
    "made": "The topic is made.",
    "saved": "Saved.",
    "archived": "Archived: nobody is written to for it. Who is subscribed stays.",
    "opened": "Opened again.",
    "deleted": "The topic is deleted.",
}


class TopicPages:
    """Topics. Whoever is in the brand sees them; who may write makes, changes and archives them."""

    def __init__(self, door: BrandDoor, topics: TopicService) -> None:
        self._door = door
        self._topics = topics

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._changing()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(_LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            after = id_in(request.query_params, "after")
            found = await self._topics.page(place.brand.id, after=after, limit=SHOWN + 1)
            topics = found[:SHOWN]
            matrix = await self._topics.by_channel(place.brand.id, topics)
            offered = {kind for topic in topics for kind in channels_in(topic.channels)}
            chosen = {kind for counts in matrix.values() for kind, count in counts.items() if count}
            return self._door.page(
                request,
                "consent/topics.html",
                place,
                tab="topics",
                topics=topics,
                matrix=matrix,
                channels=sorted(offered | chosen),
                more=topics[-1].id if len(found) > SHOWN else None,
                is_first=after is None,
                told=_TOLD.get(request.query_params.get("done", ""), ""),
            )

        @get(f"{_LIST}/new", include_in_schema=False)
        async def new(request: AnyRequest) -> Response[str]:
            return self._form(request, await self._door.inside(request, "write"), {"channel-email": "yes"})

        @get(_ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            told = _TOLD.get(request.query_params.get("done", ""), "")
            return await self._page(request, place, await self._topic(request, place), told=told)

        return [listed, new, one]

    def _changing(self) -> list[HTTPRouteHandler]:
        @post(_LIST, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def make(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            draft = TopicDraft(
                key=form.get("key", "").strip(),
                name=form.get("name", "").strip(),
                description=_description(form),
                channels=_channels(form),
            )
            try:
                made = await self._topics.create(place.brand.id, draft)
            except _AT_THE_FORM as problem:
                return self._form(request, place, form, problem=problem)
            return _back(place, made.id, "made")

        @post(_ONE, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            topic = await self._topic(request, place)
            patch = TopicPatch(
                name=form.get("name", "").strip(), description=_description(form), channels=_channels(form)
            )
            try:
                await self._topics.update(place.brand.id, str(topic.id), patch)
            except _AT_THE_FORM as problem:
                return await self._page(request, place, topic, problem=problem, typed=form)
            return _back(place, topic.id, "saved")

        @post(f"{_ONE}/archive", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def archive(request: AnyRequest) -> Redirect:
            place, form = await self._door.posted(request, "write")
            topic, opens = await self._topic(request, place), form.get("enabled") == "yes"
            await self._topics.update(place.brand.id, str(topic.id), TopicPatch(enabled=opens))
            return _back(place, topic.id, "opened" if opens else "archived")

        @post(f"{_ONE}/delete", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def delete(request: AnyRequest) -> Response[str] | Redirect:
            place, _ = await self._door.posted(request, "write")
            topic = await self._topic(request, place)
            try:
                await self._topics.delete(place.brand.id, str(topic.id))
            except Conflict as problem:
                return await self._page(request, place, topic, problem=problem)
            return Redirect(f"{place.root}/topics?done=deleted", status_code=303)

        return [make, change, archive, delete]

    async def _topic(self, request: AnyRequest, place: Place) -> Topic:
        """The topic of the path, by its id. Raises NotFound."""
        return await self._topics.get(place.brand.id, str(read_id(request.path_params["topic_id"])))

    def _form(
        self, request: AnyRequest, place: Place, typed: Mapping[str, str], *, problem: Problem | None = None
    ) -> Response[str]:
        """The form of a topic that is not there yet."""
        errors, others = errors_at(problem, _PLACES)
        return self._door.page(
            request,
            "consent/topic_new.html",
            place,
            tab="topics",
            problem=problem,
            others=others,
            errors=errors,
            typed=typed,
            kinds=list(ChannelKind),
            ticked=set(channels_in(_channels(typed))),
            sizes=_SIZES,
        )

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        topic: Topic,
        *,
        problem: Problem | None = None,
        typed: Mapping[str, str] | None = None,
        told: str = "",
    ) -> Response[str]:
        errors, others = errors_at(problem if typed is not None else None, _PLACES)
        growth, refusal = await self._growth(request, place, topic)
        texts = {"name": topic.name, "description": topic.description} if typed is None else typed
        return self._door.page(
            request,
            "consent/topic.html",
            place,
            tab="topics",
            problem=problem or refusal,
            is_typed=typed is not None,
            others=others,
            errors=errors,
            topic=topic,
            typed=texts,
            kinds=list(ChannelKind),
            ticked=set(channels_in(topic.channels if typed is None else _channels(typed))),
            offered={kind.label for kind in channels_in(topic.channels)},
            growth=growth,
            sizes=_SIZES,
            told=told,
        )

    async def _growth(self, request: AnyRequest, place: Place, topic: Topic) -> tuple[TopicGrowth, Problem | None]:
        """How the topic grew in the days that are asked for; where these cannot be, in the usual ones, and why."""
        try:
            days = _day(request, "first_day"), _day(request, "last_day")
            return await self._topics.growth(place.brand.id, str(topic.id), *days), None
        except Invalid as problem:
            return await self._topics.growth(place.brand.id, str(topic.id)), problem


_PLACES = {f"/{name}": name for name in ("key", "name", "description", "channels")}
_SIZES = {"key": KEY_CHARS_MAX, "name": NAME_CHARS_MAX, "description": DESCRIPTION_CHARS_MAX}


def _description(form: Mapping[str, str]) -> str:
    return form.get("description", "").replace("\r\n", "\n").strip()


def _channels(form: Mapping[str, str]) -> int:
    return channel_mask(kind for kind in ChannelKind if form.get(f"channel-{kind.label}") == "yes")


def _day(request: AnyRequest, name: str) -> date | None:
    text = request.query_params.get(name, "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Invalid.field(f"/{name}", "day", "Write a day as 2026-11-23.") from None


def _back(place: Place, topic_id: UUID, done: str) -> Redirect:
    return Redirect(f"{place.root}/topics/{topic_id}?done={done}", status_code=303)
