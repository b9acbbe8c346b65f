"""Clearing up after jobs: files that nobody will read again, and, after years, that there were any."""

from datetime import timedelta
from uuid import UUID

from stentor.db.batches import until_short
from stentor.db.pool import Database
from stentor.optouts.jobs import store
from stentor.optouts.storage import Storage

CLEARED_AT_ONCE_MAX = 100
FORGOTTEN_AT_ONCE_MAX = 1_000

NEVER_CAME = "The file did not come in time. Prepare another upload."


async def clear_jobs(db: Database, storage: Storage) -> int:
    """Deletes what is kept no longer, and the uploads of jobs that are over; returns of how many jobs.

    A job whose file never came, or never came whole, is `removed` then; so is an export or a scrub with its results.
    """
    return await until_short(lambda: _clear_some(db, storage), CLEARED_AT_ONCE_MAX)


async def forget_jobs(db: Database, *, days: int) -> int:
    """Deletes the jobs that ended so many days ago and have no files any more; returns how many."""

    async def forget() -> int:
        async with db.autocommit() as conn:
            return await store.forget_jobs(conn, kept=timedelta(days=days), limit=FORGOTTEN_AT_ONCE_MAX)

    return await until_short(forget, FORGOTTEN_AT_ONCE_MAX)


async def _clear_some(db: Database, storage: Storage) -> int:
    async with db.read() as conn:
        due = await store.due(conn, limit=CLEARED_AT_ONCE_MAX)
    for job_id, brand_id in due:
        await _clear(db, storage, brand_id, job_id)
    return len(due)


async def _clear(db: Database, storage: Storage, brand_id: UUID, job_id: UUID) -> None:
    # First that nobody finds the files, then the files, then that there is nothing to do: whatever is cut short is done again.
    async with db.autocommit() as conn:
        is_expired = await store.expire_job(conn, brand_id, job_id, NEVER_CAME)
        job = await store.find_job(conn, brand_id, job_id)
    if job is None or not job.is_over:
        return
    prefixes = [f"uploads/{job_id}", f"results/{job_id}"] if is_expired else [f"uploads/{job_id}"]
    await storage.delete([name for prefix in prefixes async for name, *_ in storage.names(prefix)])
    async with db.transaction() as conn:
        await store.drop_parts(conn, brand_id, job_id)
        if is_expired:
            await store.cleared(conn, brand_id, job_id)
