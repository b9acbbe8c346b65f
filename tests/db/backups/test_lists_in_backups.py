"""A restored copy has the opt-out lists of the moment of its backup, or says what it lacks of them."""

from datetime import timedelta
from uuid import UUID

import pytest

from backup_world import Backups
from optout_files import FiledList
from stentor.backups.lists import LISTS_FOLDER
from stentor.backups.model import BackupFailed, BackupRefused, read_manifest
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.optouts.compaction.clearing import delete_replaced
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.names import index_name, part_name
from stentor.optouts.presence import absent_files
from stentor.optouts.storage import Storage
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

MANY = [f"p{number}@example.com" for number in range(20)]


@pytest.fixture
async def brand_id(db: Database) -> UUID:
    return (await World.made(db)).brand_id


@pytest.fixture
async def filed(db: Database, backups: Backups, brand_id: UUID) -> FiledList:
    made = await FiledList.made(db, backups.storage, brand_id)
    for number in range(3):
        await made.add(MANY[number::3])
    return made


def copy_of(filed: FiledList, db: Database, storage: Storage) -> FiledList:
    return FiledList(db, storage, filed.brand_id, filed.list_id, filed.hash)


async def test_a_copy_has_the_files_that_were_live_then(db: Database, backups: Backups, filed: FiledList):
    manifest = read_manifest(await backups.taken())
    await filed.remove(MANY[0])
    await Compactor(db, backups.storage, min_free_bytes=0).compact(filed.brand_id, filed.list_id, everything=True)
    async with Database(db.dsn, size=2, shift=timedelta(hours=2), prepared=db.prepared) as later:
        assert await delete_replaced(later, backups.storage) == 6

    async with backups.restored() as restored:
        copied = copy_of(filed, restored.db, backups.restored_storage)
        assert await copied.holds(MANY) == MANY
        assert len(await copied.rows()) == len(MANY)
        async with restored.db.read() as conn:
            assert await absent_files(conn, backups.restored_storage) == []

    assert (manifest.has_lists, manifest.list_files) == (True, 6)
    assert manifest.list_bytes > 0


async def test_what_was_received_for_a_job_goes_along(db: Database, backups: Backups, brand_id: UUID):
    waiting, done = new_id(), new_id()
    async with db.transaction() as conn:
        for job_id, state in ((waiting, "queued"), (done, "success")):
            await conn.execute(
                "INSERT INTO optout_job (id, brand_id, kind, state, created_at) VALUES (%s, %s, 'import', %s, now())",
                [job_id, brand_id, state],
            )
            # The second piece of each is gone: its job has just read it.
            for start in (0, 1):
                name = part_name(job_id, 1, start)
                await conn.execute(
                    "INSERT INTO optout_part (job_id, start_byte, brand_id, name, bytes) VALUES (%s, %s, %s, %s, 1)",
                    [job_id, start, brand_id, name],
                )
            await backups.storage.put_bytes(part_name(job_id, 1, 0), b"x")

    await backups.taken()
    async with backups.restored():
        kept = [each.name async for each in backups.restored_storage.names("uploads")]

    assert kept == [part_name(waiting, 1, 0)]


async def test_a_file_that_is_missing_when_a_backup_is_taken_is_told(backups: Backups, filed: FiledList):
    await backups.storage.delete([index_name((await filed.live("run"))[0])])

    with pytest.raises(BackupFailed, match="stentor doctor"):
        await backups.taken()

    assert not backups.path.exists()


async def test_a_file_that_was_cut_in_the_backup_is_not_restored(backups: Backups, filed: FiledList):
    path = await backups.taken() / LISTS_FOLDER / index_name((await filed.live("run"))[0])
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(BackupRefused, match="cut short"):
        async with backups.restored():
            pass


async def test_a_copy_says_which_files_it_lacks(backups: Backups, filed: FiledList):
    lost = (await filed.live("run"))[0]
    (await backups.taken() / LISTS_FOLDER / index_name(lost)).unlink()

    async with backups.restored() as restored, restored.db.read() as conn:
        absent = await absent_files(conn, backups.restored_storage)

    assert [(file.kind, file.id, file.list) for file in absent] == [("run", lost, str(filed.list_id))]
