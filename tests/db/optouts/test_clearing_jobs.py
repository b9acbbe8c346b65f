"""What is cleared away after jobs, and when."""

from pathlib import Path
from uuid import UUID

import pytest

from stentor.db.pool import Database
from stentor.optouts.jobs import store
from stentor.optouts.jobs.clearing import NEVER_CAME, clear_jobs, forget_jobs
from stentor.optouts.jobs.model import Job, Part
from stentor.optouts.jobs.service import JobService
from stentor.optouts.names import part_name, result_name
from stentor.optouts.storage import DirectoryStorage
from stentor.optouts.uploads import UNFINISHED_KEPT

pytestmark = pytest.mark.anyio


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path / "lists")


@pytest.fixture
def jobs(db: Database, storage: DirectoryStorage) -> JobService:
    return JobService(db, storage)


async def received(db: Database, storage: DirectoryStorage, job: Job, data: bytes = b"ann@example.org\n") -> None:
    """As if these bytes of the job's file had come."""
    async with db.transaction() as conn:
        epoch = await store.begin_upload(
            conn, job.brand_id, job.id, received_bytes=0, encoding="", declared_bytes=None, kept=UNFINISHED_KEPT
        )
        part = Part(0, part_name(job.id, epoch, 0), len(data))
        await storage.put_bytes(part.name, data)
        await store.add_part(conn, job.brand_id, job.id, part, upload_epoch=epoch, kept=UNFINISHED_KEPT)


async def ended(db: Database, storage: DirectoryStorage, job: Job, state: str) -> None:
    """As if a worker had ended the job, with a result that is kept for an hour."""
    name = result_name(job.id, 1, "rejects.csv")
    await storage.put_bytes(name, b"line,reason\r\n")
    async with db.transaction() as conn:
        await conn.execute(
            "UPDATE optout_job SET state = %s, ready_at = now(), ended_at = now(), kept_until = now() + interval '1 hour',"
            " results = jsonb_build_object('rejects.csv', jsonb_build_object('name', %s::text, 'bytes', 13, 'etag', 'a'))"
            " WHERE id = %s",
            [state, name, job.id],
        )


async def later(db: Database, job: Job) -> None:
    """As if what the job keeps had been kept for long enough."""
    async with db.transaction() as conn:
        await conn.execute("UPDATE optout_job SET kept_until = now() WHERE id = %s", [job.id])


async def files(storage: DirectoryStorage) -> set[str]:
    return {name.partition("/")[0] for area in ("uploads", "results") async for name, *_ in storage.names(area)}


async def test_an_upload_that_never_came_is_removed(
    db: Database, jobs: JobService, storage: DirectoryStorage, brand_id: UUID
):
    job, other = [await jobs.prepare_import(brand_id, "built-in") for _ in range(2)]
    await later(db, job)

    cleared = await clear_jobs(db, storage)

    found = await jobs.get(brand_id, job.id)
    assert cleared == 1
    assert (found.state, found.message, found.kept_until) == ("removed", NEVER_CAME, None)
    assert found.ended_at is not None
    assert (await jobs.get(brand_id, other.id)).state == "uploading"
    assert await clear_jobs(db, storage) == 0


async def test_pieces_of_a_file_lie_for_a_day_after_the_last_one_came(
    db: Database, jobs: JobService, storage: DirectoryStorage, brand_id: UUID
):
    job = await jobs.prepare_import(brand_id, "built-in")
    await received(db, storage, job)

    began = await jobs.get(brand_id, job.id)
    assert began.kept_until is not None
    assert began.kept_until - began.now > UNFINISHED_KEPT * 0.9
    assert await clear_jobs(db, storage) == 0
    assert await files(storage) == {"uploads"}
    await later(db, job)
    assert await clear_jobs(db, storage) == 1
    assert await files(storage) == set()
    assert (await jobs.get(brand_id, job.id)).state == "removed"


async def test_what_was_uploaded_goes_with_the_end_of_its_job_and_results_a_week_after(
    db: Database, jobs: JobService, storage: DirectoryStorage, brand_id: UUID
):
    job = await jobs.prepare_import(brand_id, "built-in")
    await received(db, storage, job)
    await ended(db, storage, job, "success")

    assert await clear_jobs(db, storage) == 1
    assert await files(storage) == {"results"}
    assert (await jobs.get(brand_id, job.id)).results.keys() == {"rejects.csv"}
    assert await clear_jobs(db, storage) == 0

    await later(db, job)
    assert await clear_jobs(db, storage) == 1
    assert await files(storage) == set()
    found = await jobs.get(brand_id, job.id)
    assert (found.state, found.results) == ("success", {})


async def test_an_export_is_removed_with_its_results(
    db: Database, jobs: JobService, storage: DirectoryStorage, brand_id: UUID
):
    job = await jobs.begin_export(brand_id, "built-in", {})
    await ended(db, storage, job, "success")
    await later(db, job)

    await clear_jobs(db, storage)

    found = await jobs.get(brand_id, job.id)
    assert (found.state, found.results, found.message) == ("removed", {}, "")
    assert await files(storage) == set()


async def test_a_removed_job_leaves_nothing(db: Database, jobs: JobService, storage: DirectoryStorage, brand_id: UUID):
    job = await jobs.prepare_import(brand_id, "built-in")
    await received(db, storage, job)
    await jobs.remove(brand_id, job.id)

    assert await clear_jobs(db, storage) == 1
    assert await files(storage) == set()
    assert await clear_jobs(db, storage) == 0


async def test_what_waits_or_is_worked_on_is_left_alone(
    db: Database, jobs: JobService, storage: DirectoryStorage, brand_id: UUID
):
    job = await jobs.prepare_import(brand_id, "built-in")
    await received(db, storage, job)
    for state in ("queued", "running"):
        async with db.transaction() as conn:
            await conn.execute("UPDATE optout_job SET state = %s, kept_until = now() WHERE id = %s", [state, job.id])
        await clear_jobs(db, storage)

    assert await files(storage) == {"uploads"}
    assert (await jobs.get(brand_id, job.id)).state == "running"


async def test_jobs_are_forgotten_with_history(
    db: Database, jobs: JobService, storage: DirectoryStorage, brand_id: UUID
):
    old, new, kept = [await jobs.begin_export(brand_id, "built-in", {}) for _ in range(3)]
    for job in (old, new, kept):
        await ended(db, storage, job, "success")
    async with db.transaction() as conn:
        await conn.execute(
            "UPDATE optout_job SET ended_at = now() - interval '61 days' WHERE id = ANY (%s)", [[old.id, kept.id]]
        )
    for job in (old, new):
        await later(db, job)
    await clear_jobs(db, storage)

    assert await forget_jobs(db, days=60) == 1
    assert {job.id for job in await jobs.page(brand_id)} == {new.id, kept.id}
