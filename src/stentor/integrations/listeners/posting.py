"""Requests to listeners over kept connections, one bounded set per listener, through the guard of addresses."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from uuid import UUID

from aiohttp.abc import AbstractResolver

from stentor.channels.outbound import Outbound
from stentor.channels.webhook.exchange import Exchange, NotWritten, ReplyLost, RequestBody
from stentor.channels.webhook.settings import WebhookSettings
from stentor.channels.webhook.verdicts import Reply

KEPT_MAX = 100
"""Listeners whose connections are kept; whoever was written to longest ago gives way."""


class Unanswered(Exception):
    """No answer: no connection, or none in time. The text says why."""


class Poster:
    """Posts bodies to URLs. Each connection is made to an address that was checked a moment before; redirects are not followed.

    `resolver` asks for addresses in place of the system's. To be used in one running loop, and closed there.
    """

    def __init__(self, outbound: Outbound, *, resolver: AbstractResolver | None = None) -> None:
        self._outbound = outbound
        self._resolver = resolver
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()

    async def post(
        self, listener_id: UUID, settings: WebhookSettings, body: bytes, headers: Mapping[str, str]
    ) -> Reply:
        """The answer, whatever it is. Raises Unanswered."""
        kept = await self._exchange(listener_id, settings)
        kept.users += 1
        try:
            return await kept.exchange.post(RequestBody(body, _may_leave), headers)
        except (NotWritten, ReplyLost) as trouble:
            raise Unanswered(str(trouble)) from trouble
        finally:
            kept.users -= 1
            if kept.is_over and not kept.users:
                await kept.exchange.close()

    async def aclose(self) -> None:
        """Closes all connections."""
        kept, self._kept = list(self._kept.values()), OrderedDict()
        await asyncio.gather(*(each.exchange.close() for each in kept))

    async def _exchange(self, listener_id: UUID, settings: WebhookSettings) -> "_Kept":
        held = self._kept.get(listener_id)
        if held is not None and held.url == settings.url:
            self._kept.move_to_end(listener_id)
            return held
        opened = _Kept(settings.url, await Exchange.opened(settings, self._outbound, self._resolver))
        # Several notices to a listener that nobody wrote to yet open one each; the last one is kept. In its place before the other
        # is closed, which takes its time: a third one would be forgotten meanwhile, and never closed.
        before = self._kept.pop(listener_id, None)
        self._kept[listener_id] = opened
        await self._put_away(before)
        if len(self._kept) > KEPT_MAX:
            await self._put_away(self._kept.popitem(last=False)[1])
        return opened

    async def _put_away(self, kept: "_Kept | None") -> None:
        if kept is None:
            return
        kept.is_over = True
        if not kept.users:
            await kept.exchange.close()


class _Kept:
    """Connections to one listener, and how many requests are on them."""

    __slots__ = ("exchange", "is_over", "url", "users")

    def __init__(self, url: str, exchange: Exchange) -> None:
        self.url = url
        self.exchange = exchange
        self.users = 0
        self.is_over = False


def _may_leave() -> bool:
    return True
