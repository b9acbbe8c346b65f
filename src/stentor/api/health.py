"""Whether this process lives, whether it can work, and how it does: for orchestrators and Prometheus."""

from contextlib import suppress

from litestar import Response, Router, get
from prometheus_client import CONTENT_TYPE_LATEST

from stentor.api.request import ApiRequest
from stentor.db.migrate import MigrationRefused, status
from stentor.errors import Unavailable
from stentor.optouts.standing import standing

ALIVE = "/health"
PAUSED = "This copy was restored from a backup and is paused: it sends nothing. `stentor resume` lets it go."


@get(ALIVE, include_in_schema=False, sync_to_thread=False)
def health() -> dict[str, str]:
    """This process is alive; nothing else is asked."""
    return {"status": "alive"}


@get("/ready", include_in_schema=False)
async def ready(request: ApiRequest) -> dict[str, str]:
    """The database answers, its schema is the one of this code, and it is no restored copy that waits to be let go.

    Raises Unavailable when not. A disk that is nearly full is told of under `disk`: calls are still accepted.
    """
    try:
        state = await status(request.services.database)
    except MigrationRefused as refused:
        raise Unavailable(refused.detail, retry_after_s=5) from refused
    if state.pending:
        files = ", ".join(migration.file for migration in state.pending)
        raise Unavailable(f"The schema is behind: {files}. Run `stentor migrate`.", retry_after_s=5)
    installation = await request.services.accounts.installation()
    if installation.paused_at is not None:
        raise Unavailable(PAUSED, retry_after_s=5)
    shortage = request.services.reserve.shortage
    return {"status": "ready", **({"disk": shortage} if shortage else {})}


@get("/metrics", include_in_schema=False)
async def metrics(request: ApiRequest) -> Response[bytes]:
    """Series in Prometheus's text format; without the database, those of lists are as they were last."""
    with suppress(Unavailable):
        request.app.state.list_metrics.show(await standing(request.services.database))
    return Response(request.app.state.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


routes = Router(path="/", route_handlers=[health, ready, metrics])
