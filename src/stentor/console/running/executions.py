"""`/console/brands/…/executions`: every run of a brand, how far it is, and the ones that somebody looks for."""

from collections.abc import Mapping
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import ServerSentEvent

from stentor.campaigns.service import CampaignService
from stentor.console.brand import HERE, BrandDoor, Place, id_in
from stentor.console.live import Fragments, Live
from stentor.console.pages import fragment
from stentor.console.running.view import Ledger
from stentor.console.visits import AnyRequest
from stentor.errors import Unavailable
from stentor.executions.model import TRIGGER_CHARS_MAX, Execution, ExecutionFilter, ExecutionState
from stentor.executions.service import ExecutionService, Progress

SHOWN = 50

CHOICES_MAX = 200
"""Campaigns to choose from; a list narrowed to another one is led to from its own page."""

STATES: dict[str, tuple[str, tuple[ExecutionState, ...]]] = {
    "running": ("Running", ("queued", "planning", "sending")),
    "scheduled": ("Scheduled", ("scheduled",)),
    "ended": ("Ended", ("ended",)),
    "cancelled": ("Cancelled", ("cancelled",)),
    "failed": ("Failed", ("failed",)),
}
"""What the list can be narrowed to: what a reader calls it, and which states that is."""


class Row(msgspec.Struct, frozen=True):
    """One execution of the list: what ran, and where its people are."""

    execution: Execution
    name: str
    ledger: Ledger


class ExecutionPages:
    """The list of a brand's executions."""

    def __init__(self, door: BrandDoor, executions: ExecutionService, campaigns: CampaignService, live: Live) -> None:
        self._door = door
        self._executions = executions
        self._campaigns = campaigns
        self._live = live

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(f"{HERE}/executions", include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            return await self._list(request)

        @get(f"{HERE}/executions/live", include_in_schema=False)
        async def live(request: AnyRequest) -> ServerSentEvent:
            place = await self._door.inside(request)
            return self._live.stream(request, place, ("executions", place.brand.id), self._moving(place))

        return [listed, live]

    def _moving(self, place: Place) -> Fragments[list[Row]]:
        """The newest rows; a page that shows others leaves these alone."""

        async def look() -> list[Row]:
            found = await self._executions.page(place.brand.id, before=None, limit=SHOWN)
            return [await self._row(place.brand.id, one) for one in found]

        def draw(rows: list[Row]) -> dict[str, str]:
            return {f"row-{row.execution.id}": fragment("running/row.html", row=row, root=place.root) for row in rows}

        return Fragments(look, draw)

    async def _list(self, request: AnyRequest) -> Response[str]:
        place = await self._door.inside(request)
        query = request.query_params
        before, campaign = id_in(query, "before"), id_in(query, "campaign")
        state = query.get("state", "") if query.get("state") in STATES else ""
        trigger = query.get("trigger", "").replace("\x00", "").strip()[:TRIGGER_CHARS_MAX]
        narrowed = ExecutionFilter(STATES[state][1] if state else None, campaign, trigger or None)
        problem: Unavailable | None = None
        found: list[Progress] = []
        try:
            found = await self._executions.page(place.brand.id, before=before, limit=SHOWN + 1, narrowed=narrowed)
        except Unavailable as unavailable:
            problem = unavailable
        rows = [await self._row(place.brand.id, one) for one in found[:SHOWN]]
        asked = {"state": state, "campaign": str(campaign or ""), "trigger": trigger}
        campaigns = await self._campaigns.page(place.brand.id, limit=CHOICES_MAX)
        return self._door.page(
            request,
            "running/executions.html",
            place,
            tab="executions",
            problem=problem,
            rows=rows,
            root=place.root,
            states={name: label for name, (label, _) in STATES.items()},
            campaigns=campaigns,
            asked=asked,
            is_narrowed=any(asked.values()),
            is_first=before is None,
            first=_query(asked),
            more=_query({**asked, "before": str(rows[-1].execution.id)}) if len(found) > SHOWN else None,
        )

    async def _row(self, brand_id: UUID, progress: Progress) -> Row:
        content = await self._executions.content(brand_id, progress.execution)
        return Row(progress.execution, content.campaign_name, Ledger.of(progress.channels))


def _query(asked: Mapping[str, str]) -> str:
    return urlencode({name: value for name, value in asked.items() if value})
