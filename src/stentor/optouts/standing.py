"""How the opt-out lists of an installation stand altogether, for whoever watches over it."""

import msgspec

from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="standing.sql", package=__package__):
    standing: Statement


class ListStanding(msgspec.Struct, frozen=True):
    """Of all brands: lists, their live files, and the jobs that have not ended. Seconds are 0 where nothing waits."""

    lists: int
    runs: int
    run_bytes: int
    most_runs: int
    """Of one list: a look-up asks each of them."""
    segments: int
    segment_bytes: int
    entries: int
    uploading: int
    queued: int
    running: int
    oldest_queued_s: float
    oldest_erasure_s: float


async def standing(db: Database) -> ListStanding:
    """How they stand now. Raises Unavailable."""
    async with db.read() as conn:
        (found,) = await Sql.standing.rows(conn, ListStanding)
    return found
