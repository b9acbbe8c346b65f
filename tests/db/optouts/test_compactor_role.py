"""The compactor's role: lists are compacted wherever a worker runs, and one that cannot be keeps none of the others waiting."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from optout_files import FiledList
from stentor.db.pool import Database
from stentor.optouts.compaction.choosing import SMALL_RUNS_MAX
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.names import index_name
from stentor.optouts.storage import DirectoryStorage
from stentor.queue.leases import Role
from stentor.testing.waiting import eventually
from stentor.worker.compactor import CompactorRole
from stentor.worker.keeper import Chore

pytestmark = pytest.mark.anyio

MANY = [f"p{number}@example.com" for number in range(20)]


class Asking(Role):
    """A role that tells how often it was asked for."""

    times = 0

    async def take(self) -> bool:
        taken = await super().take()
        self.times += 1
        return taken


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path / "lists")


async def full_list(db: Database, storage: DirectoryStorage, brand_id: UUID) -> FiledList:
    made = await FiledList.made(db, storage, brand_id)
    for number in range(SMALL_RUNS_MAX + 1):
        await made.add(MANY[number :: SMALL_RUNS_MAX + 1], segment=False)
    return made


async def test_a_list_that_lost_a_file_keeps_no_other_waiting_and_no_chore(
    db: Database, storage: DirectoryStorage, brand_id: UUID
):
    lists = [await full_list(db, storage, brand_id) for _ in range(2)]
    first, second = sorted(lists, key=lambda each: each.list_id)
    await storage.delete([index_name((await first.live("run"))[0])])
    done: list[str] = []

    async def work() -> int:
        done.append("chore")
        return 0

    role, stop = (
        CompactorRole(
            Role(db, "compactor", "test"),
            Compactor(db, storage, min_free_bytes=0),
            [Chore("c", 0.0, work)],
            rest_s=0.01,
        ),
        asyncio.Event(),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(role.run(stop))
        await eventually(lambda: len(done) >= 2)
        stop.set()

    assert len(await first.live("run")) == SMALL_RUNS_MAX + 1
    assert len(await second.live("run")) == 1
    assert await second.holds(MANY) == MANY
    async with db.read() as conn:
        rows = await conn.execute("SELECT FROM role_lease WHERE role = 'compactor'")
        assert await rows.fetchall() == []


async def test_a_worker_without_the_role_leaves_lists_alone(db: Database, storage: DirectoryStorage, brand_id: UUID):
    filed = await full_list(db, storage, brand_id)
    assert await Role(db, "compactor", "another").take()
    asking = Asking(db, "compactor", "test")
    role, stop = (
        CompactorRole(asking, Compactor(db, storage, min_free_bytes=0), [], rest_s=0.01),
        asyncio.Event(),
    )

    async with asyncio.TaskGroup() as group:
        group.create_task(role.run(stop))
        await eventually(lambda: asking.times >= 3)
        stop.set()

    assert len(await filed.live("run")) == SMALL_RUNS_MAX + 1
