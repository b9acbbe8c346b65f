"""The Preference Centre: what clients without a key may see and change."""

from ipaddress import IPv4Address
from uuid import UUID

import pytest

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.accounts.service import AccountService
from stentor.audience.customers import CustomerService
from stentor.audience.model import Act, CustomerPatch, Topic, TopicDraft, TopicPatch
from stentor.audience.preferences import Preferences, PreferenceService, PreferenceUpdate, TopicPreference
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.topics import TopicService
from stentor.db.pool import Database
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind, channel_mask
from stentor.errors import Invalid, NotFound

pytestmark = pytest.mark.anyio

MAIL, IN_APP, PUSH, WEB_PUSH, TEXT, WHATSAPP = 15, 427, 489, 490, 493, 498
EMAIL, SMS, VOICE = ChannelKind.EMAIL.bit, ChannelKind.SMS.bit, ChannelKind.VOICE.bit
IP = IPv4Address("192.0.2.9")


@pytest.fixture
async def brand(accounts: AccountService, brand_id: UUID) -> Brand:
    return await accounts.update_brand_settings(brand_id, {"preferences_enabled": True})


@pytest.fixture
def tenant(brand: Brand) -> int:
    return brand.organisation_number


@pytest.fixture
def preferences(db: Database) -> PreferenceService:
    return PreferenceService(db, BrandDirectory(db))


@pytest.fixture
async def news(topics: TopicService, brand_id: UUID) -> Topic:
    draft = TopicDraft(key="news", name="News", description="weekly", channels=EMAIL | SMS | VOICE)
    return await topics.create(brand_id, draft)


@pytest.fixture
async def tips(topics: TopicService, brand_id: UUID, news: Topic) -> Topic:
    return await topics.create(brand_id, TopicDraft(key="tips", name="Tips", channels=EMAIL))


async def chosen(subscriptions: SubscriptionService, brand_id: UUID, who: str = "ann") -> dict[str, int]:
    return {row.topic_key: row.channels for row in await subscriptions.of_customer(brand_id, who)}


async def test_somebody_unknown_sees_every_topic_without_a_channel(
    preferences: PreferenceService, brand_id: UUID, tenant: int, news: Topic, tips: Topic
):
    shown = await preferences.get(tenant, brand_id, "nobody")

    assert shown == Preferences(
        topics=[TopicPreference(news.id, "News", "weekly", []), TopicPreference(tips.id, "Tips", "", [])],
        channels=[MAIL, TEXT],
    )


async def test_a_known_person_who_chose_nothing_looks_like_nobody(
    preferences: PreferenceService, customers: CustomerService, brand_id: UUID, tenant: int, news: Topic
):
    await customers.upsert(brand_id, CustomerPatch(external_id="ann"))

    assert await preferences.get(tenant, brand_id, "ann") == await preferences.get(tenant, brand_id, "nobody")


async def test_every_channel_with_a_number_is_shown_and_no_other(
    preferences: PreferenceService, topics: TopicService, brand_id: UUID, tenant: int
):
    await topics.create(brand_id, TopicDraft(key="all", name="All", channels=ALL_CHANNELS_MASK))
    await topics.create(brand_id, TopicDraft(key="rest", name="Rest", channels=channel_mask((ChannelKind.WEBHOOK,))))

    shown = await preferences.get(tenant, brand_id, "ann")

    assert shown.channels == [MAIL, IN_APP, PUSH, WEB_PUSH, TEXT, WHATSAPP]


async def test_a_choice_changes_the_topics_that_are_listed_and_no_others(
    preferences: PreferenceService,
    subscriptions: SubscriptionService,
    brand_id: UUID,
    tenant: int,
    news: Topic,
    tips: Topic,
):
    first = [PreferenceUpdate(str(news.id), [MAIL, TEXT]), PreferenceUpdate(str(tips.id).upper(), [MAIL])]
    await preferences.put(tenant, brand_id, "ann", first, ip=IP)

    await preferences.put(tenant, brand_id, "ann", [PreferenceUpdate(str(news.id), [TEXT])], ip=IP)

    shown = await preferences.get(tenant, brand_id, "ann")
    assert [topic.channels for topic in shown.topics] == [[TEXT], [MAIL]]
    newest = (await subscriptions.ledger(brand_id, "ann"))[0]
    assert (newest.kind, newest.channels, newest.source, newest.ip) == ("unsubscribed", EMAIL, "unauthenticated", IP)


async def test_an_empty_list_ends_channels_that_are_not_shown_too(
    preferences: PreferenceService,
    customers: CustomerService,
    subscriptions: SubscriptionService,
    brand_id: UUID,
    tenant: int,
    news: Topic,
    by_api: Act,
):
    await customers.upsert(brand_id, CustomerPatch(external_id="ann"))
    await subscriptions.subscribe(brand_id, "ann", "news", None, by_api)

    await preferences.put(tenant, brand_id, "ann", [PreferenceUpdate(str(news.id), [TEXT])], ip=IP)
    one_left = await chosen(subscriptions, brand_id)
    await preferences.put(tenant, brand_id, "ann", [PreferenceUpdate(str(news.id), [])], ip=IP)

    assert one_left == {"news": SMS | VOICE}
    assert await chosen(subscriptions, brand_id) == {"news": 0}


async def test_choosing_the_same_again_writes_nothing(
    preferences: PreferenceService, subscriptions: SubscriptionService, brand_id: UUID, tenant: int, news: Topic
):
    for _ in range(2):
        await preferences.put(tenant, brand_id, "ann", [PreferenceUpdate(str(news.id), [MAIL])], ip=IP)

    assert len(await subscriptions.ledger(brand_id, "ann")) == 1


async def test_somebody_unknown_is_made_with_the_id_only(
    preferences: PreferenceService, customers: CustomerService, brand_id: UUID, tenant: int, news: Topic
):
    await preferences.put(tenant, brand_id, "new one", [PreferenceUpdate(str(news.id), [])], ip=IP)

    made = await customers.get(brand_id, "new one")
    assert (made.email, made.phone, made.attributes) == (None, None, {})


async def test_one_bad_line_and_nothing_is_applied(
    preferences: PreferenceService,
    customers: CustomerService,
    topics: TopicService,
    brand_id: UUID,
    other_brand_id: UUID,
    tenant: int,
    news: Topic,
    tips: Topic,
):
    foreign = await topics.create(other_brand_id, TopicDraft(key="news", name="News", channels=EMAIL))
    await topics.update(brand_id, "tips", TopicPatch(enabled=False))
    updates = [
        PreferenceUpdate(str(news.id), [MAIL]),
        PreferenceUpdate(str(foreign.id), [MAIL]),
        PreferenceUpdate(str(tips.id), []),
        PreferenceUpdate("\x00", []),
        PreferenceUpdate(str(news.id), [PUSH, 4711]),
    ]

    with pytest.raises(Invalid) as refused:
        await preferences.put(tenant, brand_id, "ann", updates, ip=IP)

    assert [violation.pointer for violation in refused.value.violations] == [
        "/1/topicId",
        "/2/topicId",
        "/3/topicId",
        "/4/topicId",
        "/4/channelSubscription/0",
        "/4/channelSubscription/1",
    ]
    with pytest.raises(NotFound):
        await customers.get(brand_id, "ann")


async def test_a_no_hides_the_channel_and_no_choice_here_lifts_it(
    preferences: PreferenceService,
    customers: CustomerService,
    subscriptions: SubscriptionService,
    brand_id: UUID,
    tenant: int,
    news: Topic,
    by_api: Act,
):
    ann = (await customers.upsert(brand_id, CustomerPatch(external_id="ann"))).customer.customer_id
    await subscriptions.subscribe(brand_id, "ann", "news", EMAIL | SMS, by_api)
    await subscriptions.refuse(brand_id, ann, EMAIL, by_api, cause="unsubscribe")

    await preferences.put(tenant, brand_id, "ann", [PreferenceUpdate(str(news.id), [MAIL, TEXT])], ip=IP)

    shown = await preferences.get(tenant, brand_id, "ann")
    assert shown.topics[0].channels == [TEXT]
    assert (await customers.get(brand_id, "ann")).refused_mask == EMAIL


async def test_where_opt_ins_wait_only_the_opt_out_applies(
    preferences: PreferenceService,
    accounts: AccountService,
    customers: CustomerService,
    subscriptions: SubscriptionService,
    brand: Brand,
    news: Topic,
    by_api: Act,
):
    await accounts.update_brand_settings(brand.id, {"unauthenticated_opt_in_counts": False})
    await customers.upsert(brand.id, CustomerPatch(external_id="ann"))
    await subscriptions.subscribe(brand.id, "ann", "news", SMS, by_api)

    update = PreferenceUpdate(str(news.id), [MAIL])
    await preferences.put(brand.organisation_number, brand.id, "ann", [update], ip=IP)

    assert await chosen(subscriptions, brand.id) == {"news": 0}
    events = await subscriptions.ledger(brand.id, "ann")
    assert {(event.kind, event.channels) for event in events} == {
        ("subscribed", SMS),
        ("unsubscribed", SMS),
        ("requested", EMAIL),
    }


async def test_a_wrong_configuration_says_nothing_more(
    preferences: PreferenceService, accounts: AccountService, brand: Brand, other_brand_id: UUID, news: Topic
):
    tenant = brand.organisation_number

    for number, brand_id in [(tenant + 1, brand.id), (tenant, other_brand_id), (tenant, news.id)]:
        with pytest.raises(Invalid, match=r"^check preference center configuration$"):
            await preferences.get(number, brand_id, "ann")
        with pytest.raises(Invalid, match=r"^check preference center configuration$"):
            await preferences.put(number, brand_id, "ann", [], ip=None)


async def test_an_id_that_cannot_be_one_is_refused(preferences: PreferenceService, brand_id: UUID, tenant: int):
    for external_id in ("", "x" * 256, "\x00", "\ud800"):
        with pytest.raises(Invalid):
            await preferences.get(tenant, brand_id, external_id)
        with pytest.raises(Invalid):
            await preferences.put(tenant, brand_id, external_id, [], ip=IP)
