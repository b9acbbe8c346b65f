"""Whom to write to, as programs of partners page through it."""

from typing import Any

import msgspec
import pytest
from httpx import AsyncClient

from hub_world import Partner, partner_of
from pull_world import Stage, reader
from stentor.api.services import Services
from stentor.domain.ids import customer_id, part_of
from stentor.wiring.core import Core

pytestmark = pytest.mark.anyio

SEND = "/current/customers/GetCustomerSendDetailsByChannel"
NAMES = [f"C-{number}" for number in range(5)]


@pytest.fixture
async def stage(installation: Core, partner: Partner) -> Stage:
    """Five people who want to hear by the partner's channel, some of whom say where they live."""
    made = await Stage.of_brand(installation.db, partner.brand.id, *map(reader, NAMES))
    async with installation.db.autocommit() as conn:
        await conn.execute("""UPDATE customer SET attributes = '{"Country": "FI"}' WHERE external_id < 'C-3'""")
    return made


async def details(partner: Partner, path: str = SEND, **query: Any) -> list[dict[str, Any]]:
    asked: dict[str, Any] = {"ChannelID": 505, **query}
    answer = await partner.ask(path, **asked)
    await partner.services.pulls.drained()
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-length"] == str(len(answer.content))
    found: list[dict[str, Any]] = msgspec.json.decode(answer.content)
    return found


def people(rows: list[dict[str, Any]]) -> list[str]:
    return [row["CustomerID"] for row in rows]


@pytest.mark.fact("F4.3.8", "F4.5.1", "F4.5.2", "F4.5.3", "F4.5.5", "F4.8.C11")
async def test_pages_of_any_size_lead_to_an_empty_one(stage: Stage, partner: Partner) -> None:
    campaign, execution_id = await stage.campaign()

    whole = await details(partner, CampaignID=campaign)
    large = await details(partner, CampaignID=campaign, **{"$top": 2_000_000})
    pages = [await details(partner, CampaignID=campaign, **{"$top": 2, "$skip": skip}) for skip in (0, 2, 4, 6)]

    assert people(whole) == people(large) == NAMES
    assert [people(page) for page in pages] == [NAMES[:2], NAMES[2:4], NAMES[4:], []]
    assert whole[0].keys() == {"CustomerID", "TemplateID", "ScheduledTime"}
    assert set((await stage.world.fates(execution_id)).values()) == {"handed_over"}


@pytest.mark.fact("F4.8.C9", "F4.6.7", "F4.6.8")
async def test_attributes_come_in_the_order_asked_for_and_as_one_text_where_they_did(
    stage: Stage, partner: Partner
) -> None:
    campaign, _ = await stage.campaign()

    asked: dict[str, Any] = {"CampaignID": campaign, "$top": 1, "CustomerAttributes": "Country;email;Phone;Country"}
    delimiters: list[dict[str, str]] = [{}, {"CustomerAttributesDelimiter": ";"}]
    now = await details(partner, **asked)
    misspelt = await details(partner, CampaignID=campaign, **{"$top": 1, "CustomerAttribtues": "Country"})
    older = [
        await details(partner, f"{version}/customers/GetCustomerSendDetailsByChannel", **asked, **delimiter)
        for version in ("/v3.0", "")
        for delimiter in delimiters
    ]
    executed = await details(partner, "/current/customers/GetCustomerExecutionDetailsByCampaign", **asked)
    of_all = await partner.ask(
        "/current/customers/GetCustomerSendDetailsByCampaign", CampaignID=campaign, IncludeTemplateIDs="True"
    )

    (named,) = await details(partner, "/current/actions/GetAllActions")
    (sent,) = await details(partner, "/current/actions/GetExecutedCampaignChannelDetails", CampaignID=campaign)
    assert {row["ActionID"] for row in executed} == {named["ActionID"]}
    assert {row["SendID"] for row in of_all.json()} == {sent["SendID"]}

    phone = now[0]["CustomerAttributes"][2]
    said = ["FI", "C-0@example.com", phone, "FI"]
    assert phone.startswith("+49")
    assert now[0]["CustomerAttributes"] == said
    assert misspelt[0]["CustomerAttributes"] == ["FI"]
    assert [page[0]["CustomerAttribute"] for page in older] == [",".join(said), ";".join(said)] * 2
    assert executed[0].items() >= {"TemplateName": "Kick-off", "PromoCode": "", "CustomerAttributes": said}.items()
    assert list(executed[0]) == [
        "CustomerID",
        "ActionID",
        "ChannelID",
        "TemplateID",
        "TemplateName",
        "ScheduleTime",
        "PromoCode",
        "CustomerAttributes",
    ]
    assert [row.keys() for row in of_all.json()] == [
        {"CustomerID", "ChannelID", "ScheduledTime", "SendID", "TemplateID"}
    ] * 5


async def test_whoever_asks_beside_another_function_shifts_none_of_its_pages(stage: Stage, partner: Partner) -> None:
    campaign, execution_id = await stage.campaign()
    first = await details(partner, CampaignID=campaign, **{"$top": 2})
    person = customer_id(partner.brand.id, NAMES[0])
    async with stage.world.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO revocation (execution_id, customer_id, brand_id, number, at, channel_number, part, reason)"
            " VALUES (%s, %s, %s, 1, now(), 505, %s, 2)",
            [execution_id, person, partner.brand.id, part_of(person)],
        )

    for function in ("GetCustomerExecutionDetailsByCampaign", "GetCustomerSendDetailsByCampaign"):
        assert len(await details(partner, f"/current/customers/{function}", CampaignID=campaign)) == 4
    rest = await details(partner, CampaignID=campaign, **{"$top": 10, "$skip": 2})

    assert (people(first), people(rest)) == (NAMES[:2], NAMES[2:])


async def test_what_may_not_be_asked_is_told_and_what_is_anothers_is_empty(
    stage: Stage, partner: Partner, stranger: Partner, http: AsyncClient, services: Services
) -> None:
    campaign, execution_id = await stage.campaign()
    beside = await partner_of(http, services, "Beside", (506,), brand=partner.brand)

    refused = [
        {"CustomerAttributes": "Country;Shoe size"},
        {"CustomerAttributes": "TimeZone"},
        *({"CustomerAttributesDelimiter": each} for each in ":/?&#%$+="),
        {"$top": -1},
        {"$skip": -1},
        {"$top": "many"},
        {"CampaignID": ""},
    ]
    for query in refused:
        asked: dict[str, Any] = {"ChannelID": 505, "CampaignID": campaign, **query}
        answer = await partner.ask(SEND, **asked)
        assert (answer.status_code, answer.headers["content-type"][:10]) == (400, "text/plain"), query
    assert set((await stage.world.fates(execution_id)).values()) == {"pending"}

    assert await details(stranger, CampaignID=campaign) == []
    assert await details(beside, CampaignID=campaign, CustomerAttributes="Shoe size") == []


@pytest.mark.fact("F4.8.C8")
async def test_lists_of_what_is_unknown_are_empty(stage: Stage, partner: Partner) -> None:
    campaign, _ = await stage.campaign()

    for query in (
        {"CampaignID": 99},
        {"CampaignID": campaign, "ChannelID": 506},
        {"CampaignID": campaign, "ChannelID": 7},
    ):
        for name in ("GetCustomerSendDetailsByChannel", "GetCustomerExecutionDetailsByCampaign"):
            assert await details(partner, f"/current/customers/{name}", **query) == []
    assert await details(partner, CampaignID=campaign, **{"$skip": 5}) == []


@pytest.mark.fact("F4.5.4", "F4.8.C13")
async def test_pages_keep_their_order_whatever_happens_between_them(stage: Stage, partner: Partner) -> None:
    campaign, execution_id = await stage.campaign()

    first = people(await details(partner, CampaignID=campaign, **{"$top": 2}))
    await stage.world.choose("C-0", 0)
    await stage.world.choose("C-3", 0)
    await stage.world.people([reader("C-00")])
    second = people(await details(partner, CampaignID=campaign, **{"$top": 2, "$skip": 2}))
    await stage.pulls.look()
    third = people(await details(partner, CampaignID=campaign, **{"$top": 2, "$skip": 4}))

    assert first + second + third == NAMES
    assert people(await details(partner, CampaignID=campaign)) == ["C-1", "C-2", "C-4"]
    assert set((await stage.world.fates(execution_id)).values()) == {"handed_over"}
