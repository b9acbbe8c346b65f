"""Queues are looked through from a floor on, which nobody who waits lies below for long."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from stentor.channels.contract import Accepted
from stentor.db.pool import Database
from stentor.deliver.store import anything_due, claim_due, raise_floors
from stentor.executions.service import start_due
from stentor.queue.floors import RAISED_EVERY_S, WHOLE_EVERY_S, Floors
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

AN_HOUR = timedelta(hours=1)


async def a_world(db: Database) -> World:
    world = await World.made(db)
    await world.people([Someone("ann"), Someone("bob")])
    return world


def ticking(times_s: list[float]) -> Callable[[], float]:
    """A clock that shows these times, one after the other."""
    return iter(times_s).__next__


async def test_what_a_pause_held_up_for_an_hour_goes_on_at_once(db: Database):
    world, channel = await a_world(db), ScriptedChannel(lambda _: Accepted())
    execution_id = await world.execution(await world.publication())
    before = Engine(db, channel)
    await before.plan()
    await before.executions.pause(world.brand_id, execution_id)
    assert await before.deliver() == 0

    async with Database(db.dsn, size=3, shift=AN_HOUR) as later:
        engine = Engine(later, channel, worker="later")
        assert await engine.deliver() == 0
        await engine.executions.resume(world.brand_id, execution_id)

        assert await engine.deliver() == 1


async def test_what_was_paused_before_it_was_planned_is_planned_when_that_ends(db: Database):
    world = await a_world(db)
    execution_id = await world.execution(await world.publication())
    async with Database(db.dsn, size=3, shift=AN_HOUR) as later:
        engine = Engine(later, ScriptedChannel())
        await engine.executions.pause(world.brand_id, execution_id)
        assert await engine.plan() == 0
        await engine.executions.resume(world.brand_id, execution_id)

        assert await engine.plan() == 1


async def test_what_begins_late_is_planned_although_its_id_is_old(db: Database):
    world = await a_world(db)
    execution_id = await world.execution(await world.publication())
    async with db.autocommit() as conn:
        await conn.execute(
            "UPDATE execution SET state = 'scheduled', start_at = statement_timestamp() + interval '10 minutes' WHERE id = %s",
            [execution_id],
        )
    async with Database(db.dsn, size=3, shift=AN_HOUR) as later:
        engine = Engine(later, ScriptedChannel())
        assert await engine.plan() == 0
        await start_due(later)

        assert await engine.plan() == 1


async def test_a_clock_that_was_put_back_hides_nothing(db: Database):
    world = await a_world(db)
    floors = Floors()
    async with Database(db.dsn, size=1, shift=AN_HOUR) as wrong, wrong.read() as conn:
        await raise_floors(conn, floors)
    await world.execution(await world.publication())
    await Engine(db, ScriptedChannel()).plan()

    async with db.transaction() as conn:
        assert await claim_due(conn, "worker", floors) is not None


async def test_what_comes_in_below_the_floor_is_found_within_a_minute(db: Database):
    world = await a_world(db)
    floors = Floors(ticking([0.0, 1.0, WHOLE_EVERY_S, WHOLE_EVERY_S + RAISED_EVERY_S]))
    async with db.autocommit() as conn:
        await raise_floors(conn, floors)
        await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).plan()
        await conn.execute("UPDATE chunk SET due_at = due_at - interval '1 hour'")

        assert not await anything_due(conn, floors)
        await raise_floors(conn, floors)
        assert await anything_due(conn, floors)


async def test_a_floor_stays_below_what_is_not_done(db: Database):
    world = await a_world(db)
    floors = Floors(ticking([0.0, 1.0, 1.0 + RAISED_EVERY_S]))
    await world.execution(await world.publication())
    await Engine(db, ScriptedChannel()).plan()
    async with Database(db.dsn, size=1, shift=AN_HOUR) as later, later.autocommit() as conn:
        await raise_floors(conn, floors)
        assert await claim_due(conn, "lost", floors) is not None
        await raise_floors(conn, floors)

    async with Database(db.dsn, size=1, shift=2 * AN_HOUR) as after, after.autocommit() as conn:
        assert await claim_due(conn, "heir", floors) is not None
