"""`/console/brands/…/campaigns`: campaigns on a calendar, from templates and senders that are there."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.campaigns.model import Campaign, TemplateSummary
from stentor.campaigns.routing import APP_CHANNELS
from stentor.campaigns.service import PAGE_MAX, CampaignService, edited_meanwhile
from stentor.campaigns.templates import TemplateService
from stentor.channels.partners.chosen import ChosenTemplate
from stentor.channels.service import SenderService
from stentor.console.account import read_id
from stentor.console.authoring.campaign_words import experiment_told, steps_told
from stentor.console.brand import HERE, BrandDoor, Place, id_in
from stentor.console.campaign_form import (
    BASES,
    KINDS,
    LANES,
    MODES,
    OFFERED_KINDS,
    SEEN,
    RouteRow,
    draft_of,
    fields_of,
    kept_of,
    posted_rows,
    rows_of,
    seen_of,
)
from stentor.console.choosing import Chooser, all_pages
from stentor.console.fields import errors_at
from stentor.console.pages import channel_name
from stentor.console.segment_form.words import nouns_of, words_of
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.domain.policy import CLEARANCE_DAYS_MAX
from stentor.errors import Conflict, Invalid, Problem, Violation

SHOWN = 50

_LIST = f"{HERE}/campaigns"
_ONE = f"{HERE}/campaigns/{{campaign_id:str}}"
_AT_THE_FORM = (Conflict, Invalid)


class CampaignPages:
    """Campaigns in the console. What they do goes through the same service as what programs do."""

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

        @get(_LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            after = id_in(request.query_params, "after")
            found = await self._campaigns.page(place.brand.id, after=after, limit=SHOWN + 1)
            return self._door.page(
                request,
                "campaigns.html",
                place,
                tab="campaigns",
                campaigns=found[:SHOWN],
                more=found[SHOWN - 1].id if len(found) > SHOWN else None,
                is_first=after is None,
                kinds=KINDS,
            )

        @get(f"{_LIST}/new", include_in_schema=False)
        async def new(request: AnyRequest) -> Response[str]:
            return await self._form(request, await self._door.inside(request, "write"), None)

        @get(_ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            campaign = await self._campaigns.get(place.brand.id, _id(request))
            told = (
                "The campaign is saved. What is published goes on as it was." if "saved" in request.query_params else ""
            )
            return await self._form(request, place, campaign, told=told)

        @post(f"{_LIST}/new", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def make(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            return await self._posted(request, place, form, None)

        @post(_ONE, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            return await self._posted(request, place, form, await self._campaigns.get(place.brand.id, _id(request)))

        @post(f"{_ONE}/publish", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def publish(request: AnyRequest) -> Response[str]:
            place, _ = await self._door.posted(request, "write")
            campaign = await self._campaigns.get(place.brand.id, _id(request))
            try:
                published = await self._campaigns.publish(place.brand.id, campaign.id)
            except _AT_THE_FORM as problem:
                return await self._form(request, place, campaign, problem=problem, refused=True)
            told = "It is published: what starts from now on runs it as it is now."
            return await self._form(request, place, published.campaign, told=told, warnings=published.warnings)

        return [listed, new, one, make, change, publish]

    async def _posted(
        self, request: AnyRequest, place: Place, form: Mapping[str, str], campaign: Campaign | None
    ) -> Response[str] | Redirect:
        rows = posted_rows(form, campaign)
        if campaign is not None and form.get(SEEN) != seen_of(campaign):
            # What its rows keep would be another route's.
            return await self._form(request, place, campaign, form=form, rows=rows, problem=edited_meanwhile())
        if form.get("do") != "save":
            return await self._form(request, place, campaign, form=form, rows=rows)
        brand_id = place.brand.id
        channels = {str(one.id): one.channel for one in await self._all_templates(brand_id)}
        partnered = {str(one.id): one.channel for one in await self._campaigns.partner_templates(brand_id)}
        channels |= partnered
        # Their services send them: the form asks for no sender, but without its script it may have been drawn before.
        rows = [msgspec.structs.replace(row, sender_id="") if row.template_id in partnered else row for row in rows]
        try:
            draft = draft_of(form, rows, campaign, channels)
            if campaign is None:
                saved = await self._campaigns.create(brand_id, draft)
            else:
                saved = await self._campaigns.update(brand_id, campaign.id, draft, edited_from=campaign.updated_at)
        except _AT_THE_FORM as problem:
            return await self._form(request, place, campaign, form=form, rows=rows, problem=problem)
        return Redirect(f"{place.root}/campaigns/{saved.id}?saved=yes", status_code=303)

    async def _form(
        self,
        request: AnyRequest,
        place: Place,
        campaign: Campaign | None,
        *,
        form: Mapping[str, str] | None = None,
        rows: Sequence[RouteRow] | None = None,
        problem: Problem | None = None,
        refused: bool = False,
        told: str = "",
        warnings: Sequence[Violation] = (),
    ) -> Response[str]:
        shown = rows_of(campaign) if rows is None else rows
        fields = {**(fields_of(campaign) if form is None else form)}
        for index, row in enumerate(shown):
            fields |= {
                f"t-{index}-template_id": row.template_id,
                f"t-{index}-sender_id": row.sender_id,
                f"t-{index}-app": row.app,
            }
        errors, others = errors_at(problem, _places(len(shown)))
        templates = await self._all_templates(place.brand.id)
        partnered = {str(one.id): one for one in await self._campaigns.partner_templates(place.brand.id)}
        senders = [one for one in await self._senders.page(place.brand.id) if one.kind != "listener"]
        by_services = ["external"] if partnered else []
        kinds = dict.fromkeys([*OFFERED_KINDS, *by_services, *([campaign.kind] if campaign else [])])
        return self._door.page(
            request,
            "campaign.html",
            place,
            tab="campaigns",
            problem=problem,
            refused=refused,
            campaign=campaign,
            form=fields,
            rows=shown,
            errors=errors,
            others=others,
            templates=_chosen_too(
                [
                    ("", "Choose…"),
                    *((str(one.id), f"{channel_name(one.channel.label)}: {one.name}") for one in templates),
                    *((template_id, _partner_option(one)) for template_id, one in partnered.items()),
                ],
                [row.template_id for row in shown],
            ),
            partnered=partnered,
            with_app={
                *(str(one.id) for one in templates if one.channel in APP_CHANNELS),
                *(template_id for template_id, one in partnered.items() if one.channel in APP_CHANNELS),
            },
            senders=_chosen_too(
                [
                    ("", "The channel's default"),
                    *((str(one.id), f"{channel_name(one.channel.label)}: {one.name}") for one in senders),
                ],
                [row.sender_id for row in shown],
            ),
            kinds=KINDS,
            kind_options=[(kind, KINDS[kind]) for kind in kinds],
            clearance_days_max=CLEARANCE_DAYS_MAX,
            bases=BASES,
            lanes=LANES,
            modes=MODES,
            kept=kept_of(campaign),
            conditions=await self._conditions(place.brand.id, campaign),
            experiment=experiment_told(None if campaign is None else campaign.experiment),
            steps=[] if campaign is None else steps_told(campaign, {str(one.id): one.name for one in templates}),
            told=told,
            warnings=warnings,
        )

    async def _conditions(self, brand_id: UUID, campaign: Campaign | None) -> list[str]:
        """Of each route, for whom it is, in words; empty for everybody."""
        if campaign is None:
            return []
        whens = [route.when for route in campaign.routes]
        nouns = {noun for when in whens if when is not None for noun in nouns_of(when)}
        choices = await self._chooser.choices(brand_id, nouns)
        return ["" if when is None else words_of(when, choices) for when in whens]

    async def _all_templates(self, brand_id: UUID) -> list[TemplateSummary]:
        return await all_pages(lambda after: self._templates.page(brand_id, after=after), lambda one: one.id, PAGE_MAX)


def _partner_option(one: ChosenTemplate) -> str:
    return f"{channel_name(one.channel.label)} by {one.channel_name}: {one.name} ({one.number} of {one.channel_number})"


def _places(rows: int) -> dict[str, str]:
    """Of each place in a campaign, the field that is about it."""
    places = {f"/{name}": name for name in ("name", "kind", "consent_basis", "lane", "mode")}
    places |= {"/policy/deadline": "deadline", "/policy/holdout": "holdout", "/policy/clearance": "clearance"}
    for index in range(rows):
        places |= {
            f"/routes/{index}": f"t-{index}-template_id",
            f"/routes/{index}/sender_id": f"t-{index}-sender_id",
            f"/routes/{index}/app": f"t-{index}-app",
        }
    return places


def _chosen_too(options: list[tuple[str, str]], chosen: Sequence[str]) -> list[tuple[str, str]]:
    known = dict(options)
    return [*options, *((one, one) for one in dict.fromkeys(chosen) if one not in known)]


def _id(request: AnyRequest) -> UUID:
    return read_id(request.path_params["campaign_id"])
