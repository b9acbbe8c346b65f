"""The steps of a restored copy are held: the installation that was copied goes on with them."""

from datetime import timedelta

import pytest

from backup_world import Backups
from stentor.backups.fence import resume
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Following, Someone, World
from step_world import Walk

pytestmark = pytest.mark.anyio


async def test_whoever_waits_in_a_copy_takes_no_step_before_their_run_is_resumed(backups: Backups):
    original = Walk(await World.made(backups.db), Engine(backups.db, ScriptedChannel()))
    world = original.world
    await world.people([Someone("one"), Someone("two")])
    run = await world.execution(await world.publication(steps=[Following(3_600), Following(60)]))
    await original.on()
    await backups.taken()

    async with backups.restored(shift=timedelta(hours=2)) as copy:
        channel = ScriptedChannel()
        walk = Walk(World(copy.db, world.brand_id, world.topic_id), Engine(copy.db, channel, worker="copy"))
        await walk.on()
        let_go = await resume(copy.db)
        await walk.after(hours=1)
        held = await walk.steps(run)
        found = await walk.engine.executions.find(world.brand_id, run)
        assert (held.paused_at is not None, held.steps[0].waiting, channel.taken) == (True, 2, [])
        assert (let_go.executions_paused, found.state, found.restored_at is not None) == (1, "ended", True)

        await walk.engine.executions.resume(world.brand_id, run)
        await walk.on()
        await walk.after(minutes=3)
        assert [step.went_on for step in (await walk.steps(run)).steps] == [2, 2]
        assert len(channel.taken) == 4
