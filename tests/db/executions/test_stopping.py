"""A worker that is told to stop: what is on the wire is answered for, message by message, and the rest is free."""

import asyncio
from collections.abc import Sequence

import pytest

from stentor.channels.contract import Accepted, InDoubt, Message, NotSent, Outcome, Wave
from stentor.db.pool import Database
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from stentor.worker.deliverer import DelivererRole
from stentor.worker.loop import Bell
from stentor.worker.process import run_roles

pytestmark = pytest.mark.anyio


class HangingChannel(ScriptedChannel):
    """Had one message accepted, has one on the wire and has not begun the others, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.closed = asyncio.Event()

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        self.reached.set()
        await self.closed.wait()
        unstarted = [NotSent("the sender is closing")] * (len(messages) - 2)
        return [Accepted(), InDoubt("the sender was closed before the reply came"), *unstarted]

    async def aclose(self) -> None:
        self.closed.set()


async def test_at_a_stop_only_what_is_on_the_wire_is_in_doubt_and_the_rest_goes_on_elsewhere(db: Database):
    world, hanging, channel = await World.made(db), HangingChannel(), ScriptedChannel()
    await world.people([Someone(f"p{number}") for number in range(20)])
    execution_id = await world.execution(await world.publication())
    engine, stop = Engine(db, hanging), asyncio.Event()
    await engine.plan()
    role = DelivererRole(engine.deliverer, slots=1, due=Bell(), bulk_waits=lambda: False)

    async with asyncio.TaskGroup() as group:
        group.create_task(run_roles([role], stop, close_channels=hanging.aclose))
        await hanging.reached.wait()
        stop.set()
    left = sorted((await world.fates(execution_id)).values())
    async with db.read() as conn:
        leased = await (await conn.execute("SELECT count(*) FROM chunk WHERE lease_until IS NOT NULL")).fetchone()
    async with db.autocommit() as conn:
        await conn.execute("UPDATE chunk SET due_at = created_at FROM execution e WHERE e.id = execution_id")
    await Engine(db, channel, worker="other").drain()

    assert left == ["handed_over", *["pending"] * 18, "unknown"]
    assert leased == (0,)
    assert sorted((await world.fates(execution_id)).values()) == [*["handed_over"] * 19, "unknown"]
    assert len(channel.taken) == 18
