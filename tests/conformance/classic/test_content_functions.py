"""Templates, apps and promo codes as partners keep them in step, and how people may be written to."""

from typing import Any

import pytest

from hub_world import Partner, partner_of
from stentor.api.services import Services
from stentor.audience.model import CustomerPatch
from stentor.domain.vocabulary import ChannelKind
from stentor.integrations.preferences import PREFERRED_MAX

pytestmark = pytest.mark.anyio

INTEGRATIONS = "/current/integrations"


async def _added(partner: Partner, function: str, items: list[dict[str, Any]], **query: Any) -> None:
    answer = await partner.tell(f"{INTEGRATIONS}/{function}", items, **query)
    assert (answer.status_code, answer.text) == (200, "")


async def _listed(partner: Partner, function: str, **query: Any) -> list[Any]:
    answer = await partner.ask(f"{INTEGRATIONS}/{function}", **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.fact("F4.3.5", "F4.3.6", "F4.3.7", "F4.6.10", "F4.8.C3", "F4.8.C4", "F4.8.C5", "F4.8.C12")
async def test_templates_are_added_renamed_and_deleted(partner: Partner) -> None:
    await _added(
        partner,
        "AddChannelTemplates",
        [{"TemplateID": 7, "TemplateName": "Welcome", "AppID": "not-added"}, {"TemplateID": 8, "TemplateName": "Bye"}],
        ChannelID=505,
    )
    await _added(partner, "AddChannelTemplates", [{"TemplateID": "7", "TemplateName": "Hello"}], ChannelID=505)
    await _added(partner, "AddChannelTemplates", [{"TemplateID": 7, "TemplateName": "Other"}], ChannelID=506)
    many = [{"TemplateID": number, "TemplateName": "x"} for number in range(101)]
    refused = [
        await partner.tell(f"{INTEGRATIONS}/AddChannelTemplates", many, ChannelID=505),
        await partner.tell(
            f"{INTEGRATIONS}/AddChannelTemplates", [*many[:2], {"TemplateID": 9, "TemplateName": ""}], ChannelID=505
        ),
        await partner.tell(f"{INTEGRATIONS}/AddChannelTemplates", many[:1], ChannelID=507),
        await partner.tell(f"{INTEGRATIONS}/DeleteChannelTemplates", [{"ChannelID": 505, "TemplateID": 7}] * 101),
    ]

    assert [answer.status_code for answer in refused] == [400] * 4
    assert refused[0].text.startswith("AddChannelTemplates takes at most 100 items in a call, and these are 101.")
    assert await _listed(partner, "GetChannelTemplates", ChannelID=505) == [
        {"TemplateID": 7, "TemplateName": "Hello"},
        {"TemplateID": 8, "TemplateName": "Bye"},
    ]
    details = await _listed(partner, "GetChannelTemplateDetails", ChannelID=505, TemplateID=7)
    assert details == [{"TemplateName": "Hello", "TemplateContent": "", "TemplateAttributes": ["Texting", "", ""]}]
    assert len(await _listed(partner, "GetChannelTemplatesDetails", ChannelID=505)) == 2
    assert await _listed(partner, "GetChannelTemplateDetails", ChannelID=505, TemplateID=99) == []
    mixed = [
        {"ChannelID": 505, "TemplateID": 8},
        {"ChannelID": "506", "TemplateID": "7"},
        {"ChannelID": 505, "TemplateID": 99},
    ]
    await _added(partner, "DeleteChannelTemplates", mixed)
    assert [each["TemplateID"] for each in await _listed(partner, "GetChannelTemplates", ChannelID=505)] == [7]
    assert await _listed(partner, "GetChannelTemplates", ChannelID=506) == []
    assert await _listed(partner, "GetChannelTemplates", ChannelID=99) == []


@pytest.mark.fact("F4.3.11", "F4.3.12")
async def test_apps_may_have_numbers_for_ids(partner: Partner) -> None:
    await _added(
        partner, "AddChannelApps", [{"AppID": 12, "AppName": "Bingo"}, {"appid": "b", "appname": "B"}], ChannelID=505
    )
    await _added(partner, "AddChannelApps", [{"AppID": "12", "AppName": "Bingo 2"}], ChannelID=505)

    assert await _listed(partner, "GetChannelApps", ChannelID=505) == [
        {"AppID": "12", "AppName": "Bingo 2"},
        {"AppID": "b", "AppName": "B"},
    ]
    await _added(partner, "DeleteChannelApps", [{"ChannelID": 505, "AppID": 12}, {"ChannelID": 505, "AppID": "c"}])
    assert await _listed(partner, "GetChannelApps", ChannelID=505) == [{"AppID": "b", "AppName": "B"}]
    assert await _listed(partner, "GetChannelApps", ChannelID=99) == []


@pytest.mark.fact("F4.6.12")
async def test_promotions_are_the_brands(partner: Partner, stranger: Partner) -> None:
    await _added(
        partner,
        "AddPromotions",
        [{"PromoCode": "B10", "PromotionName": "Ten"}, {"PromoCode": 11, "PromotionName": "E"}],
    )
    await _added(partner, "AddPromotions", [{"PromoCode": "B10", "PromotionName": "Ten again"}])
    many = [{"PromoCode": str(number), "PromotionName": "x"} for number in range(101)]

    assert (await partner.tell(f"{INTEGRATIONS}/AddPromotions", many)).status_code == 400
    assert (
        await partner.tell(f"{INTEGRATIONS}/AddPromotions", [*many[:2], {"PromoCode": "", "PromotionName": "x"}])
    ).status_code == 400
    assert await _listed(partner, "GetPromotions") == [
        {"PromoCode": "11", "PromotionName": "E"},
        {"PromoCode": "B10", "PromotionName": "Ten again"},
    ]
    await _added(stranger, "DeletePromotions", [{"PromoCode": "B10"}])
    await _added(partner, "DeletePromotions", [{"PromoCode": 11}, {"PromoCode": "none"}])
    assert await _listed(partner, "GetPromotions") == [{"PromoCode": "B10", "PromotionName": "Ten again"}]
    assert await _listed(stranger, "GetPromotions") == []


@pytest.mark.fact("F4.6.11")
async def test_preferences_are_flags_which_a_partner_can_refuse_and_only_a_person_lifts(
    partner: Partner, services: Services
) -> None:
    brand_id = partner.brand.id
    for name in ("A1", "A2", "17"):
        await services.customers.upsert(brand_id, CustomerPatch(external_id=name, phone="+358401112222"))

    async def told(people: list[str | int], mode: int, **more: Any) -> int:
        body = {"ChannelID": 505, "CustomerIDs": people, "CommunicationMode": mode, **more}
        return (await partner.tell(f"{INTEGRATIONS}/SetCustomerChannelPreference", body)).status_code

    async def flags(name: str) -> tuple[list[ChannelKind], list[ChannelKind]]:
        customer = await services.customers.get(brand_id, name)
        return customer.agreed, customer.refused

    assert await told(["A1", "A2", "nobody", "A1"], 1, AppID="app1") == 200
    assert await flags("A1") == ([ChannelKind.SMS], [])
    assert await told(["A1", 17], 2) == 200
    assert await told(["A2"], 0) == 200
    assert await told(["A1"], 1) == 200
    assert await told(["A1"], 0) == 200
    assert [await flags(name) for name in ("A1", "A2", "17")] == [
        ([], [ChannelKind.SMS]),
        ([], []),
        ([], [ChannelKind.SMS]),
    ]
    assert await told(["A1"], 9) == 400
    assert await told(["A1"], 2, ChannelID=999) == 400
    assert await told([], 2) == 200
    assert await told(["n"] * (PREFERRED_MAX + 1), 2) == 400
    ledger = await services.subscriptions.ledger(brand_id, "A1")
    assert [(event.kind, event.actor) for event in ledger] == [
        ("refused", "hub client Texting"),
        ("agreed", "hub client Texting"),
    ]


async def test_another_partner_of_the_brand_changes_nothing_of_channels_that_are_not_its_own(
    partner: Partner, stranger: Partner, services: Services
) -> None:
    sibling = await partner_of(partner.http, services, "Pushing", [510], brand=partner.brand)
    await _added(partner, "AddChannelTemplates", [{"TemplateID": 7, "TemplateName": "Welcome"}], ChannelID=505)
    await _added(partner, "AddChannelApps", [{"AppID": "a", "AppName": "A"}], ChannelID=505)

    for outsider in (sibling, stranger):
        await _added(outsider, "DeleteChannelTemplates", [{"ChannelID": 505, "TemplateID": 7}])
        await _added(outsider, "DeleteChannelApps", [{"ChannelID": 505, "AppID": "a"}])
        assert await _listed(outsider, "GetChannelTemplates", ChannelID=505) == []
        assert await _listed(outsider, "GetChannelTemplateDetails", ChannelID=505) == []
        assert await _listed(outsider, "GetChannelApps", ChannelID=505) == []
    foreign = await sibling.tell(
        f"{INTEGRATIONS}/AddChannelTemplates", [{"TemplateID": 7, "TemplateName": "x"}], ChannelID=505
    )
    unknown = await sibling.tell(
        f"{INTEGRATIONS}/AddChannelTemplates", [{"TemplateID": 7, "TemplateName": "x"}], ChannelID=999
    )
    assert (foreign.status_code, unknown.status_code) == (400, 400)
    assert foreign.text.replace("505", "999") == unknown.text

    assert await _listed(partner, "GetChannelTemplates", ChannelID=505) == [
        {"TemplateID": 7, "TemplateName": "Welcome"}
    ]
    assert await _listed(partner, "GetChannelApps", ChannelID=505) == [{"AppID": "a", "AppName": "A"}]
