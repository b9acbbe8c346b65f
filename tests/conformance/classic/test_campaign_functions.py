"""Executed campaigns, their channels, target groups and people, as partners ask about them."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from httpx import AsyncClient

from hub_world import Partner, partner_of
from stentor.api.services import Services
from stentor.audience.model import CustomerPatch
from stentor.audience.segments.expressions import Language
from stentor.channels.partners.model import ClientPatch
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.audiences import OfTag
from stentor.integrations.runs import Run, RunQuery
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

SMS = ChannelKind.SMS
NAMES = ("B2", "a1", "É3")


class Stage(msgspec.Struct):
    """A brand with three executions on channel 505: for a topic, for a segment, for a tag. Nobody pulled the last one."""

    partner: Partner
    other: Partner
    """Of the same brand, with a channel of its own."""
    world: World
    by_topic: int
    by_segment: int
    by_tag: int

    @property
    def today(self) -> str:
        return datetime.now(UTC).date().isoformat()

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.partner.ask(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def stage(http: AsyncClient, services: Services) -> Stage:
    db = services.database
    world = await World.made(db)
    made = await world.partner(SMS, number=505, template=7, name="Kick-off")
    await world.people([Someone(name, channels=SMS.bit, address_mask=SMS.bit, valid_mask=SMS.bit) for name in NAMES])
    for name in NAMES:
        patch = CustomerPatch(external_id=name, attributes={"Country": f"of {name}", "Level": 3})
        await services.customers.upsert(world.brand_id, patch)
    segment = await services.segments.create(world.brand_id, "Readers", Language(values=("en",)))
    await services.segments.create(world.brand_id, "Others", Language(values=("pt",)))
    publication = await world.publication([SMS], basis="channel", partners=[made])
    topical = await world.execution(await world.publication([SMS], partners=[made]))
    segmented = await world.execution(publication, audience=OfTag(await world.tag(["a1", "B2"])))
    tagged = await world.execution(publication, audience=OfTag(await world.tag(["a1"])))
    engine = Engine(db, ScriptedChannel())
    await engine.drain()
    async with db.transaction() as conn:
        # As if it had been planned for the segment, which nobody here is in.
        await conn.execute(
            "UPDATE execution SET audience = jsonb_build_object('kind', 'segment', 'segment_id', %s::text) WHERE id = %s",
            [str(segment.id), segmented],
        )
        await conn.execute("UPDATE send SET state = 2 WHERE execution_id <> %s", [tagged])
    brand = await services.accounts.update_brand_settings(world.brand_id, {"hub_rate_per_10_s": 0})
    partner = await partner_of(http, services, "Texting", [505], brand=brand, attributes=["Email", "Country", "Level"])
    other = await partner_of(http, services, "Pushing", [506], brand=brand)
    numbers = {run.execution_id: run.number for run in await _runs(services, partner)}
    return Stage(partner, other, world, numbers[topical], numbers[segmented], numbers[tagged])


async def _runs(services: Services, partner: Partner) -> list[Run]:
    caller = await services.hub_callers.authenticate_key(partner.credentials.api_key)
    assert caller is not None
    return await services.partner_runs.runs(caller, RunQuery())


@pytest.mark.fact("F4.6.2", "F4.6.3", "F4.6.4", "F4.6.5", "F4.6.6", "F4.8.C8", "F4.8.C14")
async def test_campaigns_are_told_with_the_keys_that_clients_read(stage: Stage) -> None:
    actions = "/current/actions"
    channel = {"ChannelID": 505}

    assert await stage.get(f"{actions}/GetExecutionChannels") == [
        {"ChannelID": 505, "ChannelId": 505, "ChannelName": "Partner"}
    ]
    assert await stage.get(f"{actions}/GetExecutedCampaignsByChannel", **channel, Date=stage.today) == [
        {"CampaignID": number} for number in sorted((stage.by_topic, stage.by_segment, stage.by_tag))
    ]
    assert await stage.get(f"{actions}/GetExecutedCampaignsByChannel", **channel, Date="2016-01-01") == []
    assert await stage.get(f"{actions}/GetExecutedCampaignsByChannel", ChannelID=999, Date=stage.today) == []
    of_day = await stage.get(f"{actions}/GetExecutedCampaignDetails", Date=stage.today)
    details = await stage.get(f"{actions}/GetCampaignDetails", CampaignID=stage.by_segment)
    (group,) = [
        each["TargetGroupID"]
        for each in await stage.get("/groups/GetTargetGroupDetails")
        if each["TargetGroupName"] == "Readers"
    ]
    common = {
        "TargetGroupID": group,
        "CampaignType": "Test/Control",
        "Duration": 1,
        "LeadTime": 0,
        "Notes": "",
        "IsMultiChannel": False,
        "IsRecurrence": False,
        "Status": "Successful",
        "Error": "",
    }
    assert {"CampaignID": stage.by_segment, **common} in of_day
    assert details == {
        "CampaignName": details["CampaignName"],
        **common,
        "Tags": [],
        "Channels": [{"Id": 505, "Name": "Partner"}],
        "TestGroupSize": 2,
        "ControlGroupSize": 0,
    }
    assert len((await stage.get(f"{actions}/GetCampaignDetails", CampaignID=stage.by_tag))["Tags"]) == 1
    (sent,) = await stage.get(
        f"{actions}/GetExecutedCampaignChannelDetails", CampaignID=str(stage.by_topic), ChannelId="505"
    )
    assert (sent.keys(), sent["TemplateID"]) == ({"SendID", "TemplateID", "ScheduledTime", "ListID"}, 7)
    assert re.fullmatch(stage.today + r" \d\d:\d\d:\d\d", sent["ScheduledTime"])
    unknown = {"CampaignID": 99, "ChannelID": 505}
    assert await stage.get(f"{actions}/GetExecutedCampaignChannelDetails", **unknown) == []


@pytest.mark.fact("F5d.GetActionName", "F5d.GetActionID", "F5d.GetAllActions", "F5d.GetActionsByTargetGroup")
@pytest.mark.fact("F5d.GetActionDetailsByTargetGroup", "F5d.GetPromoCodes", "F5d.GetPromoCodesByCampaign")
@pytest.mark.fact("F5d.GetPromoCodesByTargetGroup", "F5d.GetTargetGroupName", "F5d.GetTargetGroupID")
@pytest.mark.fact("F5d.GetTargetGroupsByDate", "F5d.GetTargetGroupDetails")
async def test_actions_are_campaigns_and_target_groups_are_segments(stage: Stage) -> None:
    today = {"Date": stage.today}

    every = await stage.get("/current/actions/GetAllActions")
    groups = await stage.get("/current/groups/GetTargetGroupDetails")

    for one in every:
        named = await stage.get("/current/actions/GetActionName", ActionID=one["ActionID"])
        assert named == {"ActionName": one["ActionName"]}
        assert await stage.get("/actions/GetActionID", ActionName=one["ActionName"]) == {"ActionID": one["ActionID"]}
    assert sorted(each["TargetGroupName"] for each in groups) == ["Others", "Readers"]
    assert [each["TargetGroupPriority"] for each in groups] == [1, 2]
    (group,) = [each["TargetGroupID"] for each in groups if each["TargetGroupName"] == "Readers"]
    assert await stage.get("/groups/GetTargetGroupName", targetGroupId=group) == {"TargetGroupName": "Readers"}
    assert await stage.get("/groups/GetTargetGroupID", TargetGroupName="Readers") == {"TargetGroupID": group}
    assert await stage.get("/groups/GetTargetGroupsByDate", **today) == [{"TargetGroupID": group}]
    (done,) = await stage.get("/actions/GetActionsByTargetGroup", TargetGroupID=group, **today)
    assert done["RecipientGroupID"] == 1
    assert done["ActionID"] in {each["ActionID"] for each in every}
    assert await stage.get("/actions/GetActionDetailsByTargetGroup", TargetGroupID=group, **today) == [
        {**done, "Duration": 1, "LeadTime": 0, "ChannelID": 505}
    ]
    assert await stage.get("/actions/GetPromoCodes", **today) == []
    assert await stage.get("/actions/GetPromoCodesByCampaign", CampaignID=1) == []
    assert await stage.get("/actions/GetPromoCodesByTargetGroup", TargetGroupID=group, **today) == []


@pytest.mark.fact("F5d.GetCustomersByAction", "F5d.GetCustomerActionsByTargetGroup", "F4.8.C11", "F4.8.C9")
@pytest.mark.fact("F5d.GetCustomerOneTimeActionsByDate", "F5d.GetCustomerActionDetailsByDate")
@pytest.mark.fact("F5d.GetCurrentlyTargetedCustomers", "F5d.GetCustomerLastActionExecuted")
@pytest.mark.fact("F5d.GetCustomersActionEndedByDate")
async def test_people_are_told_in_the_order_of_their_ids_with_what_may_be_pulled_of_them(stage: Stage) -> None:
    customers, today = "/current/customers", {"Date": stage.today}

    by_campaign = f"{customers}/GetCustomerOneTimeActionsByCampaign"
    asked = {"CampaignID": stage.by_topic, "CustomerAttribtues": "Country;email; Level"}
    rows = await stage.get(by_campaign, **asked)
    older = await stage.get(f"/v3.0{by_campaign.removeprefix('/current')}", **asked, CustomerAttributesDelimiter=";")

    assert [(row["CustomerID"], row["CustomerAttributes"]) for row in rows] == [
        ("B2", ["of B2", "B2@example.com", "3"]),
        ("a1", ["of a1", "a1@example.com", "3"]),
        ("É3", ["of É3", "É3@example.com", "3"]),
    ]
    assert {(row["RecipientGroupID"], row["ChannelID"]) for row in rows} == {(1, 505)}
    assert [row["CustomerAttribute"] for row in older] == [";".join(row["CustomerAttributes"]) for row in rows]
    assert await stage.get(by_campaign, CampaignID=stage.by_topic, top=1, skip=1) == [
        {key: value for key, value in rows[1].items() if key != "CustomerAttributes"}
    ]
    assert await stage.get(by_campaign, CampaignID=stage.by_topic, top=0) == []
    # One that recurs or is for a target group is none of these.
    assert await stage.get(by_campaign, CampaignID=stage.by_segment) == []
    by_day = await stage.get(f"{customers}/GetCustomerActionDetailsByDate", **today)
    assert [row["CustomerID"] for row in by_day] == ["B2", "a1", "É3", "B2", "a1"]
    assert len(await stage.get(f"{customers}/GetCustomerOneTimeActionsByDate", **today)) == 3
    action = rows[0]["ActionID"]
    got = {"RecipientGroupID": 1, "ActionID": action, **today}
    assert await stage.get(f"{customers}/GetCustomersByAction", **got) == [
        {"CustomerID": row["CustomerID"]} for row in rows
    ]
    assert await stage.get(f"{customers}/GetCustomersByAction", **{**got, "RecipientGroupID": 2}) == []
    group = (await stage.get("/groups/GetTargetGroupsByDate", **today))[0]["TargetGroupID"]
    by_group = await stage.get(
        f"{customers}/GetCustomerActionsByTargetGroup", TargetGroupID=group, **today, IncludeRecipientGroupID="True"
    )
    assert [(row["CustomerID"], row["ChannelID"], row["RecipientGroupID"]) for row in by_group] == [
        ("B2", 505, 1),
        ("a1", 505, 1),
    ]
    going_on = await stage.get(f"{customers}/GetCurrentlyTargetedCustomers")
    assert {row["CampaignID"] for row in going_on} == {stage.by_topic, stage.by_segment, stage.by_tag}
    assert going_on[-1].keys() == {"CustomerID", "CampaignID", "ActionID", "StartDate", "EndDate"}
    last = await stage.get(f"{customers}/GetCustomerLastActionExecuted", CustomerID="a1")
    assert (last["Date"], last["Duration"], last["TargetGroupID"]) == (stage.today, 1, group)
    assert (await stage.partner.ask(f"{customers}/GetCustomerLastActionExecuted", CustomerID="x")).status_code == 404
    assert await stage.get(f"{customers}/GetCustomersActionEndedByDate", **today) == []
    async with stage.world.db.transaction() as conn:
        await conn.execute("UPDATE execution SET state = 'ended', status_at = now()")
    ended = await stage.get(f"{customers}/GetCustomersActionEndedByDate", **today, top=1)
    assert ended[0].keys() == {"CustomerID", "ActionID", "ChannelID", "Date", "Duration", "TargetGroupID"}


async def test_attributes_that_may_not_be_pulled_and_delimiters_that_values_may_hold_are_refused(stage: Stage) -> None:
    path = "/current/customers/GetCustomerActionDetailsByDate"

    for attributes, delimiter in [("Shoe", ","), ("Phone", ","), *(("Email", each) for each in ":/?&#%$+=")]:
        answer = await stage.partner.ask(
            path, Date=stage.today, CustomerAttributes=attributes, CustomerAttributesDelimiter=delimiter
        )
        assert answer.status_code == 400, (attributes, delimiter)


async def test_what_is_granted_on_one_channel_is_told_of_nobody_on_another(
    stage: Stage, http: AsyncClient, services: Services
) -> None:
    both = await partner_of(http, services, "Both", [505, 506], brand=stage.partner.brand)
    granted = ClientPatch(channels={505: ("Email",), 506: ("Country", "Email")})
    await services.hub_clients.update(both.brand.id, both.id, granted)

    told = await both.ask(
        "/current/customers/GetCustomerOneTimeActionsByDate", Date=stage.today, CustomerAttributes="Country;Email"
    )

    assert [row["CustomerAttributes"] for row in told.json()] == [["", f"{name}@example.com"] for name in NAMES]


async def test_a_page_begins_behind_the_one_before_whoever_left_meanwhile(stage: Stage) -> None:
    path = "/current/customers/GetCurrentlyTargetedCustomers"

    async def page(skip: int, top: int = 2) -> list[tuple[int, str]]:
        rows = await stage.get(path, **{"$top": top, "$skip": skip})
        return [(row["CampaignID"], row["CustomerID"]) for row in rows]

    everybody = await page(0, 100)
    first = await page(0)
    person = customer_id(stage.world.brand_id, first[0][1])
    async with stage.world.db.autocommit() as conn:
        await conn.execute("UPDATE send SET state = 3, reason = 2 WHERE customer_id = %s", [person])
    left = [one for one in everybody if one[1] != first[0][1]]

    assert first == everybody[:2]
    assert await page(2) == await page(2) == left[1:3]
    assert await page(4) == left[3:5]
    assert await page(3, 1) == left[2:3]
    assert await page(0, 100) == left
    assert await page(100) == []


@pytest.mark.fact("F5d.GetTargetGroupChangers", "F5d.GetCustomerAttributeChangers", "F5d.GetCustomerFutureValues")
@pytest.mark.fact("F5d.GetLifecycleStageList", "F5d.GetMicrosegmentList", "F5d.GetMicrosegmentChangers")
@pytest.mark.fact("F5d.GetValueSegmentName", "F5d.GetValueSegmentID", "F5d.GetValueSegments")
@pytest.mark.fact("F5d.GetCustomersByValueSegment", "F5d.GetValueSegmentChangers", "F5d.GetCustomerAttributeList")
@pytest.mark.fact("F4.6.14")
async def test_what_nothing_is_kept_of_is_answered_as_none(partner: Partner) -> None:
    days = {"StartDate": "2026-01-01", "EndDate": "2026-02-01"}

    lists: list[tuple[str, dict[str, Any]]] = [
        ("customers/GetTargetGroupChangers", days),
        ("customers/GetTargetGroupChangers", {}),
        ("customers/GetCustomerAttributeChangers", {**days, "ChangedCustomerAttribute": "Country"}),
        ("customers/GetCustomerFutureValues", {"LifecycleStageID": 3}),
        ("model/GetLifecycleStageList", {}),
        ("model/GetMicrosegmentList", {}),
        ("model/GetMicrosegmentChangers", days),
        ("segments/GetValueSegments", {}),
        ("segments/GetCustomersByValueSegment", {"ValueSegmentID": 1, "Date": "2026-01-01"}),
        ("segments/GetValueSegmentChangers", days),
    ]
    for path, query in lists:
        answer = await partner.ask(f"/current/{path}", **query)
        assert (answer.status_code, answer.text) == (200, "[]"), path
    look_ups: list[tuple[str, dict[str, Any]]] = [
        ("segments/GetValueSegmentName", {"ValueSegmentID": 1}),
        ("segments/GetValueSegmentID", {"ValueSegmentName": "VIP"}),
    ]
    for path, query in look_ups:
        answer = await partner.ask(f"/current/{path}", **query)
        assert (answer.status_code, answer.text) == (404, "Not Found"), path
    listed = await partner.ask("/current/model/GetCustomerAttributeList")
    assert [each["RealFieldName"] for each in listed.json()] == ["Email", "Phone", "Country"]
    assert set(listed.json()[0]) == {"RealFieldName", "Description"}


async def test_nobody_is_told_of_another_brands_or_another_partners_campaigns(stage: Stage, stranger: Partner) -> None:
    today = stage.today
    lists: list[tuple[str, dict[str, Any]]] = [
        ("actions/GetExecutedCampaignsByChannel", {"ChannelID": 505, "Date": today}),
        ("actions/GetExecutedCampaignDetails", {"Date": today}),
        ("actions/GetExecutedCampaignChannelDetails", {"CampaignID": stage.by_topic, "ChannelID": 505}),
        ("customers/GetCustomerActionDetailsByDate", {"Date": today}),
        ("customers/GetCustomerOneTimeActionsByDate", {"Date": today}),
        ("customers/GetCustomerOneTimeActionsByCampaign", {"CampaignID": stage.by_topic}),
        ("customers/GetCurrentlyTargetedCustomers", {}),
    ]
    look_ups: list[tuple[str, dict[str, Any]]] = [
        ("actions/GetCampaignDetails", {"CampaignID": stage.by_topic}),
        ("customers/GetCustomerLastActionExecuted", {"CustomerID": "a1"}),
    ]
    for outsider in (stranger, stage.other):
        for path, query in lists:
            answer = await outsider.ask(f"/current/{path}", **query)
            assert (answer.status_code, answer.text) == (200, "[]"), path
        for path, query in look_ups:
            answer = await outsider.ask(f"/current/{path}", **query)
            assert (answer.status_code, answer.text) == (404, "Not Found"), path
    assert (await stranger.ask("/current/groups/GetTargetGroupDetails")).text == "[]"
    assert (await stranger.ask("/current/Customers/a1/Attributes")).status_code == 404
    with_key_and_token = {"X-API-KEY": stranger.credentials.api_key, "Authorization-Token": await stage.partner.token()}
    answer = await stranger.ask("/groups/GetTargetGroupDetails", headers=with_key_and_token)
    assert answer.text == "[]"
