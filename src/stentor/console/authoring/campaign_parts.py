"""`/console/brands/…/campaigns/…`: the A/B test, the steps, and for whom a route is, each on a page with a form of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.audience.casting import ARMS_MAX
from stentor.audience.segments.expressions import Expression
from stentor.campaigns.experiments import ARM_NAME_CHARS_MAX
from stentor.campaigns.model import Campaign, CampaignDraft, Route
from stentor.campaigns.routing import APP_CHANNELS
from stentor.campaigns.service import CampaignService, edited_meanwhile
from stentor.campaigns.steps import ANSWER_CHARS_MAX, STEPS_MAX
from stentor.campaigns.templates import PAGE_MAX, TemplateService
from stentor.channels.service import SenderService
from stentor.console.account import read_id
from stentor.console.authoring import experiment_form, steps_form
from stentor.console.authoring.campaign_words import route_name
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.campaign_form import MODES, SEEN, seen_of
from stentor.console.choosing import Chooser, all_pages
from stentor.console.fields import errors_at
from stentor.console.pages import channel_name
from stentor.console.segment_form.kinds import GROUPS
from stentor.console.segment_form.rows import changed, new_root, posted_rows, read_rows, rows_of
from stentor.console.segment_form.view import nouns_in, view
from stentor.console.visits import AnyRequest
from stentor.errors import Conflict, Invalid, NotFound, Problem

PART_FORM_BYTES_MAX = 512 * 1024

_ONE = f"{HERE}/campaigns/{{campaign_id:str}}"
_AT_THE_FORM = (Conflict, Invalid)


class CampaignPartPages:
    """Parts of a campaign that its own page only tells of. Each saves the campaign as a whole, with this part changed."""

    def __init__(
        self,
        door: BrandDoor,
        *,
        campaigns: CampaignService,
        templates: TemplateService,
        senders: SenderService,
        chooser: Chooser,
    ) -> None:
        self._door = door
        self._campaigns = campaigns
        self._templates = templates
        self._senders = senders
        self._chooser = chooser

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._experiments(), *self._steps(), *self._conditions()]

    def _experiments(self) -> list[HTTPRouteHandler]:
        @get(f"{_ONE}/experiment", include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            campaign = await self._campaign(request, place)
            return await self._experiment(request, place, campaign, experiment_form.form_of(campaign))

        @post(f"{_ONE}/experiment", include_in_schema=False, request_max_body_size=PART_FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            campaign = await self._campaign(request, place)
            drawn = experiment_form.posted_form(form, campaign)
            order = form.get("do", "")
            if order not in {"save", "none"}:
                return await self._experiment(request, place, campaign, drawn)

            def draft() -> dict[str, Any]:
                if order == "none":
                    routes = tuple(msgspec.structs.replace(route, arm=None) for route in campaign.routes)
                    return {"experiment": None, "routes": routes}
                experiment = experiment_form.experiment_of(drawn)
                return {"experiment": experiment, "routes": experiment_form.routes_of(drawn, campaign.routes)}

            problem = await self._saved(place, campaign, form, draft)
            if problem is not None:
                return await self._experiment(request, place, campaign, drawn, problem)
            return _back(place, campaign)

        return [shown, change]

    def _steps(self) -> list[HTTPRouteHandler]:
        @get(f"{_ONE}/steps", include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            campaign = await self._campaign(request, place)
            return await self._step_rows(request, place, campaign, steps_form.rows_of(campaign))

        @post(f"{_ONE}/steps", include_in_schema=False, request_max_body_size=PART_FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            campaign = await self._campaign(request, place)
            rows = steps_form.posted_rows(form, campaign)
            if form.get("do") != "save":
                return await self._step_rows(request, place, campaign, rows)
            templates = await self._all_templates(place.brand.id)
            channels = {template_id: channel for template_id, (channel, _) in templates.items()}
            problem = await self._saved(
                place, campaign, form, lambda: {"steps": steps_form.steps_of(rows, campaign, channels)}
            )
            if problem is not None:
                return await self._step_rows(request, place, campaign, rows, problem)
            return _back(place, campaign)

        return [shown, change]

    def _conditions(self) -> list[HTTPRouteHandler]:
        @get(f"{_ONE}/conditions/{{where:str}}", include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            campaign = await self._campaign(request, place)
            when = _route_at(campaign, request.path_params["where"]).when
            return await self._condition(request, place, campaign, new_root() if when is None else rows_of(when))

        @post(
            f"{_ONE}/conditions/{{where:str}}",
            include_in_schema=False,
            request_max_body_size=PART_FORM_BYTES_MAX,
            status_code=200,
        )
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            campaign, where = await self._campaign(request, place), request.path_params["where"]
            _route_at(campaign, where)
            order = form.get("do", "")
            try:
                root = posted_rows(form)
            except Invalid as problem:
                return await self._condition(request, place, campaign, new_root(), problem=problem)
            if order not in {"save", "none"}:
                focus = changed(root, order)
                return await self._condition(request, place, campaign, root, focus=focus)
            problem = await self._saved(
                place,
                campaign,
                form,
                lambda: _with_condition(campaign, where, None if order == "none" else read_rows(root).expression),
            )
            if problem is not None:
                return await self._condition(request, place, campaign, root, problem=_below(problem, where))
            return _back(place, campaign)

        return [shown, change]

    async def _saved(
        self, place: Place, campaign: Campaign, form: Mapping[str, str], said: Callable[[], Mapping[str, Any]]
    ) -> Problem | None:
        """Saves the campaign with what the form says of it; what is wrong, where something is."""
        held = {name: getattr(campaign, name) for name in CampaignDraft.__struct_fields__}
        try:
            if form.get(SEEN) != seen_of(campaign):
                raise edited_meanwhile()
            draft = CampaignDraft(**{**held, **said()})
            await self._campaigns.update(place.brand.id, campaign.id, draft, edited_from=campaign.updated_at)
        except _AT_THE_FORM as problem:
            return problem
        return None

    async def _experiment(
        self,
        request: AnyRequest,
        place: Place,
        campaign: Campaign,
        drawn: experiment_form.ExperimentForm,
        problem: Problem | None = None,
    ) -> Response[str]:
        known = experiment_form.places(len(drawn.arms), len(campaign.routes))
        names = {str(one.id): one.name for one in await self._templates_of(place.brand.id)}
        return self._page(
            request,
            "authoring/experiment.html",
            place,
            campaign,
            problem=problem,
            known=known,
            drawn=drawn,
            arms_max=ARMS_MAX,
            name_chars_max=ARM_NAME_CHARS_MAX,
            metrics=experiment_form.METRICS,
            otherwise=experiment_form.OTHERWISE,
            route_names=[route_name(route, names) for route in campaign.routes],
        )

    async def _step_rows(
        self,
        request: AnyRequest,
        place: Place,
        campaign: Campaign,
        rows: Sequence[steps_form.StepRow],
        problem: Problem | None = None,
    ) -> Response[str]:
        templates = await self._all_templates(place.brand.id)
        senders = [one for one in await self._senders.page(place.brand.id) if one.kind != "listener"]
        return self._page(
            request,
            "authoring/steps.html",
            place,
            campaign,
            problem=problem,
            known=steps_form.places(rows),
            rows=rows,
            steps_max=STEPS_MAX,
            answer_chars_max=ANSWER_CHARS_MAX,
            groups=steps_form.GROUPS,
            kept=steps_form.KEPT,
            facts=steps_form.FACTS,
            has=steps_form.HAS,
            modes=MODES,
            templates=[("", "Choose…"), *((template_id, label) for template_id, (_, label) in templates.items())],
            with_app={template_id for template_id, (channel, _) in templates.items() if channel in APP_CHANNELS},
            senders=[
                ("", "The channel's default"),
                *((str(one.id), f"{channel_name(one.channel.label)}: {one.name}") for one in senders),
            ],
        )

    async def _condition(
        self,
        request: AnyRequest,
        place: Place,
        campaign: Campaign,
        root: Any,
        *,
        problem: Problem | None = None,
        focus: str = "",
    ) -> Response[str]:
        where = request.path_params["where"]
        choices = await self._chooser.choices(place.brand.id, nouns_in(root))
        shown, others = view(root, choices, problem)
        names = {str(one.id): one.name for one in await self._templates_of(place.brand.id)}
        route = _route_at(campaign, where)
        return self._door.page(
            request,
            "authoring/condition.html",
            place,
            tab="campaigns",
            problem=problem,
            campaign=campaign,
            seen=seen_of(campaign),
            where=where,
            route=route_name(route, names),
            has_condition=route.when is not None,
            root=shown,
            is_alone=root.fields.get("alone") == "yes",
            others=others,
            groups=GROUPS,
            focus=focus,
        )

    def _page(
        self,
        request: AnyRequest,
        template: str,
        place: Place,
        campaign: Campaign,
        *,
        problem: Problem | None,
        known: Mapping[str, str],
        **facts: Any,
    ) -> Response[str]:
        errors, others = errors_at(problem, known)
        return self._door.page(
            request,
            template,
            place,
            tab="campaigns",
            problem=problem,
            campaign=campaign,
            seen=seen_of(campaign),
            errors=errors,
            others=others,
            **facts,
        )

    async def _campaign(self, request: AnyRequest, place: Place) -> Campaign:
        return await self._campaigns.get(place.brand.id, read_id(request.path_params["campaign_id"]))

    async def _templates_of(self, brand_id: UUID) -> list[Any]:
        return await all_pages(lambda after: self._templates.page(brand_id, after=after), lambda one: one.id, PAGE_MAX)

    async def _all_templates(self, brand_id: UUID) -> dict[str, tuple[Any, str]]:
        """By id, the channel of each template, outside services' too, and what a select calls it."""
        own = {
            str(one.id): (one.channel, f"{channel_name(one.channel.label)}: {one.name}")
            for one in await self._templates_of(brand_id)
        }
        theirs = {
            str(one.id): (one.channel, f"{channel_name(one.channel.label)} by {one.channel_name}: {one.name}")
            for one in await self._campaigns.partner_templates(brand_id)
        }
        return own | theirs


def _back(place: Place, campaign: Campaign) -> Redirect:
    return Redirect(f"{place.root}/campaigns/{campaign.id}?saved=yes", status_code=303)


def _steps_of(where: str) -> tuple[int | None, int]:
    """Of `2` the third route, of `s1-0` the first route of the second step. Raises NotFound for what names none."""
    step, _, route = where.removeprefix("s").rpartition("-") if where.startswith("s") else ("", "", where)
    texts = [route, step] if where.startswith("s") else [route]
    if not all(text.isascii() and text.isdecimal() and len(text) < 3 for text in texts):
        raise NotFound("This campaign has no such route.")
    return (int(step) if step else None), int(route)


def _route_at(campaign: Campaign, where: str) -> Route:
    step, place = _steps_of(where)
    if step is not None and step >= len(campaign.steps):
        raise NotFound("This campaign has no such step.")
    routes = campaign.routes if step is None else campaign.steps[step].routes
    if place >= len(routes):
        raise NotFound("This campaign has no such route.")
    return routes[place]


def _with_condition(campaign: Campaign, where: str, when: Expression | None) -> dict[str, Any]:
    """What changes of the campaign where that route is for those."""
    number, place = _steps_of(where)
    routes = list(campaign.routes if number is None else campaign.steps[number].routes)
    routes[place] = msgspec.structs.replace(routes[place], when=when)
    if number is None:
        return {"routes": tuple(routes)}
    steps = list(campaign.steps)
    steps[number] = msgspec.structs.replace(steps[number], routes=tuple(routes))
    return {"steps": tuple(steps)}


def _below(problem: Problem, where: str) -> Problem:
    """The problem with the pointers that the form of an expression knows."""
    number, place = _steps_of(where)
    route = f"/routes/{place}" if number is None else f"/steps/{number}/routes/{place}"
    prefix = f"{route}/when"
    for_form = [
        msgspec.structs.replace(each, pointer=f"/expression{each.pointer.removeprefix(prefix)}")
        if each.pointer.startswith(prefix)
        else each
        for each in problem.violations
    ]
    return Invalid(problem.detail, violations=for_form) if for_form else problem
