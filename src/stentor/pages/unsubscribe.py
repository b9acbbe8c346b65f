"""`/u/{token}`: where the unsubscribe link of a message leads. Looking changes nothing; posting withdraws (RFC 8058)."""

from collections.abc import Callable, Mapping
from importlib import resources
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeAlias

import msgspec
import structlog
from litestar import Request, Response, Router, get, post
from litestar.params import FromPath

from stentor.accounts.directory import BrandDirectory
from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.topics import TopicService
from stentor.domain.links import LinkSigner, UnsubscribeLink
from stentor.errors import NotFound
from stentor.executions.model import Origin
from stentor.executions.service import ExecutionService
from stentor.forms import posted
from stentor.html import templates_of

log = structlog.get_logger()

# The form that mail programs post has 26 bytes; the page's own has less.
FORM_BYTES_MAX = 4096

# Statuses of a request that no link of ours makes; others come of our own troubles.
_WRONG_LINK = {400, 404, 405}

AnyRequest: TypeAlias = Request[Any, Any, Any]
Caller: TypeAlias = Callable[[AnyRequest], IPv4Address | IPv6Address | None]

_PAGES = templates_of("stentor.pages")


class Withdrawal(msgspec.Struct, frozen=True):
    """What a link would end: the messages of one topic, or (`topic` is empty) all of a brand's."""

    link: UnsubscribeLink
    origin: Origin
    brand: str
    topic: str


class UnsubscribePages:
    """The pages behind unsubscribe links. They set no cookie, redirect nowhere and ask nobody to log in."""

    def __init__(
        self,
        *,
        links: LinkSigner,
        executions: ExecutionService,
        subscriptions: SubscriptionService,
        brands: BrandDirectory,
        topics: TopicService,
        caller: Caller,
    ) -> None:
        self._links = links
        self._executions = executions
        self._subscriptions = subscriptions
        self._brands = brands
        self._topics = topics
        self._caller = caller

    def routes(self) -> Router:
        """The handlers, to be mounted at the root, errors under `/u/` being shown by `error_page`."""
        style = resources.files("stentor.pages").joinpath("pages.css").read_bytes()

        @get("/u/pages.css", include_in_schema=False)
        async def stylesheet() -> Response[bytes]:
            return Response(style, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

        @get("/u/{token:str}", include_in_schema=False)
        async def look(token: FromPath[str]) -> Response[str]:
            withdrawal = await self._withdrawal(token)
            return _unknown_link() if withdrawal is None else _page("unsubscribe.html", withdrawal=withdrawal)

        @post("/u/{token:str}", include_in_schema=False, status_code=200, request_max_body_size=FORM_BYTES_MAX)
        async def withdraw(request: AnyRequest, token: FromPath[str]) -> Response[str]:
            withdrawal = await self._withdrawal(token)
            if withdrawal is None:
                return _unknown_link()
            if withdrawal.origin.is_test_send:
                return _page("test_message.html", withdrawal=withdrawal)
            # The post itself is the wish and has to count, also when nothing in it can be read.
            form = await posted(request)
            is_from_everything = not withdrawal.topic or form.get("from") == "everything"
            await self._withdraw(
                withdrawal, self._act(request, is_one_click="List-Unsubscribe" in form), is_from_everything
            )
            return _page("unsubscribed.html", withdrawal=withdrawal, everything=is_from_everything)

        return Router("/", route_handlers=[stylesheet, look, withdraw])

    def error_page(self, status: int, headers: Mapping[str, str]) -> Response[str]:
        """An error as a page: who follows a link from a message reads no JSON."""
        name = "unknown_link.html" if status in _WRONG_LINK else "try_again.html"
        return _page(name, status=status, headers=headers)

    async def _withdrawal(self, token: str) -> Withdrawal | None:
        link = self._links.read_unsubscribe(token)
        if link is None:
            return None
        try:
            origin = await self._executions.origin(link.execution_id)
        except NotFound:
            return None
        brand = await self._brands.by_id(origin.brand_id)
        return Withdrawal(link, origin, "" if brand is None else brand.name, await self._topic_name(origin))

    async def _topic_name(self, origin: Origin) -> str:
        if origin.topic_id is None:
            return ""
        try:
            return (await self._topics.get(origin.brand_id, str(origin.topic_id))).name
        except NotFound:
            return "this topic"

    async def _withdraw(self, withdrawal: Withdrawal, act: Act, is_from_everything: bool) -> None:
        brand_id, customer_id, topic_id = (
            withdrawal.origin.brand_id,
            withdrawal.link.customer_id,
            withdrawal.origin.topic_id,
        )
        try:
            if is_from_everything or topic_id is None:
                campaign = withdrawal.origin.campaign
                await self._subscriptions.withdraw_all(brand_id, customer_id, act, campaign=campaign)
            else:
                await self._subscriptions.withdraw(brand_id, customer_id, topic_id, act)
        except NotFound:
            # Erased since: nobody is left to write to, which is what was asked for.
            log.info("unsubscribe.of_nobody", execution_id=str(withdrawal.link.execution_id))

    def _act(self, request: AnyRequest, *, is_one_click: bool) -> Act:
        source = Source.ONE_CLICK if is_one_click else Source.UNSUBSCRIBE_LINK
        return Act(source=source, ip=self._caller(request))


def _unknown_link() -> Response[str]:
    return _page("unknown_link.html", status=404)


def _page(name: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **facts: Any) -> Response[str]:
    return Response(
        _PAGES.get_template(name).render(facts), status_code=status, media_type="text/html", headers=dict(headers or {})
    )
