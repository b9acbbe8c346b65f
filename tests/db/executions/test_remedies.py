"""What can be ordered for sends that failed or are in doubt: nobody is lost or doubled, and every number adds up."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import pytest

from stentor.channels.contract import Accepted, Deferred, InDoubt, Message, Outcome, Rejected
from stentor.db.pool import Database
from stentor.domain.policy import BrandCap, BrandPolicy, CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, NotFound
from stentor.executions.remedies import TREATMENTS, Action, carry_out_next
from stentor.executions.service import Overview
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.waiting import eventually
from stentor.testing.world import Someone, World
from stentor.worker.loop import Bell
from stentor.worker.remedier import RemedierRole
from tallies import unbalanced

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS
DOUBT = InDoubt("the reply was lost")


class Stage:
    """A world with an engine whose channel answers as it is told, and one execution that was delivered once."""

    def __init__(self, world: World, channel: ScriptedChannel, execution_id: UUID) -> None:
        self.world = world
        self.channel = channel
        self.execution_id = execution_id
        self.engine = Engine(world.db, channel)

    @classmethod
    async def made(cls, db: Database, answer: Callable[[Message], Outcome], *, people: int = 3) -> "Stage":
        world = await World.made(db)
        await world.people([Someone(f"p{number}") for number in range(people)])
        stage = cls(world, ScriptedChannel(answer), await world.execution(await world.publication()))
        await stage.engine.drain()
        return stage

    def world_in(self, db: Database) -> World:
        return World(db, self.world.brand_id, self.world.topic_id)

    async def order(self, action: Action, channel: ChannelKind | None = None) -> Overview:
        return await self.engine.executions.remedy(
            self.world.brand_id, self.execution_id, action, channel, asked_by="key 1"
        )

    async def carry_out(self) -> int:
        steps = 0
        while await carry_out_next(self.world.db):
            steps += 1
        return steps

    async def overview(self) -> Overview:
        return await self.engine.executions.overview(self.world.brand_id, self.execution_id)

    async def fates(self) -> Counter[str]:
        return Counter((await self.world.fates(self.execution_id)).values())

    def accept_all(self) -> None:
        self.channel.answer = lambda _message: Accepted()


async def test_failed_sends_are_tried_again_and_the_execution_ends_anew(db: Database):
    stage = await Stage.made(db, lambda _message: Rejected("550 no"))
    ended = await stage.overview()
    stage.accept_all()

    asked = await stage.order("retry_failed")
    await stage.carry_out()
    await stage.engine.drain()

    again = await stage.overview()
    assert (ended.execution.state, asked.execution.state, again.execution.state) == ("ended", "sending", "ended")
    assert await stage.fates() == {"handed_over": 3}
    assert asked.execution.status_at == ended.execution.status_at == again.execution.status_at
    assert [(one.number, one.sends) for one in again.remedies] == [(1, 3)]
    assert again.remedies[0].done_at is not None
    assert ended.reconciliation is not None
    assert again.reconciliation is not None
    assert (ended.reconciliation.number, again.reconciliation.number) == (1, 2)
    assert ended.reconciliation.channels[0].failed_by_reason == {"provider_rejected": 3}
    assert again.reconciliation.channels[0].handed_over == 3


async def test_who_is_tried_again_has_eight_tries_again(db: Database):
    stage = await Stage.made(db, lambda _message: Deferred("450 later"), people=1)
    await exhaust(stage)
    assert await stage.fates() == {"failed retries_exhausted": 1}

    await stage.order("retry_failed")
    await stage.carry_out()
    await exhaust(stage)

    assert await stage.fates() == {"failed retries_exhausted": 1}
    assert len(stage.channel.taken) == 16


async def exhaust(stage: Stage) -> None:
    for _ in range(9):
        await make_due(stage.world.db)
        await stage.engine.drain()


async def make_due(db: Database) -> None:
    async with db.autocommit() as conn:
        await conn.execute("UPDATE chunk SET due_at = created_at FROM execution e WHERE e.id = execution_id")


@pytest.mark.fault("F8")
async def test_what_is_in_doubt_is_sent_again_with_the_same_send_id(db: Database):
    stage = await Stage.made(db, lambda _message: DOUBT)
    assert await stage.fates() == {"unknown": 3}
    stage.accept_all()

    await stage.order("resend")
    await stage.carry_out()
    await stage.engine.drain()

    assert await stage.fates() == {"handed_over": 3}
    assert set(Counter(message.send_id for message in stage.channel.taken).values()) == {2}


@pytest.mark.fault("F8")
@pytest.mark.parametrize(
    ("action", "fate"),
    [("settle_as_handed_over", "handed_over"), ("settle_as_failed", "failed in_doubt")],
)
async def test_what_is_in_doubt_is_settled_by_word_and_sent_to_nobody(db: Database, action: Action, fate: str):
    stage = await Stage.made(db, lambda _message: DOUBT)

    await stage.order(action)
    await stage.carry_out()
    await stage.engine.drain()

    overview = await stage.overview()
    assert await stage.fates() == {fate: 3}
    assert len(stage.channel.taken) == 3
    assert overview.execution.state == "ended"
    assert overview.reconciliation is not None
    assert (overview.reconciliation.number, overview.reconciliation.balanced) == (2, True)


async def test_what_is_settled_as_failed_is_given_back_to_the_cap_and_what_is_handed_over_counts(db: Database):
    world = await World.made(db)
    await world.brand_policy(BrandPolicy((BrandCap(1, "24h"),)))
    await world.people([Someone("one")])
    publication, channel = await world.publication(), ScriptedChannel(lambda _message: DOUBT)
    engine = Engine(db, channel)
    doubted, capped, free = await world.execution(publication), await world.execution(publication), None
    await engine.drain()
    order = engine.executions.remedy
    channel.answer = lambda _message: Accepted()

    fates = [await world.fates(one) for one in (doubted, capped)]
    first, second = (doubted, capped) if fates[0] == {"one": "unknown"} else (capped, doubted)
    await order(world.brand_id, first, "settle_as_failed", asked_by="key 1")
    await carry_out_next(db)
    free = await world.execution(publication)
    await engine.drain()

    assert await world.fates(second) == {"one": "skipped frequency_cap"}
    assert await world.fates(free) == {"one": "handed_over"}


async def test_a_resend_reserves_no_second_message(db: Database):
    world = await World.made(db)
    await world.brand_policy(BrandPolicy((BrandCap(1, "24h"),)))
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())
    stage = Stage(world, ScriptedChannel(lambda _message: DOUBT), execution_id)
    await stage.engine.drain()
    stage.accept_all()

    await stage.order("resend")
    await stage.carry_out()
    await stage.engine.drain()

    assert await stage.fates() == {"handed_over": 1}


async def test_a_remedy_is_for_the_channel_that_it_names(db: Database):
    world, both = await World.made(db), EMAIL.bit | SMS.bit
    await world.people([Someone("one", channels=both, address_mask=both, valid_mask=both, phone="+4915112345678")])
    execution_id = await world.execution(await world.publication([EMAIL, SMS]))
    stage = Stage(world, ScriptedChannel(lambda _message: DOUBT), execution_id)
    await stage.engine.drain()

    await stage.order("settle_as_handed_over", SMS)
    await stage.carry_out()

    assert await world.fates(execution_id) == {"one": "unknown, handed_over"}


async def test_asking_twice_orders_once_and_for_nobody_orders_nothing(db: Database):
    stage = await Stage.made(db, lambda _message: DOUBT)

    nothing = await stage.order("retry_failed")
    asked = await asyncio.gather(*(stage.order("settle_as_handed_over") for _ in range(4)))
    await stage.carry_out()
    late = await stage.order("settle_as_handed_over")

    assert nothing.remedies == []
    assert {len(one.remedies) for one in asked} == {1}
    assert len(late.remedies) == 1
    assert late.execution.state == "ended"


async def test_who_comes_into_doubt_after_the_question_is_not_in_it(db: Database):
    stage = await Stage.made(
        db, lambda message: DOUBT if message.address.startswith("p0") else Deferred("450 later"), people=2
    )
    stage.channel.answer = lambda _message: DOUBT

    await stage.order("settle_as_handed_over")
    await make_due(db)
    await stage.engine.drain()
    await stage.carry_out()

    assert await stage.world.fates(stage.execution_id) == {"p0": "handed_over", "p1": "unknown"}


async def test_a_worker_begins_within_a_second(db: Database):
    stage, stop = await Stage.made(db, lambda _message: DOUBT), asyncio.Event()

    async def settled() -> bool:
        return await stage.fates() == {"handed_over": 3}

    async with asyncio.TaskGroup() as group:
        group.create_task(RemedierRole(db, due=Bell()).run(stop))
        await asyncio.sleep(0)
        await stage.order("settle_as_handed_over")
        await eventually(settled, within_s=1)
        stop.set()


async def test_nothing_is_sent_again_of_what_was_cancelled_but_its_doubt_can_be_settled(db: Database):
    stage = await Stage.made(db, lambda message: DOUBT if message.address.startswith("p0") else Deferred("450 later"))
    await stage.engine.executions.cancel(stage.world.brand_id, stage.execution_id)
    await stage.engine.drain()

    with pytest.raises(Conflict, match="cancelled"):
        await stage.order("resend")
    await stage.order("settle_as_failed")
    await stage.carry_out()

    overview = await stage.overview()
    assert overview.execution.state == "cancelled"
    assert overview.execution.ended_at is not None
    assert overview.reconciliation is not None
    assert overview.reconciliation.number == 2
    assert await stage.fates() == {"failed in_doubt": 1, "skipped execution_cancelled": 2}


async def test_a_remedy_that_a_cancellation_overtakes_sends_nothing(db: Database):
    stage = await Stage.made(db, lambda _message: DOUBT)
    stage.accept_all()

    await stage.order("resend")
    await stage.engine.executions.cancel(stage.world.brand_id, stage.execution_id)
    await stage.carry_out()
    await stage.engine.drain()

    assert await stage.fates() == {"unknown": 3}
    assert (await stage.overview()).execution.ended_at is not None


async def test_nothing_is_sent_again_after_the_deadline(db: Database):
    world = await World.made(db)
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication(policy=CampaignPolicy(deadline="1h")))
    stage = Stage(world, ScriptedChannel(lambda _message: DOUBT), execution_id)
    await stage.engine.drain()
    async with db.autocommit() as conn:
        await conn.execute("UPDATE execution SET deadline_at = created_at")

    with pytest.raises(Conflict, match="deadline"):
        await stage.order("resend")
    await stage.order("settle_as_handed_over")


async def test_an_opt_out_stops_a_resend_and_the_trace_says_that_it_was_in_doubt(db: Database):
    stage = await Stage.made(db, lambda _message: DOUBT, people=1)
    await stage.world.choose("p0", 0)
    stage.accept_all()

    await stage.order("resend")
    await stage.carry_out()
    await stage.engine.drain()

    story = await stage.engine.executions.explain(stage.world.brand_id, stage.execution_id, "p0")
    assert await stage.fates() == {"unknown unsubscribed": 1}
    assert (story.channels[0].doubts, story.channels[0].tries) == (1, 1)
    assert {check.name: check.outcome for check in story.channels[0].checks}["consent"] == "objected"
    assert len(stage.channel.taken) == 1
    (email,) = (await stage.overview()).channels
    assert email.unknown_by_reason == {"unsubscribed": 1}


async def test_an_execution_of_another_brand_is_not_there(db: Database):
    stage = await Stage.made(db, lambda _message: DOUBT, people=1)
    stranger = await World.made(db, "Stranger")

    with pytest.raises(NotFound):
        await stage.engine.executions.remedy(stranger.brand_id, stage.execution_id, "resend", asked_by="key 1")


async def test_many_people_are_treated_in_steps_and_a_killed_worker_loses_nothing_of_it(db: Database):
    stage = await Stage.made(db, lambda _message: DOUBT, people=300)
    async with db.autocommit() as conn:
        # As if there were so many that a step takes a fifth of the parts.
        await conn.execute("UPDATE execution SET audience_size = 100000")
    stage.accept_all()
    await stage.order("resend")

    await carry_out_next(db)
    await stage.engine.drain()
    halfway = await stage.fates()
    heir = Stage(stage.world, stage.channel, stage.execution_id)
    await heir.carry_out()
    await heir.engine.drain()

    assert 0 < halfway["handed_over"] < 300
    assert halfway["unknown"] == 300 - halfway["handed_over"]
    assert await stage.fates() == {"handed_over": 300}
    assert set(Counter(message.send_id for message in stage.channel.taken).values()) == {2}
    assert await unbalanced(db) == []


async def test_the_books_balance_at_all_times_while_everything_is_ordered_at_once(db: Database):
    dice = random.Random(7)
    outcomes: list[Outcome] = [Accepted(), DOUBT, Rejected("550 no"), Deferred("450 later")]
    stage = await Stage.made(db, lambda _message: dice.choice(outcomes), people=400)

    async with Database(db.dsn, size=10) as pool:
        differences = await torn(Stage(stage.world_in(pool), stage.channel, stage.execution_id), dice)
    stage.accept_all()
    for _ in range(2):
        await stage.order("settle_as_failed")
        await stage.carry_out()
        await exhaust(stage)

    fates, overview = await stage.fates(), await stage.overview()
    assert differences == []
    assert await unbalanced(db) == []
    assert sum(fates.values()) == 400
    assert overview.execution.state == "ended"
    assert all(one.done_at for one in overview.remedies)
    assert overview.reconciliation is not None
    assert overview.reconciliation.balanced


async def torn(stage: Stage, dice: random.Random) -> list[tuple[object, ...]]:
    """Remedies, pauses and two workers at once; what a watcher found unbalanced meanwhile."""
    over, differences = asyncio.Event(), list[tuple[object, ...]]()

    async def work(number: int) -> None:
        engine = Engine(stage.world.db, stage.channel, worker=f"worker-{number}")
        while not over.is_set():
            await carry_out_next(stage.world.db)
            await engine.deliver()

    async def watch() -> None:
        while not over.is_set():
            differences.extend(await unbalanced(stage.world.db))

    async with asyncio.TaskGroup() as group:
        for job in (work(1), work(2), watch()):
            group.create_task(job)
        async with asyncio.TaskGroup() as asking:
            for _ in range(3):
                asking.create_task(ask_for_everything(stage, dice))
            asking.create_task(pause_and_resume(stage))
        over.set()
    return differences


async def ask_for_everything(stage: Stage, dice: random.Random) -> None:
    for _ in range(25):
        await stage.order(dice.choice(list(TREATMENTS)))


async def pause_and_resume(stage: Stage) -> None:
    for _ in range(10):
        for change in (stage.engine.executions.pause, stage.engine.executions.resume):
            with suppress(Conflict):
                await change(stage.world.brand_id, stage.execution_id)
