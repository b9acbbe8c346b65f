"""What an execution's deadline leaves undone, and whom a campaign always leaves out."""

from collections.abc import Sequence
from datetime import timedelta
from typing import LiteralString
from uuid import UUID

import pytest

from stentor.channels.contract import Accepted, Deferred, Message, NotSent, Outcome, Wave
from stentor.clock import boottime_s
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.domain.policy import BrandCap, BrandPolicy, CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.pipeline import GUARD_AGE_S_MAX
from stentor.executions.service import sweep_expired
from stentor.executions.slicing import SLICE_PEOPLE
from stentor.guard.holdout import is_held_out
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.waiting import eventually
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

DEADLINE = CampaignPolicy(deadline="10m")
TOO_LATE = timedelta(minutes=11)


async def state_of(db: Database, world: World, execution_id: UUID) -> str:
    progress = await Engine(db, ScriptedChannel()).executions.progress(world.brand_id, execution_id)
    assert all(channel.balanced for channel in progress.channels)
    return progress.execution.state


async def after_the_deadline(db: Database, channel: ScriptedChannel) -> None:
    async with Database(db.dsn, size=3, shift=TOO_LATE) as later:
        await sweep_expired(later)
        await Engine(later, channel, worker="later").drain()


async def test_what_is_left_at_the_deadline_is_skipped_and_the_execution_ends(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone("one"), Someone("unsubscribed", refused_mask=ChannelKind.EMAIL.bit)])
    execution_id = await world.execution(await world.publication(policy=DEADLINE))
    await Engine(db, channel).plan()

    await after_the_deadline(db, channel)

    assert await world.fates(execution_id) == {"one": "skipped deadline", "unsubscribed": "skipped unsubscribed"}
    assert channel.taken == []
    assert await state_of(db, world, execution_id) == "ended"


async def test_within_the_deadline_everybody_is_written_to(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication(policy=DEADLINE))

    await sweep_expired(db)
    await Engine(db, channel).drain()

    assert await world.fates(execution_id) == {"one": "handed_over"}


class Patient(ScriptedChannel):
    """Starts nothing, and notes when it might not have any more."""

    ended_at_s = 0.0

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        await eventually(lambda: not wave.may_start())
        self.ended_at_s = boottime_s()
        return [NotSent("too old")] * len(messages)


async def test_a_wave_on_the_edge_of_the_deadline_starts_nothing_after_it(db: Database):
    world, channel = await World.made(db), Patient()
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication(policy=DEADLINE))
    engine = Engine(db, channel)
    await engine.plan()
    async with db.autocommit() as conn:
        await conn.execute("UPDATE execution SET deadline_at = clock_timestamp() + interval '1 second'")
    started_s = boottime_s()

    await engine.drain()

    assert channel.ended_at_s - started_s < GUARD_AGE_S_MAX - 0.1
    assert await world.fates(execution_id) == {"one": "skipped deadline"}


async def test_a_retry_that_waits_is_not_waited_for_past_the_deadline(db: Database):
    world = await World.made(db)
    channel = ScriptedChannel(lambda _message: Deferred("450 greylisted", retry_after_s=7_200))
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication(policy=DEADLINE))
    await Engine(db, channel).drain()
    channel.answer = lambda _message: Accepted()

    await after_the_deadline(db, channel)

    assert await world.fates(execution_id) == {"one": "skipped deadline"}
    assert (len(channel.taken), await state_of(db, world, execution_id)) == (1, "ended")


@pytest.mark.parametrize("pause", ["UPDATE execution SET paused_at = now()", "UPDATE sender SET paused_at = now()"])
async def test_a_pause_ends_with_the_deadline(db: Database, pause: LiteralString):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication(policy=DEADLINE))
    await Engine(db, channel).plan()
    async with db.autocommit() as conn:
        await conn.execute(pause)

    await after_the_deadline(db, channel)

    assert await world.fates(execution_id) == {"one": "skipped deadline"}
    assert (channel.taken, await state_of(db, world, execution_id)) == ([], "ended")


async def test_an_execution_that_was_not_planned_in_time_fails_with_its_reason(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication(policy=DEADLINE))
    await Engine(db, channel).executions.pause(world.brand_id, execution_id)

    await after_the_deadline(db, channel)

    execution = await Engine(db, channel).executions.find(world.brand_id, execution_id)
    assert (execution.state, execution.error_code, execution.paused_at) == ("failed", "DEADLINE", None)
    assert channel.taken == []


@pytest.mark.parametrize("is_paused", [False, True])
async def test_everybody_whom_the_deadline_meets_in_the_middle_of_planning_is_skipped_and_counted(
    db: Database, is_paused: bool
):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone(f"p{number}") for number in range(40)])
    await in_slices(db)
    execution_id = await world.execution(await world.publication(policy=DEADLINE))
    engine = Engine(db, channel)
    await engine.planner.plan_next()
    await engine.planner.plan_next()
    if is_paused:
        await engine.executions.pause(world.brand_id, execution_id)
    planned = len(await world.fates(execution_id))

    await after_the_deadline(db, channel)

    assert 0 < planned < 40
    assert list((await world.fates(execution_id)).values()) == ["skipped deadline"] * 40
    assert (channel.taken, await state_of(db, world, execution_id)) == ([], "ended")


async def test_who_was_not_planned_when_it_was_cancelled_is_told_that_others_were(db: Database):
    world, engine = await World.made(db), Engine(db, ScriptedChannel())
    await world.people([Someone(f"p{number}") for number in range(40)])
    await in_slices(db)
    execution_id = await world.execution(await world.publication())
    await engine.planner.plan_next()
    await engine.planner.plan_next()
    planned = set(await world.fates(execution_id))

    await engine.executions.cancel(world.brand_id, execution_id)
    await engine.drain()

    left = min({f"p{number}" for number in range(40)} - planned)
    told = await engine.executions.explain(world.brand_id, execution_id, left)
    assert told.outside.startswith("The execution was cancelled before this person's part of the audience was planned")


async def in_slices(db: Database) -> None:
    """As if the topic had so many subscribers that its executions are planned slice by slice."""
    async with db.autocommit() as conn:
        await conn.execute("UPDATE topic_counter SET subscribers = %s", [3 * SLICE_PEOPLE])


async def test_a_paced_sender_does_not_slow_down_what_is_skipped(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone(f"p{number}") for number in range(50)])
    execution_id = await world.execution(await world.publication(policy=DEADLINE))
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET pace_per_s = 1")
    await Engine(db, channel).plan()

    await after_the_deadline(db, channel)

    assert set((await world.fates(execution_id)).values()) == {"skipped deadline"}


@pytest.mark.fault("F12")
async def test_a_clock_that_is_put_back_keeps_no_paced_sender_waiting(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone("one")])
    publication_id = await world.publication()
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET pace_per_s = 10")

    for shift_s in (3_600, 0, 10):
        async with Database(db.dsn, size=3, shift=timedelta(seconds=shift_s)) as then:
            await world.execution(publication_id)
            await Engine(then, channel).drain()

    assert len(channel.taken) == 3


async def test_the_people_held_out_are_the_same_in_every_execution_of_a_campaign(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    names = [f"p{number}" for number in range(300)]
    await world.people([*(Someone(name) for name in names), Someone("no", refused_mask=ChannelKind.EMAIL.bit)])
    publication_id = await world.publication(policy=CampaignPolicy(holdout=0.2))
    executions = [await world.execution(publication_id) for _ in range(2)]
    engine = Engine(db, channel)

    await engine.drain()

    async with db.read() as conn:
        campaigns = await (await conn.execute("SELECT id FROM campaign")).fetchall()
    held_out = {name for name in names if is_held_out(campaigns[0][0], customer_id(world.brand_id, name), 0.2)}
    assert 30 < len(held_out) < 90
    for execution_id in executions:
        fates = await world.fates(execution_id)
        assert fates.pop("no") == "skipped unsubscribed"
        assert {name for name, fate in fates.items() if fate == "skipped holdout"} == held_out
        assert {name for name, fate in fates.items() if fate == "handed_over"} == set(names) - held_out


async def test_the_story_of_a_person_names_the_check_and_the_rule(db: Database):
    world = await World.made(db)
    await world.brand_policy(BrandPolicy((BrandCap(1, "24h"),)))
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    publication_id = await world.publication()
    for _ in range(2):
        last = await world.execution(publication_id)
        await engine.drain()

    (told,) = (await engine.executions.explain(world.brand_id, last, "one")).channels

    outcomes = {check.name: (check.outcome, check.reason, check.detail) for check in told.checks}
    assert outcomes["deadline"] == ("passed", "", "")
    assert outcomes["cap"] == (
        "objected",
        "frequency_cap",
        "The brand's cap 1 (policy version 2), at most 1 per 24h: 1 counted.",
    )
    assert outcomes["duplicate"] == ("not_reached", "", "")
