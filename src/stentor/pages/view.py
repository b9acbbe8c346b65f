"""`/v/{token}`: a message in a browser, as the person got it, for whom its mail program shows it badly."""

from litestar import Response, Router, get
from litestar.params import FromPath

from stentor.channels.sandbox.content import content_of
from stentor.domain.vocabulary import SendState
from stentor.executions.showing import MessageViews, ShownMessage
from stentor.pages.drawing import AnyRequest, drawn, look_of
from stentor.pages.message_links import Message, MessageLinks
from stentor.pages.preferences import Throttled
from stentor.pages.unsubscribe import unknown_link

# A brand's own HTML: it belongs to no origin and runs no script, and what it says of itself does not make it ours.
_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src https: http: data:; "
    "style-src 'unsafe-inline'; font-src https: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_WAS_SENT = frozenset({SendState.HANDED_OVER, SendState.UNKNOWN})


class ViewPages:
    """The pages behind "view in browser" links. `throttled` raises RateLimited for a caller who comes too often."""

    def __init__(self, *, links: MessageLinks, messages: MessageViews, throttled: Throttled) -> None:
        self._links = links
        self._messages = messages
        self._throttled = throttled

    def routes(self) -> Router:
        """The handlers, to be mounted at the root beside those of unsubscribe links, whose errors and style they share."""

        @get("/v/{token:str}", include_in_schema=False)
        async def view(request: AnyRequest, token: FromPath[str]) -> Response[str]:
            self._throttled(request)
            message = await self._links.read(token)
            return unknown_link(request) if message is None else await self._shown(request, message)

        return Router("/", route_handlers=[view])

    async def _shown(self, request: AnyRequest, message: Message) -> Response[str]:
        look = look_of(request, message.brand)
        shown = await self._sent(message)
        if shown is None or shown.raw is None:
            return drawn("message_gone.html", look, status=404)
        content = content_of(shown.channel, shown.raw)
        if content.html is None:
            return drawn("message.html", look, text=content.text)
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return Response(content.html, media_type="text/html", headers=headers)

    async def _sent(self, message: Message) -> ShownMessage | None:
        link = message.link
        shown = await self._messages.to(message.brand.id, link.execution_id, link.customer_id)
        return next((one for one in shown if one.channel is link.channel and one.state in _WAS_SENT), None)
