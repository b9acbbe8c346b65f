"""Pulls, their pages and leases in the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.pool import STANDS_STILL
from stentor.db.sql import QuerySet, Statement
from stentor.deliver.model import Chunk, KeyRange
from stentor.deliver.store import ranges_as_arrays
from stentor.domain.ids import new_id
from stentor.executions.gate import pass_alone, pass_together
from stentor.integrations.pulls.model import MOVED_ROWS_MAX, WATCH, WATCH_SLACK, Pull, PulledRun, Puller, PullPage

LOCK_PATIENCE = timedelta(seconds=30)
"""How long who asks for a list waits while the same list is being frozen for the same client."""


class Sql(QuerySet, file="queries.sql", package=__package__):
    standing: Statement
    moment: Statement
    watch_brand: Statement
    watch: Statement
    watching: Statement
    watch_on: Statement
    add_latest: Statement
    rows_there: Statement
    limit_waiting: Statement
    go_on: Statement
    lock_latest: Statement
    spread_before: Statement
    begin: Statement
    frozen: Statement
    replace: Statement
    point_latest: Statement
    latest: Statement
    find: Statement
    handed_over_rows: Statement
    is_there: Statement
    page_of_pulls: Statement
    pages: Statement
    note_pages: Statement
    begin_page: Statement
    end_page: Statement
    begun_before: Statement
    is_noted: Statement
    lock_pull: Statement
    lapsed: Statement
    drop_lapsed: Statement
    shorten_lapsed: Statement
    advance: Statement
    lease: Statement
    lock_lease: Statement
    acknowledge: Statement
    release: Statement
    chunks: Statement
    hold_pulled: Statement
    share_pulled: Statement
    waiting: Statement
    finish_chunks: Statement
    unfinished: Statement
    unmoved: Statement
    unmoved_of_run: Statement
    droppable: Statement
    note_dropped: Statement
    note_emptied: Statement
    note_reserved: Statement
    has_reserved: Statement
    to_settle: Statement
    settling: Statement
    note_settled: Statement
    pulls_of_run: Statement
    pages_at: Statement


class Standing(msgspec.Struct, frozen=True):
    """Whether an execution may be pulled at a time: its state, whether its deadline has passed, and whether something is paused.

    `is_nobodys`: it is a test, or what was sent by it has been forgotten.
    """

    state: str
    is_late: bool
    is_nobodys: bool
    is_paused: bool
    at: datetime

    @property
    def is_over(self) -> bool:
        """Whether nobody is handed over any more. What has ended can be fetched again."""
        return self.is_nobodys or self.state not in {"sending", "ended"} or (self.is_late and self.state == "sending")


class SentPage(NamedTuple):
    """Rows of a pull that were written out, from one position to before another."""

    id: UUID
    pull_id: UUID
    position_from: int
    position_to: int

    @property
    def rows(self) -> int:
        return self.position_to - self.position_from


class RunChunk(msgspec.Struct, frozen=True):
    """A chunk of a run with when it falls due, and whether its people wait for the pull."""

    chunk: Chunk
    due_at: datetime
    is_pulled: bool


async def standing(conn: Connection, run: PulledRun) -> Standing | None:
    """How the run's execution stands now; None once it is forgotten."""
    rows = await Sql.standing.tuples(
        conn, brand_id=run.brand_id, execution_id=run.execution_id, sender_id=run.sender_id
    )
    return Standing(*rows[0]) if rows else None


async def watch(conn: Connection, run: PulledRun, *, moment: datetime, lists: str) -> None:
    """From `moment` on, and for `WATCH` from now, the run's people are watched."""
    await Sql.watch_brand.run(conn, brand_id=run.brand_id, moment=moment)
    await Sql.watch.run(conn, **_run(run), channel=int(run.channel), watch=WATCH, lists=lists)


async def is_all_asked_anew(conn: Connection, run: PulledRun) -> bool:
    """Whether people of the run may have said no without having been asked since: lists changed, or nobody watched for a while."""
    rows = await Sql.watching.tuples(conn, **_run(run), left=timedelta(0))
    return any(is_swept or not is_watched for is_watched, _, is_swept in rows)


async def watch_on(conn: Connection, run: PulledRun) -> None:
    """Whoever is fetched now is watched for about `WATCH` from now; where nobody watched any more, all are asked anew.

    It writes once a day at most.
    """
    rows = await Sql.watching.tuples(conn, **_run(run), left=WATCH - WATCH_SLACK)
    if not any(is_ending for _, is_ending, _ in rows):
        return
    await Sql.watch_brand.run(conn, brand_id=run.brand_id, moment=await Sql.moment.value(conn))
    await Sql.watch_on.run(conn, **_run(run), watch=WATCH)


async def lock_latest(conn: Connection, run: PulledRun, puller: Puller) -> UUID | None:
    """The pull that the client reads, if any. Nobody else freezes this list for it until the transaction ends.

    The transaction may stand still between its statements for as long as a worker's, also in a process whose others may not.

    Raises psycopg's LockNotAvailable when somebody does for longer than `LOCK_PATIENCE`.
    """
    await Sql.limit_waiting.run(
        conn, milliseconds=_milliseconds(LOCK_PATIENCE), still_milliseconds=_milliseconds(STANDS_STILL)
    )
    return await Sql.lock_latest.value(conn, **_run(run), puller_id=puller.id)


async def chunks_of(conn: Connection, run: PulledRun) -> dict[int, RunChunk]:
    """All chunks of the run, by their numbers."""
    rows = await Sql.chunks.tuples(conn, brand_id=run.brand_id, execution_id=run.execution_id, sender_id=run.sender_id)
    found: dict[int, RunChunk] = {}
    for *chunk, sends, due_at, is_pulled in rows:
        found[chunk[1]] = RunChunk(Chunk(*chunk, sends=sends), due_at, is_pulled)
    return found


async def hold_pulled(conn: Connection, run: PulledRun, numbers: Sequence[int] | None = None) -> list[int]:
    """Those of the chunks that wait for a pull, all if none are named; they do until the transaction ends.

    Whoever hands over pages of the execution meanwhile waits. Take this before other locks.
    """
    await pass_alone(conn, run.execution_id)
    return await Sql.hold_pulled.column(
        conn,
        brand_id=run.brand_id,
        execution_id=run.execution_id,
        sender_id=run.sender_id,
        numbers=None if numbers is None else list(numbers),
    )


async def share_pulled(conn: Connection, run: PulledRun) -> list[int]:
    """All chunks that wait for a pull, held beside others who hand over. Take this before other locks."""
    await pass_together(conn, run.execution_id)
    return await Sql.share_pulled.column(
        conn, brand_id=run.brand_id, execution_id=run.execution_id, sender_id=run.sender_id
    )


async def note_reserved(conn: Connection, run: PulledRun) -> None:
    """Notes, in the transaction that reserves, that people of the run hold reservations."""
    await Sql.note_reserved.run(conn, **_run(run))


async def has_reserved(conn: Connection, run: PulledRun) -> bool:
    """Whether people of the run hold reservations. To be asked once their chunks are held, so that none are missed."""
    return bool(await Sql.has_reserved.value(conn, **_run(run)))


async def waiting(conn: Connection, run: PulledRun, chunks: Sequence[Chunk], *, limit: int | None = None) -> list[int]:
    """The numbers of those of the chunks in which somebody waits, `limit` at most."""
    ranges = [KeyRange(run.execution_id, chunk.number, chunk.key_from, chunk.key_to) for chunk in chunks]
    return await Sql.waiting.column(
        conn, brand_id=run.brand_id, channel=int(run.channel), limit=limit, **ranges_as_arrays(ranges)
    )


async def latest(conn: Connection, run: PulledRun, puller: Puller) -> Pull | None:
    """The pull that the client reads; None where it has frozen none."""
    return await Sql.latest.first(conn, Pull, **_run(run), puller_id=puller.id)


async def find(conn: Connection, brand_id: UUID, pull_id: UUID, *, with_dropped: bool = False) -> Pull | None:
    """That pull, while its rows are there; `with_dropped`, as long as it is known. `handed_over_rows` are left out."""
    return await Sql.find.first(conn, Pull, brand_id=brand_id, id=pull_id, with_dropped=with_dropped)


async def with_pages(conn: Connection, pull: Pull) -> Pull:
    """The same with the rows that were handed over, which reads all of its pages."""
    rows: int = await Sql.handed_over_rows.value(conn, brand_id=pull.brand_id, pull_id=pull.id)
    return msgspec.structs.replace(pull, handed_over_rows=rows)


async def is_there(conn: Connection, pull: Pull) -> bool:
    """Whether no rows of it have gone, asked after they were read."""
    return bool(await Sql.is_there.value(conn, brand_id=pull.brand_id, id=pull.id))


async def pulls(
    conn: Connection, brand_id: UUID, *, execution_id: UUID | None, before: UUID | None, limit: int
) -> list[Pull]:
    """The brand's pulls, newest first."""
    return await Sql.page_of_pulls.rows(
        conn, Pull, brand_id=brand_id, execution_id=execution_id, before=before, limit=limit
    )


async def pages(conn: Connection, brand_id: UUID, pull_id: UUID, *, before: UUID | None, limit: int) -> list[PullPage]:
    """Who fetched what of a pull, newest first."""
    return await Sql.pages.rows(conn, PullPage, brand_id=brand_id, pull_id=pull_id, before=before, limit=limit)


async def note_pages(conn: Connection, pull: Pull, place: tuple[int, int], *, asked_by: str) -> list[SentPage]:
    """Notes that these rows, from one position to before another, were written out: as pages of `MOVED_ROWS_MAX` rows at most."""
    pages = [
        SentPage(new_id(), pull.id, start, min(start + MOVED_ROWS_MAX, place[1]))
        for start in range(place[0], place[1], MOVED_ROWS_MAX)
    ]
    await Sql.note_pages.run(
        conn,
        ids=[page.id for page in pages],
        brand_id=pull.brand_id,
        pull_id=pull.id,
        positions_from=[page.position_from for page in pages],
        positions_to=[page.position_to for page in pages],
        asked_by=asked_by,
    )
    return pages


async def unmoved_of_run(conn: Connection, run: PulledRun, *, limit: int) -> list[SentPage]:
    """The first pages of the run that were sent and whose people are still to be handed over."""
    return [SentPage(*each) for each in await Sql.unmoved_of_run.tuples(conn, **_run(run), limit=limit)]


async def acknowledge(conn: Connection, brand_id: UUID, pull_id: UUID, moved: Mapping[UUID, int]) -> None:
    """These pages were handed over, and so many people of each had waited. What was acknowledged before stays as it is."""
    await Sql.acknowledge.run(conn, ids=list(moved), moved=list(moved.values()), pull_id=pull_id, brand_id=brand_id)


async def lease_next(conn: Connection, pull: Pull, *, rows: int, lease_s: int, asked_by: str) -> PullPage | None:
    """Leases the next rows: first what was let go or ran out, then what nobody has had. None when nothing is left."""
    locked = await Sql.lock_pull.tuples(conn, id=pull.id, brand_id=pull.brand_id)
    if not locked:
        return None
    leased_to, total = locked[0]
    place = await _lapsed(conn, pull, rows)
    if place is None:
        place = leased_to, min(leased_to + rows, total)
        if place[0] >= place[1]:
            return None
        await Sql.advance.run(conn, id=pull.id, brand_id=pull.brand_id, leased_to=place[1])
    return await Sql.lease.first(
        conn,
        PullPage,
        id=new_id(),
        pull_id=pull.id,
        brand_id=pull.brand_id,
        position_from=place[0],
        position_to=place[1],
        asked_by=asked_by,
        lease_s=lease_s,
    )


async def _lapsed(conn: Connection, pull: Pull, rows: int) -> tuple[int, int] | None:
    """As many rows of the first lapsed lease; what is left of it stays lapsed."""
    key: dict[str, Any] = {"pull_id": pull.id, "brand_id": pull.brand_id}
    found = await Sql.lapsed.tuples(conn, **key)
    if not found:
        return None
    page_id, start, end = found[0]
    until = min(start + rows, end)
    if until == end:
        await Sql.drop_lapsed.run(conn, id=page_id, **key)
    else:
        await Sql.shorten_lapsed.run(conn, id=page_id, position_from=until, **key)
    return start, until


async def lock_lease(conn: Connection, pull: Pull, lease_id: UUID) -> PullPage | None:
    """The lease, until the transaction ends; None once somebody else has its rows."""
    return await Sql.lock_lease.first(conn, PullPage, id=lease_id, pull_id=pull.id, brand_id=pull.brand_id)


def _milliseconds(time: timedelta) -> str:
    return str(round(time.total_seconds() * 1000))


def _run(run: PulledRun) -> dict[str, Any]:
    return {"brand_id": run.brand_id, "execution_id": run.execution_id, "channel_number": run.channel_number}
