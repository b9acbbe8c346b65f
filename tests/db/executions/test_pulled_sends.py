"""What outside services execute: it waits for them, has a number and is told of, and ends when nobody comes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import pytest

from stentor import failpoints
from stentor.campaigns.experiments import Arm, Experiment, Winner
from stentor.db.pool import Database
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict
from stentor.executions import partner_runs
from stentor.executions.audiences import OfTag
from stentor.executions.ending import end_forgotten
from stentor.executions.service import sweep_expired
from stentor.executions.steps.following import write_waits
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Following, Partner, Someone, World
from step_world import Walk
from tallies import unbalanced
from trigger_world import rows

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS
BOTH = EMAIL.bit | SMS.bit
WEEK = timedelta(days=7)
SEVERAL_SLICES = 45_000


class Died(BaseException):
    """The process is gone."""


def die() -> None:
    raise Died


def reader(name: str, **changes: Any) -> Someone:
    """Somebody who subscribed by e-mail and by sms."""
    return Someone(name, channels=BOTH, address_mask=BOTH, valid_mask=BOTH, **changes)


async def a_stage(db: Database, *, people: int = 3) -> tuple[World, Engine, ScriptedChannel, Partner]:
    """A brand with readers and a partner channel, 505, for sms."""
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([reader(f"p{number}") for number in range(people)])
    return world, Engine(db, channel), channel, await world.partner()


async def runs(db: Database) -> dict[UUID, tuple[int, list[int]]]:
    return {
        execution_id: (number, channels)
        for number, execution_id, channels in await rows(db, "SELECT number, execution_id, channels FROM partner_run")
    }


async def told(db: Database) -> list[tuple[Any, ...]]:
    return await rows(db, "SELECT execution_id, kind FROM partner_event ORDER BY at, id")


async def chunks(db: Database) -> list[tuple[Any, ...]]:
    return await rows(
        db,
        "SELECT channel, parked, pulled, count(*)::integer FROM chunk WHERE done_at IS NULL GROUP BY 1, 2, 3 ORDER BY 1",
    )


async def pulled(db: Database, execution_id: UUID) -> None:
    """What the service's pull makes of everybody who waits for it."""
    hand_over: LiteralString = (
        "WITH taken AS (UPDATE send SET state = 2, tries = 1, decided_at = clock_timestamp()"
        " WHERE execution_id = %s AND channel = 2 AND state = 0 RETURNING brand_id)"
        " INSERT INTO tally SELECT %s, 2, 0, m.state, 0, t.brand_id, m.sign * count(*) FROM taken t,"
        " (VALUES (0, -1), (2, 1)) AS m (state, sign) GROUP BY m.state, m.sign, t.brand_id"
        " ON CONFLICT (execution_id, channel, shard, state, reason) DO UPDATE SET sends = tally.sends + excluded.sends"
    )
    async with db.transaction() as conn:
        await conn.execute(hand_over, [execution_id, execution_id])
        await conn.execute(
            "UPDATE chunk SET done_at = clock_timestamp() WHERE execution_id = %s AND channel = 2", [execution_id]
        )
    await end_forgotten(db)


async def test_what_a_service_pulls_waits_for_it_and_what_goes_out_here_does_not(db: Database):
    world, engine, channel, partner = await a_stage(db)
    execution_id = await world.execution(await world.publication((EMAIL, SMS), partners=[partner]))

    await engine.drain()

    assert set(channel.addresses) == {"p0@example.com", "p1@example.com", "p2@example.com"}
    assert await world.fates(execution_id) == dict.fromkeys(["p0", "p1", "p2"], "handed_over, pending")
    assert await chunks(db) == [(2, True, True, 1)]
    assert await unbalanced(db) == []
    assert await runs(db) == {execution_id: (1, [505])}
    assert await told(db) == [(execution_id, "published")]
    assert (await engine.executions.find(world.brand_id, execution_id)).state == "sending"

    await pulled(db, execution_id)

    assert (await engine.executions.find(world.brand_id, execution_id)).state == "ended"
    assert await unbalanced(db) == []
    async with db.read() as conn:
        run = await partner_runs.run_of_number(conn, world.brand_id, 1)
        assert run is not None
        assert await partner_runs.runs_of(conn, world.brand_id, [execution_id]) == {execution_id: run}
        assert await partner_runs.run_of_number(conn, world.brand_id, 2) is None


async def test_a_test_key_leads_to_the_sandbox_and_to_no_service(db: Database):
    world, engine, channel, partner = await a_stage(db)
    execution_id = await world.execution(await world.publication((SMS,), partners=[partner]), is_test=True)

    await engine.drain()

    assert len(channel.taken) == 3
    assert await world.fates(execution_id) == dict.fromkeys(["p0", "p1", "p2"], "handed_over")
    assert (await runs(db), await told(db)) == ({}, [])


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


async def as_if_many_had_subscribed(db: Database) -> None:
    """Cuts what is resolved now into slices, as the counter of its topic says."""
    async with db.autocommit() as conn:
        await conn.execute("UPDATE topic_counter SET subscribers = subscribers + %s", [SEVERAL_SLICES])


async def as_if_few_had(db: Database) -> None:
    async with db.autocommit() as conn:
        await conn.execute("UPDATE topic_counter SET subscribers = subscribers - %s", [SEVERAL_SLICES])


async def test_what_is_cancelled_is_told_of_once_and_skipped_by_workers(db: Database):
    world, engine, channel, partner = await a_stage(db)
    execution_id = await world.execution(await world.publication((EMAIL, SMS), partners=[partner]))
    await engine.plan()

    await engine.executions.cancel(world.brand_id, execution_id)
    await engine.drain()
    with pytest.raises(Conflict):
        await engine.executions.cancel(world.brand_id, execution_id)

    assert await told(db) == [(execution_id, "published"), (execution_id, "cancelled")]
    assert await world.fates(execution_id) == dict.fromkeys(
        ["p0", "p1", "p2"], "skipped execution_cancelled, skipped execution_cancelled"
    )
    assert channel.taken == []
    assert await rows(db, "SELECT ended_at IS NOT NULL FROM execution") == [(True,)]
    assert await unbalanced(db) == []


async def test_what_is_cancelled_before_it_is_published_is_not_told_of_and_leaves_nobody_waiting(db: Database):
    world, engine, _, partner = await a_stage(db)
    execution_id = await world.execution(await world.publication((SMS,), partners=[partner]))
    await as_if_many_had_subscribed(db)
    for _ in range(2):
        await engine.planner.plan_next()
    # As if a slice were being planned while somebody cancels: what it writes afterwards waits for no pull either.
    await engine.executions.cancel(world.brand_id, execution_id)
    async with db.autocommit() as conn:
        await conn.execute("UPDATE chunk SET parked = true, pulled = true")

    await sweep_expired(db)
    await engine.drain()

    assert (await runs(db), await told(db)) == ({}, [])
    assert set((await world.fates(execution_id)).values()) <= {"skipped execution_cancelled"}
    assert await chunks(db) == []


async def test_what_nobody_pulls_ends_by_its_deadline(db: Database):
    world, engine, channel, partner = await a_stage(db)
    await world.settings(pull_within="2h")
    execution_id = await world.execution(await world.publication((SMS,), partners=[partner]))
    await engine.plan()
    paused = await world.execution(await world.publication((SMS,), partners=[partner]))
    await engine.plan()
    await engine.executions.pause(world.brand_id, paused)

    for shift in (timedelta(hours=1, minutes=55), timedelta(hours=2, minutes=5)):
        async with Database(db.dsn, size=3, shift=shift) as later:
            await sweep_expired(later)
            await Engine(later, channel, worker=f"after {shift}").drain()
        if shift < timedelta(hours=2):
            assert await chunks(db) == [(2, True, True, 2)]

    for each in (execution_id, paused):
        assert await world.fates(each) == dict.fromkeys(["p0", "p1", "p2"], "skipped deadline")
        assert (await engine.executions.find(world.brand_id, each)).state == "ended"
    assert (channel.taken, await unbalanced(db)) == ([], [])


async def test_services_have_a_week_from_when_the_last_is_due_unless_the_campaign_says_otherwise(db: Database):
    world, engine, _, partner = await a_stage(db)
    own = await world.execution(
        await world.publication((SMS,), partners=[partner], policy=CampaignPolicy(deadline="10m"))
    )
    weekly = await world.execution(await world.publication((SMS,), partners=[partner]))
    mail = await world.execution(await world.publication((EMAIL,)))
    await engine.plan()

    found = dict(await rows(db, "SELECT id, deadline_at - published_at FROM execution"))
    assert found[own] < timedelta(minutes=11)
    assert WEEK <= found[weekly] < WEEK + timedelta(minutes=1)
    assert found[mail] is None


async def test_a_worker_that_finds_somebody_by_a_slow_clock_hands_nothing_over(db: Database):
    world, engine, channel, partner = await a_stage(db)
    execution_id = await world.execution(await world.publication((SMS,), partners=[partner]))
    await engine.plan()
    async with db.autocommit() as conn:
        await conn.execute("UPDATE chunk SET parked = false, pulled = false")

    assert await engine.deliver() == 1

    assert channel.taken == []
    assert await world.fates(execution_id) == dict.fromkeys(["p0", "p1", "p2"], "pending")
    assert await unbalanced(db) == []


async def test_quiet_hours_are_asked_when_a_service_pulls_and_not_before(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    partner = await world.partner()
    now = datetime.now(UTC)
    quiet = {"from": f"{now - timedelta(hours=2):%H:%M}", "to": f"{now + timedelta(hours=6):%H:%M}"}
    await world.settings(quiet_hours=[quiet])
    await world.people([reader("one")])
    execution_id = await world.execution(await world.publication((EMAIL, SMS), partners=[partner]))

    await Engine(db, channel).drain()

    assert await world.fates(execution_id) == {"one": "held quiet_hours, pending"}


async def test_in_mode_first_a_service_gets_those_whom_nothing_before_it_reaches(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    partner = await world.partner()
    await world.people([reader("both"), reader("phone", bounced_mask=EMAIL.bit), reader("none", refused_mask=BOTH)])
    execution_id = await world.execution(await world.publication((EMAIL, SMS), mode="first", partners=[partner]))

    await Engine(db, channel).drain()

    assert await world.fates(execution_id) == {
        "both": "handed_over",
        "phone": "pending",
        "none": "skipped unsubscribed",
    }


async def test_a_step_follows_what_a_service_pulled(db: Database):
    world, engine, _, partner = await a_stage(db, people=1)
    execution_id = await world.execution(
        await world.publication((SMS,), partners=[partner], steps=[Following(60, (EMAIL,))])
    )
    await engine.plan()
    await pulled(db, execution_id)

    await write_waits(db)

    assert await rows(db, "SELECT count(*)::integer FROM step_wait") == [(1,)]


async def test_what_was_pulled_leaves_history_with_its_number(db: Database):
    world, engine, _, partner = await a_stage(db, people=1)
    execution_id = await world.execution(await world.publication((SMS,), partners=[partner]))
    await engine.plan()
    await pulled(db, execution_id)
    async with db.autocommit() as conn:
        await conn.execute("DELETE FROM execution")

    assert (await runs(db), await told(db)) == ({}, [])


async def test_what_became_of_somebody_names_the_service_and_what_it_sends(db: Database):
    world, engine, _, partner = await a_stage(db, people=1)
    execution_id = await world.execution(await world.publication((EMAIL, SMS), partners=[partner]))
    await engine.drain()

    by_mail, waiting = (await engine.executions.explain(world.brand_id, execution_id, "p0")).channels
    overview = await engine.executions.overview(world.brand_id, execution_id)
    await pulled(db, execution_id)
    _, taken = (await engine.executions.explain(world.brand_id, execution_id, "p0")).channels

    sender = next(check for check in waiting.checks if check.name == "sender")
    assert (by_mail.partner, waiting.partner) == (None, partner.content)
    assert (sender.outcome, sender.detail) == ("not_reached", "Waits until the service of channel 505 pulls it.")
    assert overview.partner_run is not None
    assert (overview.partner_run.number, overview.partner_run.channels) == (1, [505])
    assert (taken.state, [check.name for check in taken.checks if check.differs]) == ("handed_over", [])


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


async def test_people_whom_a_call_names_wait_for_a_service_too(db: Database):
    world, engine, channel, partner = await a_stage(db)
    execution_id = await world.execution(await world.publication((SMS,), basis="none", partners=[partner]))
    async with db.autocommit() as conn:
        await conn.execute("UPDATE execution SET recipients = 1, topic_key = ''")
        await conn.execute(
            "INSERT INTO send_context (execution_id, customer_id, brand_id, part)"
            " SELECT %s, customer_id, brand_id, part FROM customer WHERE external_id = 'p1'",
            [execution_id],
        )

    await engine.drain()

    assert (await world.fates(execution_id), channel.taken) == ({"p1": "pending"}, [])
    assert await runs(db) == {execution_id: (1, [505])}
