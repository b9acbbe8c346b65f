"""`/console/brands/…/partners`: the channels that outside services execute, and what these said that they can send."""

from collections.abc import Mapping

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.channels.partners.channels import PartnerChannelService
from stentor.channels.partners.clients import HubClientService
from stentor.channels.partners.content import PartnerContentService
from stentor.channels.partners.model import CHANNELS_MAX, CLIENTS_MAX, NUMBER_MAX
from stentor.channels.service import SenderService
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.domain.vocabulary import CHANNEL_LABELS, ChannelKind
from stentor.errors import Conflict, Invalid, NotFound, Problem

SHOWN = 100

_AT_THE_FORM = (Conflict, Invalid)
_LIST = f"{HERE}/partners"
_ONE = f"{_LIST}/channels/{{channel_number:str}}"
_NUMBER_DIGITS = 10


class PartnerPages:
    """Partner channels in the console. Whoever is in the brand reads them; its admins make and change them."""

    def __init__(
        self,
        door: BrandDoor,
        *,
        channels: PartnerChannelService,
        content: PartnerContentService,
        clients: HubClientService,
        senders: SenderService,
    ) -> None:
        self._door = door
        self._channels = channels
        self._content = content
        self._clients = clients
        self._senders = senders

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._changing()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(_LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            told = "The partner channel is deleted." if "deleted" in request.query_params else ""
            return await self._list(request, place, told=told)

        @get(_ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            told = "The partner channel is saved." if "saved" in request.query_params else ""
            return await self._channel(request, place, _number(request), told=told)

        return [listed, one]

    def _changing(self) -> list[HTTPRouteHandler]:
        @post(f"{_LIST}/channels", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def make(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "admin")
            try:
                made = await self._channels.create(
                    place.brand.id, form.get("name", ""), _channel_in(form), number=_number_in(form)
                )
            except _AT_THE_FORM as problem:
                return await self._list(request, place, problem=problem, typed=form)
            return Redirect(f"{place.root}/partners/channels/{made.number}?saved=yes", status_code=303)

        @post(_ONE, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def rename(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "admin")
            number = _number(request)
            try:
                await self._channels.rename(place.brand.id, number, form.get("name", ""))
            except _AT_THE_FORM as problem:
                return await self._channel(request, place, number, problem=problem)
            return Redirect(f"{place.root}/partners/channels/{number}?saved=yes", status_code=303)

        @post(f"{_ONE}/delete", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def delete(request: AnyRequest) -> Redirect:
            place, _ = await self._door.posted(request, "admin")
            await self._channels.delete(place.brand.id, _number(request))
            return Redirect(f"{place.root}/partners?deleted=yes", status_code=303)

        return [make, rename, delete]

    async def _list(
        self,
        request: AnyRequest,
        place: Place,
        *,
        problem: Problem | None = None,
        typed: Mapping[str, str] | None = None,
        told: str = "",
    ) -> Response[str]:
        return self._door.page(
            request,
            "partners.html",
            place,
            tab="partners",
            problem=problem,
            channels=await self._channels.page(place.brand.id, limit=CHANNELS_MAX),
            clients=await self._clients.page(place.brand.id, limit=CLIENTS_MAX),
            labels=CHANNEL_LABELS,
            typed=typed or {},
            may_admin=place.may("admin"),
            told=told,
        )

    async def _channel(
        self, request: AnyRequest, place: Place, number: int, *, problem: Problem | None = None, told: str = ""
    ) -> Response[str]:
        brand_id = place.brand.id
        channel = await self._channels.get(brand_id, number)
        after = _after(request)
        templates = await self._content.templates(brand_id, number, after=after, limit=SHOWN + 1)
        sender = await self._senders.get(brand_id, channel.sender_id)
        clients = [one for one in await self._clients.page(brand_id, limit=CLIENTS_MAX) if number in one.channels]
        return self._door.page(
            request,
            "partner_channel.html",
            place,
            tab="partners",
            problem=problem,
            channel=channel,
            is_paused=sender.paused_at is not None,
            templates=templates[:SHOWN],
            more=templates[SHOWN - 1].number if len(templates) > SHOWN else None,
            is_first=after < 0,
            apps=await self._content.apps(brand_id, number),
            clients=clients,
            may_admin=place.may("admin"),
            told=told,
        )


def _number(request: AnyRequest) -> int:
    return _read(request.path_params["channel_number"])


def _read(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _NUMBER_DIGITS or int(text) > NUMBER_MAX:
        raise NotFound("There is no such partner channel.")
    return int(text)


def _after(request: AnyRequest) -> int:
    """Where the templates of a page begin; a place that is none is the beginning."""
    try:
        return _read(request.query_params.get("after", ""))
    except NotFound:
        return -1


def _number_in(form: Mapping[str, str]) -> int | None:
    text = form.get("number", "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _NUMBER_DIGITS:
        raise Invalid.field("/number", "range", "A channel's number is a whole number from 1 on; or leave it out.")
    return int(text)


def _channel_in(form: Mapping[str, str]) -> ChannelKind:
    label = form.get("channel", "")
    if label not in CHANNEL_LABELS:
        raise Invalid.field("/channel", "channel", "Choose the channel that the service executes.")
    return ChannelKind.named(label)
