"""Pages that move by themselves: parts of them, drawn anew when what they tell of has changed, as server-sent events.

However many people watch the same thing, each process looks at it once and draws it once. A watcher is sent only what changed
since they were last told, whole, so that one who lost the connection has missed nothing when it is back. A stream ends with
the session of its reader, or with their role; `live.js` ends it while nobody sees the page.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from contextvars import Context
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
import structlog
from litestar.response import ServerSentEvent, ServerSentEventMessage

from stentor.accounts.roles import Permission
from stentor.console.brand import BrandDoor, Place
from stentor.console.visits import AnyRequest
from stentor.errors import Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

# What changed is sent at once, so this is the most that a page lags behind.
LOOK_EVERY_S = 0.5
# A reader that hears nothing for longer takes the figures for old.
STILL_EVERY_S = 10.0
# Somebody who is signed out, or whose role is taken away, is sent nothing any more after this long.
ASK_AGAIN_EVERY_S = 2.0
RETRY_MS = 3_000
LIVE_STREAMS_MAX = 500
"""Streams that a process keeps open."""
LIVE_STREAMS_OF_A_SESSION_MAX = 20

# Under this name the app finds what it has to close when a request is over.
_STREAM = "stream"


class Fragments(msgspec.Struct, Generic[T], frozen=True):
    """What moves on a page: `look` says how it stands, `draw` how that looks, as HTML by the id of the element.

    It is drawn when `mark` says something else than before, and for everybody who watches: nothing of the reader may be in
    it, above all no form. `is_over` says whether it changes no more.
    """

    look: Callable[[], Awaitable[T]]
    draw: Callable[[T], Mapping[str, str]]
    mark: Callable[[T], object] = lambda standing: standing
    is_over: Callable[[T], bool] = lambda _: False


class Live:
    """The streams of this process."""

    def __init__(self, door: BrandDoor) -> None:
        self._door = door
        self._things: dict[Hashable, _Thing] = {}
        self._of_session: Counter[UUID] = Counter()

    def stream(
        self,
        request: AnyRequest,
        place: Place,
        thing: Hashable,
        fragments: Fragments[Any],
        *,
        permission: Permission = "read",
    ) -> ServerSentEvent:
        """The stream of that thing for whoever is in that place. `thing` names it among all things of all pages and brands.

        Events: `fragments` with a JSON object of HTML by id, `still` where nothing changed, `over` when nothing will. Raises
        Unavailable.
        """
        session = place.who.session.id
        if self._of_session.total() >= LIVE_STREAMS_MAX:
            raise Unavailable("Too many pages are kept up to date already. Load this one anew to see how it stands.")
        if self._of_session[session] >= LIVE_STREAMS_OF_A_SESSION_MAX:
            raise Unavailable("You have too many pages open that keep themselves up to date. Close some of them.")

        async def may_stay() -> bool:
            return await self._door.is_still_inside(request, place, permission)

        stopping: asyncio.Event = request.app.state.stopping
        events = self._events(session, thing, fragments, may_stay, stopping)
        request.scope["state"][_STREAM] = events
        return ServerSentEvent(events)

    @property
    def watched(self) -> Mapping[Hashable, int]:
        """How many watch each thing."""
        return {name: thing.watchers for name, thing in self._things.items()}

    async def _events(
        self,
        session: UUID,
        name: Hashable,
        fragments: Fragments[Any],
        may_stay: Callable[[], Awaitable[bool]],
        stopping: asyncio.Event,
    ) -> AsyncGenerator[ServerSentEventMessage, None]:
        if (thing := self._things.get(name)) is None or thing.has_ended:
            thing = self._things[name] = _Thing(fragments, stopping)
        thing.watchers += 1
        self._of_session[session] += 1
        told: Mapping[str, str] = {}
        seen = 0
        asks_at = asyncio.get_running_loop().time() + ASK_AGAIN_EVERY_S
        still_at = 0.0
        try:
            while True:
                now = asyncio.get_running_loop().time()
                if now >= asks_at:
                    if not await may_stay():
                        return
                    asks_at = now + ASK_AGAIN_EVERY_S
                if thing.version != seen:
                    seen, drawn = thing.version, thing.drawn
                    changed = {part: html for part, html in drawn.items() if told.get(part) != html}
                    told = drawn
                    if changed:
                        yield _message("fragments", msgspec.json.encode(changed).decode())
                        still_at = now + STILL_EVERY_S
                if thing.has_ended:
                    if thing.is_over:
                        yield _message("over", "")
                    return
                if now >= still_at:
                    yield _message("still", "")
                    still_at = now + STILL_EVERY_S
                await thing.news(seen, min(asks_at, still_at) - now)
        finally:
            self._leave(session, name, thing)

    def _leave(self, session: UUID, name: Hashable, thing: "_Thing") -> None:
        self._of_session[session] -= 1
        if not self._of_session[session]:
            del self._of_session[session]
        thing.watchers -= 1
        if not thing.watchers:
            thing.end()
            if self._things.get(name) is thing:
                del self._things[name]


class _Thing:
    """What some people watch: one task looks at it for all of them."""

    def __init__(self, fragments: Fragments[Any], stopping: asyncio.Event) -> None:
        self._fragments = fragments
        self._stopping = stopping
        self._news = asyncio.Event()
        self.watchers = 0
        self.drawn: Mapping[str, str] = {}
        self.version = 0
        self.is_over = False
        self.has_ended = False
        # Not in the name of whoever came first.
        self._task = asyncio.get_running_loop().create_task(self._look(), context=Context())

    def end(self) -> None:
        self._task.cancel()

    async def news(self, seen: int, seconds: float) -> None:
        """Waits for something that was not seen yet, that long at most."""
        if self.version != seen or self.has_ended:
            return
        news = self._news
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await news.wait()
        except TimeoutError:
            return

    async def _look(self) -> None:
        marked: object = self
        try:
            while not self.is_over:
                standing = await self._fragments.look()
                if (mark := self._fragments.mark(standing)) != marked:
                    self.drawn, marked = self._fragments.draw(standing), mark
                    self._tell()
                self.is_over = self._fragments.is_over(standing)
                if self.is_over or await self._stops():
                    return
        except Exception:
            # Whoever watches is disconnected, sees that the figures grow old, and comes again.
            log.warning("live.failed", exc_info=True)
        finally:
            self.has_ended = True
            self._tell()

    async def _stops(self) -> bool:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    def _tell(self) -> None:
        self.version += 1
        self._news.set()
        self._news = asyncio.Event()


def _message(event: str, data: str) -> ServerSentEventMessage:
    return ServerSentEventMessage(data=data, event=event, retry=RETRY_MS)
