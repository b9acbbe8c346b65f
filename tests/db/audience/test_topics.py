"""Topics: made, found by key or id, changed, removed when nobody is subscribed."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from stentor.audience.customers import CustomerService
from stentor.audience.model import Act, CustomerPatch, TopicDraft, TopicPatch
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.topics import TopicService
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind
from stentor.errors import Conflict, Invalid, NotFound

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL.bit, ChannelKind.SMS.bit
NFL = TopicDraft(key="event_reminders+NFL", name="NFL", description="Kick-off,\nand no more.", channels=EMAIL | SMS)


async def test_a_topic_is_found_by_its_key_and_by_its_id(topics: TopicService, brand_id: UUID):
    made = await topics.create(brand_id, NFL)

    assert await topics.get(brand_id, "event_reminders+NFL") == made
    assert await topics.get(brand_id, str(made.id)) == made
    assert await topics.get(brand_id, str(made.id).upper()) == made
    assert (made.key, made.name, made.description, made.channels, made.enabled, made.subscribers) == (
        NFL.key,
        NFL.name,
        NFL.description,
        EMAIL | SMS,
        True,
        0,
    )


async def test_a_key_wins_over_an_id_that_is_written_the_same(topics: TopicService, brand_id: UUID):
    first = await topics.create(brand_id, NFL)
    second = await topics.create(brand_id, replace(NFL, key=str(first.id)))

    assert await topics.get(brand_id, str(first.id)) == second


async def test_a_key_is_taken_once_per_brand(topics: TopicService, brand_id: UUID, other_brand_id: UUID):
    await topics.create(brand_id, NFL)
    await topics.create(other_brand_id, NFL)

    with pytest.raises(Conflict, match="choose another key"):
        await topics.create(brand_id, NFL)


@pytest.mark.parametrize(
    ("draft", "pointer"),
    [
        (replace(NFL, key=""), "/key"),
        (replace(NFL, key="k" * 201), "/key"),
        (replace(NFL, key="a\nb"), "/key"),
        (replace(NFL, name=" "), "/name"),
        (replace(NFL, name="a\x00"), "/name"),
        (replace(NFL, name="\ud800"), "/name"),
        (replace(NFL, description="d" * 2001), "/description"),
        (replace(NFL, description="\x00"), "/description"),
        (replace(NFL, channels=0), "/channels"),
        (replace(NFL, channels=(ALL_CHANNELS_MASK << 1) | EMAIL), "/channels"),
    ],
)
async def test_a_topic_that_breaks_a_rule_is_refused(
    topics: TopicService, brand_id: UUID, draft: TopicDraft, pointer: str
):
    with pytest.raises(Invalid) as refused:
        await topics.create(brand_id, draft)

    assert [violation.pointer for violation in refused.value.violations] == [pointer]


async def test_what_a_patch_leaves_out_is_kept(topics: TopicService, brand_id: UUID):
    made = await topics.create(brand_id, NFL)

    changed = await topics.update(brand_id, NFL.key, TopicPatch(enabled=False, description=""))

    assert replace(changed, updated_at=made.updated_at) == replace(made, enabled=False, description="")
    assert changed.updated_at > made.updated_at


@pytest.mark.parametrize(
    "reference", ["", "nothing", "\x00", "\ud800", "00000000-0000-0000-0000-000000000000", "x" * 9999]
)
async def test_a_reference_that_means_nothing_is_not_found(topics: TopicService, brand_id: UUID, reference: str):
    with pytest.raises(NotFound):
        await topics.get(brand_id, reference)


async def test_a_topic_of_another_brand_is_not_found(topics: TopicService, brand_id: UUID, other_brand_id: UUID):
    foreign = await topics.create(other_brand_id, NFL)

    for reference in (NFL.key, str(foreign.id)):
        with pytest.raises(NotFound):
            await topics.get(brand_id, reference)
        with pytest.raises(NotFound):
            await topics.update(brand_id, reference, TopicPatch(name="Stolen"))
        with pytest.raises(NotFound):
            await topics.delete(brand_id, reference)
    assert await topics.page(brand_id) == []


async def test_a_topic_is_removed_only_when_nobody_is_subscribed(
    topics: TopicService,
    customers: CustomerService,
    subscriptions: SubscriptionService,
    brand_id: UUID,
    by_api: Act,
):
    await topics.create(brand_id, NFL)
    await customers.upsert(brand_id, CustomerPatch(external_id="ann"))
    await subscriptions.subscribe(brand_id, "ann", NFL.key, None, by_api)

    with pytest.raises(Conflict, match="Disable it"):
        await topics.delete(brand_id, NFL.key)
    await subscriptions.unsubscribe(brand_id, "ann", NFL.key, None, by_api)
    await topics.delete(brand_id, NFL.key)

    assert await topics.page(brand_id) == []


async def test_a_list_goes_on_behind_the_last_topic(topics: TopicService, brand_id: UUID):
    made = [await topics.create(brand_id, replace(NFL, key=f"k{n}")) for n in range(5)]

    first = await topics.page(brand_id, limit=3)
    rest = await topics.page(brand_id, after=first[-1].id, limit=3)

    assert [*first, *rest] == made
