"""Planning that is disturbed: by a cancellation, a deadlock, a defect, or somebody who comes first."""

from uuid import UUID

import pytest
from psycopg.errors import DeadlockDetected

from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.model import Publication
from stentor.campaigns.sources import PublicationSource
from stentor.channels.contract import Deferred
from stentor.db.pool import Database
from stentor.executions import store
from stentor.executions.planning import Planner
from stentor.executions.quieting import QuietSource
from stentor.executions.service import sweep_expired
from stentor.executions.tries import TRIES_MAX
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

SEVERAL_SLICES = 25_000


class Troubled:
    """Publications that are loaded at the cost of some deadlocks first."""

    def __init__(self, db: Database, deadlocks: int) -> None:
        self._publications = PublicationSource(db)
        self.deadlocks = deadlocks

    async def load(self, brand_id: UUID, publication_id: UUID) -> Publication:
        if self.deadlocks:
            self.deadlocks -= 1
            raise DeadlockDetected("deadlock detected")
        return await self._publications.load(brand_id, publication_id)


async def test_an_execution_that_is_cancelled_while_its_last_slice_is_planned_is_never_published(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone(f"p{number}") for number in range(SEVERAL_SLICES)])
    execution_id = await world.execution(await world.publication())
    while await slices_left(db) != 1:
        await engine.planner.plan_next()

    async with db.transaction() as conn:
        last = await store.claim_slice(conn)
        assert last is not None
        await engine.executions.cancel(world.brand_id, execution_id)
        await store.slice_planned(conn, last, 7)

    found = await engine.executions.find(world.brand_id, execution_id)
    assert (found.state, found.published_at, found.error_code) == ("cancelled", None, "CANCELLED")


async def test_a_deadlock_is_no_fault_of_the_execution(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())
    planner = Planner(db, Troubled(db, TRIES_MAX - 1), QuietSource(BrandDirectory(db)))

    while await planner.plan_next():
        pass

    assert (await engine.executions.find(world.brand_id, execution_id)).state == "sending"


async def test_an_execution_that_meets_one_deadlock_after_the_other_fails(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())
    planner = Planner(db, Troubled(db, 1_000), QuietSource(BrandDirectory(db)))

    while await planner.plan_next():
        pass

    found = await engine.executions.find(world.brand_id, execution_id)
    assert (found.state, found.error_code) == ("failed", "INTERNAL")


async def test_nobody_fails_an_execution_that_another_planner_published(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())
    await engine.plan()

    async with db.transaction() as conn:
        await store.fail(conn, world.brand_id, execution_id, "INTERNAL", "Too late.")

    assert (await engine.executions.find(world.brand_id, execution_id)).state == "sending"


async def test_an_earlier_lane_is_planned_before_what_a_bulk_execution_still_has(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone(f"p{number}") for number in range(SEVERAL_SLICES)])
    await world.execution(await world.publication(lane="bulk"))
    await engine.planner.plan_next()
    before = await slices_left(db)
    urgent = await world.execution(await world.publication(lane="transactional"), topic_key="unknown")

    await engine.planner.plan_next()

    assert (await engine.executions.find(world.brand_id, urgent)).error_code == "TOPIC_NOT_FOUND"
    assert await slices_left(db) == before > 1


async def slices_left(db: Database) -> int:
    async with db.read() as conn:
        (left,) = await (await conn.execute("SELECT coalesce(max(slices_left), 0) FROM execution")).fetchone() or (0,)
    return left


async def test_what_fails_while_it_is_paused_is_settled_all_the_same(db: Database):
    world, channel = await World.made(db), ScriptedChannel(lambda _: Deferred("not now", retry_after_s=600.0))
    await world.people([Someone("tried")])
    execution_id = await world.execution(await world.publication())
    engine = Engine(db, channel)
    await engine.drain()
    await engine.executions.pause(world.brand_id, execution_id)

    async with db.transaction() as conn:
        # As it is while its other slices are still to be planned.
        await conn.execute("UPDATE execution SET state = 'planning'")
        await store.fail(conn, world.brand_id, execution_id, "INTERNAL", "A slice could not be planned.")
    await sweep_expired(db)
    await engine.drain()

    assert await world.fates(execution_id) == {"tried": "skipped execution_cancelled"}
    assert (await engine.executions.find(world.brand_id, execution_id)).ended_at is not None
