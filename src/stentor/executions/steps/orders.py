"""Pausing, resuming and cancelling a run with all that follows from it: its steps may go on long after it has ended."""

from uuid import UUID

from stentor.db.connection import Connection
from stentor.executions import experiment_store, store
from stentor.executions.steps.store import Sql


async def pause(conn: Connection, brand_id: UUID, execution_id: UUID) -> bool:
    """Pauses the execution, and those of its steps; no step starts. False when nothing of it runs or waits."""
    run = {"brand_id": brand_id, "execution_id": execution_id}
    is_paused = await store.pause(conn, brand_id, execution_id)
    if await Sql.pause.run(conn, **run):
        is_paused = True
        for step_id in await Sql.under_way.column(conn, **run):
            await store.pause(conn, brand_id, step_id)
    return is_paused


async def resume(conn: Connection, brand_id: UUID, execution_id: UUID) -> bool:
    """Lets the execution go on, and its steps; what fell due meanwhile starts now. False when nothing of it is paused."""
    run = {"brand_id": brand_id, "execution_id": execution_id}
    is_resumed = await store.resume(conn, brand_id, execution_id)
    if await Sql.resume.run(conn, **run):
        is_resumed = True
        # A keeper that sets turns aside just now was waited for.
        await Sql.take_up_turns.run(conn, **run)
        for step_id in await Sql.under_way.column(conn, **run):
            await store.resume(conn, brand_id, step_id)
    return is_resumed


async def cancel(conn: Connection, brand_id: UUID, execution_id: UUID) -> bool:
    """Cancels the execution, those of its steps, and its experiment; whoever waits has left, or gets nothing.

    False when nothing of it runs or waits.
    """
    run = {"brand_id": brand_id, "execution_id": execution_id}
    is_cancelled = await experiment_store.cancel_open(conn, brand_id, execution_id)
    if await store.cancel(conn, brand_id, execution_id):
        is_cancelled = True
    if await Sql.cancel.run(conn, **run):
        is_cancelled = True
        # In this order: a keeper that looks on is waited for, and its turns are dropped with the others.
        await Sql.stop_looking.run(conn, **run)
        await Sql.drop_turns.run(conn, **run)
        for step_id in await Sql.under_way.column(conn, **run):
            await store.cancel(conn, brand_id, step_id)
    return is_cancelled
