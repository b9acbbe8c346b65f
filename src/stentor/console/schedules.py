"""`/console/brands/…/schedules`: campaigns for a segment or a tag by the calendar, tried before they are saved."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.clock import Clock
from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, Place, id_in
from stentor.console.choosing import Chooser
from stentor.console.fields import errors_at
from stentor.console.schedule_form import (
    DAYS,
    FIELD_OF,
    MONTH_DAYS,
    WHENS,
    draft_of,
    fields_of,
    new_fields,
    written_audience,
)
from stentor.console.schedule_trial import coming, trial_run
from stentor.console.visits import AnyRequest
from stentor.domain.locale import time_zones
from stentor.errors import Conflict, Invalid, NotFound, Problem, Unavailable, Unprocessable
from stentor.executions.audiences import audience_of
from stentor.executions.forecasting import Forecast
from stentor.triggers.batches.model import BatchSchedule
from stentor.triggers.batches.service import BatchService
from stentor.triggers.campaign_runs import CampaignRunner
from stentor.triggers.schedules.model import Schedule, ScheduleDraft
from stentor.triggers.schedules.service import ScheduleService

SHOWN = 50
OCCURRENCES_SHOWN = 20
SCHEDULE_FORM_BYTES_MAX = 256 * 1024
"""With a context of 64 KiB, whose characters take three bytes each in a form."""

_LIST = f"{HERE}/schedules"
_ONE = f"{HERE}/schedules/{{schedule_id:str}}"
_AT_THE_FORM = (Conflict, Invalid, Unprocessable)


class SchedulePages:
    """Schedules in the console. What they do goes through the same services as what programs do."""

    def __init__(
        self,
        door: BrandDoor,
        *,
        schedules: ScheduleService,
        batches: BatchService,
        runs: CampaignRunner,
        chooser: Chooser,
        clock: Clock,
    ) -> None:
        self._door = door
        self._schedules = schedules
        self._batches = batches
        self._runs = runs
        self._chooser = chooser
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._writing(), *self._stopping()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(_LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            after = id_in(request.query_params, "after")
            found = await self._page(place.brand.id, after)
            return self._door.page(
                request,
                "schedules.html",
                place,
                tab="schedules",
                schedules=[_Line.of(each) for each in found[:SHOWN]],
                more=found[SHOWN - 1].id if len(found) > SHOWN else None,
                is_first=after is None,
                told="The schedule is deleted." if "deleted" in request.query_params else "",
            )

        @get(f"{_LIST}/new", include_in_schema=False)
        async def new(request: AnyRequest) -> Response[str]:
            place, asked = await self._door.inside(request, "write"), request.query_params
            fields = new_fields(
                time_zone=place.brand.settings.default_time_zone,
                campaign_id=str(id_in(asked, "campaign") or ""),
                whom=f"segment {segment}" if (segment := id_in(asked, "segment")) else "",
            )
            return await self._form(request, place, fields)

        @get(_ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return await self._shown(request, place, told=_TOLD.get(request.query_params.get("told", ""), ""))

        return [listed, new, one]

    def _writing(self) -> list[HTTPRouteHandler]:
        @post(f"{_LIST}/new", include_in_schema=False, request_max_body_size=SCHEDULE_FORM_BYTES_MAX, status_code=200)
        async def make(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            return await self._posted(request, place, form, None)

        @post(_ONE, include_in_schema=False, request_max_body_size=SCHEDULE_FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            schedule = await self._schedules.get(place.brand.id, _id(request))
            return await self._posted(request, place, form, schedule)

        @post(f"{_LIST}/next", include_in_schema=False, request_max_body_size=SCHEDULE_FORM_BYTES_MAX, status_code=200)
        async def upcoming(request: AnyRequest) -> Response[str]:
            place, form = await self._door.posted(request, "read")
            moments = coming(form, self._clock.now())
            return self._door.page(
                request,
                "schedule_next.html",
                place,
                tab="schedules",
                moments=moments,
                in_their_zones=form.get("in_their_zones") == "yes",
            )

        return [make, change, upcoming]

    def _stopping(self) -> list[HTTPRouteHandler]:
        @post(
            f"{_ONE}/{{what:str}}",
            include_in_schema=False,
            request_max_body_size=SCHEDULE_FORM_BYTES_MAX,
            status_code=200,
        )
        async def stop(request: AnyRequest) -> Response[str] | Redirect:
            place, _ = await self._door.posted(request, "write")
            what = request.path_params["what"]
            if what not in {"pause", "go-on", "cancel", "delete"}:
                raise NotFound("There is no such thing to do.")
            try:
                await self._do(place.brand.id, _id(request), what)
            except _AT_THE_FORM as problem:
                return await self._shown(request, place, problem=problem)
            if what == "delete":
                return Redirect(f"{place.root}/schedules?deleted=yes", status_code=303)
            return Redirect(f"{place.root}/schedules/{_id(request)}?told={what}", status_code=303)

        return [stop]

    async def _do(self, brand_id: UUID, schedule_id: UUID, what: str) -> None:
        try:
            schedule = await self._schedules.get(brand_id, schedule_id)
        except NotFound:
            if what not in {"cancel", "delete"}:
                raise
            await self._batches.cancel(brand_id, schedule_id)
            return
        if what == "cancel":
            await self._schedules.cancel(brand_id, schedule_id)
        elif what == "delete":
            await self._schedules.delete(brand_id, schedule_id)
        else:
            draft = ScheduleDraft(
                name=schedule.name,
                target=schedule.target,
                context=schedule.context,
                rule=schedule.rule,
                misfire_grace_s=schedule.misfire_grace_s,
                enabled=what == "go-on",
            )
            await self._schedules.update(brand_id, schedule_id, draft)

    async def _posted(
        self, request: AnyRequest, place: Place, form: Mapping[str, str], schedule: Schedule | None
    ) -> Response[str] | Redirect:
        order = form.get("do", "")
        forecast: Forecast | None = None
        try:
            if order == "try":
                forecast = await self._tried(place, draft_of(form))
            elif order == "save":
                draft = draft_of(form)
                if schedule is None:
                    saved = await self._schedules.create(place.brand.id, draft, is_test=False)
                else:
                    saved = await self._schedules.update(place.brand.id, schedule.id, draft)
                return Redirect(f"{place.root}/schedules/{saved.id}?told=saved", status_code=303)
        except (*_AT_THE_FORM, Unavailable) as problem:
            return await self._form(request, place, form, schedule=schedule, problem=problem)
        return await self._form(request, place, form, schedule=schedule, forecast=forecast)

    async def _tried(self, place: Place, draft: ScheduleDraft) -> Forecast:
        """Who would get it at the first time that it comes, were they asked now."""
        try:
            return await self._runs.dry_run(trial_run(place.brand.id, draft, self._clock.now()))
        except NotFound as missing:
            raise Invalid.field("/campaign_id", "unknown-campaign", missing.detail) from None

    async def _shown(
        self, request: AnyRequest, place: Place, *, problem: Problem | None = None, told: str = ""
    ) -> Response[str]:
        try:
            schedule = await self._schedules.get(place.brand.id, _id(request))
        except NotFound:
            of_batch = await self._batches.schedule(place.brand.id, _id(request))
            return self._door.page(
                request, "batch_schedule.html", place, tab="schedules", schedule=of_batch, problem=problem, told=told
            )
        fields = fields_of(schedule)
        if schedule.in_their_zones:
            # Its own is the one where each time comes first, which nobody chose.
            fields["time_zone"] = place.brand.settings.default_time_zone
        return await self._form(request, place, fields, schedule=schedule, problem=problem, told=told)

    async def _form(
        self,
        request: AnyRequest,
        place: Place,
        form: Mapping[str, str],
        *,
        schedule: Schedule | None = None,
        problem: Problem | None = None,
        forecast: Forecast | None = None,
        told: str = "",
    ) -> Response[str]:
        errors, others = errors_at(problem, FIELD_OF)
        occurrences = (
            []
            if schedule is None
            else await self._schedules.occurrences(place.brand.id, schedule.id, limit=OCCURRENCES_SHOWN)
        )
        facts: dict[str, Any] = {
            "schedule": schedule,
            "runs_generator": schedule is not None and schedule.campaign_id is None,
            "form": form,
            "errors": errors,
            "others": others,
            "campaigns": await self._campaigns(place.brand.id, form),
            "whoms": await self._whoms(place.brand.id, form),
            "whens": WHENS,
            "days": DAYS,
            "month_days": MONTH_DAYS,
            "zones": time_zones(),
            "moments": coming(form, self._clock.now()),
            "in_their_zones": form.get("in_their_zones") == "yes",
            "forecast": forecast,
            "occurrences": occurrences,
            "told": told,
        }
        return self._door.page(request, "schedule.html", place, tab="schedules", problem=problem, **facts)

    async def _campaigns(self, brand_id: UUID, form: Mapping[str, str]) -> list[tuple[str, str]]:
        """Published campaigns that run themselves, and the one that is chosen."""
        chosen = form.get("campaign_id", "")
        found = await self._chooser.runnable(brand_id)
        return [("", "Choose…"), *_with(found, chosen)]

    async def _whoms(self, brand_id: UUID, form: Mapping[str, str]) -> list[tuple[str, str]]:
        """Segments and tags, as the form names them."""
        choices = await self._chooser.choices(brand_id, {"segments", "tags"})
        found = [
            (f"{noun[:-1]} {thing}", f"{noun[:-1].capitalize()}: {name}")
            for noun in ("segments", "tags")
            for thing, name in choices[noun]
        ]
        return [("", "Choose…"), *_with(found, form.get("whom", ""))]

    async def _page(self, brand_id: UUID, after: UUID | None) -> list[Schedule | BatchSchedule]:
        own = await self._schedules.page(brand_id, after=after, limit=SHOWN + 1)
        of_batches = await self._batches.schedules(brand_id, after=after, limit=SHOWN + 1)
        return sorted([*own, *of_batches], key=lambda each: each.id)[: SHOWN + 1]


class _Line(msgspec.Struct, frozen=True):
    """A schedule in the list."""

    id: UUID
    name: str
    campaign: str
    whom: str
    status: str
    next_at: Any
    is_batch: bool

    @classmethod
    def of(cls, each: Schedule | BatchSchedule) -> "_Line":
        if isinstance(each, BatchSchedule):
            return cls(each.id, "Batch", each.campaign_name, "its people", each.status, each.start_at, True)
        audience = audience_of(each.audience)
        whom = f"topic {each.topic_key}" if audience is None else f"a {written_audience(audience).partition(' ')[0]}"
        return cls(each.id, each.name, each.campaign_name or each.generator_id, whom, each.status, each.next_at, False)


_TOLD = {
    "saved": "The schedule is saved.",
    "pause": "Nothing starts until you let it go on.",
    "go-on": "It goes on.",
    "cancel": "It is cancelled, and what it started last is too.",
}


def _with(options: list[tuple[str, str]], chosen: str) -> list[tuple[str, str]]:
    return [*options, *([(chosen, chosen)] if chosen and chosen not in dict(options) else [])]


def _id(request: AnyRequest) -> UUID:
    return read_id(request.path_params["schedule_id"])
