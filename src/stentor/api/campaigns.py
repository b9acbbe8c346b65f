"""Campaigns of a group: which channels say what, in which order, on which consent."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.channels import ChannelName, name_of
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.campaigns.model import Basis, Campaign, CampaignDraft, LaneName, Mode, Route
from stentor.campaigns.naming import NAME_CHARS_MAX
from stentor.campaigns.service import ROUTES_MAX
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict

campaigns = group_noun(
    "campaigns",
    "Which channels say what, in which order, on which consent. A campaign runs through an event generator, in the form in "
    "which that was published.",
)


class RouteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One channel: which template says it, and which sender carries it."""

    channel: ChannelName
    template_id: UUID
    sender_id: Annotated[UUID | None, Meta(description="Null: the channel's default sender.")] = None


class CampaignInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of a campaign that can be edited."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="Unique in the group.")]
    consent_basis: Annotated[
        Basis, Meta(description="What entitles it to write: a topic's subscription, a channel's flag, or nothing more.")
    ] = "topic"
    routes: Annotated[
        tuple[RouteBody, ...], Meta(min_length=1, max_length=ROUTES_MAX, description="At most one per channel.")
    ]
    mode: Annotated[
        Mode, Meta(description="`all`: one message on each channel. `first`: one, on the first channel that may.")
    ] = "all"
    lane: Annotated[LaneName, Meta(description="Who goes first: transactional, then alert, then bulk.")] = "bulk"
    policy: CampaignPolicy = CampaignPolicy()


class CampaignBody(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as it is edited."""

    id: UUID
    name: str
    consent_basis: Basis
    routes: tuple[RouteBody, ...]
    mode: Mode
    lane: LaneName
    policy: CampaignPolicy
    created_at: datetime
    updated_at: datetime


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
        name=campaign.name,
        consent_basis=campaign.consent_basis,
        routes=tuple(
            RouteBody(name_of(route.channel), route.template_id, route.sender_id) for route in campaign.routes
        ),
        mode=campaign.mode,
        lane=campaign.lane,
        policy=campaign.policy,
        created_at=campaign.created_at,
        updated_at=campaign.updated_at,
    )


@campaigns.get("/campaigns", scope="read")
async def list_campaigns(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[CampaignBody]:
    """List the group's campaigns."""

    async def fetch(after: UUID | None, limit: int) -> list[Campaign]:
        return await request.services.campaigns.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda campaign: campaign.id, UUID), shown)


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


@campaigns.delete("/campaigns/{campaign_id:str}", scope="write", status=204, problems=[Conflict])
async def delete_campaign(request: ApiRequest, caller: Caller, campaign_id: UUID) -> None:
    """Delete a campaign that no generator names and that was never published."""
    await request.services.campaigns.delete(caller.brand_id, campaign_id)


def _draft(body: CampaignInput) -> CampaignDraft:
    return CampaignDraft(
        name=body.name,
        consent_basis=body.consent_basis,
        routes=tuple(
            Route(ChannelKind.named(route.channel), route.template_id, route.sender_id) for route in body.routes
        ),
        mode=body.mode,
        lane=body.lane,
        policy=body.policy,
    )
