"""What partners execute: it waits for them, is told of, and ends when nobody comes."""

from datetime import UTC, datetime, timedelta

import pytest

from partner_stage import BOTH, EMAIL, SMS, a_stage, as_if_many_had_subscribed, chunks, pulled, reader, runs, told
from stentor.db.pool import Database
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import Reason
from stentor.errors import Conflict
from stentor.executions import partner_runs
from stentor.executions.remedies import carry_out_next
from stentor.executions.service import sweep_expired
from stentor.executions.steps.following import write_waits
from stentor.report.recipients import RecipientFilter
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Following, World
from tallies import unbalanced
from trigger_world import rows

pytestmark = pytest.mark.anyio

WEEK = timedelta(days=7)
REJECTED = int(Reason.PROVIDER_REJECTED)


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
    numbers = await engine.executions.partner_channels(world.brand_id, execution_id)
    everybody = await engine.executions.recipients(
        world.brand_id, execution_id, RecipientFilter(), after=None, limit=10
    )
    assert [(row.channel, numbers.get((row.channel, row.variant))) for row in everybody] == [(EMAIL, None), (SMS, 505)]
    assert (taken.state, [check.name for check in taken.checks if check.differs]) == ("handed_over", [])


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


async def test_what_is_tried_again_waits_for_its_service_anew(db: Database):
    world, engine, channel, partner = await a_stage(db)
    execution_id = await world.execution(await world.publication((SMS,), partners=[partner]))
    await engine.plan()
    await pulled(db, execution_id)
    # As if a service's report had made it so.
    async with db.transaction() as conn:
        await conn.execute(
            "UPDATE send SET state = 4, reason = %s WHERE customer_id IN (SELECT min(customer_id::text)::uuid FROM send)",
            [REJECTED],
        )
        await conn.execute("UPDATE tally SET sends = sends - 1 WHERE state = 2")
        await conn.execute(
            "INSERT INTO tally SELECT execution_id, channel, shard, 4, %s, brand_id, 1 FROM tally WHERE state = 2",
            [REJECTED],
        )

    await engine.executions.remedy(world.brand_id, execution_id, "retry_failed", asked_by="key 1")
    while await carry_out_next(db):
        pass
    await engine.drain()

    assert await chunks(db) == [(2, True, True, 1)]
    assert sorted((await world.fates(execution_id)).values()) == ["handed_over", "handed_over", "pending"]
    assert (channel.taken, await unbalanced(db)) == ([], [])
    await pulled(db, execution_id)
    assert (await engine.executions.find(world.brand_id, execution_id)).state == "ended"
