"""What partners execute, in a restored copy: they know the installation that was copied by the same numbers."""

import pytest

from backup_world import Backups
from stentor.backups.fence import RUN_NUMBER_LEAP, resume
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from trigger_world import rows

pytestmark = pytest.mark.anyio

SMS = ChannelKind.SMS


async def test_a_copy_repeats_no_run_number_and_tells_nobody_what_was_told(backups: Backups):
    world = await World.made(backups.db)
    partner = await world.partner()
    await world.people([Someone("one", channels=SMS.bit, address_mask=SMS.bit, valid_mask=SMS.bit)])
    publication_id = await world.publication((SMS,), partners=[partner])
    await world.execution(publication_id)
    await Engine(backups.db, ScriptedChannel()).drain()
    await backups.taken()

    async with backups.restored() as copy:
        await resume(copy.db)
        here = World(copy.db, world.brand_id, world.topic_id)
        anew = await here.execution(await here.publication((SMS,), partners=[partner]))
        await Engine(copy.db, ScriptedChannel(), worker="copy").drain()

        numbers = await rows(copy.db, "SELECT number FROM partner_run ORDER BY number")
        assert numbers == [(1,), (RUN_NUMBER_LEAP + 2,)]
        assert await rows(copy.db, "SELECT execution_id FROM partner_event WHERE told_at IS NULL") == [(anew,)]
