"""Steps: who was handed over waits, and whoever meets the condition takes the next step, once, in an execution of its own."""

from datetime import timedelta

import pytest

from stentor import failpoints
from stentor.campaigns.steps import AllHappened, AnyHappened, NoneHappened, StepCondition, StepFact
from stentor.channels.contract import Accepted, InDoubt, Message, Outcome, Rejected
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict
from stentor.executions.audiences import OfTag
from stentor.executions.history import HISTORY_DAYS, drop_history
from stentor.executions.steps.following import GRAINS_S, grain_s, write_waits
from stentor.executions.steps.model import Exits
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Following, Someone, World
from step_world import Walk
from tallies import unbalanced
from trigger_world import rows

pytestmark = pytest.mark.anyio

EMAIL, SMS, VOICE = ChannelKind.EMAIL, ChannelKind.SMS, ChannelKind.VOICE
TWO_DAYS_S = 2 * 86_400


def not_(what: StepFact) -> StepCondition:
    return StepCondition(what=what, has=False)


async def a_walk(db: Database, channel: ScriptedChannel | None = None) -> Walk:
    return Walk(await World.made(db), Engine(db, channel or ScriptedChannel()))


async def test_who_did_not_answer_takes_the_next_step_and_everybody_else_leaves_with_a_reason(db: Database):
    def answered(message: Message) -> Outcome:
        return Rejected("no such mailbox") if message.address.startswith("refused") else Accepted()

    walk = await a_walk(db, ScriptedChannel(answered))
    world = walk.world
    names = ["silent", "answered", "left", "complained", "erased", "reborn", "refused"]
    await world.people([Someone(name) for name in names])
    await world.people([Someone("bounced", bounced_mask=EMAIL.bit)])
    publication_id = await world.publication(steps=[Following(TWO_DAYS_S, when=not_("answered"))])
    run = await world.execution(publication_id)
    await walk.on()
    (step,) = (await walk.steps(run)).steps
    assert (step.handed_over, step.waiting, step.executions) == (6, 6, ())
    assert step.due_next_at is not None

    await walk.report(run, "answered", "answered", "1")
    await world.choose("left", 0)
    await walk.run("UPDATE customer SET complained_mask = %s WHERE external_id = 'complained'", [EMAIL.bit])
    await walk.run("DELETE FROM customer WHERE external_id = 'erased'")
    await walk.run("UPDATE customer SET created_at = now() + interval '1 day' WHERE external_id = 'reborn'")
    await walk.after(days=1)
    assert (await walk.steps(run)).steps[0].waiting == 6
    await walk.after(days=1, hours=1)

    (step,) = (await walk.steps(run)).steps
    assert (step.waiting, step.went_on, step.due_next_at) == (0, 1, None)
    assert step.exits == Exits(gone=2, opted_out=2, unmet=1)
    assert await walk.fates(run, 1) == {"silent": "handed_over"}
    (taken,) = step.executions
    execution = await walk.engine.executions.find(world.brand_id, taken.id)
    assert (execution.state, execution.parent_id, execution.step, execution.topic_id) == (
        "ended",
        run,
        1,
        world.topic_id,
    )
    assert await unbalanced(db) == []
    # And never again.
    await walk.after(days=30)
    assert (await walk.steps(run)).steps[0].executions == step.executions

    told = {
        name: (await walk.engine.executions.explain(world.brand_id, taken.id, name)).outside
        for name in [*names[:2], "refused"]
    }
    assert told["silent"] == ""
    assert "condition did not hold" in told["answered"]
    assert "nothing of the step before" in told["refused"]

    assert await walk.keeper.end_over() == 1
    assert (await walk.steps(run)).ended_at is not None


@pytest.mark.parametrize(
    ("when", "who"),
    [
        (None, {"none", "opened", "yes", "no"}),
        (StepCondition(what="opened"), {"opened", "yes"}),
        (StepCondition(what="answered", answer=" YES "), {"yes"}),
        (StepCondition(what="answered", answer="yes", has=False), {"none", "opened", "no"}),
        (AnyHappened((StepCondition(what="opened"), StepCondition(what="answered"))), {"opened", "yes", "no"}),
        (AllHappened((StepCondition(what="opened"), StepCondition(what="answered"))), {"yes"}),
        (NoneHappened((StepCondition(what="opened"), StepCondition(what="answered"))), {"none"}),
    ],
)
async def test_conditions_are_about_what_was_reported_when_the_wait_is_over(
    db: Database, when: AllHappened | None, who: set[str]
):
    walk = await a_walk(db)
    await walk.world.people([Someone(name) for name in ("none", "opened", "yes", "no")])
    run = await walk.world.execution(await walk.world.publication(steps=[Following(60, when=when)]))
    await walk.on()
    for name in ("opened", "yes"):
        await walk.report(run, name, "opened")
    for name in ("yes", "no"):
        await walk.report(run, name, "answered", name)

    await walk.after(minutes=3)

    assert set(await walk.fates(run, 1)) == who


async def test_each_step_follows_the_one_before_and_may_ask_of_any_earlier_one(db: Database):
    walk = await a_walk(db)
    world, both = walk.world, EMAIL.bit | SMS.bit
    await world.people(
        [Someone(name, channels=both, address_mask=both, valid_mask=both) for name in ("ann", "bob", "cem", "dan")]
    )
    steps = [
        Following(3_600, channels=(SMS,), when=not_("opened")),
        Following(86_400, when=AnyHappened((StepCondition(what="replied"), StepCondition(what="clicked", step=0)))),
        Following(60, when=NoneHappened((StepCondition(what="replied", step=1),))),
    ]
    tag = OfTag(await world.tag(["ann", "bob", "cem", "dan"]))
    run = await world.execution(await world.publication(basis="channel", steps=steps), audience=tag)
    await walk.on()
    await walk.report(run, "ann", "opened")
    await walk.after(hours=2)
    assert set(await walk.fates(run, 1)) == {"bob", "cem", "dan"}

    ((first,),) = [[one.id for one in (await walk.steps(run)).steps[0].executions]]
    await walk.report(first, "bob", "replied", "yes", SMS)
    await walk.report(run, "cem", "clicked")
    await walk.after(hours=26)
    assert set(await walk.fates(run, 2)) == {"bob", "cem"}
    await walk.after(minutes=3)
    assert set(await walk.fates(run, 3)) == {"cem"}
    assert [step.handed_over for step in (await walk.steps(run)).steps] == [4, 3, 2]
    assert await walk.keeper.end_over() == 1


async def test_who_is_handed_over_at_different_times_falls_due_in_their_own_turn(db: Database):
    walk = await a_walk(db)
    world = walk.world
    await world.people([Someone(f"p{number}") for number in range(300)])
    run = await world.execution(
        await world.publication(basis="channel", steps=[Following(60)]),
        audience=OfTag(await world.tag([f"p{n}" for n in range(300)])),
    )
    await walk.run("UPDATE execution SET spread_s = 3600")
    for _ in range(9):
        await walk.after(minutes=8)

    (step,) = (await walk.steps(run)).steps
    assert step.handed_over == 300
    assert len(step.executions) > 5
    assert step.went_on + step.waiting == 300
    await walk.after(minutes=3)
    assert (await walk.steps(run)).steps[0].went_on == 300
    sent = await rows(db, "SELECT customer_id, count(*)::integer FROM send WHERE execution_id <> %s GROUP BY 1", run)
    assert len(sent) == 300
    assert {count for _, count in sent} == {1}


def test_turns_grow_coarser_so_that_a_run_of_any_length_has_few():
    assert [grain_s(wait_s, 0) for wait_s in (60, 3_600, 7_200, 86_400, TWO_DAYS_S, 90 * 86_400)] == [
        60,
        60,
        300,
        3_600,
        3_600,
        3_600,
    ]
    assert [grain_s(60, turns) for turns in (99, 100, 500, 10_000)] == [60, 300, 86_400, 86_400]
    assert grain_s(90 * 86_400, 200) == GRAINS_S[-1]


async def test_a_cancelled_run_starts_nothing_more_and_a_paused_one_when_it_is_resumed(db: Database):
    walk = await a_walk(db)
    world, executions = walk.world, walk.engine.executions
    await world.people([Someone("one"), Someone("two")])
    publication_id = await world.publication(steps=[Following(60), Following(60)])
    cancelled, paused = await world.execution(publication_id), await world.execution(publication_id)
    await walk.on()
    assert (await executions.find(world.brand_id, cancelled)).state == "ended"
    await executions.cancel(world.brand_id, cancelled)
    await executions.pause(world.brand_id, paused)
    with pytest.raises(Conflict):
        await executions.pause(world.brand_id, paused)
    await walk.after(minutes=10)

    steps = await walk.steps(cancelled)
    assert steps.cancelled_at is not None
    assert (steps.steps[0].exits.dropped, steps.steps[0].executions) == (2, ())
    with pytest.raises(Conflict):
        await executions.cancel(world.brand_id, cancelled)
    assert (await walk.steps(paused)).steps[0].waiting == 2

    await executions.resume(world.brand_id, paused)
    await walk.keeper.start_due()
    ((step_id,),) = await rows(db, "SELECT id FROM execution WHERE parent_id = %s", paused)
    await executions.pause(world.brand_id, paused)
    assert (await executions.find(world.brand_id, step_id)).paused_at is not None
    await executions.resume(world.brand_id, paused)
    await walk.on()
    assert set(await walk.fates(paused, 1)) == {"one", "two"}
    await executions.cancel(world.brand_id, paused)
    await walk.after(minutes=10)
    assert (await walk.steps(paused)).steps[1].exits == Exits(dropped=2)


async def test_what_is_settled_as_handed_over_later_waits_from_then_on(db: Database):
    walk = await a_walk(db, ScriptedChannel(lambda _message: InDoubt("lost")))
    world, executions = walk.world, walk.engine.executions
    await world.people([Someone("doubtful")])
    run = await world.execution(await world.publication(steps=[Following(3_600)]))
    await walk.on()
    assert (await walk.steps(run)).steps[0].handed_over == 0
    await walk.keeper.end_over()

    await executions.remedy(world.brand_id, run, "settle_as_handed_over", asked_by="key 1")
    await walk.run("UPDATE send SET state = 2, reason = 0")
    await walk.run("UPDATE remedy SET done_at = now()")
    await walk.run("UPDATE execution SET state = 'ended', ended_at = now()")
    await write_waits(db)
    assert (await walk.steps(run)).steps[0].waiting == 1
    await write_waits(db)
    assert await rows(db, "SELECT count(*) FROM step_source WHERE done_at IS NULL") == [(0,)]


@pytest.mark.parametrize(
    "point",
    ["step_wait.before_commit", "step_wait.after_commit", "step_start.before_commit", "step_start.after_commit"],
)
async def test_nobody_takes_a_step_twice_or_never_although_the_keeper_dies_anywhere(db: Database, point: str):
    class Died(BaseException):
        """The process is gone."""

    def die() -> None:
        raise Died

    walk = await a_walk(db)
    await walk.world.people([Someone(f"p{number}") for number in range(20)])
    run = await walk.world.execution(await walk.world.publication(steps=[Following(60), Following(60)]))
    try:
        for hit in (1, 2):
            failpoints.arm(f"{point}=die@{hit}", {"die": die})
            for _ in range(2):
                try:
                    await walk.after(minutes=1)
                except Died:
                    failpoints.arm("")
    finally:
        failpoints.arm("")
    await walk.after(minutes=5)
    await walk.after(minutes=5)

    for step in (await walk.steps(run)).steps:
        assert (step.handed_over, step.went_on) == (20, 20)
    assert (
        await rows(db, "SELECT count(*)::integer, count(DISTINCT customer_id)::integer FROM send GROUP BY execution_id")
        == [(20, 20)] * 3
    )


async def test_a_run_stays_in_history_until_its_steps_have_ended(db: Database):
    walk = await a_walk(db)
    await walk.world.people([Someone("one")])
    run = await walk.world.execution(await walk.world.publication(steps=[Following(60)]))
    await walk.on()
    await walk.run("UPDATE stepping SET paused_at = now()")
    db.shift += timedelta(days=HISTORY_DAYS + 10)

    await drop_history(db, days=HISTORY_DAYS)
    assert await rows(db, "SELECT id FROM execution") == [(run,)]
    await walk.run("UPDATE stepping SET ended_at = now()")
    await drop_history(db, days=HISTORY_DAYS)
    assert await rows(db, "SELECT count(*) FROM execution") == [(0,)]
    assert await rows(db, "SELECT count(*) FROM step_turn") == [(0,)]
