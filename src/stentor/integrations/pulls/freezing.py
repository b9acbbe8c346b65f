"""Freezing a list: everybody whom an execution sends by a partner channel, guarded, in one order, from then on unchanged.

One transaction reads everybody as they are when it begins, in the order of their external ids, and holds the client's turn, so
that two who ask at once freeze one after the other. Beside it, batch by batch, whoever must not be written to is skipped and
the rows are written. The list is there when that transaction commits, and not before: of a freeze that was killed nothing is
read, the people it had skipped stay so, the others wait as before, and the next one begins anew.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime
from uuid import UUID

import psycopg
import structlog

from stentor.audience.reach import has_digests
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import SendState
from stentor.errors import Unavailable
from stentor.failpoints import failpoint
from stentor.integrations.pulls import people_store, store
from stentor.integrations.pulls.guarding import Cleared, ListGuard
from stentor.integrations.pulls.handing_over import HandOver
from stentor.integrations.pulls.model import ROWS_OF_BRAND_MAX, Pull, PulledRun, Puller
from stentor.integrations.pulls.people_store import Batch, Rows
from stentor.integrations.pulls.spreading import HourSpread
from stentor.integrations.pulls.store import RunChunk, Sql
from stentor.integrations.pulls.turns import Turns
from stentor.integrations.pulls.watched_lists import lists_mark
from stentor.optouts.look_up import LookUp

log = structlog.get_logger(__name__)

BATCH_PEOPLE = 10_000
"""People who are read, guarded and written together: what a freeze holds in memory."""
FULL_RETRY_AFTER_S = 600
"""When to ask again where a brand's lists have too many rows."""

# Shorter lists are not counted: it is no use to keep them from being made.
_LARGE_ROWS = 1_000


class Freezer:
    """Freezes lists."""

    def __init__(
        self,
        db: Database,
        guard: ListGuard,
        look_up: LookUp,
        hand_over: HandOver,
        *,
        batch_people: int = BATCH_PEOPLE,
        rows_max: int = ROWS_OF_BRAND_MAX,
    ) -> None:
        self._db = db
        self._guard = guard
        self._look_up = look_up
        self._hand_over = hand_over
        self._batch_people = batch_people
        self._rows_max = rows_max
        self._turns = Turns()

    async def freeze(self, run: PulledRun, puller: Puller, *, asked_at: datetime) -> Pull:
        """The list, all of the run who are not skipped and not revoked; the client's one before is over.

        `asked_at`: when somebody asked for it, by the database's clock. One whose freezing began since is what they asked for, and
        is not replaced: a call that waited for long, or was repeated, takes nothing from who reads the other's list already.

        Raises Unavailable when the same list is being frozen for the same client for longer than `store.LOCK_PATIENCE`, when the brand's
        lists have too many rows, and as `Turns.turn`.
        """
        async with self._turns.turn(run, puller):
            await self._watch(run, puller)
            try:
                async with self._db.transaction() as conn:
                    before = await store.lock_latest(conn, run, puller)
                    latest = await store.latest(conn, run, puller)
                    if latest is not None and latest.started_at >= asked_at:
                        pull_id = latest.id
                    else:
                        await self._hand_over.catch_up(run)
                        pull_id = await self._freeze(conn, run, puller)
                        await self._replace(conn, run, puller, before, pull_id)
                    failpoint("freeze.before_commit")
            except psycopg.errors.LockNotAvailable:
                raise Unavailable(
                    "This list is being frozen for another call of the same client. Ask again in a moment.",
                    retry_after_s=5,
                ) from None
        failpoint("freeze.after_commit")
        # Where nobody was left to wait, the execution is over.
        await self._hand_over.finish(run)
        async with self._db.read() as conn:
            pull = await store.find(conn, run.brand_id, pull_id)
        if pull is None:
            raise Unavailable("The list was frozen anew before it could be read. Ask for it again.")
        return pull

    async def _watch(self, run: PulledRun, puller: Puller) -> None:
        """Has the run's people watched from before they are first looked at."""
        async with self._db.transaction() as conn:
            moment = await Sql.moment.value(conn)
            lists = await lists_mark(conn, self._look_up, run.brand_id, run.channel) if has_digests(run.channel) else ""
            await store.watch(conn, run, moment=moment, lists=lists)
            await Sql.add_latest.run(
                conn,
                brand_id=run.brand_id,
                execution_id=run.execution_id,
                channel_number=run.channel_number,
                puller_id=puller.id,
            )
            failpoint("freeze_begun.before_commit")
        failpoint("freeze_begun.after_commit")

    async def _freeze(self, conn: Connection, run: PulledRun, puller: Puller) -> UUID:
        pull_id, position = new_id(), 0
        by = await self._guard.begin(conn, run)
        chunks = await store.chunks_of(conn, run)
        sends = sum(each.chunk.sends for each in chunks.values())
        await self._check_room(conn, run, sends)
        async with self._db.transaction() as beside:
            await Sql.begin.run(
                beside,
                id=pull_id,
                brand_id=run.brand_id,
                execution_id=run.execution_id,
                channel_number=run.channel_number,
                puller_id=puller.id,
                puller=puller.label,
            )
            failpoint("freeze_listed.before_commit")
        failpoint("freeze_listed.after_commit")
        pulled = {number: each.chunk for number, each in chunks.items() if each.is_pulled}
        everybody = people_store.everybody(
            conn,
            run,
            self._batch_people,
            sends=sends,
            with_places=by.quiet is not None,
            with_addresses=by.asks_lists,
        )
        spread: HourSpread | None = None
        if by.hour_limits:
            spread = HourSpread(self._db, run, by.hour_limits, by.quiet)
            await spread.begin(conn)

        async def before_wave() -> None:
            # The server ends what stands still for long, and who got a page of another list meanwhile does not wait any more.
            await Sql.go_on.run(conn)
            await self._hand_over.catch_up(run)

        writing: asyncio.Task[None] | None = None
        try:
            async with aclosing(everybody):
                async for batch in everybody:
                    cleared = await self._guard.clear(run, by, pulled, batch, before_wave=before_wave)
                    rows = _rows(run, chunks, batch, cleared)
                    if spread is not None:
                        rows = await spread.spread(batch, rows)
                    if writing is not None:
                        await writing
                    # While these are written the next are read and sorted out.
                    writing = asyncio.create_task(self._write(run, pull_id, position, rows))
                    position += len(rows.customers)
            if writing is not None:
                await writing
        except BaseException:
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
            raise
        await Sql.frozen.run(conn, id=pull_id, brand_id=run.brand_id, rows=position)
        log.info("pull.frozen", pull_id=str(pull_id), execution_id=str(run.execution_id), rows=position)
        return pull_id

    async def _check_room(self, conn: Connection, run: PulledRun, wanted: int) -> None:
        there = await Sql.rows_there.value(conn, brand_id=run.brand_id) if wanted >= _LARGE_ROWS else 0
        if there and there + wanted > self._rows_max:
            raise Unavailable(
                f"The lists that were frozen of this brand have {there:,} rows, and with this one they would have more than "
                f"{self._rows_max:,}. Those that were replaced go an hour after that: ask again then, and freeze less often.",
                retry_after_s=FULL_RETRY_AFTER_S,
            )

    async def _write(self, run: PulledRun, pull_id: UUID, position: int, rows: Rows) -> None:
        if not rows.customers:
            return
        async with self._db.transaction() as conn:
            await people_store.insert_rows(conn, run, pull_id, position, rows)
            failpoint("freeze_batch.before_commit")
        failpoint("freeze_batch.after_commit")

    async def _replace(
        self, conn: Connection, run: PulledRun, puller: Puller, before: UUID | None, pull_id: UUID
    ) -> None:
        if before is not None:
            await Sql.replace.run(conn, id=before, brand_id=run.brand_id)
        await Sql.point_latest.run(
            conn,
            brand_id=run.brand_id,
            execution_id=run.execution_id,
            channel_number=run.channel_number,
            puller_id=puller.id,
            id=pull_id,
        )


def _rows(run: PulledRun, chunks: Mapping[int, RunChunk], batch: Batch, cleared: Cleared) -> Rows:
    """What becomes of the batch: who is on the list, when they may be written to, with which template."""
    left_out, open_from, published_at = cleared.left_out, cleared.open_from, run.published_at
    # Nobody is to be written to before the execution was published, nor later than now without a reason.
    due: dict[int, datetime] = {number: max(each.due_at, published_at) for number, each in chunks.items()}
    times = [due.get(chunk, published_at) for chunk in batch.chunks]
    if open_from:
        times = [max(at, open_from.get(place or "", at)) for at, place in zip(times, batch.places, strict=True)]
    templates = [run.templates[variant] for variant in batch.variants]
    rows = Rows(batch.customers, batch.parts, templates, times, batch.digests)
    pulled = {number for number, each in chunks.items() if each.is_pulled}
    if not left_out and pulled.issuperset(batch.chunks):
        return rows
    people = zip(batch.customers, batch.states, batch.chunks, strict=True)
    return rows.only(
        customer not in left_out and (state != SendState.PENDING or chunk in pulled)
        for customer, state, chunk in people
    )
