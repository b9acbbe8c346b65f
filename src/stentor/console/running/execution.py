"""`/console/brands/…/executions/…`: one execution, with everybody of it accounted for, and what can be done about it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import ServerSentEvent

from stentor.accounts.service import AccountService
from stentor.clock import Clock
from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.live import Fragments, Live
from stentor.console.pages import fragment
from stentor.console.running.repeating import curl_of, trigger_of
from stentor.console.running.view import COLOURS, OUTCOMES, Shown, mark_of, retryable, unknown, waiting
from stentor.console.visits import AnyRequest
from stentor.errors import Problem
from stentor.executions.audiences import OfRest, OfSegment, OfStep, OfTag, meant_by
from stentor.executions.experiments import ExperimentService
from stentor.executions.figures import FigureService
from stentor.executions.model import OVER
from stentor.executions.service import ExecutionService, Overview
from stentor.integrations.metrics.reported import ReportedService

ONE = f"{HERE}/executions/{{execution_id:str}}"
"""Where an execution's pages begin."""

TYPED_ABOVE = 10_000
"""Whatever concerns more people than that is only done once their number was typed."""


STILL_AFTER = timedelta(hours=1)
"""How long after its end a page goes on moving, for what providers tell late."""

_MOVING = {
    "state": "state",
    "orders": "orders",
    "ledger": "ledger",
    "funnel": "funnel",
    "pace-figure": "pace",
    "reasons": "reasons",
    "limits": "limits",
    "channels": "channels",
    "books": "books",
}
"""The elements that move, by their ids, and the templates that draw them."""


class ExecutionPage:
    """The page of an execution; `parts` of it are drawn alone, for a page that is there already."""

    def __init__(
        self,
        door: BrandDoor,
        *,
        executions: ExecutionService,
        figures: FigureService,
        experiments: ExperimentService,
        reported: ReportedService,
        accounts: AccountService,
        live: Live,
        clock: Clock,
        base_url: str,
    ) -> None:
        self._door = door
        self._executions = executions
        self._figures = figures
        self._experiments = experiments
        self._reported = reported
        self._accounts = accounts
        self._live = live
        self._clock = clock
        self._base_url = base_url

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return await self.shown(request, place, read_id(request.path_params["execution_id"]))

        @get(f"{ONE}/variants", include_in_schema=False)
        async def variants(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            execution_id = read_id(request.path_params["execution_id"])
            counted = await self._figures.variants(place.brand.id, execution_id)
            return self._part(request, place, "running/variants.html", execution_id, counted=counted, outcomes=OUTCOMES)

        @get(f"{ONE}/arms", include_in_schema=False)
        async def arms(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            execution_id = read_id(request.path_params["execution_id"])
            report = await self._experiments.report(place.brand.id, execution_id)
            return self._part(request, place, "running/arms.html", execution_id, report=report)

        @get(f"{ONE}/live", include_in_schema=False)
        async def live(request: AnyRequest) -> ServerSentEvent:
            place = await self._door.inside(request)
            return await self._streamed(request, place, read_id(request.path_params["execution_id"]))

        return [one, variants, arms, live]

    async def _streamed(self, request: AnyRequest, place: Place, execution_id: UUID) -> ServerSentEvent:
        await self._executions.find(place.brand.id, execution_id)
        may = place.may("write"), place.may("run")

        async def look() -> dict[str, Any]:
            overview = await self._executions.overview(place.brand.id, execution_id)
            return await self.figures(place, overview)

        def draw(facts: dict[str, Any]) -> dict[str, str]:
            return {part: fragment(f"running/{file}.html", **facts) for part, file in _MOVING.items()}

        # What is drawn differs by what a reader may do, and by nothing else of theirs.
        return self._live.stream(
            request, place, ("execution", execution_id, *may), Fragments(look, draw, _mark, _is_still)
        )

    def _part(
        self, request: AnyRequest, place: Place, template: str, execution_id: UUID, **facts: Any
    ) -> Response[str]:
        here = f"{place.root}/executions/{execution_id}"
        return self._door.page(request, template, place, tab="executions", here=here, **facts)

    async def shown(
        self, request: AnyRequest, place: Place, execution_id: UUID, *, problem: Problem | None = None
    ) -> Response[str]:
        """The whole page; with a `problem` where something that was asked for on it was refused."""
        brand_id = place.brand.id
        overview = await self._executions.overview(brand_id, execution_id)
        execution = overview.execution
        content = await self._executions.content(brand_id, execution)
        meant, figures = meant_by(execution.audience), await self.figures(place, overview)
        return self._door.page(
            request,
            "running/execution.html",
            place,
            tab="executions",
            problem=problem,
            **{name: fact for name, fact in figures.items() if name != "may_write"},
            name=content.campaign_name,
            content=content,
            has_experiment=content.experiment is not None and execution.cast_at is not None,
            variants=sum(len(route.variants) for route in content.routes),
            segment_id=meant.segment_id if isinstance(meant, OfSegment) else None,
            tag_id=meant.tag_id if isinstance(meant, OfTag) else None,
            rest_of=meant.execution_id if isinstance(meant, OfRest) else None,
            step_of=meant.run_id if isinstance(meant, OfStep) else None,
            trigger=await trigger_of(self._accounts, place.brand, execution),
            curl=curl_of(execution, content, place.brand, self._base_url),
            troubles=await self._figures.troubles(brand_id, execution_id),
            reported=await self._reported.of_execution(brand_id, execution_id),
        )

    async def figures(self, place: Place, overview: Overview) -> dict[str, Any]:
        """What moves on the page: the counters and what they are made into, what limits, and what can be done."""
        execution, brand_id = overview.execution, place.brand.id
        rates = await self._figures.rates(brand_id, execution.id)
        return {
            "overview": overview,
            "execution": execution,
            "here": f"{place.root}/executions/{execution.id}",
            "shown": Shown.of(overview),
            "outcomes": OUTCOMES,
            "colours": COLOURS,
            "limits": await self._figures.limits(brand_id, execution.id),
            "rates": rates,
            "quiet_json": msgspec.json.encode([(band.since, band.until) for band in rates.quiet]).decode(),
            "is_over": execution.state in OVER,
            "retryable": retryable(overview),
            "unknown": unknown(overview),
            "waiting": waiting(overview),
            "typed_above": TYPED_ABOVE,
            "now": self._clock.now(),
            "may_run": place.may("run"),
            "may_write": place.may("write"),
        }


def _mark(facts: dict[str, Any]) -> object:
    return mark_of(facts["overview"]), facts["limits"], facts["rates"]


def _is_still(facts: dict[str, Any]) -> bool:
    """Whether hardly anything changes any more: what people do is told for days, but nobody waits for that."""
    ended_at = facts["execution"].ended_at
    return ended_at is not None and facts["now"] - ended_at > STILL_AFTER
