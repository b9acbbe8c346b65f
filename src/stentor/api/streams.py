"""Server-sent events of something that goes on, for as long as it does and the key is good."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

import msgspec
from litestar.response import ServerSentEvent, ServerSentEventMessage

from stentor.api.auth import group_access
from stentor.api.request import ApiRequest
from stentor.errors import Problem, Unavailable

T = TypeVar("T")

# How often a stream looks; what changed is sent at once, so this is the most that a page lags behind.
LOOK_EVERY_S = 0.5
KEEP_ALIVE_S = 15.0
STREAMS_MAX = 200


class Watch(msgspec.Struct, Generic[T], frozen=True):
    """What is watched: `look` says how it stands, `show` how that is told, `is_over` whether it changes no more.

    Told is what `mark` says something else of than before.
    """

    look: Callable[[], Awaitable[T]]
    show: Callable[[T], msgspec.Struct]
    is_over: Callable[[T], bool]
    mark: Callable[[T], object] = lambda standing: standing


async def watched(request: ApiRequest, watch: Watch[T]) -> ServerSentEvent:
    """The stream: an event `progress` at once and whenever something changed. Raises what the first look raises, and Unavailable."""
    first = await watch.look()
    if len(request.app.state.streams) >= STREAMS_MAX:
        raise Unavailable(f"{STREAMS_MAX} streams are open already. Ask for the thing itself instead.")
    return ServerSentEvent(_events(request, watch, first))


async def _events(request: ApiRequest, watch: Watch[T], standing: T) -> AsyncGenerator[ServerSentEventMessage, None]:
    streams: set[object] = request.app.state.streams
    own = object()
    streams.add(own)
    sent: object = None
    quiet_s = 0.0
    try:
        while True:
            if (mark := watch.mark(standing)) != sent:
                told = msgspec.json.encode(watch.show(standing)).decode()
                yield ServerSentEventMessage(data=told, event="progress")
                sent, quiet_s = mark, 0.0
            elif quiet_s >= KEEP_ALIVE_S:
                yield ServerSentEventMessage(comment="still here")
                quiet_s = 0.0
            if watch.is_over(standing) or await _stops_within(request, LOOK_EVERY_S):
                return
            quiet_s += LOOK_EVERY_S
            # A stream must not outlive its key.
            await group_access(request, "read")
            standing = await watch.look()
    except Problem as problem:
        yield ServerSentEventMessage(data=problem.detail, event="problem")
    finally:
        streams.discard(own)


async def _stops_within(request: ApiRequest, seconds: float) -> bool:
    """Waits that long, or until the server is told to stop; whether it was."""
    stopping: asyncio.Event = request.app.state.stopping
    try:
        async with asyncio.timeout(seconds):
            return await stopping.wait()
    except TimeoutError:
        return False
