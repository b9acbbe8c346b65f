"""People who meet a trigger: a customer's event runs a campaign for them alone, and listeners are told of each person."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from hub_world import Partner, partner_of
from listener_world import delivering
from stentor import failpoints
from stentor.api.services import Services
from stentor.audience.customer_events import Told
from stentor.audience.model import Act, CustomerPatch, Source, TopicDraft
from stentor.campaigns.model import Basis, CampaignDraft, GeneratorDraft, Route
from stentor.channels.partners.model import ClientPatch, NewTemplate
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.errors import Conflict, TooLarge
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


async def met_by(services: Services, installation: Core, brand_id: UUID, *ids: str) -> None:
    """C-17 meets the trigger by events of these ids, and each run of it is planned."""
    for each in ids:
        await services.customer_events.tell(
            brand_id, [Told(external_id="C-17", name=EVENT, at=datetime.now(UTC), id=each)]
        )
    planning = planner(installation)
    while await planning.plan_next():
        pass


async def told_by(services: Services, **later_by: float) -> list[str]:
    """Whom event 11 has been told of until that much later."""
    services.database.shift += timedelta(**later_by)
    teller = MeetingTeller(services.database, services.pulls)
    while await teller.tell():
        pass
    return [body["customerID"] for body in await notices(services)]


async def notices(services: Services) -> list[dict[str, Any]]:
    return [msgspec.json.decode(body) for (body,) in await rows(services, "SELECT body FROM notice ORDER BY id")]


async def run_sql(services: Services, query: str, *values: Any) -> None:
    async with services.database.transaction() as conn:
        await conn.execute(query.encode(), values)


@pytest.mark.parametrize("what", ["execution", "channel"])
async def test_a_run_that_is_held_up_keeps_no_other_brands_waiting_and_is_told_of_when_it_goes_on(
    partner: Partner, services: Services, installation: Core, what: str
) -> None:
    other = await partner_of(partner.http, services, "Another brand", channels=(505,))
    for one in (partner, other):
        await trigger(one, services)
        await services.listeners.register(one.brand.id, one.id, 11, "https://hooks.example.org/met")
        await met_by(services, installation, one.brand.id, "1")
    if what == "execution":
        await run_sql(services, "UPDATE execution SET paused_at = now() WHERE brand_id = %s", partner.brand.id)
    else:
        await services.hub_clients.update(partner.brand.id, partner.id, ClientPatch(channels={506: ()}))
        await services.partner_channels.delete(partner.brand.id, 505)

    assert await told_by(services) == ["C-17"]
    assert await rows(services, "SELECT DISTINCT brand_id FROM notice") == [(other.brand.id,)]
    if what == "execution":
        await run_sql(services, "UPDATE execution SET paused_at = NULL")
        assert await told_by(services, seconds=25) == ["C-17"]
        assert await told_by(services, seconds=10) == ["C-17", "C-17"]


async def test_while_a_listener_hears_nothing_people_wait_and_may_be_pulled_and_none_is_told_of_twice(
    partner: Partner, services: Services, installation: Core
) -> None:
    brand_id = partner.brand.id
    await trigger(partner, services)
    listener = await services.listeners.register(brand_id, partner.id, 11, "https://hooks.example.org/met")
    await services.listeners.update(brand_id, listener.id, enabled=False)
    await met_by(services, installation, brand_id, "1", "2")

    assert await told_by(services) == []
    assert await rows(services, "SELECT state FROM send") == [(0,), (0,)]
    pulled = await partner.ask("/current/customers/GetCustomerSendDetailsByChannel", ChannelID=505, CampaignID=1)
    assert [one["CustomerID"] for one in pulled.json()] == ["C-17"]
    await services.pulls.drained()
    await services.listeners.update(brand_id, listener.id, enabled=True)

    assert await told_by(services, seconds=31) == ["C-17"]
    assert [body["campaignID"] for body in await notices(services)] == ["2"]
    assert await rows(services, "SELECT state FROM send") == [(2,), (2,)]
    assert await rows(services, "SELECT count(*) FROM partner_event WHERE told_at IS NULL") == [(0,)]


async def test_whose_time_is_later_is_told_of_then_unless_they_said_no_or_it_was_cancelled(
    partner: Partner, services: Services, installation: Core
) -> None:
    brand_id = partner.brand.id
    await trigger(partner, services)
    await services.listeners.register(brand_id, partner.id, 11, "https://hooks.example.org/met")
    await met_by(services, installation, brand_id, "1", "2")
    await run_sql(services, "UPDATE chunk SET due_at = now() + interval '8 hours'")

    assert await told_by(services) == []
    assert await told_by(services, hours=7) == []
    ((cancelled,),) = await rows(services, "SELECT execution_id FROM partner_run WHERE number = 1")
    await services.executions.cancel(brand_id, cancelled)
    assert await told_by(services, hours=1, seconds=5) == ["C-17"]
    assert [body["campaignID"] for body in await notices(services)] == ["2"]

    await met_by(services, installation, brand_id, "3")
    await run_sql(services, "UPDATE chunk SET due_at = now() + interval '20 hours' WHERE done_at IS NULL")
    assert len(await told_by(services)) == 1
    await run_sql(services, "UPDATE customer SET refused_mask = %s", ChannelKind.SMS.bit)
    assert len(await told_by(services, hours=20)) == 1


async def test_a_person_is_told_of_to_one_listener_alone(
    partner: Partner, services: Services, installation: Core
) -> None:
    brand_id = partner.brand.id
    await trigger(partner, services)
    twin = await partner_of(partner.http, services, "Twin", channels=(505,), brand=partner.brand)
    of_all = await services.listeners.register(brand_id, twin.id, 11, "https://hooks.example.org/twin")
    await services.listeners.register(brand_id, partner.id, 11, "https://hooks.example.org/all")
    own = await services.listeners.register(brand_id, partner.id, 11, "https://hooks.example.org/505", 505)
    await met_by(services, installation, brand_id, "1")
    assert await told_by(services) == ["C-17"]
    assert await rows(services, "SELECT listener_id FROM notice") == [(own.id,)]

    # Where the channel's own hears nothing, the next one does.
    await services.listeners.update(brand_id, own.id, enabled=False)
    await met_by(services, installation, brand_id, "2")
    await told_by(services)
    assert await rows(services, "SELECT listener_id FROM notice ORDER BY id") == [(own.id,), (of_all.id,)]


@pytest.mark.parametrize("what", ["nothing", "said no", "late", "client revoked", "channel taken away"])
async def test_what_must_not_be_told_any_more_is_withdrawn_before_its_next_try(
    partner: Partner, services: Services, installation: Core, what: str
) -> None:
    brand_id = partner.brand.id
    await trigger(partner, services)
    listener = await services.listeners.register(brand_id, partner.id, 11, "https://hooks.example.org/met")
    await met_by(services, installation, brand_id, "1")
    assert await told_by(services) == ["C-17"]
    match what:
        case "said no":
            await run_sql(
                services,
                "INSERT INTO revocation (execution_id, customer_id, brand_id, number, at, channel_number, part, reason)"
                " SELECT execution_id, customer_id, brand_id, 1, now(), 505, part, 2 FROM send WHERE state = 2",
            )
        case "late":
            await run_sql(services, "UPDATE execution SET deadline_at = now()")
        case "client revoked":
            await services.hub_clients.revoke(brand_id, partner.id)
        case "channel taken away":
            await services.hub_clients.update(brand_id, partner.id, ClientPatch(channels={506: ()}))
    async with delivering(services.database) as mail:
        claimed = await mail.delivery.claim(10)

    assert len(claimed) == (what == "nothing")
    (notice,) = await services.listeners.notices(brand_id, listener.id)
    assert (notice.state, notice.tries) == (("waiting", 1) if what == "nothing" else ("withdrawn", 0))
    if what == "client revoked":
        with pytest.raises(Conflict, match="revoked"):
            await services.listeners.update(brand_id, listener.id, enabled=True)
        with pytest.raises(Conflict, match="revoked"):
            await services.listeners.replay(
                brand_id, listener.id, since=notice.made_at, until=datetime.max.replace(tzinfo=UTC)
            )
    elif what != "nothing":
        until = notice.made_at + timedelta(days=1)
        assert await services.listeners.replay(brand_id, listener.id, since=notice.made_at, until=until) == 0


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


class Died(BaseException):
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
