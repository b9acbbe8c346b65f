"""`/console/brands/…/partners/pulls`: who fetched which list of people when, who has said no since, and what was reported of it."""

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, id_in
from stentor.console.visits import AnyRequest
from stentor.executions.service import ExecutionService
from stentor.integrations.metrics.reported import ReportedService
from stentor.integrations.pulls.service import PullService

SHOWN = 50
REVOCATIONS_SHOWN = 50

_PATH = f"{HERE}/partners/pulls"


class PullPages:
    """Pulls, to look at."""

    def __init__(
        self, door: BrandDoor, *, pulls: PullService, reported: ReportedService, executions: ExecutionService
    ) -> None:
        self._door = door
        self._pulls = pulls
        self._reported = reported
        self._executions = executions

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(_PATH, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            before = id_in(request.query_params, "before")
            found = await self._pulls.pulls(place.brand.id, execution_id=None, before=before, limit=SHOWN + 1)
            return self._door.page(
                request,
                "integrations/pulls.html",
                place,
                tab="partners",
                pulls=found[:SHOWN],
                more=found[SHOWN - 1].id if len(found) > SHOWN else None,
                is_first=before is None,
            )

        @get(f"{_PATH}/{{pull_id:str}}", include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            brand_id, pull_id = place.brand.id, read_id(request.path_params["pull_id"])
            pull = await self._pulls.pull(brand_id, pull_id)
            before = id_in(request.query_params, "before")
            pages = await self._pulls.pages(brand_id, pull_id, before=before, limit=SHOWN + 1)
            reported = await self._reported.of_execution(brand_id, pull.execution_id)
            overview = await self._executions.overview(brand_id, pull.execution_id)
            return self._door.page(
                request,
                "integrations/pull.html",
                place,
                tab="partners",
                pull=pull,
                pages=pages[:SHOWN],
                more=pages[SHOWN - 1].id if len(pages) > SHOWN else None,
                is_first=before is None,
                revocations=await self._pulls.revocations(brand_id, pull_id, after=0, limit=REVOCATIONS_SHOWN),
                reported=[each for each in reported if each.channel == pull.channel_number],
                ledger=overview.channels,
            )

        return [listed, one]
