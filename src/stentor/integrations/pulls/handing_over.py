"""Handing over: what a service has fetched is out of our hands, and what nobody waits in any more is done."""

import asyncio
from collections import deque
from collections.abc import Sequence
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
from stentor.integrations.pulls.model import MOVED_ROWS_MAX, Pull, PulledRun
from stentor.integrations.pulls.store import SentPage, Sql
from stentor.report.tally import Moves

log = structlog.get_logger(__name__)

MOVED_AT_ONCE = 2
"""Lists of which one process hands people over side by side."""

_BACKLOG_ROWS = 100_000
_CAUGHT_UP_AT_ONCE = 8


class _Backlog:
    """The pages of one list that were sent and not handed over, in the order in which they were sent."""

    def __init__(self) -> None:
        self._pages: deque[SentPage] = deque()
        self._rows = 0
        self.has_room = asyncio.Event()

    def put(self, page: SentPage) -> None:
        self._pages.append(page)
        self._count(page.rows)

    def take(self) -> list[SentPage]:
        """The next page, and those that follow it row by row as long as one transaction does them all; none when all is done."""
        taken: list[SentPage] = []
        while self._pages and (
            not taken
            or (
                self._pages[0].position_from == taken[-1].position_to
                and self._pages[0].position_to - taken[0].position_from <= MOVED_ROWS_MAX
            )
        ):
            taken.append(self._pages.popleft())
        self._count(-sum(page.rows for page in taken))
        return taken

    def _count(self, rows: int) -> None:
        self._rows += rows
        if self._rows < _BACKLOG_ROWS:
            self.has_room.set()
        else:
            self.has_room.clear()


class HandOver:
    """Hands rows of lists over. Said twice, it changes nothing the second time.

    That a page was sent is written down at once, and a list's next page need not wait for its thousands of people: they are
    handed over beside it, a moment later, together with those of the pages that were sent meanwhile. What a process does not
    live to do is done by the keeper, and where it did not even live to note that a page was sent, that is noted when its
    reader asks for what comes next.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._room = asyncio.Semaphore(MOVED_AT_ONCE)
        self._backlogs: dict[UUID, _Backlog] = {}
        self._moving: set[asyncio.Task[None]] = set()

    async def sending(self, pull: Pull, place: tuple[int, int]) -> None:
        """The rows from one position to before another are about to be written out."""
        async with self._db.transaction() as conn:
            await Sql.begin_page.run(
                conn, pull_id=pull.id, brand_id=pull.brand_id, position_from=place[0], position_to=place[1]
            )
            failpoint("page_sending.before_commit")
        failpoint("page_sending.after_commit")

    async def taken(self, run: PulledRun, pull: Pull, position: int, *, asked_by: str) -> None:
        """Somebody goes on from that position: pages before it that were being written out, and were not noted, are theirs."""
        async with self._db.read() as conn:
            places = await Sql.begun_before.tuples(conn, pull_id=pull.id, brand_id=pull.brand_id, position=position)
        for place in places:
            await self.sent(run, pull, place, asked_by=asked_by)

    async def sent(self, run: PulledRun, pull: Pull, place: tuple[int, int], *, asked_by: str) -> None:
        """The rows from one position to before another were written out, and their people are handed over from now on."""
        async with self._db.transaction() as conn:
            pages = await store.note_pages(conn, pull, place, asked_by=asked_by)
            await Sql.end_page.run(
                conn, pull_id=pull.id, brand_id=pull.brand_id, position_from=place[0], position_to=place[1]
            )
            failpoint("page_sent.before_commit")
        failpoint("page_sent.after_commit")
        backlog = self._backlogs.get(pull.id)
        if backlog is None:
            backlog = self._backlogs[pull.id] = _Backlog()
            moving = asyncio.create_task(self._move(run, pull.id, backlog))
            self._moving.add(moving)
            moving.add_done_callback(self._moving.discard)
        for page in pages:
            backlog.put(page)
        await backlog.has_room.wait()

    async def drained(self) -> None:
        """Returns when nothing is being handed over by this process."""
        while self._moving:
            await asyncio.wait(self._moving)

    async def _move(self, run: PulledRun, pull_id: UUID, backlog: _Backlog) -> None:
        try:
            while pages := backlog.take():
                try:
                    async with self._room:
                        await self.pages(run, pages)
                except Exception as error:  # noqa: BLE001 - whatever it is, the keeper does it again
                    rows = [pages[0].position_from, pages[-1].position_to]
                    log.warning("pull.not_handed_over", pull_id=str(pull_id), rows=rows, why=repr(error))
        finally:
            del self._backlogs[pull_id]
            backlog.has_room.set()

    async def pages(self, run: PulledRun, pages: Sequence[SentPage]) -> None:
        """Hands over whoever waits among the rows of these pages, which follow each other in one list, and ends what is done."""
        bounds = [page.position_from for page in pages] + [pages[-1].position_to]
        async with self._db.transaction() as conn:
            moved = await self.within(conn, run, pages[0].pull_id, bounds)
            told = {page.id: count for page, count in zip(pages, moved, strict=True)}
            await store.acknowledge(conn, run.brand_id, pages[0].pull_id, told)
            failpoint("page_moved.before_commit")
        failpoint("page_moved.after_commit")
        if any(moved):
            await self.finish(run)

    async def catch_up(self, run: PulledRun) -> None:
        """Hands over what of the run was sent so far, where nobody has yet: these people do not wait, and are not asked as if they did."""
        while True:
            async with self._db.read() as conn:
                pages = await store.unmoved_of_run(conn, run, limit=_CAUGHT_UP_AT_ONCE)
            for page in pages:
                await self.pages(run, [page])
            if len(pages) < _CAUGHT_UP_AT_ONCE:
                return

    async def within(self, conn: Connection, run: PulledRun, pull_id: UUID, bounds: Sequence[int]) -> list[int]:
        """The same within a transaction: of the rows from each of these positions to before the next, how many had waited.

        `finish` comes after its commit. Whoever was skipped, revoked or cancelled meanwhile stays so; but for caps whoever has
        the page counts as reached, also where their execution was over before this was said.
        """
        await go_by_keys(conn)
        chunks = await store.share_pulled(conn, run)
        is_capped = await store.has_reserved(conn, run)
        if not chunks and not is_capped:
            return [0] * (len(bounds) - 1)
        moved, customers = await people_store.hand_over(conn, run, pull_id, bounds, chunks, named=is_capped)
        if is_capped:
            customers += await people_store.sent_after_all(conn, run, pull_id, (bounds[0], bounds[-1]))
            keys = [(run.execution_id, customer) for customer in customers]
            await contacts.settle(conn, run.brand_id, run.channel, accepted=keys)
        if any(moved):
            moves = Moves(run.brand_id)
            moves.settled(run.execution_id, run.channel, SendState.HANDED_OVER, Reason.NONE, sum(moved))
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
