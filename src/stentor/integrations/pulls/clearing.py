"""What is left of pulls: rows that nobody reads any more go, and what nobody lived to hand over or to end is."""

from datetime import timedelta
from typing import TYPE_CHECKING

from stentor.db.by_keys import go_by_keys
from stentor.db.pool import Database
from stentor.failpoints import failpoint
from stentor.integrations.pulls import people_store, store
from stentor.integrations.pulls.handing_over import HandOver
from stentor.integrations.pulls.runs import Runs
from stentor.integrations.pulls.store import Sql

if TYPE_CHECKING:
    from uuid import UUID

REPLACED_KEPT = timedelta(hours=1)
"""How long the rows of a list stay after the next one was frozen."""
ABANDONED_AFTER = timedelta(hours=1)
"""After which a list that was not frozen to its end is nobody's."""
ROWS_AT_ONCE = 10_000
UNMOVED_AFTER = timedelta(seconds=30)
"""After which a page that was sent is handed over by the keeper: its process is gone, or stands still."""
UNMOVED_MAX = 20
"""Pages of one sweep."""
UNFINISHED_MAX = 100
"""Runs of one sweep."""


async def drop_rows(db: Database) -> int:
    """Deletes some of the rows of lists that nobody reads any more; the keeper's chore. Returns how many."""
    async with db.transaction() as conn:
        found = await Sql.droppable.tuples(conn, after=REPLACED_KEPT, abandoned=ABANDONED_AFTER)
        if not found:
            return 0
        pull_id, brand_id, execution_id = found[0]
        await go_by_keys(conn)
        dropped = await people_store.drop_rows(conn, brand_id, execution_id, pull_id, ROWS_AT_ONCE)
        if dropped < ROWS_AT_ONCE:
            await Sql.note_dropped.run(conn, id=pull_id, brand_id=brand_id)
        failpoint("pull_rows_dropped.before_commit")
    failpoint("pull_rows_dropped.after_commit")
    return max(1, dropped)


async def hand_over_sent(db: Database, runs: Runs, hand_over: HandOver) -> int:
    """Hands over people of pages that were sent, where nobody lived to; the keeper's chore. Returns how many pages."""
    async with db.read() as conn:
        found = await Sql.unmoved.tuples(conn, after=UNMOVED_AFTER, limit=UNMOVED_MAX)
    for page_id, pull_id, brand_id, start, end in found:
        async with db.read() as conn:
            pull = await store.find(conn, brand_id, pull_id)
        if pull is None:
            continue
        run = await runs.of_execution(brand_id, pull.execution_id, pull.channel_number)
        if run is not None:
            await hand_over.page(run, pull, (start, end), page_id)
    return len(found)


async def finish_forgotten(db: Database, runs: Runs, hand_over: HandOver) -> int:
    """Ends what nobody waits in any more and whoever saw to that did not live to say; the keeper's chore. Returns how many."""
    async with db.read() as conn:
        found: list[tuple[UUID, int, UUID]] = await Sql.unfinished.tuples(conn, limit=UNFINISHED_MAX)
    finished = 0
    for execution_id, number, brand_id in found:
        if run := await runs.of_execution(brand_id, execution_id, number):
            finished += await hand_over.finish(run)
    return finished
