"""Whoever looks after an installation is told how its lists stand, and what is wrong with their files."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from optout_files import FiledList
from stentor.cli.doctor.lists import check_lists
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Unavailable
from stentor.optouts.names import index_name, segment_name
from stentor.optouts.standing import standing
from stentor.optouts.storage import DirectoryStorage, Stored

pytestmark = pytest.mark.anyio

MANY = [f"p{number}@example.com" for number in range(20)]


class Away(DirectoryStorage):
    """A storage that does not answer."""

    async def names(self, prefix: str):
        raise Unavailable("The storage does not answer.")
        yield Stored(prefix, 0, NotImplemented)


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path / "lists")


@pytest.fixture
async def filed(db: Database, storage: DirectoryStorage, brand_id: UUID) -> FiledList:
    made = await FiledList.made(db, storage, brand_id)
    await made.add(MANY[:5])
    await made.add(MANY[5:])
    return made


async def test_an_installation_without_files_is_well(db: Database, storage: DirectoryStorage, brand_id: UUID):
    (finding,) = await check_lists(db, storage, 0)
    stands = await standing(db)

    assert (finding.state, finding.found) == ("ok", "It answers; no opt-out list has files yet.")
    assert (stands.lists, stands.runs, stands.segments, stands.oldest_queued_s) == (1, 0, 0, 0.0)


async def test_files_and_jobs_are_counted(db: Database, filed: FiledList):
    await filed.erase(MANY[0], ago=timedelta(hours=1))
    async with db.autocommit() as conn:
        for state in ("queued", "running", "success"):
            await conn.execute(
                "INSERT INTO optout_job (id, brand_id, kind, state, created_at, ready_at)"
                " VALUES (%s, %s, 'export', %s, now(), now() - interval '2 minutes')",
                [new_id(), filed.brand_id, state],
            )

    stands = await standing(db)

    assert (stands.lists, stands.runs, stands.most_runs, stands.segments, stands.entries) == (2, 2, 2, 2, 20)
    assert (stands.uploading, stands.queued, stands.running) == (0, 1, 1)
    assert stands.oldest_queued_s == pytest.approx(120, abs=30)
    assert stands.oldest_erasure_s == pytest.approx(3_600, abs=30)
    assert stands.run_bytes > 0
    assert stands.segment_bytes > 0


async def test_files_that_are_missing_or_cut_are_told(db: Database, storage: DirectoryStorage, filed: FiledList):
    lost, cut = index_name((await filed.live("run"))[0]), segment_name((await filed.live("segment"))[1])
    await storage.delete([lost])
    await storage.put_bytes(cut, b"x")

    (finding,) = await check_lists(db, storage, 0)

    assert finding.state == "bad"
    assert lost in finding.found
    assert cut in finding.found


async def test_a_storage_that_does_not_answer_is_told(db: Database, tmp_path: Path):
    (finding,) = await check_lists(db, Away(tmp_path), 0)

    assert (finding.state, finding.check) == ("bad", "list storage")


async def test_a_disk_on_which_the_largest_list_finds_no_room_is_told(db: Database, filed: FiledList):
    _, finding = await check_lists(db, filed.storage, 1 << 60)

    assert (finding.state, finding.check) == ("warn", "room for lists")
