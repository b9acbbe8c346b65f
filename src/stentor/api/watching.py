"""Watching an execution: server-sent events, for as long as it runs and the key is good."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import msgspec
from litestar.response import ServerSentEvent, ServerSentEventMessage

from stentor.api.auth import group_access
from stentor.api.executions import executions, shown
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Problem, Unavailable
from stentor.executions.model import OVER
from stentor.executions.service import Progress

# How often a stream looks; what changed is sent at once, so this is the most that a page lags behind.
LOOK_EVERY_S = 0.5
KEEP_ALIVE_S = 15.0
STREAMS_MAX = 200


@executions.get("/executions/{execution_id:str}/events", scope="read", media="text/event-stream")
async def watch_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ServerSentEvent:
    """Watch an execution as server-sent events.

    An event `progress` with the execution as its data comes at once and, while something changes, at most half a second after
    it did. The stream ends with the execution.
    """
    first = await request.services.executions.progress(caller.brand_id, execution_id)
    if len(request.app.state.streams) >= STREAMS_MAX:
        raise Unavailable(f"{STREAMS_MAX} streams are open already. Ask for the execution itself instead.")
    return ServerSentEvent(_watched(request, caller, first))


async def _watched(
    request: ApiRequest, caller: Caller, progress: Progress
) -> AsyncGenerator[ServerSentEventMessage, None]:
    streams: set[object] = request.app.state.streams
    own = object()
    streams.add(own)
    sent, quiet_s = None, 0.0
    try:
        while True:
            if progress != sent:
                yield ServerSentEventMessage(data=msgspec.json.encode(shown(progress)).decode(), event="progress")
                sent, quiet_s = progress, 0.0
            elif quiet_s >= KEEP_ALIVE_S:
                yield ServerSentEventMessage(comment="still here")
                quiet_s = 0.0
            if progress.execution.state in OVER or await _stops_within(request, LOOK_EVERY_S):
                return
            quiet_s += LOOK_EVERY_S
            # A stream must not outlive its key.
            await group_access(request, "read")
            progress = await request.services.executions.progress(caller.brand_id, progress.execution.id)
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
