"""Nobody who cannot wait stands behind a blast: one of a worker's claims is kept for them."""

import asyncio
from collections.abc import Sequence

import pytest

from stentor.channels.contract import Message, Outcome, Wave
from stentor.db.pool import Database
from stentor.domain.vocabulary import Lane
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.waiting import eventually
from stentor.testing.world import Someone, World
from stentor.worker.deliverer import DelivererRole
from stentor.worker.loop import Bell

pytestmark = pytest.mark.anyio


class BlockedChannel(ScriptedChannel):
    """Keeps bulk waves waiting until it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.bulk_waves = 0
        self.free = asyncio.Event()

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        if wave.lane is Lane.BULK:
            self.bulk_waves += 1
            await self.free.wait()
        return await super().hand_over(wave, messages)


async def test_an_alert_is_delivered_while_bulk_has_taken_every_claim_that_it_may(db: Database):
    world, channel = await World.made(db), BlockedChannel()
    await world.people([Someone(f"p{number}") for number in range(6)])
    blasts = [await world.execution(await world.publication()) for _ in range(3)]
    engine, stop = Engine(db, channel), asyncio.Event()
    await engine.plan()
    await one_chunk_a_claim(db)
    role = DelivererRole(engine.deliverer, slots=2, due=Bell(), bulk_waits=lambda: False)

    async with asyncio.TaskGroup() as group:
        group.create_task(role.run(stop))
        await eventually(lambda: channel.bulk_waves == 2)
        alert = await world.execution(await world.publication(lane="alert"))
        await engine.plan()
        await eventually(lambda: len(channel.taken) == 6)
        bulk_waves = channel.bulk_waves
        channel.free.set()
        await eventually(lambda: len(channel.taken) == 24)
        stop.set()

    assert bulk_waves == 2
    for execution_id in (alert, *blasts):
        assert set((await world.fates(execution_id)).values()) == {"handed_over"}


async def one_chunk_a_claim(db: Database) -> None:
    # Small executions share a claim; chunks that say that they hold thousands do not.
    async with db.autocommit() as conn:
        await conn.execute("UPDATE chunk SET sends = 5000")
