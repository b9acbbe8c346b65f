"""The end of an execution: nothing is open any more, its rows are counted, and its books are stored with the end.

Counting takes no lock and comes first, in pieces, so that the end of a million people keeps nobody waiting. It holds
because where no chunk is open, no remedy ordered and no slice planned, no send changes; and each of these, coming in between,
changes the execution's own row, so that the end that was prepared does not happen.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from uuid import UUID

import msgspec
import structlog

from stentor.db.by_keys import go_by_keys
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.failpoints import failpoint
from stentor.report import reconciliations

log = structlog.get_logger(__name__)

# Executions of one sweep: a transaction of well under a second.
_SWEEP_MAX = 1_000


class Sql(QuerySet, file="ending.sql", package=__package__):
    endable: Statement
    end: Statement
    drop_slices: Statement
    forgotten: Statement


class Endable(msgspec.Struct, frozen=True):
    """An execution in which nothing is open, as it was when its rows began to be counted."""

    id: UUID
    brand_id: UUID
    state: str
    slices_left: int
    remedies: int
    audience_size: int


async def end_finished(db: Database, execution_ids: Sequence[UUID]) -> list[UUID]:
    """Ends those of the executions in which nothing is open, each with its books; returns which.

    To be asked after the last settlement committed: of two workers that finish the last two chunks at once, the later one
    sees both done.
    """
    async with db.read() as conn:
        endable = await Sql.endable.rows(conn, Endable, execution_ids=sorted(set(execution_ids)))
    if not endable:
        return []
    books = await _count(db, endable)
    async with db.transaction() as conn:
        ended = dict(
            await Sql.end.tuples(
                conn,
                execution_ids=[one.id for one in endable],
                states=[one.state for one in endable],
                slices_left=[one.slices_left for one in endable],
                remedies=[one.remedies for one in endable],
            )
        )
        if ended:
            await Sql.drop_slices.run(conn, execution_ids=list(ended), brand_ids=list(ended.values()))
            for execution_id in await reconciliations.store(conn, ended, books):
                log.error("execution.unbalanced", execution_id=str(execution_id))
        failpoint("end.before_commit")
    failpoint("end.after_commit")
    return list(ended)


async def end_forgotten(db: Database) -> int:
    """Ends executions whose last worker died before it could; the keeper's chore. Returns how many."""
    async with db.read() as conn:
        forgotten = await Sql.forgotten.column(conn, limit=_SWEEP_MAX)
    return len(await end_finished(db, forgotten)) if forgotten else 0


async def _count(db: Database, endable: Sequence[Endable]) -> reconciliations.Books:
    books: defaultdict[UUID, Counter[reconciliations.Place]] = defaultdict(Counter)
    pieces = (piece for one in endable for piece in reconciliations.pieces_of(one.id, one.brand_id, one.audience_size))
    for batch in reconciliations.batches(pieces):
        async with db.transaction() as conn:
            await go_by_keys(conn)
            await reconciliations.count_rows(conn, batch, books)
    return books
