"""Handing over: what a service has fetched is out of our hands, and what nobody waits in any more is done."""

import asyncio
from uuid import UUID

import structlog

from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.vocabulary import Reason, SendState
from stentor.executions.ending import end_finished
from stentor.failpoints import failpoint
from stentor.guard import contacts
from stentor.integrations.pulls import people_store, store
from stentor.integrations.pulls.model import Pull, PulledRun
from stentor.integrations.pulls.store import Sql
from stentor.report.tally import Moves

log = structlog.get_logger(__name__)

AT_ONCE_ROWS = 10_000
"""Rows that one transaction hands over: a few tenths of a second."""

MOVED_AT_ONCE = 2
"""Pages that one process hands over side by side."""

_BACKLOG_PAGES = 8


class HandOver:
    """Hands rows of lists over. Said twice, it changes nothing the second time.

    That a page was sent is written down at once, and a list's next page need not wait for its thousands of people: they are
    handed over beside it, a moment later. What a process does not live to do is done by the keeper.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._room = asyncio.Semaphore(MOVED_AT_ONCE)
        self._moving: set[asyncio.Task[None]] = set()

    async def sent(self, run: PulledRun, pull: Pull, place: tuple[int, int], *, asked_by: str) -> None:
        """The rows from one position to before another were written out, and their people are handed over from now on."""
        async with self._db.transaction() as conn:
            page_id = await store.note_page(conn, pull, place, asked_by=asked_by)
            failpoint("page_sent.before_commit")
        failpoint("page_sent.after_commit")
        while len(self._moving) >= _BACKLOG_PAGES:
            await asyncio.wait(self._moving, return_when=asyncio.FIRST_COMPLETED)
        moving = asyncio.create_task(self._move(run, pull, place, page_id))
        self._moving.add(moving)
        moving.add_done_callback(self._moving.discard)

    async def drained(self) -> None:
        """Returns when nothing is being handed over by this process."""
        while self._moving:
            await asyncio.wait(self._moving)

    async def _move(self, run: PulledRun, pull: Pull, place: tuple[int, int], page_id: UUID) -> None:
        try:
            async with self._room:
                await self.page(run, pull, place, page_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the keeper does it again
            log.warning("pull.not_handed_over", pull_id=str(pull.id), rows=list(place), why=repr(error))

    async def page(self, run: PulledRun, pull: Pull, place: tuple[int, int], page_id: UUID) -> None:
        """Hands over whoever waits among the rows of a page that was sent, some thousand at a time."""
        moved = 0
        for start in range(place[0], place[1], AT_ONCE_ROWS):
            end = min(start + AT_ONCE_ROWS, place[1])
            async with self._db.transaction() as conn:
                moved += await self.within(conn, run, pull, (start, end))
                if end == place[1]:
                    await Sql.acknowledge.run(
                        conn, id=page_id, pull_id=pull.id, brand_id=pull.brand_id, handed_over=moved
                    )
                failpoint("page_moved.before_commit")
            failpoint("page_moved.after_commit")
        if moved:
            await self.finish(run)

    async def within(self, conn: Connection, run: PulledRun, pull: Pull, place: tuple[int, int]) -> int:
        """The same within a transaction; returns how many had waited. `finish` comes after its commit.

        Whoever was skipped, revoked or cancelled meanwhile stays so.
        """
        await go_by_keys(conn)
        chunks = await store.share_pulled(conn, run)
        if not chunks:
            return 0
        moved, customers = await people_store.hand_over(conn, run, pull, place, chunks)
        if customers:
            keys = [(run.execution_id, customer) for customer in customers]
            await contacts.settle(conn, run.brand_id, run.channel, accepted=keys)
        if moved:
            moves = Moves(run.brand_id)
            moves.settled(run.execution_id, run.channel, SendState.HANDED_OVER, Reason.NONE, moved)
            await moves.write(conn)
        return moved

    async def finish(self, run: PulledRun) -> bool:
        """Ends what nobody waits in any more: the run's chunks, and with the last of them its execution. False: somebody waits."""
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            chunks = [each.chunk for each in (await store.chunks_of(conn, run)).values() if each.is_pulled]
            # Without a lock first: until the last page there is always somebody.
            if not chunks or await store.waiting(conn, run, chunks, limit=1):
                return False
            held = set(await store.hold_pulled(conn, run))
            chunks = [chunk for chunk in chunks if chunk.number in held]
            left = set(await store.waiting(conn, run, chunks))
            await Sql.finish_chunks.run(
                conn,
                brand_id=run.brand_id,
                execution_id=run.execution_id,
                numbers=[chunk.number for chunk in chunks if chunk.number not in left],
            )
            failpoint("pull_finished.before_commit")
        failpoint("pull_finished.after_commit")
        await end_finished(self._db, [run.execution_id])
        return True
