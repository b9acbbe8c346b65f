"""`/inbox/…`: the sandbox inbox as pages, each message as the person who gets it would see it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import urlencode

from litestar import Response, Router, get, post
from litestar.response import Redirect

from stentor.accounts.service import AccountService
from stentor.channels.sandbox.content import Content, content_of
from stentor.channels.sandbox.inbox import SEARCH_CHARS_MAX, InboxService
from stentor.channels.sandbox.model import InboxEntry, InboxPosition
from stentor.clock import Clock
from stentor.console.access import COOKIE, InboxAccess, Visitor
from stentor.console.framed import framed
from stentor.console.links import links_in
from stentor.console.pages import channel_name
from stentor.console.visits import AnyRequest, Visits
from stentor.domain.vocabulary import CHANNEL_LABELS, ChannelKind
from stentor.errors import Forbidden, NotFound

PAGE = 50
# A form of ours holds a key at most.
FORM_BYTES_MAX = 4096

_VIEWS = {"seen": "As seen", "text": "Text", "headers": "Headers", "source": "Source"}
_MAIL_VIEWS = ("seen", "text", "headers", "source")
_OTHER_VIEWS = ("seen", "source")
_WITH_SUBJECT = {ChannelKind.EMAIL, ChannelKind.PUSH, ChannelKind.WEB_PUSH, ChannelKind.IN_APP}

_POSITION = re.compile(r"([0-9]{1,17})-([a-z2-7]{60})\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Failure(Protocol):
    """An error on its way to a page."""

    @property
    def status(self) -> int: ...
    @property
    def code(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def detail(self) -> str: ...


class InboxPages:
    """The pages of the sandbox inbox. They change nothing but by a form of their own, and need no script."""

    def __init__(
        self, inbox: InboxService, accounts: AccountService, access: InboxAccess, visits: Visits, clock: Clock
    ) -> None:
        self._visits = visits
        self._inbox = inbox
        self._accounts = accounts
        self._access = access
        self._clock = clock

    def routes(self) -> Router:
        """The handlers, to be mounted at the root, with `error_page` as the envelope of `/inbox`."""

        @get("/", include_in_schema=False)
        async def brands(request: AnyRequest) -> Response[str]:
            if not self._access.is_at_this_machine(request):
                raise NotFound("The list of brands is shown on the machine of a fresh installation alone.")
            who = await self._visits.signed_in(request)
            return self._visits.page(request, "inbox_brands.html", who=who, brands=await self._accounts.brands())

        @get("/{brand_id:str}", include_in_schema=False)
        async def messages(request: AnyRequest) -> Response[str]:
            return await self._messages(request, await self._access.visitor(request))

        @get("/{brand_id:str}/{message_id:str}", include_in_schema=False)
        async def message(request: AnyRequest) -> Response[str]:
            visitor = await self._access.visitor(request)
            return await self._message(request, visitor)

        @get("/{brand_id:str}/{message_id:str}/html", include_in_schema=False)
        async def preview(request: AnyRequest) -> Response[str]:
            visitor = await self._access.visitor(request)
            return await self._preview(visitor, request.path_params["message_id"], request.query_params)

        @get("/{brand_id:str}/{message_id:str}/raw", include_in_schema=False)
        async def raw(request: AnyRequest) -> Response[bytes]:
            visitor = await self._access.visitor(request)
            return await self._raw(visitor, request.path_params["message_id"])

        @post("/{brand_id:str}/key", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def key(request: AnyRequest) -> Redirect:
            form = await self._visits.form(request)
            cookie = await self._access.admitted(request, form.get("key", "").strip())
            return Redirect(f"/inbox/{request.path_params['brand_id']}", status_code=303, cookies=[cookie])

        @post("/{brand_id:str}/delete", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def empty(request: AnyRequest) -> Redirect:
            visitor = await self._deleting(request)
            await self._inbox.empty(visitor.brand.id)
            return Redirect(f"/inbox/{visitor.brand.id}", status_code=303)

        @post("/{brand_id:str}/{message_id:str}/delete", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def delete(request: AnyRequest) -> Redirect:
            visitor = await self._deleting(request)
            await self._inbox.delete(visitor.brand.id, request.path_params["message_id"])
            return Redirect(f"/inbox/{visitor.brand.id}", status_code=303)

        return Router("/inbox", route_handlers=[brands, messages, message, preview, raw, key, empty, delete])

    def error_page(self, request: AnyRequest, failure: Failure) -> Response[str]:
        """An error as a page: where a key is missing, with the form that takes one."""
        # What the edge refuses has met no router, and so has no parameters yet.
        place = request.scope.get("path_params", {})
        brand_id = place.get("brand_id", "")
        if failure.code == "unauthenticated" and brand_id:
            was_tried = request.method == "POST" or COOKIE in request.cookies
            return self._visits.page(
                request,
                "inbox_key.html",
                who=None,
                status=failure.status,
                brand_id=brand_id,
                failure=failure,
                tried=was_tried,
            )
        is_message = "message_id" in place
        return self._visits.page(
            request,
            "inbox_error.html",
            who=None,
            status=failure.status,
            failure=failure,
            brand_id=brand_id,
            is_message=is_message,
        )

    async def _deleting(self, request: AnyRequest) -> Visitor:
        await self._visits.form(request)
        visitor = await self._access.visitor(request)
        if not visitor.may_delete:
            raise Forbidden("You may read this inbox; deleting needs a role, or a key, that may write.")
        return visitor

    async def _messages(self, request: AnyRequest, visitor: Visitor) -> Response[str]:
        query = request.query_params
        search = query.get("search", "")[:SEARCH_CHARS_MAX]
        channel = query.get("channel", "")
        before = _position(query.get("before", ""))
        found = await self._inbox.page(
            visitor.brand.id,
            channel=ChannelKind.named(channel) if channel in CHANNEL_LABELS else None,
            search=search,
            before=before,
            limit=PAGE,
        )
        asked = {name: value for name, value in (("search", search), ("channel", channel)) if value}
        older = found.next and urlencode({**asked, "before": _written(found.next)})
        return self._visits.page(
            request,
            "inbox_messages.html",
            who=visitor.who,
            visitor=visitor,
            nav=visitor.nav,
            entries=found.entries,
            search=search,
            channel=channel,
            channels=CHANNEL_LABELS,
            is_narrowed=bool(asked),
            is_first_page=before is None,
            newest=urlencode(asked),
            today=self._clock.now().date(),
            older=older,
        )

    async def _message(self, request: AnyRequest, visitor: Visitor) -> Response[str]:
        query = request.query_params
        stored = await self._inbox.get(visitor.brand.id, request.path_params["message_id"])
        content = content_of(stored.entry.channel, stored.raw)
        is_mail = stored.entry.channel is ChannelKind.EMAIL
        views = _MAIL_VIEWS if is_mail else _OTHER_VIEWS
        view = query.get("view", "seen")
        return self._visits.page(
            request,
            "inbox_message.html",
            who=visitor.who,
            visitor=visitor,
            nav=visitor.nav,
            entry=stored.entry,
            content=content,
            title=_title(stored.entry),
            sender=_sender(content),
            source=stored.raw.decode("utf-8", "replace"),
            size=len(stored.raw),
            links=links_in(content.html) if content.html else [],
            views={name: _VIEWS[name] for name in views},
            view=view if view in views else "seen",
            remote="remote" in query,
        )

    async def _preview(self, visitor: Visitor, message_id: str, query: Mapping[str, str]) -> Response[str]:
        stored = await self._inbox.get(visitor.brand.id, message_id)
        html = content_of(stored.entry.channel, stored.raw).html
        return framed(html, with_remote="remote" in query)

    async def _raw(self, visitor: Visitor, message_id: str) -> Response[bytes]:
        stored = await self._inbox.get(visitor.brand.id, message_id)
        name = f"{stored.entry.id}.{'eml' if stored.entry.channel is ChannelKind.EMAIL else 'txt'}"
        saved = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(stored.raw, media_type="application/octet-stream", headers=saved)


def _title(entry: InboxEntry) -> str:
    """The subject where a channel has one; elsewhere it is the beginning of the text, which stands below anyway."""
    if entry.channel in _WITH_SUBJECT:
        return entry.subject or "Without subject"
    return f"{channel_name(entry.channel.label)} message"


def _sender(content: Content) -> str:
    return next((header.value for header in content.headers if header.name.lower() == "from"), "")


def _written(position: InboxPosition) -> str:
    return f"{(position.at - _EPOCH) // timedelta(microseconds=1)}-{position.id}"


def _position(text: str) -> InboxPosition | None:
    """Where a page begins; a text that is no position begins at the first page."""
    match = _POSITION.match(text)
    if match is None:
        return None
    try:
        return InboxPosition(_EPOCH + timedelta(microseconds=int(match[1])), match[2])
    except OverflowError:
        return None
