"""What people chose, what becomes of it, and what the ledger says of it."""

import asyncio
from ipaddress import IPv4Address
from uuid import UUID

import pytest

from listed import on_builtin
from stentor.audience.anonymous import BareAddress, take_in_addresses
from stentor.audience.customers import CustomerService
from stentor.audience.model import Act, CustomerPatch, Source, Topic, TopicDraft
from stentor.audience.past import past_of
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.topics import TopicService
from stentor.db.pool import Database
from stentor.domain.address import PHONE_CHANNELS, email_digest, phone_digest
from stentor.domain.ids import customer_id, new_id, recipient_id
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind
from stentor.errors import Invalid, NotFound

pytestmark = pytest.mark.anyio

EMAIL, SMS, PUSH, VOICE = (
    kind.bit for kind in (ChannelKind.EMAIL, ChannelKind.SMS, ChannelKind.PUSH, ChannelKind.VOICE)
)
BY_LINK = Act(source=Source.UNSUBSCRIBE_LINK, ip=IPv4Address("192.0.2.7"))


@pytest.fixture
async def topic(topics: TopicService, brand_id: UUID) -> Topic:
    return await topics.create(brand_id, TopicDraft(key="nfl", name="NFL", channels=EMAIL | SMS | PUSH))


@pytest.fixture
async def ann(customers: CustomerService, brand_id: UUID) -> UUID:
    patch = CustomerPatch(external_id="ann", email="ann@example.com", phone="+14155550123")
    return (await customers.upsert(brand_id, patch)).customer.customer_id


async def listed(db: Database, brand_id: UUID) -> set[bytes]:
    digests = [email_digest("ann@example.com"), phone_digest("+14155550123")]
    async with db.read() as conn:
        return await on_builtin(conn, brand_id, digests)


async def told(subscriptions: SubscriptionService, brand_id: UUID) -> list[tuple[str, int]]:
    """Ann's ledger, oldest first."""
    return [(event.kind, event.channels) for event in reversed(await subscriptions.ledger(brand_id, "ann"))]


async def test_channels_are_added_and_taken_and_each_change_is_told(
    subscriptions: SubscriptionService, brand_id: UUID, topic: Topic, ann: UUID, by_api: Act
):
    steps = [
        await subscriptions.subscribe(brand_id, "ann", "nfl", EMAIL, by_api),
        await subscriptions.subscribe(brand_id, "ann", str(topic.id), None, by_api),
        await subscriptions.unsubscribe(brand_id, "ann", "nfl", SMS, by_api),
        await subscriptions.unsubscribe(brand_id, "ann", "nfl", None, by_api),
    ]

    assert steps == [EMAIL, EMAIL | SMS | PUSH, EMAIL | PUSH, 0]
    assert await told(subscriptions, brand_id) == [
        ("subscribed", EMAIL),
        ("subscribed", SMS | PUSH),
        ("unsubscribed", SMS),
        ("unsubscribed", EMAIL | PUSH),
    ]
    [withdrawn] = await subscriptions.of_customer(brand_id, "ann")
    assert (withdrawn.topic_key, withdrawn.channels) == ("nfl", 0)


async def test_the_ledger_says_how_a_choice_came_about(
    subscriptions: SubscriptionService, brand_id: UUID, topic: Topic, ann: UUID
):
    act = Act(source=Source.CONSOLE, actor="eve", ip=IPv4Address("192.0.2.1"), text_version="v7", note="by phone")

    await subscriptions.subscribe(brand_id, "ann", "nfl", EMAIL, act)

    [event] = await subscriptions.ledger(brand_id, "ann")
    assert (event.customer_id, event.topic_id) == (ann, topic.id)
    assert (event.source, event.actor, event.ip, event.text_version, event.note) == (
        "console",
        "eve",
        IPv4Address("192.0.2.1"),
        "v7",
        "by phone",
    )


@pytest.mark.fault("F12")
async def test_the_ledger_goes_by_the_databases_clock_and_not_by_ids_of_processes(
    db: Database, subscriptions: SubscriptionService, brand_id: UUID, topic: Topic, ann: UUID, by_api: Act
):
    await subscriptions.subscribe(brand_id, "ann", "nfl", EMAIL, by_api)
    await subscriptions.unsubscribe(brand_id, "ann", "nfl", EMAIL, by_api)
    async with db.transaction() as conn:
        # As if the line with the later id had been written first, by a process whose clock is fast.
        await conn.execute("UPDATE consent_event SET at = at - interval '1 hour' WHERE kind = 'unsubscribed'")
        past = await past_of(conn, brand_id, ann, topic.id)

    [newest] = await subscriptions.ledger(brand_id, "ann", limit=1)
    [older] = await subscriptions.ledger(brand_id, "ann", before=newest.event_id)

    assert (newest.kind, older.kind) == ("subscribed", "unsubscribed")
    assert await subscriptions.ledger(brand_id, "ann", before=older.event_id) == []
    last = past.last(newest.at, of_topic=True)
    assert last is not None
    assert last.kind == "subscribed"


async def test_choosing_the_same_again_adds_nothing_to_the_ledger(
    subscriptions: SubscriptionService, brand_id: UUID, topic: Topic, ann: UUID, by_api: Act
):
    await subscriptions.subscribe(brand_id, "ann", "nfl", EMAIL, by_api)
    [before] = await subscriptions.of_customer(brand_id, "ann")

    await subscriptions.subscribe(brand_id, "ann", "nfl", EMAIL, by_api)
    await subscriptions.unsubscribe(brand_id, "ann", "nfl", SMS, by_api)

    assert await subscriptions.of_customer(brand_id, "ann") == [before]
    assert len(await subscriptions.ledger(brand_id, "ann")) == 1


async def test_a_topic_counts_who_is_subscribed_on_any_channel(
    subscriptions: SubscriptionService,
    customers: CustomerService,
    topics: TopicService,
    brand_id: UUID,
    topic: Topic,
    by_api: Act,
):
    people = [str(n) for n in range(20)]
    await customers.upsert_many(brand_id, [CustomerPatch(external_id=who) for who in people])

    await asyncio.gather(*(subscriptions.subscribe(brand_id, who, "nfl", EMAIL, by_api) for who in people))
    await asyncio.gather(*(subscriptions.subscribe(brand_id, who, "nfl", SMS, by_api) for who in people))
    await asyncio.gather(*(subscriptions.unsubscribe(brand_id, who, "nfl", None, by_api) for who in people[:8]))

    assert (await topics.get(brand_id, "nfl")).subscribers == 12
    subscribers = await subscriptions.of_topic(brand_id, "nfl", limit=8)
    subscribers += await subscriptions.of_topic(brand_id, "nfl", after=subscribers[-1].customer_id)
    assert [subscriber.customer_id for subscriber in subscribers] == sorted(
        customer_id(brand_id, who) for who in people[8:]
    )


async def test_choices_of_one_person_at_once_are_told_in_their_order(
    subscriptions: SubscriptionService, brand_id: UUID, topic: Topic, ann: UUID, by_api: Act
):
    await asyncio.gather(
        *(subscriptions.subscribe(brand_id, "ann", "nfl", EMAIL | SMS, by_api) for _ in range(4)),
        *(subscriptions.unsubscribe(brand_id, "ann", "nfl", EMAIL, by_api) for _ in range(4)),
    )

    state = 0
    for kind, channels in await told(subscriptions, brand_id):
        if kind == "subscribed":
            assert not state & channels
            state |= channels
        else:
            assert state & channels == channels
            state &= ~channels
    [subscription] = await subscriptions.of_customer(brand_id, "ann")
    assert subscription.channels == state


async def test_a_channel_that_the_topic_does_not_offer_is_refused(
    subscriptions: SubscriptionService, brand_id: UUID, topic: Topic, ann: UUID, by_api: Act
):
    with pytest.raises(Invalid, match="voice"):
        await subscriptions.subscribe(brand_id, "ann", "nfl", EMAIL | VOICE, by_api)


async def test_people_and_topics_that_do_not_exist_are_not_found(
    subscriptions: SubscriptionService,
    topics: TopicService,
    brand_id: UUID,
    other_brand_id: UUID,
    topic: Topic,
    ann: UUID,
    by_api: Act,
):
    await topics.create(other_brand_id, TopicDraft(key="nfl", name="NFL", channels=EMAIL))

    for brand, who, what in [
        (brand_id, "bob", "nfl"),
        (brand_id, "", "nfl"),
        (brand_id, "ann", "nba"),
        (other_brand_id, "ann", "nfl"),
    ]:
        with pytest.raises(NotFound):
            await subscriptions.subscribe(brand, who, what, EMAIL, by_api)
        with pytest.raises(NotFound):
            await subscriptions.unsubscribe(brand, who, what, EMAIL, by_api)
    for reading in (subscriptions.of_customer, subscriptions.ledger):
        with pytest.raises(NotFound):
            await reading(other_brand_id, "ann")
    with pytest.raises(NotFound):
        await subscriptions.withdraw(other_brand_id, ann, topic.id, BY_LINK)
    with pytest.raises(NotFound):
        await subscriptions.withdraw_all(other_brand_id, ann, BY_LINK)


async def test_withdrawing_from_a_topic_ends_it_on_every_channel_and_leaves_others(
    subscriptions: SubscriptionService, topics: TopicService, brand_id: UUID, topic: Topic, ann: UUID, by_api: Act
):
    await topics.create(brand_id, TopicDraft(key="nba", name="NBA", channels=EMAIL))
    await subscriptions.subscribe(brand_id, "ann", "nfl", None, by_api)
    await subscriptions.subscribe(brand_id, "ann", "nba", None, by_api)

    await subscriptions.withdraw(brand_id, ann, topic.id, BY_LINK)
    await subscriptions.withdraw(brand_id, ann, topic.id, BY_LINK)
    await subscriptions.withdraw(brand_id, ann, new_id(), BY_LINK)

    state = {
        subscription.topic_key: subscription.channels
        for subscription in await subscriptions.of_customer(brand_id, "ann")
    }
    assert state == {"nba": EMAIL, "nfl": 0}
    newest = (await subscriptions.ledger(brand_id, "ann"))[0]
    assert (newest.kind, newest.source, newest.ip) == ("unsubscribed", "unsubscribe_link", IPv4Address("192.0.2.7"))


async def test_withdrawing_from_all_says_no_on_every_channel_and_lists_every_address(
    subscriptions: SubscriptionService,
    customers: CustomerService,
    db: Database,
    brand_id: UUID,
    other_brand_id: UUID,
    ann: UUID,
):
    await subscriptions.withdraw_all(brand_id, ann, BY_LINK)
    await subscriptions.withdraw_all(brand_id, ann, BY_LINK)

    customer = await customers.get(brand_id, "ann")
    assert (customer.agreed_mask, customer.refused_mask) == (0, ALL_CHANNELS_MASK)
    assert await listed(db, brand_id) == {email_digest("ann@example.com"), phone_digest("+14155550123")}
    assert await listed(db, other_brand_id) == set()
    assert await told(subscriptions, brand_id) == [("refused", ALL_CHANNELS_MASK)]


async def test_the_built_in_list_keeps_who_left_from_where_and_of_a_bare_address_only_the_digest(
    subscriptions: SubscriptionService, db: Database, brand_id: UUID, ann: UUID
):
    async with db.transaction() as conn:
        await take_in_addresses(conn, brand_id, [BareAddress("addr:x", email="Ben@example.com")])
    ben = recipient_id(brand_id, "addr:x")

    await subscriptions.withdraw_all(brand_id, ann, BY_LINK, campaign="May")
    await subscriptions.withdraw_all(brand_id, ben, BY_LINK, campaign="June")
    async with db.read() as conn:
        rows = await conn.execute("SELECT address, campaign, ip FROM optout_recent ORDER BY address")
        kept = await rows.fetchall()

    assert kept == [
        ("14155550123", "May", "192.0.2.7"),
        ("ann@example.com", "May", "192.0.2.7"),
        (None, "June", ""),
    ]


async def test_a_subscription_does_not_lift_a_no(
    subscriptions: SubscriptionService, customers: CustomerService, brand_id: UUID, topic: Topic, ann: UUID, by_api: Act
):
    await subscriptions.withdraw_all(brand_id, ann, BY_LINK)

    await subscriptions.subscribe(brand_id, "ann", "nfl", None, by_api)

    assert (await customers.get(brand_id, "ann")).refused_mask == ALL_CHANNELS_MASK


async def test_only_the_person_lifts_a_no_and_only_per_channel(
    subscriptions: SubscriptionService, customers: CustomerService, db: Database, brand_id: UUID, ann: UUID, by_api: Act
):
    await subscriptions.withdraw_all(brand_id, ann, BY_LINK)

    with pytest.raises(ValueError, match="not the person"):
        await subscriptions.agree(brand_id, ann, SMS, by_api)
    await subscriptions.agree(brand_id, ann, SMS, Act(source=Source.REPLY))

    customer = await customers.get(brand_id, "ann")
    assert (customer.agreed_mask, customer.refused_mask) == (SMS, ALL_CHANNELS_MASK & ~SMS)
    assert await listed(db, brand_id) == {email_digest("ann@example.com")}
    assert await told(subscriptions, brand_id) == [("refused", ALL_CHANNELS_MASK), ("agreed", SMS)]


async def test_refusing_the_phone_lists_the_number_alone(
    subscriptions: SubscriptionService, db: Database, brand_id: UUID, ann: UUID
):
    await subscriptions.refuse(brand_id, ann, PHONE_CHANNELS, Act(source=Source.REPLY), cause="stop")

    assert await listed(db, brand_id) == {phone_digest("+14155550123")}
