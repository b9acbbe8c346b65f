"""`/console/brands/…/executions`: how far each run is, how many got it, and why others did not."""

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, id_in
from stentor.console.visits import AnyRequest
from stentor.executions.audiences import OfSegment, OfTag, audience_of
from stentor.executions.service import ExecutionService
from stentor.integrations.metrics.reported import ReportedService

SHOWN = 50


class ExecutionPages:
    """Executions in the console, to look at."""

    def __init__(self, door: BrandDoor, executions: ExecutionService, reported: ReportedService) -> None:
        self._door = door
        self._executions = executions
        self._reported = reported

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(f"{HERE}/executions", include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            before = id_in(request.query_params, "before")
            found = await self._executions.page(place.brand.id, before=before, limit=SHOWN + 1)
            return self._door.page(
                request,
                "executions.html",
                place,
                tab="executions",
                executions=found[:SHOWN],
                more=found[SHOWN - 1].execution.id if len(found) > SHOWN else None,
                is_first=before is None,
            )

        @get(f"{HERE}/executions/{{execution_id:str}}", include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            found = await self._executions.overview(place.brand.id, read_id(request.path_params["execution_id"]))
            audience = audience_of(found.execution.audience)
            return self._door.page(
                request,
                "execution.html",
                place,
                tab="executions",
                overview=found,
                execution=found.execution,
                segment_id=audience.segment_id if isinstance(audience, OfSegment) else None,
                tag_id=audience.tag_id if isinstance(audience, OfTag) else None,
                states=_STATES,
                reported=await self._reported.of_execution(place.brand.id, found.execution.id),
            )

        return [listed, one]


_STATES = {
    "handed_over": "handed over",
    "pending": "pending",
    "held": "held",
    "skipped": "skipped",
    "failed": "failed",
    "unknown": "unknown",
}
