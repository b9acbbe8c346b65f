"""Campaigns of a group: which channels say what, in which order, on which consent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response
from msgspec import Meta

from stentor.api.calling import RunQuery, json_response
from stentor.api.channels import ChannelName, name_of
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, counted_listing
from stentor.api.request import ApiRequest, Caller
from stentor.api.wire.groups import NOTHING, Metadata, WireTime, wire_time
from stentor.audience.segments.expressions import Expression
from stentor.campaigns.experiments import Experiment
from stentor.campaigns.model import Basis, Campaign, CampaignDraft, CampaignKind, LaneName, Mode, Route, Step
from stentor.campaigns.naming import NAME_CHARS_MAX
from stentor.campaigns.routing import ROUTES_MAX
from stentor.campaigns.steps import STEPS_MAX, WAIT_DAYS_MAX, When
from stentor.domain.policy import PER_HOUR_MAX, CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, Unprocessable, Violation
from stentor.executions.audiences import one_audience
from stentor.executions.forecasting import Forecast
from stentor.executions.pacing import SPREAD_S_MAX
from stentor.triggers.campaign_runs import CampaignRun, Pace
from stentor.triggers.service import START_AHEAD_DAYS_MAX

campaigns = group_noun(
    "campaigns",
    "Which channels say what, in which order, on which consent. A campaign runs through an event generator, in the form in "
    "which that was published; one of another kind is published itself, and runs for a tag or a segment.",
)


class RouteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One channel: which template says it, which sender carries it, for whom, and by which app."""

    channel: ChannelName
    template_id: Annotated[
        UUID,
        Meta(
            description="A template of the group, or one that an outside service has synced to its partner channel: the service "
            "pulls whom it is for, and sends it."
        ),
    ]
    sender_id: Annotated[
        UUID | None, Meta(description="Null: the channel's default sender; always for an outside service's template.")
    ] = None
    when: Annotated[
        Expression | None,
        Meta(
            description="For whom, in the form of a segment's expression; null: for everybody. Of several routes on a channel the "
            "first whose condition holds is meant."
        ),
    ] = None
    app: Annotated[
        str | None,
        Meta(
            description="The app that a push or external route goes out by; of an outside service's its name or AppID. Null: the one "
            "of its template."
        ),
    ] = None
    arm: Annotated[str | None, Meta(description="The arm of the experiment that it is for; null: all of them.")] = None


class StepBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What follows the routes, or the step before: after a wait, for those of whom its condition holds."""

    wait: Annotated[
        str,
        Meta(
            description=f"How long after somebody was handed over, as `30m`, `2h` or `2d`; at most {WAIT_DAYS_MAX} days. They fall due "
            "together with others, and a little later for it."
        ),
    ]
    when: Annotated[
        When | None,
        Meta(description="What has to have happened, or not, when the wait is over. Null: whatever happened."),
    ] = None
    routes: Annotated[
        tuple[RouteBody, ...], Meta(min_length=1, max_length=ROUTES_MAX, description="As those of the campaign.")
    ]
    mode: Mode = "all"


class CampaignInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of a campaign that can be edited."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="Unique in the group.")]
    kind: Annotated[
        CampaignKind,
        Meta(
            description="What runs it: its event generators, or, of all kinds but `api_triggered`, the campaign itself, which is "
            "published and then run for tags and segments, by batches and by schedules. Of an `external` one outside services send "
            "all: each route names a template of theirs."
        ),
    ] = "api_triggered"
    consent_basis: Annotated[
        Basis, Meta(description="What entitles it to write: a topic's subscription, a channel's flag, or nothing more.")
    ] = "topic"
    routes: Annotated[
        tuple[RouteBody, ...],
        Meta(
            min_length=1,
            max_length=ROUTES_MAX,
            description="In their order; on each channel one is meant for a person.",
        ),
    ]
    mode: Annotated[
        Mode, Meta(description="`all`: one message on each channel. `first`: one, on the first channel that may.")
    ] = "all"
    lane: Annotated[LaneName, Meta(description="Who goes first: transactional, then alert, then bulk.")] = "bulk"
    policy: CampaignPolicy = CampaignPolicy()
    experiment: Annotated[
        Experiment | None, Meta(description="An A/B test: each person is always in the same arm. Null: there is none.")
    ] = None
    steps: Annotated[
        tuple[StepBody, ...],
        Meta(
            max_length=STEPS_MAX,
            description="What follows the routes, each step after the one before; they are step 0.",
        ),
    ] = ()


class CampaignBody(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as it is edited; `uuid` is its `id`, as clients of the older groups API call it."""

    metadata: Metadata = NOTHING
    id: UUID
    uuid: UUID
    name: str
    kind: CampaignKind
    consent_basis: Basis
    routes: tuple[RouteBody, ...]
    mode: Mode
    lane: LaneName
    policy: CampaignPolicy
    experiment: Experiment | None
    steps: tuple[StepBody, ...]
    published_at: Annotated[datetime | None, Meta(description="When the campaign itself was published last.")]
    is_stale: Annotated[bool, Meta(description="It was published itself, and something was edited since.")]
    updated_at: WireTime
    created_at: WireTime


class CampaignPublishedBody(msgspec.Struct, frozen=True):
    """A published campaign, what its templates' bare names were bound to, and what may come out blank."""

    campaign: CampaignBody
    bindings: Annotated[dict[str, str], Meta(description="As `customer.first_name`.")]
    warnings: list[Violation]


class CampaignRunInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom a campaign is run for, and when: a tag or a segment, one of them."""

    tag_id: UUID | None = None
    segment_id: UUID | None = None
    context: Annotated[
        dict[str, Any], Meta(description="What the templates read as `context.x`, for everybody; at most 64 KiB.")
    ] = msgspec.field(default_factory=dict)
    spread_s: Annotated[
        int, Meta(ge=0, le=SPREAD_S_MAX, description="Over how many seconds people are spread, evenly.")
    ] = 0
    per_hour: Annotated[
        Annotated[int, Meta(ge=1, le=PER_HOUR_MAX)] | None, Meta(description="How many people may fall due in an hour.")
    ] = None
    start_at: (
        Annotated[
            datetime,
            Meta(
                tz=True,
                description=f"When to start, with an offset, at most {START_AHEAD_DAYS_MAX} days ahead; left out, at once.",
            ),
        ]
        | None
    ) = None


class CampaignRunAnswer(msgspec.Struct, frozen=True):
    """The execution, which is on disk."""

    execution_id: UUID


_EXAMPLE = {
    "name": "Match starts",
    "consent_basis": "topic",
    "routes": [{"channel": "email", "template_id": "019ab000-0000-7000-8000-000000000001"}],
    "lane": "alert",
    "policy": {"caps": [{"at_most": 3, "per": "7d"}], "deadline": "2h", "holdout": 0.05},
}


def shown(campaign: Campaign) -> CampaignBody:
    """The campaign as the API answers it."""
    return CampaignBody(
        id=campaign.id,
        uuid=campaign.id,
        name=campaign.name,
        kind=campaign.kind,
        consent_basis=campaign.consent_basis,
        routes=_shown_routes(campaign.routes),
        mode=campaign.mode,
        lane=campaign.lane,
        policy=campaign.policy,
        experiment=campaign.experiment,
        steps=tuple(
            StepBody(wait=step.wait, when=step.when, routes=_shown_routes(step.routes), mode=step.mode)
            for step in campaign.steps
        ),
        published_at=campaign.published_at,
        is_stale=campaign.is_stale,
        updated_at=wire_time(campaign.updated_at),
        created_at=wire_time(campaign.created_at),
    )


@campaigns.get("/campaigns", scope="read")
async def list_campaigns(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[CampaignBody]:
    """List the group's campaigns."""
    service = request.services.campaigns

    async def fetch(after: UUID | None, limit: int) -> list[Campaign]:
        return await service.page(caller.brand_id, after=after, limit=limit)

    walk = Walk(fetch, lambda campaign: campaign.id, UUID)
    return await counted_listing(request, query, walk, shown, total=lambda: service.count(caller.brand_id))


@campaigns.post("/campaigns", scope="write", status=201, problems=[Conflict], example=_EXAMPLE)
async def create_campaign(request: ApiRequest, caller: Caller, body: CampaignInput) -> CampaignBody:
    """Create a campaign."""
    return shown(await request.services.campaigns.create(caller.brand_id, _draft(body)))


@campaigns.get("/campaigns/{campaign_id:str}", scope="read")
async def get_campaign(request: ApiRequest, caller: Caller, campaign_id: UUID) -> CampaignBody:
    """Show a campaign."""
    return shown(await request.services.campaigns.get(caller.brand_id, campaign_id))


@campaigns.put("/campaigns/{campaign_id:str}", scope="write", problems=[Conflict], example=_EXAMPLE)
async def replace_campaign(request: ApiRequest, caller: Caller, campaign_id: UUID, body: CampaignInput) -> CampaignBody:
    """Replace a campaign.

    What is published goes on as it was; publish its generators again to let them run the new form.
    """
    return shown(await request.services.campaigns.update(caller.brand_id, campaign_id, _draft(body)))


@campaigns.post("/campaigns/{campaign_id:str}/publish", scope="write", problems=[Invalid, Conflict])
async def publish_campaign(request: ApiRequest, caller: Caller, campaign_id: UUID) -> CampaignPublishedBody:
    """Publish a campaign itself: what starts from now on runs it as it is now.

    For campaigns of all kinds but `api_triggered`, whose event generators are published instead. A bare name in a template
    means the customer. Refused, naming field and template, when a template prints `context.x` and says neither a `default` nor
    what stands there without.
    """
    result = await request.services.campaigns.publish(caller.brand_id, campaign_id)
    return CampaignPublishedBody(shown(result.campaign), result.bindings, list(result.warnings))


@campaigns.post(
    "/campaigns/{campaign_id:str}/run",
    scope="run",
    status=202,
    also=(200, Forecast),
    problems=[Invalid, Conflict, Unprocessable],
    example={"tag_id": "019ab000-0000-7000-8000-000000000003", "start_at": "2026-12-01T09:00:00Z"},
)
async def run_campaign(
    request: ApiRequest, caller: Caller, campaign_id: UUID, body: CampaignRunInput, query: RunQuery
) -> Response[bytes] | CampaignRunAnswer:
    """Run a published campaign for everybody who has a tag, or whom a segment holds.

    202 means that the execution is on disk. Its people are fixed when it starts: with `start_at` it is `scheduled` until then,
    and may be paused or cancelled like any other. With `dry_run=true` the answer is a 200, and no execution is made.
    """
    run = CampaignRun(
        brand_id=caller.brand_id,
        campaign_id=campaign_id,
        audience=one_audience(body.tag_id, body.segment_id),
        context=body.context,
        triggered_by=f"key {caller.principal.key_number}",
        is_test=caller.principal.is_test,
        start_at=body.start_at,
        pace=Pace(body.spread_s, body.per_hour),
    )
    if query.dry_run:
        return json_response(msgspec.json.encode(await request.services.campaign_runs.dry_run(run)), 200)
    return CampaignRunAnswer(await request.services.campaign_runs.start(run))


@campaigns.delete("/campaigns/{campaign_id:str}", scope="write", status=204, problems=[Conflict])
async def delete_campaign(request: ApiRequest, caller: Caller, campaign_id: UUID) -> None:
    """Delete a campaign that no generator names and that was never published."""
    await request.services.campaigns.delete(caller.brand_id, campaign_id)


def _draft(body: CampaignInput) -> CampaignDraft:
    return CampaignDraft(
        name=body.name,
        kind=body.kind,
        consent_basis=body.consent_basis,
        routes=_routes(body.routes),
        mode=body.mode,
        lane=body.lane,
        policy=body.policy,
        experiment=body.experiment,
        steps=tuple(
            Step(wait=step.wait, when=step.when, routes=_routes(step.routes), mode=step.mode) for step in body.steps
        ),
    )


def _shown_routes(routes: Sequence[Route]) -> tuple[RouteBody, ...]:
    return tuple(
        RouteBody(name_of(route.channel), route.template_id, route.sender_id, route.when, route.app, route.arm)
        for route in routes
    )


def _routes(bodies: Sequence[RouteBody]) -> tuple[Route, ...]:
    return tuple(
        Route(ChannelKind.named(body.channel), body.template_id, body.sender_id, body.when, body.app, body.arm)
        for body in bodies
    )
