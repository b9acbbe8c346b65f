"""Races of steps: what is ordered while the keeper looks on, or ends what is over, is not lost."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from stentor.channels.contract import Accepted, InDoubt, Message, Outcome, Rejected
from stentor.db.pool import Database
from stentor.executions import remedies
from stentor.executions.history import drop_history_of
from stentor.executions.steps import store
from stentor.executions.steps.following import write_waits
from stentor.executions.steps.model import Exits
from stentor.executions.steps.store import Look
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.waiting import eventually
from stentor.testing.world import Following, Someone, World
from step_world import Walk
from trigger_world import rows

pytestmark = pytest.mark.anyio


async def in_doubt(db: Database) -> tuple[Walk, UUID]:
    """A run of one person, who is in doubt, and its walk; the next step is an hour later."""
    walk = Walk(await World.made(db), Engine(db, ScriptedChannel(lambda _message: InDoubt("lost"))))
    await walk.world.people([Someone("doubtful")])
    run = await walk.world.execution(await walk.world.publication(steps=[Following(3_600)]))
    await walk.engine.drain()
    return walk, run


async def test_a_remedy_that_is_ordered_while_the_keeper_takes_its_last_look_is_looked_through(db: Database):
    walk, run = await in_doubt(db)
    (seen,) = await rows(db, "SELECT done_at FROM step_source")
    ordered, last_look_is_over = asyncio.Event(), asyncio.Event()

    async def order() -> None:
        async with db.transaction() as conn:
            await remedies.lock(conn, walk.world.brand_id, run)
            await remedies.order(conn, walk.world.brand_id, run, "settle_as_handed_over", None, asked_by="key 1")
            ordered.set()
            await last_look_is_over.wait()

    async with db.transaction() as conn:
        # Behind its claim, and before it knows what is left.
        await conn.execute("LOCK TABLE step_chunk")
        looking = asyncio.create_task(write_waits(db))
        await eventually(lambda: _waiting(db, 1))
        ordering = asyncio.create_task(order())
        await eventually(lambda: _is_set_or_waiting(db, ordered, 2))
    await looking
    last_look_is_over.set()
    await ordering

    assert seen == (None,)
    assert await rows(db, "SELECT done_at FROM step_source") == [(None,)]
    while await remedies.carry_out_next(db):
        pass
    await walk.after(minutes=2)
    assert (await walk.steps(run)).steps[0].waiting == 1


async def test_what_a_look_knew_before_a_remedy_was_ordered_ends_nothing(db: Database):
    walk, run = await in_doubt(db)
    async with db.transaction() as conn:
        (before,) = await store.claim_sources(conn, 1)
    await walk.engine.executions.remedy(walk.world.brand_id, run, "settle_as_handed_over", asked_by="key 1")
    async with db.transaction() as conn:
        await store.looked_at(conn, walk.world.brand_id, [Look(before, 0, is_done=True)])

    assert before.is_over
    assert await rows(db, "SELECT done_at, remedies FROM step_source") == [(None, 0)]


async def test_steps_that_end_while_a_remedy_is_ordered_are_open_again(db: Database):
    walk, run = await in_doubt(db)
    await walk.on()
    async with db.transaction() as conn:
        ended = await store.end_steppings(conn, await store.over(conn, 1))
        ordering = asyncio.create_task(
            walk.engine.executions.remedy(walk.world.brand_id, run, "settle_as_handed_over", asked_by="key 1")
        )
        await eventually(lambda: _done_or_waiting(db, ordering))
    await ordering

    assert ended == 1
    assert (await walk.steps(run)).ended_at is None
    await walk.engine.executions.pause(walk.world.brand_id, run)
    assert (await walk.steps(run)).paused_at is not None


async def test_steps_that_were_over_before_a_remedy_was_ordered_do_not_end(db: Database):
    walk, run = await in_doubt(db)
    await walk.on()
    async with db.transaction() as conn:
        found = await store.over(conn, 1)
    await walk.engine.executions.remedy(walk.world.brand_id, run, "settle_as_handed_over", asked_by="key 1")
    async with db.transaction() as conn:
        ended = await store.end_steppings(conn, found)

    assert (found, ended) == ([run], 0)


async def test_a_run_stays_when_a_remedy_for_its_step_is_ordered_while_retention_looks_at_it(db: Database):
    at_step = False

    def answer(_message: Message) -> Outcome:
        return Rejected("550 nobody here") if at_step else Accepted()

    walk = Walk(await World.made(db), Engine(db, ScriptedChannel(answer)))
    await walk.world.people([Someone("one")])
    run = await walk.world.execution(await walk.world.publication(steps=[Following(60)]))
    await walk.on()
    at_step = True
    await walk.after(minutes=10)
    await walk.keeper.end_over()
    ((step,),) = await rows(db, "SELECT id FROM execution WHERE step > 0 AND ended_at IS NOT NULL")

    async with Database(db.dsn, size=2, shift=timedelta(days=31)) as later:
        async with db.transaction() as conn:
            # Asked in the middle of the look: behind what it knows, and before it locks.
            await conn.execute("LOCK TABLE experiment")
            looking = asyncio.create_task(drop_history_of(later, walk.world.brand_id, days=30))
            await eventually(lambda: _waiting(db, 1))
            async with db.transaction() as ordering:
                await remedies.lock(ordering, walk.world.brand_id, step)
                await remedies.order(ordering, walk.world.brand_id, step, "retry_failed", None, asked_by="key 1")
        dropped = await looking

    assert dropped == 0
    assert sorted(await rows(db, "SELECT id FROM execution")) == sorted([(run,), (step,)])


async def test_turns_of_a_paused_run_leave_what_the_keeper_looks_through_until_it_is_resumed(db: Database):
    walk = Walk(await World.made(db), Engine(db, ScriptedChannel()))
    await walk.world.people([Someone("one")])
    run = await walk.world.execution(await walk.world.publication(steps=[Following(60)]))
    await walk.on()
    await walk.engine.executions.pause(walk.world.brand_id, run)
    await walk.run(
        "INSERT INTO step_turn (run_id, step, due_at, brand_id, people)"
        " SELECT run_id, step, now() - n * interval '1 minute', brand_id, 1 FROM step_turn, generate_series(1, 1100) n"
    )

    before = await _to_look_through(db)
    held = [await walk.keeper.start_due(), await _to_look_through(db)]
    await walk.engine.executions.resume(walk.world.brand_id, run)
    resumed = await _to_look_through(db)
    await walk.run("DELETE FROM step_turn WHERE due_at < now() - interval '1 minute'")
    await walk.after(minutes=3)

    # The one of the future is not due.
    assert (before, held, resumed) == (1_101, [0, 1], 1_101)
    assert await rows(db, "SELECT count(*) FROM step_turn WHERE started_at IS NULL") == [(0,)]


async def test_turns_of_a_cancelled_run_leave_what_the_keeper_looks_through_also_those_that_it_just_made(db: Database):
    walk = Walk(await World.made(db), Engine(db, ScriptedChannel()))
    world = walk.world
    await world.people([Someone("one")])
    publication_id = await world.publication(steps=[Following(60)])
    waiting, looked_at = await world.execution(publication_id), await world.execution(publication_id)
    await walk.on()
    await walk.run("DELETE FROM step_chunk WHERE execution_id = %s", [looked_at])
    await walk.run("DELETE FROM step_wait WHERE execution_id = %s", [looked_at])
    await walk.run("DELETE FROM step_turn WHERE run_id = %s", [looked_at])
    await walk.run("UPDATE step_source SET done_at = NULL, look_at = now() WHERE run_id = %s", [looked_at])
    await walk.engine.executions.cancel(world.brand_id, waiting)

    async with db.transaction() as conn:
        # Behind its claim, and before it writes who waits.
        await conn.execute("LOCK TABLE step_chunk")
        looking = asyncio.create_task(write_waits(db))
        await eventually(lambda: _waiting(db, 1))
        cancelling = asyncio.create_task(walk.engine.executions.cancel(world.brand_id, looked_at))
        await eventually(lambda: _waiting(db, 2))
    await looking
    await cancelling

    turns = await rows(db, "SELECT run_id, dropped_at IS NOT NULL FROM step_turn ORDER BY run_id")
    assert turns == sorted([(waiting, True), (looked_at, True)])
    assert [(await walk.steps(run)).steps[0].exits for run in (waiting, looked_at)] == [Exits(dropped=1)] * 2
    await walk.after(minutes=3)
    assert await rows(db, "SELECT count(*) FROM execution WHERE step > 0") == [(0,)]


async def _to_look_through(db: Database) -> int:
    """Turns in the index by which the keeper looks for those that are due."""
    ((condition,),) = await rows(
        db, "SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = 'step_turn_to_start'::regclass"
    )
    ((turns,),) = await rows(db, f"SELECT count(*) FROM step_turn WHERE {condition}")  # noqa: S608
    return turns


async def _waiting(db: Database, how_many: int) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return await rows(db, waiting) == [(how_many,)]


async def _is_set_or_waiting(db: Database, event: asyncio.Event, how_many: int) -> bool:
    return event.is_set() or await _waiting(db, how_many)


async def _done_or_waiting(db: Database, task: "asyncio.Task[Any]") -> bool:
    return task.done() or await _waiting(db, 1)
