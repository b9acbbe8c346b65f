"""Whether this process lives, whether it can work, and how it does: for orchestrators and Prometheus."""

from litestar import Response, Router, get
from prometheus_client import CONTENT_TYPE_LATEST

from stentor.api.request import ApiRequest
from stentor.db.migrate import MigrationRefused, status
from stentor.errors import Unavailable

ALIVE = "/health"


@get(ALIVE, include_in_schema=False, sync_to_thread=False)
def health() -> dict[str, str]:
    """This process is alive; nothing else is asked."""
    return {"status": "alive"}


@get("/ready", include_in_schema=False)
async def ready(request: ApiRequest) -> dict[str, str]:
    """The database answers and its schema is the one of this code. Raises Unavailable when not."""
    try:
        state = await status(request.services.database)
    except MigrationRefused as refused:
        raise Unavailable(refused.detail, retry_after_s=5) from refused
    if state.pending:
        files = ", ".join(migration.file for migration in state.pending)
        raise Unavailable(f"The schema is behind: {files}. Run `stentor migrate`.", retry_after_s=5)
    return {"status": "ready"}


@get("/metrics", include_in_schema=False)
async def metrics(request: ApiRequest) -> Response[bytes]:
    """Series in Prometheus's text format."""
    return Response(request.app.state.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


routes = Router(path="/", route_handlers=[health, ready, metrics])
