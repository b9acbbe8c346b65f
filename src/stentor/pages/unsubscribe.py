"""`/u/{token}`: where the unsubscribe link of a message leads. Looking changes nothing; posting withdraws (RFC 8058)."""

from collections.abc import Callable, Mapping
from importlib import resources
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

import structlog
from litestar import Response, Router, get, post
from litestar.params import FromPath

from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.errors import NotFound
from stentor.forms import posted
from stentor.pages.drawing import AnyRequest, color_sheet, drawn, look_of
from stentor.pages.message_links import Message, MessageLinks

log = structlog.get_logger()

# The form that mail programs post has 26 bytes; the page's own has less.
FORM_BYTES_MAX = 4096

# Statuses of a request that no link of ours makes; others come of our own troubles.
_WRONG_LINK = {400, 404, 405}

Caller: TypeAlias = Callable[[AnyRequest], IPv4Address | IPv6Address | None]


class UnsubscribePages:
    """The pages behind unsubscribe links. They set no cookie, redirect nowhere and ask nobody to log in."""

    def __init__(self, *, links: MessageLinks, subscriptions: SubscriptionService, caller: Caller) -> None:
        self._links = links
        self._subscriptions = subscriptions
        self._caller = caller

    def routes(self) -> Router:
        """The handlers, to be mounted at the root, errors under `/u/` being shown by `error_page`."""
        style = resources.files("stentor.pages").joinpath("pages.css").read_bytes()

        @get("/u/pages.css", include_in_schema=False)
        async def stylesheet() -> Response[bytes]:
            return Response(style, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

        @get("/u/colors/{color:str}", include_in_schema=False)
        async def colors(color: FromPath[str]) -> Response[str]:
            sheet = color_sheet(color.removesuffix(".css"))
            if sheet is None:
                raise NotFound("There is no such colour.")
            return Response(sheet, media_type="text/css", headers={"Cache-Control": "max-age=31536000, immutable"})

        @get("/u/{token:str}", include_in_schema=False)
        async def look(request: AnyRequest, token: FromPath[str]) -> Response[str]:
            message = await self._links.read(token)
            if message is None:
                return unknown_link(request)
            topic = await self._links.topic_name(message)
            return drawn("unsubscribe.html", look_of(request, message.brand), token=token, topic=topic)

        @post("/u/{token:str}", include_in_schema=False, status_code=200, request_max_body_size=FORM_BYTES_MAX)
        async def withdraw(request: AnyRequest, token: FromPath[str]) -> Response[str]:
            message = await self._links.read(token)
            if message is None:
                return unknown_link(request)
            seen = look_of(request, message.brand)
            if message.origin.is_test_send:
                return drawn("test_message.html", seen)
            # The post itself is the wish and has to count, also when nothing in it can be read.
            form = await posted(request)
            is_from_everything = message.origin.topic_id is None or form.get("from") == "everything"
            source = Source.ONE_CLICK if "List-Unsubscribe" in form else Source.UNSUBSCRIBE_LINK
            await self.withdraw(message, Act(source=source, ip=self._caller(request)), is_from_everything)
            topic = "" if is_from_everything else await self._links.topic_name(message)
            return drawn("unsubscribed.html", seen, token=token, topic=topic)

        return Router("/", route_handlers=[stylesheet, colors, look, withdraw])

    def error_page(self, request: AnyRequest, status: int, headers: Mapping[str, str]) -> Response[str]:
        """An error as a page: who follows a link from a message reads no JSON."""
        name = "unknown_link.html" if status in _WRONG_LINK else "try_again.html"
        return drawn(name, look_of(request), status=status, headers=headers)

    async def withdraw(self, message: Message, act: Act, is_from_everything: bool) -> None:
        """Ends what the message was about, or everything; nobody is written to after that. Whoever is erased is nobody already."""
        brand_id, customer_id, topic_id = message.brand.id, message.link.customer_id, message.origin.topic_id
        try:
            if is_from_everything or topic_id is None:
                await self._subscriptions.withdraw_all(brand_id, customer_id, act, campaign=message.origin.campaign)
            else:
                await self._subscriptions.withdraw(brand_id, customer_id, topic_id, act)
        except NotFound:
            # Erased since: nobody is left to write to, which is what was asked for.
            log.info("unsubscribe.of_nobody", execution_id=str(message.link.execution_id))


def unknown_link(request: AnyRequest) -> Response[str]:
    """What a link that means nothing leads to."""
    return drawn("unknown_link.html", look_of(request), status=404)
