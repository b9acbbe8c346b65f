"""Watching an execution."""

from uuid import UUID

from litestar.response import ServerSentEvent

from stentor.api.executions import executions, shown
from stentor.api.request import ApiRequest, Caller
from stentor.api.streams import Watch, watched
from stentor.executions.model import OVER


@executions.get("/executions/{execution_id:str}/events", scope="read", media="text/event-stream")
async def watch_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ServerSentEvent:
    """Watch an execution as server-sent events.

    An event `progress` with the execution as its data comes at once and, while something changes, at most half a second after
    it did. The stream ends with the execution.
    """
    service = request.services.executions
    return await watched(
        request,
        Watch(
            lambda: service.progress(caller.brand_id, execution_id), shown, lambda seen: seen.execution.state in OVER
        ),
    )
