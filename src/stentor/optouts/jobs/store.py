"""Jobs of opt-out lists in the database, but for who works on them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import structs

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.optouts.jobs.model import Encoding, Job, JobKind, JobState, Part, ResultFile


class Sql(QuerySet, file="jobs.sql", package=__package__):
    insert_job: Statement
    count_open: Statement
    find_job: Statement
    lock_job: Statement
    page_of_jobs: Statement
    newest_of_command: Statement
    is_waiting: Statement
    remove_job: Statement
    begin_upload: Statement
    drop_parts: Statement
    advance_upload: Statement
    insert_part: Statement
    count_parts: Statement
    parts: Statement
    end_upload: Statement
    due: Statement
    expire_job: Statement
    cleared: Statement
    forget_jobs: Statement


async def insert_job(
    conn: Connection,
    brand_id: UUID,
    job_id: UUID,
    *,
    kind: JobKind,
    list_id: UUID | None,
    spec: Mapping[str, Any],
    asked_by: str,
    begins_within: timedelta | None = None,
    declared_bytes: int | None = None,
    encoding: Encoding = "",
) -> None:
    """Makes the job: one that awaits a file, which has to begin in that time, or without such a time one that is ready."""
    await Sql.insert_job.run(
        conn,
        brand_id=brand_id,
        id=job_id,
        list_id=list_id,
        kind=kind,
        state="queued" if begins_within is None else "uploading",
        spec=msgspec.json.encode(spec).decode(),
        asked_by=asked_by,
        declared_bytes=declared_bytes,
        encoding=encoding,
        begins_within=begins_within,
    )


async def count_open(conn: Connection, brand_id: UUID) -> int:
    """How many of the brand's jobs are not over."""
    return await Sql.count_open.value(conn, brand_id=brand_id)


async def find_job(conn: Connection, brand_id: UUID, job_id: UUID) -> Job | None:
    """The job, or None when the brand has none of that id."""
    found = await Sql.find_job.first(conn, Job, brand_id=brand_id, id=job_id)
    return found and _whole(found)


async def lock_job(conn: Connection, brand_id: UUID, job_id: UUID) -> Job | None:
    """As `find_job`, and nobody else changes it until the transaction ends."""
    found = await Sql.lock_job.first(conn, Job, brand_id=brand_id, id=job_id)
    return found and _whole(found)


async def page_of_jobs(
    conn: Connection, brand_id: UUID, *, list_id: UUID | None, kind: JobKind | None, before: UUID | None, limit: int
) -> list[Job]:
    """Jobs, newest first, from before the job `before`."""
    rows = await Sql.page_of_jobs.rows(
        conn, Job, brand_id=brand_id, list_id=list_id, kind=kind, before=before, limit=limit
    )
    return [_whole(row) for row in rows]


async def newest_of_command(conn: Connection, brand_id: UUID, command: str) -> Job | None:
    """The job that was made last with that command in its spec; None for none."""
    found = await Sql.newest_of_command.first(conn, Job, brand_id=brand_id, command=command)
    return found and _whole(found)


async def is_waiting(conn: Connection, brand_id: UUID, job_id: UUID) -> bool:
    """Whether the job is ready and nobody works on it, or nobody who is still heard of."""
    return await Sql.is_waiting.value(conn, brand_id=brand_id, id=job_id)


async def remove_job(conn: Connection, brand_id: UUID, job_id: UUID, message: str) -> None:
    """Ends a locked job as removed and takes it from whoever has it."""
    await Sql.remove_job.run(conn, brand_id=brand_id, id=job_id, message=message)


async def begin_upload(
    conn: Connection,
    brand_id: UUID,
    job_id: UUID,
    *,
    received_bytes: int,
    encoding: Encoding,
    declared_bytes: int | None,
    kept: timedelta,
) -> int:
    """Takes the file's reception from whoever had it and answers with its new epoch.

    `declared_bytes` counts where nothing was declared before.
    """
    return await Sql.begin_upload.value(
        conn,
        brand_id=brand_id,
        id=job_id,
        received_bytes=received_bytes,
        encoding=encoding,
        declared_bytes=declared_bytes,
        kept=kept,
    )


async def drop_parts(conn: Connection, brand_id: UUID, job_id: UUID) -> list[str]:
    """Forgets what was received of the file and answers with the names of its pieces."""
    return await Sql.drop_parts.column(conn, brand_id=brand_id, id=job_id)


async def add_part(
    conn: Connection, brand_id: UUID, job_id: UUID, part: Part, *, upload_epoch: int, kept: timedelta
) -> bool:
    """Notes a piece that is in the storage; False when it is not, or no longer, this receiver's to add."""
    advanced = await Sql.advance_upload.run(
        conn,
        brand_id=brand_id,
        id=job_id,
        bytes=part.bytes,
        start_byte=part.start_byte,
        upload_epoch=upload_epoch,
        kept=kept,
    )
    if not advanced:
        return False
    await Sql.insert_part.run(conn, brand_id=brand_id, id=job_id, **structs.asdict(part))
    return True


async def count_parts(conn: Connection, brand_id: UUID, job_id: UUID) -> int:
    """In how many pieces the file came so far."""
    return await Sql.count_parts.value(conn, brand_id=brand_id, id=job_id)


async def parts(conn: Connection, brand_id: UUID, job_id: UUID) -> list[Part]:
    """The pieces of the file, in order."""
    return await Sql.parts.rows(conn, Part, brand_id=brand_id, id=job_id)


async def end_upload(
    conn: Connection, brand_id: UUID, job_id: UUID, *, upload_epoch: int, state: JobState, message: str = ""
) -> bool:
    """Ends the reception, as `queued` or `failed`; False when it is not, or no longer, this receiver's to end."""
    ended = await Sql.end_upload.run(
        conn, brand_id=brand_id, id=job_id, upload_epoch=upload_epoch, state=state, message=message
    )
    return ended > 0


async def due(conn: Connection, *, limit: int) -> list[tuple[UUID, UUID]]:
    """Jobs with files to be cleared away: their ids, and their brands'."""
    return [(job_id, brand_id) for job_id, brand_id in await Sql.due.tuples(conn, limit=limit)]


async def expire_job(conn: Connection, brand_id: UUID, job_id: UUID, message: str) -> bool:
    """Says that the job's files are gone, where they are kept no longer; False where they are."""
    return await Sql.expire_job.run(conn, brand_id=brand_id, id=job_id, message=message) > 0


async def cleared(conn: Connection, brand_id: UUID, job_id: UUID) -> None:
    """Notes that there is nothing left to clear."""
    await Sql.cleared.run(conn, brand_id=brand_id, id=job_id)


async def forget_jobs(conn: Connection, *, kept: timedelta, limit: int) -> int:
    """Deletes jobs that ended so long ago, and returns how many."""
    return await Sql.forget_jobs.run(conn, kept=kept, limit=limit)


def _whole(row: Job) -> Job:
    return structs.replace(row, results=msgspec.convert(row.results, dict[str, ResultFile]))
