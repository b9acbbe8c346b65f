"""Frequency caps on a real database: never exceeded, nobody wrongly withheld, and given back what was refused."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

import pytest

from stentor.channels.contract import Accepted, Deferred, InDoubt, Message, NotSent, Outcome, Rejected, Wave
from stentor.db.pool import Database
from stentor.domain.policy import BrandCap, BrandPolicy, CampaignCap, CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.guard.contacts import STEPS, ContactKeeper
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS
CAPPED = "skipped frequency_cap"
AFTER_THE_LEASE = timedelta(seconds=30)
IN_AN_HOUR, TOMORROW = timedelta(hours=1), timedelta(hours=25)


def brand_cap(at_most: int, per: str = "24h", channels: tuple[str, ...] = ()) -> BrandPolicy:
    return BrandPolicy((BrandCap(at_most, per, channels),))


async def capped_world(db: Database, policy: BrandPolicy) -> World:
    world = await World.made(db)
    await world.brand_policy(policy)
    return world


async def fate_of(world: World, execution_id: UUID, name: str = "one") -> str:
    return (await world.fates(execution_id))[name]


async def rows(db: Database, query: str) -> list[tuple[object, ...]]:
    async with db.read() as conn:
        return await (await conn.execute(query.encode())).fetchall()


@pytest.mark.fault("F20")
async def test_twenty_executions_at_once_reach_everybody_exactly_as_often_as_the_cap_allows(db: Database):
    world = await capped_world(db, brand_cap(3))
    channels = [ScriptedChannel() for _ in range(4)]
    people = [f"p{number}" for number in range(1_000)]
    await world.people([Someone(name) for name in people])
    executions = [await world.execution(await world.publication()) for _ in range(20)]
    async with Database(db.dsn, size=12) as pool:
        engines = [Engine(pool, channel, worker=f"worker-{number}") for number, channel in enumerate(channels)]
        await engines[0].plan()

        await asyncio.gather(*(engine.deliver_beside_others() for engine in engines for _ in range(2)))

    reached = Counter(address for channel in channels for address in channel.addresses)
    assert reached == Counter({f"{name}@example.com": 3 for name in people})
    fates = Counter([fate for execution in executions for fate in (await world.fates(execution)).values()])
    assert fates == {"handed_over": 3_000, CAPPED: 17_000}


async def test_a_window_rolls_from_the_moment_of_acceptance(db: Database):
    world, channel = await capped_world(db, brand_cap(1, "24h")), ScriptedChannel()
    await world.people([Someone("one")])
    publication = await world.publication()
    now, soon, later = [await world.execution(publication) for _ in range(3)]
    engine = Engine(db, channel)
    await engine.plan()
    async with db.autocommit() as conn:
        await conn.execute("UPDATE chunk SET due_at = due_at + interval '1 hour' WHERE execution_id = %s", [soon])
        await conn.execute("UPDATE chunk SET due_at = due_at + interval '25 hours' WHERE execution_id = %s", [later])

    await engine.deliver()
    for shift in (IN_AN_HOUR + timedelta(minutes=1), TOMORROW + timedelta(minutes=1)):
        async with Database(db.dsn, size=3, shift=shift) as then:
            await Engine(then, channel).deliver()

    assert [await fate_of(world, one) for one in (now, soon, later)] == ["handed_over", CAPPED, "handed_over"]


class SlowForOne(ScriptedChannel):
    """Notes the answers as they come: at once, but for one message, which is answered when it is told to be."""

    def __init__(self, slow: str, answer: Callable[[Message], Outcome] = lambda _message: Accepted()) -> None:
        super().__init__(answer)
        self.slow = slow
        self.reached = asyncio.Event()
        self.answered = asyncio.Event()

    @property
    def keeps_notes(self) -> Literal[True]:
        return True

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        outcomes = await super().hand_over(wave, messages)
        slow = self.addresses.index(self.slow)
        for index, outcome in enumerate(outcomes):
            if index != slow:
                wave.notes.answer(index, outcome)
        self.reached.set()
        await self.answered.wait()
        wave.notes.answer(slow, outcomes[slow])
        return outcomes


@pytest.mark.parametrize("outcome", [Accepted(), InDoubt("the connection was lost")], ids=["accepted", "in doubt"])
async def test_each_message_of_a_wave_counts_from_its_own_answer_however_late_the_last_one_is(
    db: Database, outcome: Outcome
):
    world = await capped_world(db, brand_cap(1, "1m"))
    channel = SlowForOne("slow@example.com", lambda _message: outcome)
    await world.people([Someone("one"), Someone("slow"), Someone("two")])
    await world.execution(await world.publication())
    engine = Engine(db, channel)
    await engine.plan()
    task = asyncio.create_task(engine.deliver())
    await channel.reached.wait()
    # More than what lies between two statements, and the others are answered well before it.
    ((late,),) = await rows(db, "SELECT clock_timestamp() FROM (SELECT pg_sleep(0.3)) slept")

    channel.answered.set()
    await task

    async with db.read() as conn:
        contacts = await conn.execute(
            "SELECT external_id, at < %s FROM contact JOIN customer USING (customer_id) ORDER BY external_id", [late]
        )
        assert await contacts.fetchall() == [("one", True), ("slow", False), ("two", True)]


async def test_the_stricter_of_two_rules_holds_back_and_is_named(db: Database):
    world = await capped_world(db, BrandPolicy((BrandCap(5, "24h"), BrandCap(2, "7d"))))
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    publication = await world.publication(policy=CampaignPolicy((CampaignCap(4, "1h"),)))
    executions = [await world.execution(publication) for _ in range(3)]

    await engine.drain()

    assert sorted([await fate_of(world, one) for one in executions]) == ["handed_over", "handed_over", CAPPED]
    assert await rows(db, "SELECT rule, evidence FROM send WHERE reason = 6") == [(102, 2)]


async def test_a_campaigns_rule_counts_its_own_messages_alone(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    policy = CampaignPolicy((CampaignCap(1, "24h"),))
    capped, other = await world.publication(policy=policy), await world.publication()
    executions = [await world.execution(one) for one in (other, capped, capped, other)]

    await engine.drain()

    assert sorted([await fate_of(world, one) for one in executions[1:3]]) == ["handed_over", CAPPED]
    assert {await fate_of(world, one) for one in (executions[0], executions[3])} == {"handed_over"}
    assert await rows(db, "SELECT rule, evidence FROM send WHERE reason = 6") == [(1, 1)]


async def test_a_rule_on_one_channel_leaves_the_others_alone(db: Database):
    world = await capped_world(db, brand_cap(1, channels=("sms",)))
    engine = Engine(db, ScriptedChannel())
    both = EMAIL.bit | SMS.bit
    await world.people([Someone("one", channels=both, address_mask=both, valid_mask=both)])
    publication = await world.publication([EMAIL, SMS])
    executions = [await world.execution(publication) for _ in range(2)]

    await engine.drain()

    fates = sorted([await fate_of(world, one) for one in executions])
    assert fates == ["handed_over, handed_over", f"handed_over, {CAPPED}"]


async def test_rules_by_topic_and_by_tag_count_what_they_name(db: Database):
    world = await World.made(db)
    await world.brand_policy(
        BrandPolicy((BrandCap(1, "24h", tags=("promo",)), BrandCap(1, "24h", topics=(UUID(int=1),))))
    )
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    promo = await world.publication(policy=CampaignPolicy(tags=("match", "promo")))
    plain = await world.publication(policy=CampaignPolicy(tags=("match",)))
    executions = [await world.execution(one) for one in (plain, promo, plain, promo)]

    await engine.drain()

    assert {await fate_of(world, one) for one in (executions[0], executions[2])} == {"handed_over"}
    assert sorted([await fate_of(world, one) for one in (executions[1], executions[3])]) == ["handed_over", CAPPED]
    assert await rows(db, "SELECT count(*) FROM contact WHERE at < 'infinity' AND tags = '{match,promo}'") == [(1,)]


async def test_the_transactional_lane_and_test_executions_are_neither_capped_nor_counted(db: Database):
    world = await capped_world(db, brand_cap(1))
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    receipt, news = await world.publication(lane="transactional"), await world.publication()
    executions = [
        await world.execution(receipt),
        await world.execution(receipt),
        await world.execution(news, is_test=True),
        await world.execution(news),
    ]

    await engine.drain()

    assert [await fate_of(world, one) for one in executions] == ["handed_over"] * 4
    assert await rows(db, "SELECT count(*) FROM contact") == [(1,)]


async def test_nothing_is_asked_or_written_where_no_rule_applies(db: Database):
    world = await capped_world(db, brand_cap(1, channels=("sms",)))
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())
    async with db.autocommit() as conn:
        await conn.execute("DROP TABLE contact")

    await engine.drain()

    assert await fate_of(world, execution_id) == "handed_over"


@pytest.mark.parametrize(
    "refusal",
    [
        Rejected("550 no"),
        Deferred("450 greylisted"),
        Deferred("connection refused", sender_wide=True),
        NotSent("the wave is too old"),
    ],
)
async def test_what_was_refused_for_sure_is_given_back(db: Database, refusal: Outcome):
    world = await capped_world(db, brand_cap(1))
    await world.people([Someone("one")])
    publication = await world.publication()
    refused, stop = await world.execution(publication), asyncio.Event()
    channel = ScriptedChannel(lambda _message: refusal)
    channel.on_wave = lambda _wave: stop.set()
    engine = Engine(db, channel)
    await engine.plan()
    claim = await engine.deliverer.claim()
    assert claim is not None
    await engine.deliverer.deliver(claim, stop=stop)
    async with db.autocommit() as conn:
        await conn.execute("UPDATE chunk SET due_at = due_at + interval '1 hour' WHERE execution_id = %s", [refused])

    next_one = await world.execution(publication)
    channel.answer = lambda _message: Accepted()
    await engine.drain()

    assert await fate_of(world, next_one) == "handed_over"
    async with Database(db.dsn, size=3, shift=2 * IN_AN_HOUR) as later:
        await Engine(later, channel).drain()
    assert await fate_of(world, refused) == ("failed provider_rejected" if isinstance(refusal, Rejected) else CAPPED)


async def test_who_loses_for_another_reason_holds_no_reservation(db: Database):
    world = await capped_world(db, brand_cap(1))
    engine = Engine(db, ScriptedChannel())
    await world.people(
        [
            Someone("refused", refused_mask=EMAIL.bit),
            *(Someone(name, email="home@example.com", shared=True) for name in ("ada", "ben")),
        ]
    )
    publication = await world.publication()
    first = await world.execution(publication)
    await engine.drain()
    second = await world.execution(publication)

    await engine.drain()

    said_first, said_second = await world.fates(first), await world.fates(second)
    (winner,) = [name for name, fate in said_first.items() if fate == "handed_over"]
    assert said_second[winner] == CAPPED
    assert [fate for name, fate in said_second.items() if name not in {winner, "refused"}] == ["handed_over"]
    assert await rows(db, "SELECT count(*) FROM contact") == [(2,)]


async def test_a_message_in_doubt_counts(db: Database):
    world = await capped_world(db, brand_cap(1))
    channel = ScriptedChannel(lambda _message: InDoubt("the connection was lost"))
    engine = Engine(db, channel)
    await world.people([Someone("one")])
    publication = await world.publication()
    lost = await world.execution(publication)
    await engine.drain()
    channel.answer = lambda _message: Accepted()

    next_one = await world.execution(publication)
    await engine.drain()

    assert (await fate_of(world, lost), await fate_of(world, next_one)) == ("unknown", CAPPED)


async def test_a_try_in_doubt_counts_even_if_a_later_one_is_refused(db: Database):
    world = await capped_world(db, brand_cap(1, "7d"))
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET in_doubt = 'at_least_once'")
    channel = ScriptedChannel(lambda _message: InDoubt("the connection was lost"))
    await world.people([Someone("one")])
    publication = await world.publication()
    await world.execution(publication)
    await Engine(db, channel).drain()
    channel.answer = lambda _message: Rejected("550 no")
    async with Database(db.dsn, size=3, shift=IN_AN_HOUR) as later:
        await Engine(later, channel).drain()

        channel.answer = lambda _message: Accepted()
        next_one = await world.execution(publication)
        await Engine(later, channel).drain()

    assert (len(channel.taken), await fate_of(world, next_one)) == (2, CAPPED)


@pytest.mark.parametrize("in_doubt", ["at_most_once", "at_least_once"])
async def test_a_lost_wave_keeps_its_reservations(db: Database, in_doubt: str):
    world, channel = await capped_world(db, brand_cap(1)), ScriptedChannel()
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET in_doubt = %s", [in_doubt])
    await world.people([Someone("one"), Someone("two")])
    publication = await world.publication()
    lost = await world.execution(publication)
    await on_the_wire_and_gone(db)

    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        next_one = await world.execution(publication)
        await Engine(later, channel, worker="heir").drain()

    became = "unknown" if in_doubt == "at_most_once" else "handed_over"
    assert await world.fates(lost) == {"one": became, "two": became}
    assert await world.fates(next_one) == {"one": CAPPED, "two": CAPPED}


class Frozen(ScriptedChannel):
    """Never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        self.taken += messages
        self.reached.set()
        await asyncio.Event().wait()
        return []


async def on_the_wire_and_gone(db: Database) -> None:
    """A worker that dies with its wave on the wire."""
    channel = Frozen()
    engine = Engine(db, channel, worker="lost")
    await engine.plan()
    task = asyncio.create_task(engine.deliver())
    await channel.reached.wait()
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.fault("F20")
async def test_one_person_in_many_executions_of_one_wave_is_counted_one_after_another(db: Database):
    world, channel = await capped_world(db, brand_cap(3)), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone("one"), Someone("two")])
    publication = await world.publication()
    executions = [await world.execution(publication) for _ in range(8)]
    await engine.plan()

    claims = await engine.deliver()

    fates = Counter([fate for one in executions for fate in (await world.fates(one)).values()])
    assert (claims, fates) == (1, {"handed_over": 6, CAPPED: 10})


async def test_brands_do_not_count_each_others_messages(db: Database):
    worlds = [await World.made(db, name) for name in ("One", "Two")]
    engine = Engine(db, ScriptedChannel())
    executions = []
    for world in worlds:
        await world.brand_policy(brand_cap(1))
        await world.people([Someone("one")])
        executions.append(await world.execution(await world.publication()))

    await engine.drain()

    assert [await fate_of(world, one) for world, one in zip(worlds, executions, strict=True)] == ["handed_over"] * 2


async def test_contacts_are_forgotten_when_no_rule_can_look_back_to_them(db: Database):
    world = await capped_world(db, brand_cap(5))
    await world.people([Someone(f"p{number}") for number in range(20)])
    await world.execution(await world.publication())
    await Engine(db, ScriptedChannel()).drain()

    forgotten = []
    for days in (30, 32):
        async with Database(db.dsn, size=2, shift=timedelta(days=days)) as later:
            keeper = ContactKeeper(later)
            forgotten.append(sum([await keeper.forget([world.brand_id]) for _ in range(STEPS)]))

    assert forgotten == [0, 20]
