"""Run numbers: given when an execution is published, to each once, and to none that partners do not execute."""

import asyncio

import pytest

from partner_stage import EMAIL, SMS, a_stage, as_if_few_had, as_if_many_had_subscribed, pulled, reader, runs, told
from stentor import failpoints
from stentor.campaigns.experiments import Arm, Experiment, Winner
from stentor.db.pool import Database
from stentor.executions.audiences import OfTag
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Following, World
from step_world import Walk
from tallies import unbalanced
from trigger_world import rows

pytestmark = pytest.mark.anyio


class Died(BaseException):
    """The process is gone."""


def die() -> None:
    raise Died


async def test_numbers_are_given_once_by_planners_side_by_side_and_by_each_brand_for_itself(db: Database):
    world, engine, _, partner = await a_stage(db)
    publication_id = await world.publication((SMS,), partners=[partner])
    large = [await world.execution(publication_id) for _ in range(2)]
    await as_if_many_had_subscribed(db)
    await engine.planner.plan_next()
    await as_if_few_had(db)
    small = [await world.execution(publication_id) for _ in range(20)]
    elsewhere = await World.made(db, "Other")
    await elsewhere.people([reader("one")])
    other = await elsewhere.execution(await elsewhere.publication((SMS,), partners=[await elsewhere.partner()]))

    await asyncio.gather(*(Engine(db, ScriptedChannel()).plan() for _ in range(3)))

    given = await runs(db)
    assert given.pop(other) == (1, [505])
    assert sorted(number for number, _ in given.values()) == list(range(1, 23))
    assert given.keys() == {*large, *small}
    assert sorted(await told(db)) == sorted((execution_id, "published") for execution_id in [*given, other])
    assert await rows(db, "SELECT count(*)::integer FROM execution WHERE state <> 'sending'") == [(0,)]


async def test_executions_that_no_service_pulls_wait_for_no_number(db: Database):
    world, engine, _, partner = await a_stage(db)
    await world.execution(await world.publication((SMS,), partners=[partner]))
    await engine.plan()
    mail = await world.execution(await world.publication((EMAIL,)))
    async with db.transaction() as conn:
        await conn.execute("SELECT FROM partner_run_counter FOR UPDATE")
        await engine.plan()

        assert (await engine.executions.find(world.brand_id, mail)).state == "sending"
        assert len(await runs(db)) == 1


@pytest.mark.parametrize("is_large", [False, True])
async def test_who_dies_while_publishing_leaves_neither_a_number_nor_a_word(db: Database, is_large: bool):
    world, engine, _, partner = await a_stage(db)
    execution_id = await world.execution(await world.publication((SMS,), partners=[partner]))
    point = "resolve"
    if is_large:
        point = "plan"
        await as_if_many_had_subscribed(db)
        await engine.planner.plan_next()
        while await rows(db, "SELECT true FROM execution WHERE slices_left > 1"):
            await engine.planner.plan_next()
    try:
        failpoints.arm(f"{point}.before_commit=die@1", {"die": die})
        with pytest.raises(Died):
            await engine.plan()
        assert (await runs(db), await told(db)) == ({}, [])
        assert await rows(db, "SELECT published_at FROM execution") == [(None,)]
        failpoints.arm(f"{point}.after_commit=die@1", {"die": die})
        with pytest.raises(Died):
            await engine.plan()
    finally:
        failpoints.arm("")
    await engine.plan()

    assert await runs(db) == {execution_id: (1, [505])}
    assert await told(db) == [(execution_id, "published")]


async def test_a_step_and_the_rest_of_an_experiment_have_numbers_of_their_own(db: Database):
    world, engine, _, partner = await a_stage(db, people=40)
    walk = Walk(world, engine)
    run = await world.execution(await world.publication((EMAIL,), partners=[partner], steps=[Following(60, (SMS,))]))
    await walk.on()
    assert await runs(db) == {}
    await walk.after(minutes=5)
    (step,) = (await walk.steps(run)).steps[0].executions
    assert await runs(db) == {step.id: (1, [505])}

    halves = Experiment(arms=(Arm("a", 0.3), Arm("b", 0.3)), winner=Winner(by="clicked", after="1h", otherwise="first"))
    tag = OfTag(await world.tag([f"p{number}" for number in range(40)]))
    parted = await world.execution(
        await world.publication((SMS, SMS), partners=[partner], experiment=halves, arms=("a", "b")), audience=tag
    )
    await engine.plan()
    await pulled(db, parted)
    rest = (await engine.experiments.choose(world.brand_id, parted, "a", chosen_by="key 1")).run_id
    await engine.plan()

    assert rest is not None
    assert await runs(db) == {step.id: (1, [505]), parted: (2, [505]), rest: (3, [505])}
    assert set((await world.fates(rest)).values()) == {"pending"}
    assert await unbalanced(db) == []


async def test_what_was_pulled_leaves_history_with_its_number(db: Database):
    world, engine, _, partner = await a_stage(db, people=1)
    execution_id = await world.execution(await world.publication((SMS,), partners=[partner]))
    await engine.plan()
    await pulled(db, execution_id)
    async with db.autocommit() as conn:
        await conn.execute("DELETE FROM execution")

    assert (await runs(db), await told(db)) == ({}, [])
