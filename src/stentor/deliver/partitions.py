"""The weekly partitions of what grows with sends."""

from collections.abc import Awaitable, Callable
from functools import partial

import psycopg
import structlog

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement

log = structlog.get_logger(__name__)

WEEKS_AHEAD = 2


class Sql(QuerySet, file="partitions.sql", package=__package__):
    give_way: Statement
    make_week: Statement


async def make_weeks(db: Database) -> int:
    """Makes the partitions of this week and the next two where they are missing; the keeper's chore.

    Returns how many it made: none while somebody reads the tables for long, as a backup does. Its next turn is soon enough.
    """
    made = 0
    for week in range(WEEKS_AHEAD + 1):
        # Each on its own: a week of which something lies in the catch-all already stays there, and those after it do not.
        try:
            made += await giving_way(db, partial(Sql.make_week.value, week=week))
        except psycopg.errors.CheckViolation as error:
            log.warning("partitions.blocked", weeks_ahead=week, why=str(error).partition("\n")[0])
    return made


async def giving_way(db: Database, change: Callable[[Connection], Awaitable[int]]) -> int:
    """How many partitions a change made or dropped, in a transaction of its own; none where somebody is in its way."""
    try:
        async with db.transaction() as conn:
            await Sql.give_way.run(conn)
            return await change(conn)
    except psycopg.errors.LockNotAvailable:
        log.info("partitions.waiting")
        return 0
