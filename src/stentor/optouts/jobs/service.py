"""Imports, exports and scrubs: asked for, watched, removed, and what they made."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Conflict, Invalid, NotFound
from stentor.failpoints import failpoint
from stentor.optouts.jobs import store
from stentor.optouts.jobs.model import Encoding, Job, JobKind, ResultFile
from stentor.optouts.lists import resolve
from stentor.optouts.storage import Storage

FILE_BYTES_MAX = 5 << 30
"""Of an uploaded file, counted as sent."""

JOBS_OPEN_MAX = 100
PAGE_MAX = 100
BEGINS_WITHIN = timedelta(minutes=15)
"""An upload has to begin in that time; begun in time it may finish."""

REMOVED = "The file was removed before it was used."


class JobService:
    """The jobs of all brands; every call names its brand and sees nothing of the others.

    A reference to a list is its id, its code or its name. `asked_by` is free text for people.
    """

    def __init__(self, db: Database, storage: Storage) -> None:
        self._db = db
        self._storage = storage

    async def prepare_import(
        self,
        brand_id: UUID,
        reference: str,
        *,
        declared_bytes: int | None = None,
        encoding: Encoding = "",
        spec: Mapping[str, Any] | None = None,
        asked_by: str = "",
    ) -> Job:
        """An import that awaits its file, which has to begin within 15 minutes.

        Raises NotFound for the list, Invalid for a file that is too large and for a list that holds no entries itself, Conflict
        when 100 jobs of the brand are not over.
        """
        check_size(declared_bytes)
        async with self._db.transaction() as conn:
            into = await resolve(conn, brand_id, reference)
            if not into.holds_entries:
                raise Invalid.field(
                    "/list",
                    "kind",
                    f"The list {into.name!r} is {into.kind} and holds no entries itself. Import into the list that does.",
                )
            job = await _made(
                conn,
                brand_id,
                "import",
                into.id,
                spec or {},
                asked_by=asked_by,
                begins_within=BEGINS_WITHIN,
                declared_bytes=declared_bytes,
                encoding=encoding,
            )
            failpoint("optout_job.before_commit")
        failpoint("optout_job.after_commit")
        return job

    async def begin_export(self, brand_id: UUID, reference: str, spec: Mapping[str, Any], *, asked_by: str = "") -> Job:
        """An export of the list that is ready to be worked on. Raises NotFound for the list, Conflict as `prepare_import`."""
        async with self._db.transaction() as conn:
            of = await resolve(conn, brand_id, reference)
            job = await _made(conn, brand_id, "export", of.id, spec, asked_by=asked_by)
            failpoint("optout_job.before_commit")
        failpoint("optout_job.after_commit")
        return job

    async def prepare_scrub(
        self,
        brand_id: UUID,
        spec: Mapping[str, Any],
        *,
        declared_bytes: int | None = None,
        encoding: Encoding = "",
        asked_by: str = "",
    ) -> Job:
        """A scrub that awaits its file, as `prepare_import`. The spec names its lists, which the caller has looked up."""
        check_size(declared_bytes)
        async with self._db.transaction() as conn:
            job = await _made(
                conn,
                brand_id,
                "scrub",
                None,
                spec,
                asked_by=asked_by,
                begins_within=BEGINS_WITHIN,
                declared_bytes=declared_bytes,
                encoding=encoding,
            )
            failpoint("optout_job.before_commit")
        failpoint("optout_job.after_commit")
        return job

    async def get(self, brand_id: UUID, job_id: UUID) -> Job:
        """The job as it stands. Raises NotFound."""
        async with self._db.read() as conn:
            return found(await store.find_job(conn, brand_id, job_id), job_id)

    async def page(
        self,
        brand_id: UUID,
        *,
        reference: str | None = None,
        kind: JobKind | None = None,
        before: UUID | None = None,
        limit: int = PAGE_MAX,
    ) -> list[Job]:
        """Up to 100 jobs, newest first, from before the id `before`: of that list, and of that kind, or of all. Raises NotFound."""
        async with self._db.read() as conn:
            list_id = None if reference is None else (await resolve(conn, brand_id, reference)).id
            return await store.page_of_jobs(
                conn, brand_id, list_id=list_id, kind=kind, before=before, limit=min(limit, PAGE_MAX)
            )

    async def of_command(self, brand_id: UUID, command: str) -> Job | None:
        """What the same command left when it was given before: the job that was made last with that `command` in its spec."""
        async with self._db.read() as conn:
            return await store.newest_of_command(conn, brand_id, command)

    async def is_waiting(self, brand_id: UUID, job_id: UUID) -> bool:
        """Whether the job is ready to be worked on and nobody does, or who did is not heard of any more."""
        async with self._db.read() as conn:
            return await store.is_waiting(conn, brand_id, job_id)

    async def remove(self, brand_id: UUID, job_id: UUID) -> Job:
        """Ends the job, whoever works on it, and has its files cleared away; doing so again changes nothing.

        Raises NotFound, and Conflict for an import that has succeeded: what it added is on its list.
        """
        async with self._db.transaction() as conn:
            job = found(await store.lock_job(conn, brand_id, job_id), job_id)
            if job.kind == "import" and job.state == "success":
                raise Conflict("This import is on its list already. Remove entries from the list, or the list.")
            if job.state != "removed":
                await store.remove_job(conn, brand_id, job_id, "" if job.state == "success" else REMOVED)
            job = found(await store.find_job(conn, brand_id, job_id), job_id)
            failpoint("optout_job_remove.before_commit")
        failpoint("optout_job_remove.after_commit")
        return job

    async def result(self, brand_id: UUID, job_id: UUID, file_name: str) -> ResultFile:
        """A file that the job made, once it is whole. Raises NotFound until then, and when it is gone again."""
        job = await self.get(brand_id, job_id)
        if file_name not in job.results:
            raise NotFound(f"The job has no file {file_name!r}, or not yet.")
        return job.results[file_name]

    def read(self, result: ResultFile, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a result from `start` up to `end`, in pieces of at most 1 MiB. Raises NotStored."""
        return self._storage.stream(result.name, start, end)


def check_size(declared_bytes: int | None) -> None:
    """Raises Invalid for a file that is larger than 5 GiB, or of less than nothing."""
    if declared_bytes is not None and not 0 <= declared_bytes <= FILE_BYTES_MAX:
        raise Invalid.field(
            "/declared_bytes",
            "size",
            f"A file has 0 to {FILE_BYTES_MAX:,} bytes (5 GiB), as it is sent. Part it, or compress it with gzip or zstd.",
        )


def found(job: Job | None, job_id: UUID) -> Job:
    """The job. Raises NotFound for none."""
    if job is None:
        raise NotFound(f"This brand has no job {job_id}.")
    return job


async def _made(
    conn: Connection,
    brand_id: UUID,
    kind: JobKind,
    list_id: UUID | None,
    spec: Mapping[str, Any],
    *,
    asked_by: str,
    begins_within: timedelta | None = None,
    declared_bytes: int | None = None,
    encoding: Encoding = "",
) -> Job:
    if await store.count_open(conn, brand_id) >= JOBS_OPEN_MAX:
        raise Conflict(
            f"{JOBS_OPEN_MAX} jobs of this brand are not over, which is as many as there can be. Wait, or remove some."
        )
    job_id = new_id()
    await store.insert_job(
        conn,
        brand_id,
        job_id,
        kind=kind,
        list_id=list_id,
        spec=spec,
        asked_by=asked_by,
        begins_within=begins_within,
        declared_bytes=declared_bytes,
        encoding=encoding,
    )
    return found(await store.find_job(conn, brand_id, job_id), job_id)
