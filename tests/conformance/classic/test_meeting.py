"""People who meet a trigger: a customer's event runs a campaign for them alone, and listeners are told of each person."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from hub_world import Partner
from stentor import failpoints
from stentor.api.services import Services
from stentor.audience.customer_events import Told
from stentor.audience.model import Act, CustomerPatch, Source, TopicDraft
from stentor.campaigns.model import Basis, CampaignDraft, GeneratorDraft, Route
from stentor.channels.partners.model import NewTemplate
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.errors import TooLarge
from stentor.integrations.listeners.telling import Teller
from stentor.integrations.meeting import MeetingTeller
from stentor.wiring.core import Core
from stentor.wiring.roles import planner

pytestmark = pytest.mark.anyio

EVENT = "cart.left"
_PLAIN = CampaignPolicy()


async def trigger(
    partner: Partner, services: Services, *, basis: Basis = "channel", policy: CampaignPolicy = _PLAIN
) -> list[str]:
    """A campaign that channel 505 sends by template 7, run by events of that name; two people, one of whom said no.

    Returns where its publication warns.
    """
    brand_id = partner.brand.id
    await services.partner_content.add_templates(brand_id, 505, [NewTemplate(7, "Come back", None)])
    template = await services.partner_content.template(brand_id, 505, 7)
    routes = (Route(ChannelKind.SMS, template.id),)
    draft = CampaignDraft(name="Carts", consent_basis=basis, routes=routes, policy=policy)
    made = await services.campaigns.create(brand_id, draft)
    await services.generators.create(
        brand_id, GeneratorDraft(name="Carts", campaign_id=made.id), generator_id=EVENT, generator_type="event"
    )
    published = await services.generators.publish(brand_id, EVENT)
    people = [
        CustomerPatch(external_id=name, phone=f"+35840111222{place}") for place, name in enumerate(("C-17", "no"))
    ]
    await services.customers.upsert_many(brand_id, people)
    async with services.database.transaction() as conn:
        await conn.execute("UPDATE customer SET refused_mask = %s WHERE external_id = 'no'", [ChannelKind.SMS.bit])
    return [warning.pointer for warning in published.warnings]


async def rows(services: Services, query: str) -> list[tuple[Any, ...]]:
    async with services.database.read() as conn:
        return await (await conn.execute(query.encode())).fetchall()


@pytest.mark.fact("F4.4.6")
async def test_a_person_who_meets_a_trigger_is_told_of_in_camel_case_and_handed_over(
    partner: Partner, services: Services, installation: Core
) -> None:
    await trigger(partner, services)
    teller, planning = MeetingTeller(services.database, services.pulls), planner(installation)
    for event in (1, 11):
        body = {"EventTypeID": event, "ListenerURL": "https://hooks.example.org/met?brand=b", "ChannelID": 505}
        assert (await partner.tell("/current/general/RegisterEventListener", body)).status_code == 200
    at = datetime.now(UTC).replace(microsecond=0)
    told = [
        Told(external_id=name, name=said, at=at, id="1", properties={"total": 3})
        for name, said in (("C-17", EVENT), ("no", EVENT), ("C-17", "another"))
    ]

    added = [await services.customer_events.tell(partner.brand.id, told) for _ in range(2)]
    while await planning.plan_next():
        pass
    assert not await Teller(services.database).tell()
    assert await teller.tell()
    assert not await teller.tell()

    assert added == [3, 0]
    ((event, body),) = await rows(services, "SELECT event, body FROM notice")
    assert event == "trigger_met"
    said = msgspec.json.decode(body)
    assert list(said) == [
        "customerID",
        "campaignID",
        "channelID",
        "templateID",
        "promoCode",
        "notes",
        "eventTypeID",
    ]
    notes = msgspec.json.decode(said.pop("notes"))
    assert said == {
        "customerID": "C-17",
        "campaignID": "1",
        "channelID": 505,
        "templateID": 7,
        "promoCode": [],
        "eventTypeID": 11,
    }
    assert (notes["event"], notes["properties"]) == (EVENT, {"total": 3})
    assert await rows(services, "SELECT state, reason FROM send ORDER BY state") == [(2, 0), (3, 2)]
    assert await rows(services, "SELECT state FROM execution") == [("ended",)]


async def test_promo_codes_of_the_campaign_are_told_as_long_as_there_are_any(
    partner: Partner, services: Services, installation: Core
) -> None:
    codes = [{"PromoCode": code, "PromotionName": code.title()} for code in ("SPRING", "GONE", 'A "B"')]
    assert (await partner.tell("/current/integrations/AddPromotions", codes)).status_code == 200
    warned = await trigger(partner, services, policy=CampaignPolicy(promo_codes=('A "B"', "GONE", "SPRING", "NEVER")))
    await services.listeners.register(partner.brand.id, partner.id, 11, "https://hooks.example.org/met")
    assert (await partner.tell("/current/integrations/DeletePromotions", [{"PromoCode": "GONE"}])).status_code == 200

    await services.customer_events.tell(partner.brand.id, [Told(external_id="C-17", name=EVENT, at=datetime.now(UTC))])
    await planned(services, installation)

    assert warned == ["/policy/promo_codes/3"]
    ((body,),) = await rows(services, "SELECT body FROM notice")
    assert msgspec.json.decode(body)["promoCode"] == ['A "B"', "SPRING"]
    pulled = await partner.ask("/current/customers/GetCustomerExecutionDetailsByCampaign", CampaignID=1, ChannelID=505)
    assert [(one["CustomerID"], one["PromoCode"]) for one in pulled.json()] == [("C-17", 'A "B",SPRING')]


async def test_a_campaign_for_a_topic_is_run_for_those_who_subscribed_to_it(
    partner: Partner, services: Services, installation: Core
) -> None:
    await services.topics.create(partner.brand.id, TopicDraft(key="carts", name="Carts", channels=ChannelKind.SMS.bit))
    await trigger(partner, services, basis="topic", policy=CampaignPolicy(event_topic="carts"))
    await services.listeners.register(partner.brand.id, partner.id, 11, "https://hooks.example.org/met")
    people = [CustomerPatch(external_id="C-18", phone="+35840111229")]
    await services.customers.upsert_many(partner.brand.id, people)
    act = Act(source=Source.API)
    await services.subscriptions.subscribe(partner.brand.id, "C-18", "carts", ChannelKind.SMS.bit, act)
    told = [Told(external_id=name, name=EVENT, at=datetime.now(UTC), id=name) for name in ("C-17", "C-18")]

    await services.customer_events.tell(partner.brand.id, told)
    await planned(services, installation)

    assert [msgspec.json.decode(body)["customerID"] for (body,) in await rows(services, "SELECT body FROM notice")] == [
        "C-18"
    ]
    assert await rows(services, "SELECT state, reason FROM send ORDER BY state") == [
        (SendState.HANDED_OVER, Reason.NONE),
        (SendState.SKIPPED, Reason.UNSUBSCRIBED),
    ]
    assert await rows(services, "SELECT state FROM execution") == [("ended",)]


async def planned(services: Services, installation: Core) -> None:
    """All that is queued is planned, and told of."""
    planning, teller = planner(installation), MeetingTeller(services.database, services.pulls)
    while await planning.plan_next():
        pass
    while await teller.tell():
        pass


async def test_what_a_test_key_tells_leads_to_the_sandbox(
    partner: Partner, services: Services, installation: Core
) -> None:
    await trigger(partner, services)
    told = [Told(external_id="C-17", name=EVENT, at=datetime.now(UTC))]

    await services.customer_events.tell(partner.brand.id, told, is_test=True)
    planning = planner(installation)
    while await planning.plan_next():
        pass

    assert await rows(services, "SELECT is_test, state FROM execution") == [(True, "sending")]
    assert await rows(services, "SELECT count(*) FROM partner_run") == [(0,)]


async def test_where_nobody_listens_people_who_meet_a_trigger_wait_to_be_pulled(
    partner: Partner, services: Services, installation: Core
) -> None:
    await trigger(partner, services)
    told = [Told(external_id="C-17", name=EVENT, at=datetime.now(UTC), id=str(number)) for number in range(2)]

    await services.customer_events.tell(partner.brand.id, told)
    planning, teller = planner(installation), MeetingTeller(services.database, services.pulls)
    while await planning.plan_next():
        pass
    while await teller.tell():
        pass

    # Nobody is in one execution twice.
    assert await rows(services, "SELECT count(*) FROM execution WHERE state = 'sending'") == [(2,)]
    assert await rows(services, "SELECT count(*) FROM notice") == [(0,)]
    pulled = await partner.ask("/current/customers/GetCustomerSendDetailsByChannel", ChannelID=505, CampaignID=1)
    assert [one["CustomerID"] for one in pulled.json()] == ["C-17"]


@pytest.mark.parametrize("point", ["meeting.before_commit", "meeting.after_commit"])
async def test_wherever_the_process_dies_a_person_is_told_of_once(
    partner: Partner, services: Services, installation: Core, point: str
) -> None:
    await trigger(partner, services)
    await services.listeners.register(partner.brand.id, partner.id, 11, "https://hooks.example.org/met")
    await services.customer_events.tell(
        partner.brand.id, [Told(external_id="C-17", name=EVENT, at=datetime.now(UTC), id="1")]
    )
    planning, teller = planner(installation), MeetingTeller(services.database, services.pulls)
    while await planning.plan_next():
        pass
    failpoints.arm(f"{point}=die@1", {"die": die})
    try:
        with pytest.raises(Died):
            await teller.tell()
    finally:
        failpoints.arm("")

    services.database.shift += timedelta(seconds=61)
    while await teller.tell():
        pass

    assert await rows(services, "SELECT count(*) FROM notice") == [(1,)]
    assert await rows(services, "SELECT state FROM send") == [(2,)]


class Died(Exception):
    """In place of the process."""


def die() -> None:
    raise Died


async def test_more_at_once_than_a_second_lets_start_is_refused_for_good(partner: Partner, services: Services) -> None:
    await services.accounts.update_brand_settings(partner.brand.id, {"run_rate_per_s": 3})
    await trigger(partner, services)
    at = datetime.now(UTC).replace(microsecond=0)
    told = [Told(external_id="C-17", name=EVENT, at=at, id=str(number)) for number in range(4)]

    with pytest.raises(TooLarge, match=r"start 4 executions.* at most 3 in a second"):
        await services.customer_events.tell(partner.brand.id, told)
    assert await services.customer_events.tell(partner.brand.id, told[:3]) == 3
    assert await rows(services, "SELECT count(*) FROM execution") == [(3,)]
