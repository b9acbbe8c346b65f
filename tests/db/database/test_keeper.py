"""The keeper does each of its chores, whatever becomes of the others."""

import asyncio

import pytest

from stentor.db.pool import Database
from stentor.queue.leases import Role
from stentor.testing.waiting import eventually
from stentor.worker.keeper import Chore, KeeperRole

pytestmark = pytest.mark.anyio


async def test_a_chore_that_always_fails_keeps_no_other_waiting(db: Database):
    done: list[str] = []

    async def fail() -> int:
        done.append("failing")
        raise RuntimeError("This one never works.")

    async def work() -> int:
        done.append("working")
        return 1

    keeper, stop = (
        KeeperRole(Role(db, "keeper", "test"), [Chore("a", 0.0, fail), Chore("b", 0.0, work)]),
        asyncio.Event(),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(keeper.run(stop))
        await eventually(lambda: done.count("working") == 2)
        stop.set()

    assert done[:4] == ["failing", "working", "failing", "working"]
