"""What clients push about campaigns that they carried out, and ask about them afterwards."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hub_world import Partner
from reporting_world import CHANNEL, Carried, carried
from stentor.accounts.model import HISTORY_DAYS_MIN
from stentor.audience.model import CustomerPatch

pytestmark = pytest.mark.anyio

METRICS = "/current/integrations/UpdateCampaignMetrics"
INTERACTIONS = "/current/integrations/UpdateCampaignInteractions"
TODAY = datetime.now(UTC).date()


@pytest.fixture
async def run(partner: Partner) -> Carried:
    for place, name in enumerate(("ann", "bob", "17")):
        patch = CustomerPatch(external_id=name, phone=f"+35840111000{place}")
        await partner.services.customers.upsert(partner.brand.id, patch)
    return await carried(partner.services.database, partner.brand.id, ["ann", "bob", "17"])


def metric(number: Any, value: Any, **changes: Any) -> dict[str, Any]:
    said = {"ChannelID": CHANNEL, "CampaignID": 324, "TemplateID": 7, "MetricID": number, "MetricValue": value}
    return said | changes


def interaction(event: Any, *names: Any, **changes: Any) -> dict[str, Any]:
    said = {
        "CampaignID": 324,
        "ChannelID": CHANNEL,
        "InteractionDate": TODAY.isoformat(),
        "TemplateID": 7,
        "EventID": event,
        "CustomerIDs": list(names),
    }
    return {name: value for name, value in (said | changes).items() if value is not None}


async def told(partner: Partner, path: str, body: Any) -> tuple[int, str]:
    answer = await partner.tell(path, body)
    assert answer.headers["content-length"] == str(len(answer.content))
    return answer.status_code, answer.text


async def figures(partner: Partner, run: Carried) -> dict[str, tuple[int | None, int | None]]:
    """What was reported of template 7, and of how many people it is known."""
    shown = await partner.services.reported.of_execution(run.brand_id, run.execution_id)
    return {each.metric: (each.reported, each.people) for one in shown if one.template == 7 for each in one.figures}


@pytest.mark.fact("F4.3.9", "F4.8.C6")
async def test_metrics_are_running_totals_unless_the_brand_has_them_added(
    partner: Partner, stranger: Partner, run: Carried
) -> None:
    first = await told(partner, METRICS, [metric(1, 5), metric("2", "3", TemplateID="7")])
    again = await told(partner, METRICS, [metric(1, 8)])
    replaced = await figures(partner, run)
    await stranger.services.accounts.update_brand_settings(stranger.brand.id, {"metrics_mode": "add"})
    other = await carried(stranger.services.database, stranger.brand.id, [])
    added = [await told(stranger, METRICS, [metric(1, 1), metric(1, 2)]) for _ in range(2)]

    assert (first, again) == ((200, ""), (200, ""))
    assert replaced == {"delivered": (8, None), "opened": (3, None)}
    assert added == [(200, "")] * 2
    assert await figures(stranger, other) == {"delivered": (6, None)}


@pytest.mark.fact("F4.3b.1", "F4.3b.2", "F4.3b.3", "F4.3b.4", "F4.3b.5", "F4.3b.6", "F4.3b.7", "F4.3b.8", "F4.3b.9")
async def test_metrics_and_events_have_the_same_numbers_and_both_bounces_are_one(
    partner: Partner, run: Carried
) -> None:
    names = ["sent", "delivered", "opened", "clicked", "unsubscribed", "dropped", "complained", "bounced", "other"]

    assert await told(partner, METRICS, [metric(number, number) for number in range(10)]) == (200, "")
    for number in range(10):
        assert await told(partner, INTERACTIONS, interaction(number, "ann")) == (200, "")

    shown = await figures(partner, run)
    expected = {name: (number, 1) for number, name in enumerate(names)}
    assert shown == {**expected, "bounced": (9, 1), "other": (8, None)}
    person = await partner.services.customers.get(run.brand_id, "ann")
    assert [kind.label for kind in person.refused] == ["sms"]
    assert (person.bounced_mask, person.complained_mask) == (4, 4)


@pytest.mark.fact("F4.3.10", "F4.8.C7")
async def test_interactions_name_thousands_and_count_each_once(partner: Partner, run: Carried) -> None:
    many = [f"stranger-{number}" for number in range(9_998)]
    said = interaction(2, "ann", 17, *many, AppID="app1", RecipientGroupID="2", TemplateID=None)

    assert await told(partner, INTERACTIONS, said) == (200, "")
    assert await told(partner, INTERACTIONS, interaction(2, "ann", "bob", InteractionDate=f"{TODAY}T10:00:00")) == (
        200,
        "",
    )

    (without, seven) = await partner.services.reported.of_execution(run.brand_id, run.execution_id)
    assert [(one.template, one.calls, one.named, one.unknown) for one in (without, seven)] == [
        (0, 1, 10_000, 9_998),
        (7, 1, 2, 0),
    ]
    people = await partner.ask("/current/customers/GetCampaignInteractionCustomers", CampaignID=324, EventID=2)
    assert sorted(people.json(), key=lambda one: one["CustomerID"]) == [
        {"CustomerID": "17", "CampaignID": 324, "TemplateID": 0},
        {"CustomerID": "ann", "CampaignID": 324, "TemplateID": 0},
        {"CustomerID": "bob", "CampaignID": 324, "TemplateID": 7},
    ]
    by_day = {"Date": run.published_at.date(), "EventID": 2, "ChannelID": CHANNEL, "$top": 2}
    pages = [
        (await partner.ask("/customers/GetCampaignInteractionCustomers", **by_day, **{"$skip": skip})).json()
        for skip in (0, 2, 3)
    ]
    assert [len(page) for page in pages] == [2, 1, 0]
    assert sorted(one["CustomerID"] for page in pages for one in page) == ["17", "ann", "bob"]


@pytest.mark.fact("F4.6.9")
async def test_what_a_person_did_is_told_by_day(partner: Partner, run: Carried) -> None:
    await partner.tell(INTERACTIONS, interaction(2, "ann"))
    await partner.tell(INTERACTIONS, interaction(9, "ann", TemplateID=8, RecipientGroupID=2))
    path, asked = "/current/customers/GetCustomerChannelInteractions", {"StartDate": TODAY, "EndDate": TODAY}

    answer = await partner.ask(path, CustomerID="ann", ChannelID=0, **asked)
    others = [
        await partner.ask(path, CustomerID="ann", ChannelID=506, **asked),
        await partner.ask(path, CustomerID="nobody", **asked),
        await partner.ask(path, CustomerID="ann", StartDate="2020-01-01", EndDate="2020-02-01"),
    ]

    rows = answer.json()
    assert [list(row) for row in rows] == [
        ["Date", "CampaignID", "RecipientGroupID", "ActionID", "ChannelID", "TemplateID", "EventID"]
    ] * 2
    told_of = [[value for name, value in row.items() if name != "ActionID"] for row in rows]
    assert sorted(told_of) == [
        [TODAY.isoformat(), 324, 1, CHANNEL, 7, 2],
        [TODAY.isoformat(), 324, 2, CHANNEL, 8, 7],
    ]
    assert all(isinstance(row["ActionID"], int) for row in rows)
    assert [other.text for other in others] == ["[]"] * 3
    assert (await partner.ask(path, CustomerID="ann")).status_code == 400


@pytest.mark.fact("F4.8.C14")
async def test_metrics_of_a_week_ago_are_still_taken_and_campaigns_kept_longer(partner: Partner, run: Carried) -> None:
    week = timedelta(days=7)
    old = await carried(partner.services.database, partner.brand.id, ["ann"], number=300, ago=week)
    async with partner.services.database.transaction() as conn:
        await conn.execute(
            "UPDATE execution SET state = 'cancelled', cancelled_at = published_at, ended_at = published_at WHERE id = %s",
            [old.execution_id],
        )

    said = [await told(partner, METRICS, [metric(1, 5, CampaignID=300)])]
    said.append(
        await told(partner, INTERACTIONS, interaction(2, "ann", CampaignID=300, InteractionDate=f"{TODAY - week}"))
    )

    assert said == [(200, "")] * 2
    assert (await partner.ask("/current/actions/GetCampaignDetails", CampaignID=300)).status_code == 200
    assert timedelta(days=HISTORY_DAYS_MIN) >= week


async def test_what_cannot_be_taken_is_refused_whole_and_named(
    partner: Partner, stranger: Partner, run: Carried
) -> None:
    bad: list[tuple[str, Any, str]] = [
        (METRICS, [metric(1, 1)] * 101, "at most 100"),
        (METRICS, [metric(1, 1), metric(1, 1, CampaignID=999)], "Item 2: No campaign 999 went out by channel 505."),
        (METRICS, [metric(1, 1, TemplateID=99)], "Item 1: Channel 505 has no template 99"),
        (METRICS, [metric(1, -1)], "Item 1: A value is"),
        (METRICS, [metric(11, 1)], "Item 1: There is no metric 11"),
        (METRICS, metric(1, 1), "a list, not an object"),
        (INTERACTIONS, interaction(2, *["ann"] * 10_001), "at most 10000"),
        (INTERACTIONS, interaction(2, "ann", InteractionDate=None), "InteractionDate"),
        (INTERACTIONS, interaction(2, "ann", InteractionDate="yesterday"), "is no InteractionDate"),
        (INTERACTIONS, interaction(2, "ann", CampaignID=999), "No campaign 999 went out by channel 505."),
        (INTERACTIONS, interaction(2, "ann", RecipientGroupID=101), "0 to 100"),
        (INTERACTIONS, [interaction(2, "ann")], "an object, not a list"),
    ]
    for path, body, why in bad:
        status, text = await told(partner, path, body)
        assert status == 400
        assert why in text

    for path, body in ((METRICS, [metric(1, 1)]), (INTERACTIONS, interaction(2, "ann"))):
        assert (await told(stranger, path, body))[0] == 400
    asked = {"CampaignID": 324, "EventID": 2}
    assert (await stranger.ask("/customers/GetCampaignInteractionCustomers", **asked)).text == "[]"
    assert (await partner.ask("/customers/GetCampaignInteractionCustomers", EventID=2)).status_code == 400
    assert await figures(partner, run) == {}
    assert await run.history() == []
