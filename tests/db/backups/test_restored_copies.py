"""A restored copy sends nothing that the installation it was copied from sends, has sent, or may have sent."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backup_world import Backups, Restored
from stentor.backups.fence import EPOCH_LEAP, fence, resume
from stentor.campaigns.experiments import Arm, Experiment, Winner
from stentor.channels.contract import InDoubt
from stentor.db.pool import Database
from stentor.deliver.store import claim_due
from stentor.domain.timetable import Rule
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict
from stentor.executions.audiences import OfTag
from stentor.executions.remedies import carry_out_next
from stentor.executions.service import start_due
from stentor.queue.floors import Floors
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from stentor.triggers.schedules.keeping import ScheduleKeeper
from stentor.triggers.schedules.model import GeneratorTarget, ScheduleDraft
from trigger_world import SCHEMA, checker_of, make_brand, make_generator, rows, schedules_of

pytestmark = pytest.mark.anyio

AN_HOUR = timedelta(hours=1)


def world_in(db: Database, world: World) -> World:
    return World(db, world.brand_id, world.topic_id)


async def work(db: Database, channel: ScriptedChannel) -> None:
    """All that workers do, until nothing is left to do."""
    engine = Engine(db, channel, worker="copy")
    await start_due(db)
    while await carry_out_next(db):
        continue
    await engine.drain()


async def state_of(db: Database, execution_id: UUID) -> tuple[Any, ...]:
    every = await rows(db, "SELECT id, state, paused_at IS NOT NULL, restored_at IS NOT NULL FROM execution")
    return {row[0]: row[1:] for row in every}[execution_id]


async def in_doubt_policy(db: Database, policy: str) -> None:
    async with db.transaction() as conn:
        await conn.execute("UPDATE sender SET in_doubt = %s", [policy])


async def half_way(db: Database) -> tuple[World, UUID]:
    """An execution of three people, planned, of whom nobody is reached yet."""
    world = await World.made(db)
    await world.people([Someone("one"), Someone("two"), Someone("three")])
    execution_id = await world.execution(await world.publication())
    await Engine(db, ScriptedChannel()).plan()
    return world, execution_id


@pytest.mark.fault("F21")
async def test_nothing_leaves_the_copy_while_the_old_installation_sends(backups: Backups):
    world, planned = await half_way(backups.db)
    queued = await world.execution(await world.publication())
    await backups.taken()
    old, new = ScriptedChannel(), ScriptedChannel()

    async with backups.restored(shift=AN_HOUR) as copy:
        await asyncio.gather(Engine(backups.db, old).drain(), work(copy.db, new))

        assert len(old.taken) == 6
        assert new.taken == []
        assert set((await world_in(copy.db, world).fates(planned)).values()) == {"pending"}
        assert await state_of(copy.db, planned) == ("sending", True, True)
        assert await state_of(copy.db, queued) == ("queued", True, True)
        assert copy.copy.executions_paused == 2


@pytest.mark.fault("F21")
async def test_an_execution_that_is_resumed_before_the_copy_is_let_go_sends_nothing(backups: Backups):
    world, planned = await half_way(backups.db)
    await backups.taken()
    channel = ScriptedChannel()

    async with backups.restored(shift=AN_HOUR) as copy:
        await Engine(copy.db, channel).executions.resume(world.brand_id, planned)
        await work(copy.db, channel)

        assert channel.taken == []
        assert set((await world_in(copy.db, world).fates(planned)).values()) == {"pending"}


@pytest.mark.fault("F21")
async def test_after_its_release_only_what_was_not_under_way_is_sent(backups: Backups):
    world, planned = await half_way(backups.db)
    await backups.taken()
    channel = ScriptedChannel()

    async with backups.restored(shift=AN_HOUR) as copy:
        resumed = await resume(copy.db)
        world = world_in(copy.db, world)
        later = await world.execution(await world.publication())
        await work(copy.db, channel)

        assert set((await world.fates(planned)).values()) == {"pending"}
        assert set((await world.fates(later)).values()) == {"handed_over"}
        assert len(channel.taken) == 3
        assert resumed.executions_paused == 1
        assert resumed.installation.paused_at is None


async def test_an_execution_that_an_operator_resumes_reaches_whom_the_backup_knew_as_pending(backups: Backups):
    world, planned = await half_way(backups.db)
    await backups.taken()
    channel = ScriptedChannel()

    async with backups.restored() as copy:
        engine = Engine(copy.db, channel)
        await engine.executions.resume(world.brand_id, planned)
        await work(copy.db, channel)
        assert channel.taken == []
        await resume(copy.db)
        await work(copy.db, channel)

        assert set((await world_in(copy.db, world).fates(planned)).values()) == {"handed_over"}
        assert await state_of(copy.db, planned) == ("ended", False, True)


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
async def test_what_was_on_the_wire_is_in_doubt_whatever_its_sender_does_with_doubt(backups: Backups, policy: str):
    world, execution_id = await half_way(backups.db)
    await in_doubt_policy(backups.db, policy)
    reached, thawed = asyncio.Event(), asyncio.Event()

    class Frozen(ScriptedChannel):
        async def hand_over(self, wave: Any, messages: Any) -> Any:
            reached.set()
            await thawed.wait()
            return await super().hand_over(wave, messages)

    task = asyncio.create_task(Engine(backups.db, Frozen()).deliver())
    await reached.wait()
    await backups.taken()
    thawed.set()
    await task
    channel = ScriptedChannel()

    async with backups.restored(shift=AN_HOUR) as copy:
        assert set((await world_in(copy.db, world).fates(execution_id)).values()) == {"unknown"}
        await resume(copy.db)
        await Engine(copy.db, channel).executions.resume(world.brand_id, execution_id)
        await work(copy.db, channel)

        assert channel.taken == []
        assert set((await world.fates(execution_id)).values()) == {"handed_over"}
        assert set((await world_in(copy.db, world).fates(execution_id)).values()) == {"unknown"}


@pytest.mark.fault("F21")
async def test_a_worker_of_the_old_installation_owns_nothing_in_the_copy(backups: Backups):
    await half_way(backups.db)
    async with backups.db.transaction() as conn:
        claim = await claim_due(conn, "old", Floors())
    assert claim is not None
    await backups.taken()

    async with backups.restored() as copy:
        chunks = await rows(copy.db, "SELECT epoch, worker, lease_until FROM chunk WHERE done_at IS NULL")

        assert chunks == [(claim.chunks[0].epoch + EPOCH_LEAP, "", None)]


async def test_a_resend_that_was_under_way_is_carried_out_by_nobody_before_somebody_says_so(backups: Backups):
    world, execution_id = await half_way(backups.db)
    await Engine(backups.db, ScriptedChannel(lambda _message: InDoubt("the reply was lost"))).deliver()
    await Engine(backups.db, ScriptedChannel()).executions.remedy(
        world.brand_id, execution_id, "resend", None, asked_by="key 1"
    )
    await backups.taken()
    channel = ScriptedChannel()

    async with backups.restored(shift=AN_HOUR) as copy:
        await work(copy.db, channel)
        assert set((await world_in(copy.db, world).fates(execution_id)).values()) == {"unknown"}
        await resume(copy.db)
        await work(copy.db, channel)

        assert channel.taken == []
        assert await state_of(copy.db, execution_id) == ("sending", True, True)


async def test_a_run_that_was_due_while_the_copy_was_paused_waits_for_an_operator(backups: Backups):
    world, _ = await half_way(backups.db)
    soon = await world.execution(await world.publication())
    later = await world.execution(await world.publication())
    async with backups.db.transaction() as conn:
        for execution_id, starts_in in ((soon, timedelta(minutes=30)), (later, timedelta(hours=2))):
            await conn.execute(
                "UPDATE execution SET state = 'scheduled', start_at = %s WHERE id = %s",
                [datetime.now(UTC) + starts_in, execution_id],
            )
    await backups.taken()

    async with backups.restored(shift=AN_HOUR) as copy:
        assert await start_due(copy.db) == 0
        await resume(copy.db)
        assert await start_due(copy.db) == 0

        assert await state_of(copy.db, soon) == ("scheduled", True, True)
        async with Database(copy.db.dsn, size=2, shift=timedelta(hours=2, minutes=1)) as then:
            assert await start_due(then) == 1
        assert await state_of(copy.db, later) == ("queued", False, False)


async def test_occurrences_from_the_backup_to_the_release_are_missed_and_later_ones_start(backups: Backups):
    brand = await make_brand(backups.db)
    await make_generator(backups.db, brand, "fixtures", type="scheduled", schema=SCHEMA)
    schedule = await schedules_of(backups.db).create(
        brand.id,
        ScheduleDraft(
            name="Hourly",
            target=GeneratorTarget("fixtures", "team-42"),
            context={"match_id": "m-1"},
            rule=Rule(time_zone="UTC", cron="0 * * * *"),
            misfire_grace_s=86_400,
            enabled=True,
        ),
        is_test=False,
    )
    await backups.taken()

    async with backups.restored() as copy:
        assert schedule.next_at is not None
        due = schedule.next_at + timedelta(minutes=1) - datetime.now(UTC)
        await run_schedules(copy, due)
        assert await outcomes(copy) == [("missed", "restored")]
        async with Database(copy.db.dsn, size=2, shift=due + 2 * AN_HOUR) as then:
            await resume(then)
        await run_schedules(copy, due + 3 * AN_HOUR)

        assert await outcomes(copy) == [("missed", "restored")] * 3 + [("started", None)]


async def run_schedules(copy: Restored, shift: timedelta) -> None:
    async with Database(copy.db.dsn, size=3, shift=shift) as then:
        await ScheduleKeeper(then, checker_of(then)).run_due()


async def outcomes(copy: Restored) -> list[tuple[Any, ...]]:
    return await rows(copy.db, "SELECT outcome, reason FROM occurrence ORDER BY due_at")


@pytest.mark.fault("F21")
async def test_a_winner_that_was_looked_for_after_the_backup_is_chosen_by_somebody(backups: Backups):
    world = await World.made(backups.db)
    names = [f"p{number}" for number in range(40)]
    await world.people([Someone(name) for name in names])
    by_numbers = Winner(by="delivered", after="1h", at_least=1, otherwise="first")
    publication_id = await world.publication(
        (ChannelKind.EMAIL, ChannelKind.EMAIL),
        basis="channel",
        experiment=Experiment(arms=(Arm("short", 0.3), Arm("long", 0.3)), winner=by_numbers),
        arms=("short", "long"),
    )
    ended, cancelled = [await world.execution(publication_id, audience=OfTag(await world.tag(names))) for _ in range(2)]
    await Engine(backups.db, ScriptedChannel()).drain()
    await Engine(backups.db, ScriptedChannel()).executions.cancel(world.brand_id, cancelled)
    await backups.taken()

    async with backups.restored(shift=2 * AN_HOUR) as copy:
        assert (await resume(copy.db)).executions_paused == 1
        engine = Engine(copy.db, ScriptedChannel())
        experiments = engine.experiments
        await experiments.decide_due()

        assert await state_of(copy.db, ended) == ("ended", False, True)
        report = await experiments.report(world.brand_id, ended)
        assert (report.state, report.undecided, report.run_id) == ("asking", "restored", None)
        assert (await experiments.report(world.brand_id, cancelled)).state == "cancelled"
        chosen = await experiments.choose(world.brand_id, ended, "long", chosen_by="key 1")
        await engine.drain()
        assert chosen.run_id is not None
        fates = await world_in(copy.db, world).fates(chosen.run_id)
        assert (len(fates), set(fates.values())) == (report.rest, {"handed_over"})


async def test_fencing_twice_is_fencing_once(backups: Backups):
    await half_way(backups.db)
    await backups.taken()

    async with backups.restored() as copy:
        before = await rows(copy.db, "SELECT epoch FROM chunk")
        again = await fence(copy.db)

        assert await rows(copy.db, "SELECT epoch FROM chunk") == before
        assert again == copy.copy


async def test_a_copy_whose_restore_broke_off_before_it_was_fenced_is_fenced_when_it_is_let_go(backups: Backups):
    _, execution_id = await half_way(backups.db)
    await backups.taken()
    channel = ScriptedChannel()

    async with backups.restored() as copy:
        async with copy.db.transaction() as conn:
            await conn.execute("UPDATE installation SET fenced_at = NULL")
            await conn.execute("UPDATE execution SET paused_at = NULL, restored_at = NULL")
        await work(copy.db, channel)
        assert channel.taken == []
        await resume(copy.db)
        await work(copy.db, channel)

        assert channel.taken == []
        assert await state_of(copy.db, execution_id) == ("sending", True, True)


async def test_an_installation_that_is_not_paused_is_not_let_go(backups: Backups):
    await half_way(backups.db)
    await backups.taken()

    with pytest.raises(Conflict, match="not paused"):
        await resume(backups.db)
    assert (await fence(backups.db)).executions_paused == 0
