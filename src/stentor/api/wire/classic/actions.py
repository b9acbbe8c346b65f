"""Executed campaigns and the channels that they went out by. An action is what a campaign does, whenever it is executed."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from stentor.api.wire.classic.calls import Call
from stentor.api.wire.classic.reading import Answer, Number, Query
from stentor.api.wire.classic.registry import Category
from stentor.errors import NotFound
from stentor.integrations.pulls.model import send_prefix
from stentor.integrations.runs import Run, RunQuery

actions = Category("actions")

TEST_GROUP = 1
"""The RecipientGroupID of whoever is not held out to be compared with."""
NO_GROUP = -1
"""The TargetGroupID of what is for no segment."""
ONE_DAY = 1


class OfDay(Query, frozen=True, kw_only=True):
    """A day of UTC."""

    date: date


class OfChannelAndDay(OfDay, frozen=True, kw_only=True):
    channel_id: Number


class OfCampaign(Query, frozen=True, kw_only=True):
    campaign_id: Number


class OfCampaignAndChannel(OfCampaign, frozen=True, kw_only=True):
    channel_id: Number


class OfGroupAndDay(OfDay, frozen=True, kw_only=True):
    target_group_id: int


class OfAction(Query, frozen=True, kw_only=True):
    action_id: Number


class OfActionName(Query, frozen=True, kw_only=True):
    action_name: str


class ActionBody(Answer, frozen=True, kw_only=True):
    action_id: int
    action_name: str


class ActionName(Answer, frozen=True, kw_only=True):
    action_name: str


class ActionID(Answer, frozen=True, kw_only=True):
    action_id: int


class ActionOfGroup(Answer, frozen=True, kw_only=True):
    recipient_group_id: int
    action_id: int


class ActionDetails(Answer, frozen=True, kw_only=True):
    recipient_group_id: int
    action_id: int
    duration: int
    lead_time: int
    channel_id: int


class CampaignOfChannel(Answer, frozen=True, kw_only=True):
    campaign_id: int


@actions.get("GetExecutionChannels")
async def get_execution_channels(call: Call) -> list[dict[str, Any]]:
    """The client's channels; their ids stand there in both spellings that clients read."""
    channels = await call.services.partner_channels.page(call.brand.id)
    return [
        {"ChannelID": each.number, "ChannelId": each.number, "ChannelName": each.name}
        for each in channels
        if call.client.executes(each.number)
    ]


@actions.get("GetExecutedCampaignsByChannel")
async def get_executed_campaigns_by_channel(call: Call, query: OfChannelAndDay) -> list[CampaignOfChannel]:
    """The campaigns that were executed by a channel on a day."""
    runs = await call.services.partner_runs.runs(call.client, RunQuery(day=query.date, channel=query.channel_id))
    return [CampaignOfChannel(campaign_id=run.number) for run in runs]


@actions.get("GetExecutedCampaignDetails")
async def get_executed_campaign_details(call: Call, query: OfDay) -> list[dict[str, Any]]:
    """The campaigns of a day, with what there is to know of each."""
    groups = await call.services.hub_numbers.numbers(call.brand.id, "segment")
    runs = await call.services.partner_runs.runs(call.client, RunQuery(day=query.date))
    return [{"CampaignID": run.number, **_details(run, group_of(run, groups))} for run in runs]


@actions.get("GetCampaignDetails")
async def get_campaign_details(call: Call, query: OfCampaign) -> dict[str, Any]:
    """One campaign, with its name, its tags and its channels."""
    run = await call.services.partner_runs.run(call.client, query.campaign_id)
    groups = await call.services.hub_numbers.numbers(call.brand.id, "segment")
    names = {each.number: each.name for each in await call.services.partner_channels.page(call.brand.id)}
    return {
        "CampaignName": run.campaign_name,
        **_details(run, group_of(run, groups)),
        "Tags": await call.services.partner_runs.tags(call.brand.id, run),
        "Channels": [
            {"Id": number, "Name": names.get(number, "")} for number in run.channels if call.client.executes(number)
        ],
        "TestGroupSize": run.audience_size,
        "ControlGroupSize": await call.services.partner_runs.held_out(call.brand.id, run) if run.has_arms else 0,
    }


@actions.get("GetExecutedCampaignChannelDetails")
async def get_executed_campaign_channel_details(call: Call, query: OfCampaignAndChannel) -> list[dict[str, Any]]:
    """What a campaign sent on a channel: a row for each of its templates."""
    runs = await call.services.partner_runs.runs(
        call.client, RunQuery(number=query.campaign_id, channel=query.channel_id)
    )
    return [
        {
            "SendID": f"{send_prefix(run.number, query.channel_id)}{template}",
            "TemplateID": template,
            "ScheduledTime": run.started_at.strftime("%Y-%m-%d %H:%M:%S"),
            "ListID": 0,
        }
        for run in runs
        for template in run.templates_on(query.channel_id)
    ]


@actions.get("GetActionName")
async def get_action_name(call: Call, query: OfAction) -> ActionName:
    """The name of one action."""
    for each in await call.services.hub_numbers.all(call.brand.id, "campaign"):
        if each.number == query.action_id:
            return ActionName(action_name=each.name)
    raise NotFound("There is no such action.")


@actions.get("GetActionID")
async def get_action_id(call: Call, query: OfActionName) -> ActionID:
    """The id of the action of that name."""
    for each in await call.services.hub_numbers.all(call.brand.id, "campaign"):
        if each.name == query.action_name:
            return ActionID(action_id=each.number)
    raise NotFound("There is no such action.")


@actions.get("GetAllActions")
async def get_all_actions(call: Call) -> list[ActionBody]:
    """All of the brand's actions."""
    found = await call.services.hub_numbers.all(call.brand.id, "campaign")
    return [ActionBody(action_id=each.number, action_name=each.name) for each in found]


@actions.get("GetActionsByTargetGroup")
async def get_actions_by_target_group(call: Call, query: OfGroupAndDay) -> list[ActionOfGroup]:
    """What was done for a target group on a day."""
    numbers = await call.services.hub_numbers.numbers(call.brand.id, "campaign")
    return [
        ActionOfGroup(recipient_group_id=TEST_GROUP, action_id=action_of(run, numbers))
        for run in await runs_of_group(call, query.target_group_id, query.date)
    ]


@actions.get("GetActionDetailsByTargetGroup")
async def get_action_details_by_target_group(call: Call, query: OfGroupAndDay) -> list[ActionDetails]:
    """The same, with the channels that it went out by."""
    numbers = await call.services.hub_numbers.numbers(call.brand.id, "campaign")
    return [
        ActionDetails(
            recipient_group_id=TEST_GROUP,
            action_id=action_of(run, numbers),
            duration=ONE_DAY,
            lead_time=0,
            channel_id=channel,
        )
        for run in await runs_of_group(call, query.target_group_id, query.date)
        for channel in run.channels
        if call.client.executes(channel)
    ]


# Campaigns here carry no promo codes.
actions.empty("GetPromoCodes", OfDay)
actions.empty("GetPromoCodesByCampaign", OfCampaign)
actions.empty("GetPromoCodesByTargetGroup", OfGroupAndDay)


async def runs_of_group(call: Call, target_group: int, day: date) -> list[Run]:
    """The runs of a day that were for a target group."""
    groups = await call.services.hub_numbers.numbers(call.brand.id, "segment")
    runs = await call.services.partner_runs.runs(call.client, RunQuery(day=day))
    return [run for run in runs if group_of(run, groups) == target_group]


def group_of(run: Run, numbers: Mapping[UUID, int]) -> int:
    """The TargetGroupID of the segment that a run was for; -1 for none, and for one that is gone."""
    return NO_GROUP if run.segment_id is None else numbers.get(run.segment_id, NO_GROUP)


def action_of(run: Run, numbers: Mapping[UUID, int]) -> int:
    """The ActionID of the campaign that was executed."""
    return numbers.get(run.campaign_id, 0)


def last_day_of(run: Run) -> date:
    """The day on which it is over."""
    return run.deadline_at.date() if run.deadline_at else (run.started_at + timedelta(days=ONE_DAY)).date()


def _details(run: Run, group: int) -> dict[str, Any]:
    return {
        "TargetGroupID": group,
        "CampaignType": "A/B" if run.has_arms else "Test/Control",
        "Duration": ONE_DAY,
        "LeadTime": 0,
        "Notes": "",
        "IsMultiChannel": len(run.channels) > 1,
        "IsRecurrence": run.is_recurrent,
        "Status": "Failed" if run.is_failed else "Successful",
        "Error": run.error_code,
    }
