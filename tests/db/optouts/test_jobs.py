"""Jobs of lists: asked for, found by their brand alone, removed, and forgotten with their files."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Conflict, Invalid, NotFound
from stentor.optouts.jobs.model import Job
from stentor.optouts.jobs.service import FILE_BYTES_MAX, JOBS_OPEN_MAX, JobService
from stentor.optouts.lists import ListService
from stentor.optouts.model import ListDraft, OptOutList
from stentor.optouts.storage import DirectoryStorage

pytestmark = pytest.mark.anyio


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path / "lists")


@pytest.fixture
def jobs(db: Database, storage: DirectoryStorage) -> JobService:
    return JobService(db, storage)


@pytest.fixture
async def partners(lists: ListService, brand_id: UUID) -> OptOutList:
    return await lists.create(brand_id, ListDraft(name="Partners"))


async def ended(db: Database, job: Job, state: str, results: str = "{}") -> None:
    """The job as a worker would leave it, its results kept for an hour."""
    async with db.transaction() as conn:
        await conn.execute(
            "UPDATE optout_job SET state = %s, results = %s, ended_at = now(), kept_until = now() + interval '1 hour'"
            " WHERE id = %s",
            [state, results, job.id],
        )


async def test_an_import_awaits_its_file_for_fifteen_minutes(jobs: JobService, brand_id: UUID, partners: OptOutList):
    job = await jobs.prepare_import(brand_id, partners.code, declared_bytes=100, encoding="gzip", asked_by="key 7")

    assert (job.kind, job.state, job.list_id, job.declared_bytes, job.encoding, job.asked_by) == (
        "import",
        "uploading",
        partners.id,
        100,
        "gzip",
        "key 7",
    )
    assert job.upload_until == job.created_at + timedelta(minutes=15)
    assert not job.is_begun
    assert not job.is_too_late
    assert job.elapsed_s is None
    assert timeless(await jobs.get(brand_id, job.id)) == timeless(job)


async def test_an_export_is_ready_at_once(jobs: JobService, brand_id: UUID, partners: OptOutList):
    job = await jobs.begin_export(brand_id, "Partners", {"columns": ["plain"]})

    assert (job.kind, job.state, job.list_id, job.spec) == ("export", "queued", partners.id, {"columns": ["plain"]})
    assert job.ready_at == job.created_at
    assert job.elapsed_s == 0
    assert job.kept_until is None


async def test_a_scrub_awaits_its_file_too(jobs: JobService, brand_id: UUID, partners: OptOutList):
    job = await jobs.prepare_scrub(brand_id, {"against": [str(partners.id)]})

    assert (job.kind, job.state, job.list_id, job.declared_bytes) == ("scrub", "uploading", None, None)


async def test_another_brand_sees_none_of_them(
    jobs: JobService, brand_id: UUID, other_brand_id: UUID, partners: OptOutList
):
    job = await jobs.prepare_import(brand_id, partners.code)

    for asked in (
        jobs.get(other_brand_id, job.id),
        jobs.remove(other_brand_id, job.id),
        jobs.prepare_import(other_brand_id, partners.code),
        jobs.begin_export(other_brand_id, str(partners.id), {}),
        jobs.page(other_brand_id, reference=partners.code),
    ):
        with pytest.raises(NotFound):
            await asked
    assert await jobs.page(other_brand_id) == []


async def test_a_list_without_entries_of_its_own_takes_no_file(
    jobs: JobService, lists: ListService, brand_id: UUID, partners: OptOutList
):
    await lists.create(brand_id, ListDraft(name="All", kind="grouped", members=[partners.code]))

    with pytest.raises(Invalid, match="holds no entries itself"):
        await jobs.prepare_import(brand_id, "All")


@pytest.mark.parametrize("size", [-1, FILE_BYTES_MAX + 1])
async def test_a_file_of_more_than_5_gib_is_refused_before_it_comes(
    jobs: JobService, brand_id: UUID, partners: OptOutList, size: int
):
    with pytest.raises(Invalid, match="5 GiB"):
        await jobs.prepare_import(brand_id, partners.code, declared_bytes=size)
    with pytest.raises(Invalid, match="5 GiB"):
        await jobs.prepare_scrub(brand_id, {}, declared_bytes=size)


async def test_jobs_are_listed_newest_first(jobs: JobService, brand_id: UUID, partners: OptOutList):
    made = [
        await jobs.prepare_import(brand_id, partners.code),
        await jobs.begin_export(brand_id, partners.code, {}),
        await jobs.prepare_scrub(brand_id, {}),
        await jobs.begin_export(brand_id, "built-in", {}),
    ]
    ids = [job.id for job in made]

    assert [job.id for job in await jobs.page(brand_id)] == ids[::-1]
    assert [job.id for job in await jobs.page(brand_id, before=ids[2], limit=1)] == [ids[1]]
    assert [job.id for job in await jobs.page(brand_id, reference="Partners")] == [ids[1], ids[0]]
    assert [job.id for job in await jobs.page(brand_id, kind="export")] == [ids[3], ids[1]]


async def test_a_brand_has_a_hundred_jobs_that_are_not_over(
    db: Database, jobs: JobService, brand_id: UUID, other_brand_id: UUID, partners: OptOutList
):
    made = [await jobs.begin_export(brand_id, partners.code, {}) for _ in range(JOBS_OPEN_MAX)]

    with pytest.raises(Conflict, match="100 jobs"):
        await jobs.begin_export(brand_id, partners.code, {})
    await jobs.prepare_scrub(other_brand_id, {})
    await ended(db, made[0], "success")
    await jobs.begin_export(brand_id, partners.code, {})


async def test_a_removed_job_is_taken_from_whoever_has_it(
    db: Database, jobs: JobService, brand_id: UUID, partners: OptOutList
):
    job = await jobs.begin_export(brand_id, partners.code, {})
    async with db.transaction() as conn:
        await conn.execute("UPDATE optout_job SET state = 'running', worker = 'w', epoch = 5 WHERE id = %s", [job.id])

    removed = await jobs.remove(brand_id, job.id)
    again = await jobs.remove(brand_id, job.id)

    assert (removed.state, removed.message) == ("removed", "The file was removed before it was used.")
    assert removed.ended_at is not None
    assert timeless(again) == timeless(removed)
    async with db.read() as conn:
        row = await conn.execute("SELECT worker, epoch FROM optout_job WHERE id = %s", [job.id])
        assert await row.fetchone() == ("", 6)


async def test_an_import_that_succeeded_is_not_undone_by_removing_it(
    db: Database, jobs: JobService, brand_id: UUID, partners: OptOutList
):
    job = await jobs.prepare_import(brand_id, partners.code)
    await ended(db, job, "success")

    with pytest.raises(Conflict, match="on its list already"):
        await jobs.remove(brand_id, job.id)


async def test_a_result_is_read_by_the_name_that_people_know(
    db: Database, storage: DirectoryStorage, jobs: JobService, brand_id: UUID, partners: OptOutList
):
    job = await jobs.begin_export(brand_id, partners.code, {})
    with pytest.raises(NotFound):
        await jobs.result(brand_id, job.id, "optouts.csv")
    name = f"results/{job.id}/1-optouts.csv"
    await storage.put_bytes(name, b"plain\r\n")
    await ended(db, job, "success", f'{{"optouts.csv": {{"name": "{name}", "bytes": 7, "etag": "abc"}}}}')

    result = await jobs.result(brand_id, job.id, "optouts.csv")

    assert (result.bytes, result.etag) == (7, "abc")
    assert await joined(jobs.read(result)) == b"plain\r\n"
    assert await joined(jobs.read(result, 2, 5)) == b"ain"
    with pytest.raises(NotFound):
        await jobs.result(brand_id, job.id, "../../secret")
    with pytest.raises(NotFound):
        await jobs.result(brand_id, new_id(), "optouts.csv")


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def timeless(job: Job) -> Job:
    """The same, whenever it was read."""
    return replace(job, now=job.created_at)
