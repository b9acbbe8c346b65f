"""What is left of pulls: rows that nobody reads any more go, and what nobody lived to hand over or to end is."""

from datetime import timedelta
from itertools import groupby
from uuid import UUID

import structlog

from stentor.clock import boottime_s
from stentor.db.by_keys import go_by_keys
from stentor.db.pool import Database
from stentor.errors import Unavailable
from stentor.failpoints import failpoint
from stentor.integrations.pulls import people_store, store
from stentor.integrations.pulls.handing_over import HandOver
from stentor.integrations.pulls.runs import Runs
from stentor.integrations.pulls.store import SentPage, Sql

log = structlog.get_logger(__name__)

REPLACED_KEPT = timedelta(hours=1)
"""How long the rows of a list stay after the next one was frozen."""
LISTS_KEPT_MAX = 4
"""Lists of one client and run whose rows stay: the one that it reads, and the latest that were replaced."""
ABANDONED_AFTER = timedelta(hours=1)
"""After which a list that was not frozen to its end is nobody's."""
ROWS_AT_ONCE = 10_000
UNMOVED_AFTER = timedelta(seconds=30)
"""After which a page that was sent is handed over by the keeper: its process is gone, or stands still."""
UNMOVED_MAX = 20
"""Pages of one sweep."""
UNFINISHED_MAX = 100
"""Runs of one sweep."""
_TURN_S = 2.0


async def drop_rows(db: Database) -> int:
    """Deletes rows of lists that nobody reads any more, for a turn; the keeper's chore. Returns how many."""
    ends_s, dropped = boottime_s() + _TURN_S, 0
    while True:
        some = await _drop_some(db)
        if some is None:
            return dropped
        dropped += some
        if boottime_s() > ends_s:
            return dropped


async def _drop_some(db: Database) -> int | None:
    """The next rows; None where no list is left."""
    async with db.transaction() as conn:
        found = await Sql.droppable.tuples(conn, after=REPLACED_KEPT, abandoned=ABANDONED_AFTER, kept=LISTS_KEPT_MAX)
        if not found:
            return None
        pull_id, brand_id, execution_id, is_dropped = found[0]
        dropped = 0
        if not is_dropped:
            # Before any of its rows goes: a page that became shorter would say that there was nobody more.
            await Sql.note_dropped.run(conn, id=pull_id, brand_id=brand_id)
        else:
            await go_by_keys(conn)
            dropped = await people_store.drop_rows(conn, brand_id, execution_id, pull_id, ROWS_AT_ONCE)
            if dropped < ROWS_AT_ONCE:
                await Sql.note_emptied.run(conn, id=pull_id, brand_id=brand_id)
        failpoint("pull_rows_dropped.before_commit")
    failpoint("pull_rows_dropped.after_commit")
    return dropped


async def hand_over_sent(db: Database, runs: Runs, hand_over: HandOver) -> int:
    """Hands over people of pages that were sent, where nobody lived to; the keeper's chore. Returns how many pages."""
    ends_s, moved = boottime_s() + _TURN_S, 0
    async with db.read() as conn:
        found = await Sql.unmoved.tuples(conn, after=UNMOVED_AFTER, limit=UNMOVED_MAX)
    for (execution_id, number, brand_id), rows in groupby(found, key=lambda row: row[:3]):
        pages = [SentPage(*row[3:]) for row in rows]
        try:
            run = await runs.of_execution(brand_id, execution_id, number)
            if run is None:
                # Nothing is known of what it sent any more: there is nobody to hand over.
                await _pass_over(db, brand_id, pages)
            else:
                for page in pages:
                    await hand_over.pages(run, [page])
                    moved += 1
                    if boottime_s() > ends_s:
                        return moved
        except Unavailable:
            raise
        except Exception:
            # The next sweep tries these again, and the others need not wait for that.
            log.exception("pull.not_handed_over", execution_id=str(execution_id), channel=number)
    return moved


async def _pass_over(db: Database, brand_id: UUID, pages: list[SentPage]) -> None:
    async with db.transaction() as conn:
        for page in pages:
            await store.acknowledge(conn, brand_id, page.pull_id, {page.id: 0})
        failpoint("pages_passed_over.before_commit")
    failpoint("pages_passed_over.after_commit")


class Unfinished:
    """Ends what nobody waits in any more and whoever saw to that did not live to say. Most runs only wait: it goes round them all."""

    def __init__(self, db: Database, runs: Runs, hand_over: HandOver, *, at_once: int = UNFINISHED_MAX) -> None:
        self._db = db
        self._runs = runs
        self._hand_over = hand_over
        self._at_once = at_once
        self._after = _BEGINNING

    async def finish(self) -> int:
        """Looks at the next ones; the keeper's chore. Returns how many it ended."""
        execution_id, number = self._after
        async with self._db.read() as conn:
            found: list[tuple[UUID, int, UUID]] = await Sql.unfinished.tuples(
                conn, after_execution_id=execution_id, after_number=number, limit=self._at_once
            )
        # Moved on before they are looked at: one that fails does not come first again.
        self._after = found[-1][:2] if len(found) == self._at_once else _BEGINNING
        finished = 0
        for execution_id, number, brand_id in found:
            if run := await self._runs.of_execution(brand_id, execution_id, number):
                finished += await self._hand_over.finish(run)
        return finished


_BEGINNING = UUID(int=0), 0
