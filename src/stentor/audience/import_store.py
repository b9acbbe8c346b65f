"""Imports in the database."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, LiteralString
from uuid import UUID

import msgspec

from stentor.audience.model import ImportFormat, ImportJob, ImportKind, Reject
from stentor.audience.tables import Layout
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement

# Of one import. A file of garbage has millions; the one who reads them wants to see the first.
REJECTS_KEPT_MAX = 100_000


class Sql(QuerySet, file="imports.sql", package=__package__):
    insert_job: Statement
    unfinished_job: Statement
    hold_source: Statement
    job_of_stream: Statement
    find_job: Statement
    page_of_jobs: Statement
    lock_job: Statement
    write_job: Statement
    end_job: Statement
    insert_rejects: Statement
    page_of_rejects: Statement


class Resume(msgspec.Struct, kw_only=True):
    """What an import needs to go on: who runs it, how the file is written, and which blocks are done out of turn."""

    runner: UUID | None = None
    region: str | None = None
    layout: Layout | None = None
    tag_id: UUID | None = None
    """What profiles are tagged with."""
    ahead: dict[int, tuple[int, int]] = {}
    """Blocks behind `bytes_done` that are stored already: from the byte where each begins to its end, in bytes and lines."""
    terms: dict[str, str] = {}
    """What a stream was begun with: one that says something else is another stream."""
    is_cancelled: bool = False


class Tally(msgspec.Struct, kw_only=True):
    """What became of some lines."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    bad_addresses: int = 0


class Standing(msgspec.Struct, frozen=True):
    """A locked import: how far it is."""

    state: Literal["running", "succeeded", "failed"]
    bytes_done: int
    lines_done: int
    rejected: int
    resume: Resume


async def insert_job(
    conn: Connection,
    brand_id: UUID,
    job_id: UUID,
    *,
    kind: ImportKind,
    file_format: ImportFormat,
    source: str,
    bytes_total: int | None,
    resume: Resume,
) -> None:
    """Makes an import that has done nothing yet."""
    await Sql.insert_job.run(
        conn,
        brand_id=brand_id,
        id=job_id,
        kind=kind,
        format=file_format,
        source=source,
        bytes_total=bytes_total,
        resume=_text(resume),
    )


async def unfinished_job(
    conn: Connection,
    brand_id: UUID,
    *,
    kind: ImportKind,
    file_format: ImportFormat,
    source: str,
    bytes_total: int | None,
) -> UUID | None:
    """The newest import of that source that never came to its end."""
    return await Sql.unfinished_job.value(
        conn, brand_id=brand_id, kind=kind, format=file_format, source=source, bytes_total=bytes_total
    )


async def hold_source(conn: Connection, brand_id: UUID, source: str) -> None:
    """Lets nobody else begin a stream of that name until the transaction ends."""
    await Sql.hold_source.run(conn, brand_id=brand_id, source=source)


class BegunStream(msgspec.Struct, frozen=True):
    """The import of a stream that was begun under a name: how far it is, and what it was begun with."""

    id: UUID
    state: Literal["running", "succeeded", "failed"]
    resume: Resume


async def job_of_stream(conn: Connection, brand_id: UUID, source: str, *, answered: timedelta) -> BegunStream | None:
    """The newest stream of profiles of that name that is under way, or came in or was cancelled no longer ago than that."""
    rows = await Sql.job_of_stream.tuples(conn, brand_id=brand_id, source=source, answered_s=answered.total_seconds())
    return BegunStream(rows[0][0], rows[0][1], msgspec.json.decode(rows[0][2], type=Resume)) if rows else None


async def find_job(conn: Connection, brand_id: UUID, job_id: UUID) -> ImportJob | None:
    """The import as it stands."""
    return await Sql.find_job.first(conn, ImportJob, id=job_id, brand_id=brand_id)


async def page_of_jobs(conn: Connection, brand_id: UUID, *, before: UUID | None, limit: int) -> list[ImportJob]:
    """Imports, newest first, from before `before`."""
    return await Sql.page_of_jobs.rows(conn, ImportJob, brand_id=brand_id, before=before, limit=limit)


async def lock_job(conn: Connection, brand_id: UUID, job_id: UUID) -> Standing | None:
    """Locks the import until the transaction ends."""
    rows = await Sql.lock_job.tuples(conn, id=job_id, brand_id=brand_id)
    if not rows:
        return None
    state, bytes_done, lines_done, rejected, resume = rows[0]
    return Standing(state, bytes_done, lines_done, rejected, msgspec.json.decode(resume, type=Resume))


async def write_job(
    conn: Connection, brand_id: UUID, job_id: UUID, *, bytes_done: int, lines_done: int, tally: Tally, resume: Resume
) -> None:
    """Writes how far a locked import is, and adds to its counts."""
    await Sql.write_job.run(
        conn,
        brand_id=brand_id,
        id=job_id,
        bytes_done=bytes_done,
        lines_done=lines_done,
        resume=_text(resume),
        **msgspec.structs.asdict(tally),
    )


async def end_job(
    conn: Connection, brand_id: UUID, job_id: UUID, state: Literal["succeeded", "failed"], problem: str = ""
) -> None:
    """Ends a running import."""
    await Sql.end_job.run(conn, brand_id=brand_id, id=job_id, state=state, problem=problem)


async def tidy(conn: Connection, kind: ImportKind) -> None:
    """Tells the database what the tables are like after an import of that kind; autovacuum would a minute later.

    Until then it takes planning twice as long: who is meant is read from indexes, and for each row of a page that is not known
    to be visible to everybody the page is read as well. Not in a transaction.
    """
    await conn.execute(_TIDY[kind])


# The database prepares no such command, so it is no block of a .sql file.
_TIDY: dict[ImportKind, LiteralString] = {
    "profiles": "VACUUM (ANALYZE, SKIP_LOCKED, TRUNCATE false) customer, address_owner, consent_event, customer_tag",
    "customers": "VACUUM (ANALYZE, SKIP_LOCKED, TRUNCATE false) customer, address_owner",
    "subscriptions": "VACUUM (ANALYZE, SKIP_LOCKED, TRUNCATE false) subscription, consent_event",
    "events": "VACUUM (ANALYZE, SKIP_LOCKED, TRUNCATE false) customer_event",
}


async def insert_rejects(conn: Connection, brand_id: UUID, job_id: UUID, rejects: Sequence[Reject]) -> None:
    """Keeps lines that were not taken."""
    await Sql.insert_rejects.run(
        conn,
        brand_id=brand_id,
        id=job_id,
        lines=[reject.line for reject in rejects],
        reasons=[reject.reason for reject in rejects],
    )


async def page_of_rejects(conn: Connection, brand_id: UUID, job_id: UUID, *, after: int, limit: int) -> list[Reject]:
    """Lines that were not taken, from behind the line `after`."""
    return await Sql.page_of_rejects.rows(conn, Reject, brand_id=brand_id, id=job_id, after=after, limit=limit)


def _text(resume: Resume) -> str:
    return msgspec.json.encode(resume).decode()
