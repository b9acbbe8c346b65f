"""Whether this process lives, whether it can work, and how it does: for orchestrators and Prometheus."""

from litestar import Response, Router, get

from stentor.api.metrics import RequestMetrics
from stentor.api.services import Services
from stentor.errors import Unavailable


@get("/health", include_in_schema=False, sync_to_thread=False)
def health() -> dict[str, str]:
    """This process is alive; nothing else is asked."""
    return {"status": "alive"}


@get("/ready", include_in_schema=False)
async def ready(services: Services) -> dict[str, str]:
    """The database answers. Raises Unavailable when not."""
    async with services.database.read() as conn:
        if conn.closed:
            raise Unavailable("The database does not answer.")
    return {"status": "ready"}


@get("/metrics", include_in_schema=False, sync_to_thread=False)
def metrics(request_metrics: RequestMetrics) -> Response[bytes]:
    """Series in Prometheus's text format."""
    return Response(request_metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


routes = Router(path="/", route_handlers=[health, ready, metrics])
