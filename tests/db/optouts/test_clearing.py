"""Files that nobody needs any more are removed, and no others."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from optout_files import FiledList
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.optouts.compaction.choosing import SMALL_RUNS_MAX
from stentor.optouts.compaction.clearing import (
    delete_replaced,
    forget_old,
    forget_removals,
    sweep_machine,
    sweep_strangers,
)
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.jobs.store import due
from stentor.optouts.jobs.working import anything_to_do, claim_next, under_way
from stentor.optouts.names import index_name, part_name, result_name, segment_name
from stentor.optouts.storage import DirectoryStorage

pytestmark = pytest.mark.anyio

MANY = [f"p{number}@example.com" for number in range(20)]
PAUSED = "UPDATE installation SET backup_at = created_at, restored_at = created_at, paused_at = created_at"


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path / "lists")


@pytest.fixture
async def filed(db: Database, storage: DirectoryStorage, brand_id: UUID) -> FiledList:
    return await FiledList.made(db, storage, brand_id)


@asynccontextmanager
async def later(db: Database, shift: timedelta) -> AsyncIterator[Database]:
    async with Database(db.dsn, size=2, shift=shift, prepared=db.prepared) as moved:
        yield moved


async def compacted(filed: FiledList) -> None:
    for number in range(SMALL_RUNS_MAX + 1):
        await filed.add(MANY[number :: SMALL_RUNS_MAX + 1], segment=number == 0)
    await Compactor(filed.db, filed.storage, min_free_bytes=0).compact(filed.brand_id, filed.list_id)


async def insert_job(db: Database, brand_id: UUID, state: str) -> UUID:
    job_id = new_id()
    async with db.autocommit() as conn:
        await conn.execute(
            "INSERT INTO optout_job (id, brand_id, kind, state, created_at, started_at)"
            " VALUES (%s, %s, 'export', %s, now() - interval '1 minute', now() - interval '1 minute')",
            [job_id, brand_id, state],
        )
    return job_id


def make_old(storage_root: Path) -> None:
    two_days_ago_s = time.time() - 2 * 86_400
    for file in storage_root.rglob("*"):
        os.utime(file, (two_days_ago_s, two_days_ago_s))


async def test_files_that_were_replaced_are_deleted_an_hour_later(
    db: Database, storage: DirectoryStorage, filed: FiledList
):
    await compacted(filed)

    assert await delete_replaced(db, storage) == 0
    async with later(db, timedelta(minutes=59)) as moved:
        assert await delete_replaced(moved, storage) == 0
    async with later(db, timedelta(minutes=61)) as moved:
        assert await delete_replaced(moved, storage) == SMALL_RUNS_MAX + 1

    assert await filed.stored() == await filed.named()
    assert await filed.holds(MANY) == MANY


@pytest.mark.parametrize("state", ["running", "queued"])
async def test_a_file_stays_as_long_as_a_job_may_read_it(
    db: Database, storage: DirectoryStorage, filed: FiledList, state: str
):
    job_id = await insert_job(db, filed.brand_id, state)
    await compacted(filed)

    async with later(db, timedelta(hours=5)) as moved:
        assert await delete_replaced(moved, storage) == 0
        async with db.autocommit() as conn:
            await conn.execute("UPDATE optout_job SET state = 'success' WHERE id = %s", [job_id])
        assert await delete_replaced(moved, storage) == SMALL_RUNS_MAX + 1


async def test_a_removal_is_forgotten_once_no_file_has_the_entry(
    db: Database, storage: DirectoryStorage, filed: FiledList
):
    await filed.add(MANY)
    await filed.remove(MANY[0])
    await filed.add(MANY[:1])
    await filed.remove(MANY[1])
    removed = "SELECT digest FROM optout_removed WHERE list_id = %(list_id)s"

    assert await forget_removals(db) == 0
    assert len(await filed.column(removed)) == 2
    await Compactor(db, storage, min_free_bytes=0).compact(filed.brand_id, filed.list_id, everything=True)
    await delete_replaced(db, storage)
    assert await forget_removals(db) == 0
    # Whoever looked at the catalogue a moment ago still asks the files that were replaced.
    assert len(await filed.column(removed)) == 2
    async with later(db, timedelta(hours=2)) as moved:
        await delete_replaced(moved, storage)

    assert await filed.column(removed) == []
    assert await filed.holds(MANY) == [MANY[0], *MANY[2:]]


async def test_a_removal_of_what_no_file_turned_out_to_have_is_forgotten(
    db: Database, storage: DirectoryStorage, filed: FiledList
):
    await filed.add(MANY[1:])
    await filed.remove(MANY[0], ago=timedelta(days=8))

    assert await forget_removals(db) == 0
    await Compactor(db, storage, min_free_bytes=0).compact(filed.brand_id, filed.list_id)

    assert await forget_removals(db) == 1
    assert await filed.holds(MANY) == MANY[1:]


async def test_what_a_crash_left_behind_is_swept_a_day_later(
    db: Database, storage: DirectoryStorage, filed: FiledList, tmp_path: Path
):
    await filed.add(MANY)
    job_id, gone_id = await insert_job(db, filed.brand_id, "success"), new_id()
    async with db.autocommit() as conn:
        await conn.execute(
            "UPDATE optout_job SET results = jsonb_build_object('a.csv', jsonb_build_object('name', %s::text)) WHERE id = %s",
            [result_name(job_id, 1, "a.csv"), job_id],
        )
        await conn.execute(
            "INSERT INTO optout_part (job_id, start_byte, brand_id, name, bytes) VALUES (%s, 0, %s, %s, 1)",
            [job_id, filed.brand_id, part_name(job_id, 1, 0)],
        )
    named = [result_name(job_id, 1, "a.csv"), part_name(job_id, 1, 0)]
    strangers = [
        index_name(new_id()),
        segment_name(new_id()),
        result_name(job_id, 2, "a.csv"),
        result_name(gone_id, 1, "a.csv"),
        part_name(job_id, 1, 5),
        part_name(gone_id, 1, 0),
        f"{index_name(new_id())}.12345678.making",
    ]
    for name in [*named, *strangers]:
        await storage.put_bytes(name, b"x")
    young = index_name(new_id())

    assert await sweep_strangers(db, storage) == 0
    make_old(tmp_path)
    await storage.put_bytes(young, b"x")

    assert await sweep_strangers(db, storage) == len(strangers)
    left = {each.name for area in ("runs", "segments", "uploads", "results") async for each in storage.names(area)}
    assert left == {*await filed.named(), *named, young}


async def test_what_killed_compactions_left_on_a_machine_goes_a_day_later(
    db: Database, storage: DirectoryStorage, tmp_path: Path
):
    for name in ("compaction-left", str(new_id())):
        (storage.work / name).mkdir(parents=True)

    assert await sweep_machine(db, storage) == 0
    make_old(tmp_path)
    assert await sweep_machine(db, storage) == 1

    assert not (storage.work / "compaction-left").exists()
    assert len(list(storage.work.iterdir())) == 1


async def test_what_a_running_job_has_made_is_no_stranger(
    db: Database, storage: DirectoryStorage, brand_id: UUID, tmp_path: Path
):
    job_id = await insert_job(db, brand_id, "running")
    name = result_name(job_id, 1, "a.csv")
    await storage.put_bytes(name, b"x")
    make_old(tmp_path)

    assert await sweep_strangers(db, storage) == 0
    assert await storage.size(name) == 1


async def test_a_copy_that_is_still_paused_touches_nothing(
    db: Database, storage: DirectoryStorage, filed: FiledList, tmp_path: Path
):
    await compacted(filed)
    await insert_job(db, filed.brand_id, "queued")
    await storage.put_bytes(index_name(new_id()), b"another installation's")
    (storage.work / "compaction-left").mkdir(parents=True)
    make_old(tmp_path)
    before = await filed.stored()
    async with db.autocommit() as conn:
        await conn.execute(
            "INSERT INTO installation (secret_fingerprint, created_at) VALUES (%s, now()) ON CONFLICT DO NOTHING",
            [bytes(32)],
        )
        await conn.execute(PAUSED)

    async with later(db, timedelta(days=500)) as moved:
        assert await delete_replaced(moved, storage) == 0
        assert await sweep_strangers(moved, storage) == 0
        assert await sweep_machine(moved, storage) == 0
        assert await under_way(moved, [filed.list_id]) == {filed.list_id}
        assert await forget_old(moved, days=400) == 0
        assert await forget_removals(moved) == 0
        for number in range(SMALL_RUNS_MAX + 1):
            await filed.add([f"q{number}@example.com"])
        assert await Compactor(moved, storage, min_free_bytes=0).lists_in_need() == []
        assert not await anything_to_do(moved)
        assert await claim_next(moved, "worker") is None
        async with db.autocommit() as conn:
            await conn.execute("UPDATE optout_job SET state = 'success', kept_until = now(), ended_at = now()")
        async with moved.read() as conn:
            assert await due(conn, limit=10) == []

    assert before <= await filed.stored()


async def test_what_lists_were_is_forgotten_with_the_history(db: Database, filed: FiledList):
    await filed.add(MANY[:1])
    await filed.add(MANY[1:2])
    async with db.autocommit() as conn:
        await conn.execute(
            "INSERT INTO optout_lifted (list_id, digest, brand_id, channel, cause, at, source, lifted_at)"
            " VALUES (%s, %s, %s, 1, 'api', now(), '', now())",
            [filed.list_id, bytes(16), filed.brand_id],
        )
    generations = "SELECT generation FROM optout_generation WHERE list_id = %(list_id)s ORDER BY 1"

    async with later(db, timedelta(days=399)) as moved:
        assert await forget_old(moved, days=400) == 0
    async with later(db, timedelta(days=401)) as moved:
        assert await forget_old(moved, days=400) == 1
        # Of files that hold it is told since when, however long ago.
        assert await filed.column(generations) == [1, 2]
        async with moved.autocommit() as conn:
            await conn.execute("UPDATE optout_run SET replaced_at = now() WHERE generation = 1")
        assert await forget_old(moved, days=400) == 1

    # What held when the history begins is told by the last one before.
    assert await filed.column(generations) == [2]


async def test_a_list_that_was_deleted_a_month_ago_has_no_files_and_no_entries(
    db: Database, storage: DirectoryStorage, filed: FiledList
):
    await filed.add(MANY)
    async with db.autocommit() as conn:
        await conn.execute(
            "INSERT INTO optout_recent (list_id, digest, brand_id, channel, cause, at, source)"
            " VALUES (%s, %s, %s, 1, 'api', now(), '')",
            [filed.list_id, bytes(16), filed.brand_id],
        )
        await conn.execute(
            "UPDATE optout_list SET state = 'deleted', updated_at = now() WHERE id = %s", [filed.list_id]
        )

    for days, files in ((29, 2), (31, 0)):
        async with later(db, timedelta(days=days)) as moved:
            compactor = Compactor(moved, storage, min_free_bytes=0)
            for each in await compactor.lists_in_need():
                await compactor.compact(each.brand_id, each.list_id)
            await forget_old(moved, days=400)
        assert len(await filed.named()) == files

    assert await filed.column("SELECT digest FROM optout_recent WHERE list_id = %(list_id)s") == []
