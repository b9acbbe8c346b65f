"""Whatever people choose, in whatever order: the ledger replayed is the state."""

import asyncio
import itertools
from collections.abc import Sequence
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from stentor.accounts.service import AccountService
from stentor.audience import consent_store, customer_store
from stentor.audience.consent import choose, set_flags
from stentor.audience.customers import CustomerService
from stentor.audience.model import Act, Choice, ConsentEvent, CustomerPatch, FlagChoice, Source, TopicDraft
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.topics import TopicService
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind

MASKS = st.integers(0, 7).map(lambda bits: bits << ChannelKind.EMAIL)
SOURCES = st.sampled_from([Source.API, Source.IMPORT, Source.UNSUBSCRIBE_LINK])
PEOPLE = ("ann", "bob")


class Step(msgspec.Struct, frozen=True):
    """One act: channels in and out of a topic's subscription, or (no topic) yes and no of the channel flags."""

    who: str
    topic: int | None
    plus: int
    minus: int
    source: Source


STEPS = st.builds(
    Step, who=st.sampled_from(PEOPLE), topic=st.sampled_from([0, 1, None]), plus=MASKS, minus=MASKS, source=SOURCES
)


def replayed(events: Sequence[ConsentEvent]) -> tuple[dict[UUID, int], int, int]:
    subscribed: dict[UUID, int] = {}
    agreed = refused = 0
    for event in events:
        if event.topic_id is not None:
            before = subscribed.get(event.topic_id, 0)
            subscribed[event.topic_id] = (
                before | event.channels if event.kind == "subscribed" else before & ~event.channels
            )
        else:
            agreed = agreed | event.channels if event.kind == "agreed" else agreed & ~event.channels
            refused = refused | event.channels if event.kind == "refused" else refused & ~event.channels
    return subscribed, agreed, refused


async def replay_is_state(db: Database, brand: str, steps: Sequence[Step]) -> None:
    brand_id = (await AccountService(db, b"p" * 32).create_brand(brand)).id
    drafts = [TopicDraft(key=key, name=key, channels=2) for key in "ab"]
    topics = [(await TopicService(db).create(brand_id, draft)).id for draft in drafts]
    await CustomerService(db).upsert_many(brand_id, [CustomerPatch(external_id=who) for who in PEOPLE])

    for step in steps:
        await take(db, brand_id, topics, step)

    async with db.read() as conn:
        for who in PEOPLE:
            customer = customer_id(brand_id, who)
            events = await consent_store.page_of_events(conn, brand_id, customer, before=None, limit=1000)
            subscriptions = await consent_store.subscriptions_of(conn, brand_id, customer)
            person = await customer_store.customer_by_id(conn, brand_id, customer)
            assert person is not None
            subscribed, agreed, refused = replayed(events[::-1])
            assert {topic: mask for topic, mask in subscribed.items() if mask} == {
                row.topic_id: row.channels for row in subscriptions if row.channels
            }
            assert (agreed, refused) == (person.agreed_mask, person.refused_mask)
    for place, topic in enumerate(await TopicService(db).page(brand_id)):
        assert topic.id == topics[place]
        assert topic.subscribers == len(await SubscriptionService(db).of_topic(brand_id, topic.key))


async def take(db: Database, brand_id: UUID, topics: Sequence[UUID], step: Step) -> None:
    customer, act = customer_id(brand_id, step.who), Act(source=step.source)
    async with db.transaction() as conn:
        if step.topic is not None:
            choice = Choice(customer, topics[step.topic], step.plus, step.minus)
            await choose(conn, brand_id, [choice], act, keep_withdrawals=step.source is Source.IMPORT)
        else:
            flag = FlagChoice(
                customer,
                agree=step.plus & ~step.minus,
                refuse=step.minus,
                unset=step.plus << 1 & ~step.minus & ~step.plus,
            )
            await set_flags(conn, brand_id, [flag], act)


def test_the_ledger_replayed_is_the_state(database_dsn: str):
    numbers = itertools.count()
    with asyncio.Runner() as runner:
        db = Database(database_dsn, size=2)
        runner.run(db.open())

        @settings(max_examples=40, deadline=None)
        @given(steps=st.lists(STEPS, max_size=12))
        def holds(steps: list[Step]) -> None:
            runner.run(replay_is_state(db, f"brand {next(numbers)}", steps))

        try:
            holds()
        finally:
            runner.run(db.aclose())
