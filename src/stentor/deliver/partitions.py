"""The weekly partitions of what grows with sends."""

import psycopg
import structlog

from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement

log = structlog.get_logger(__name__)

WEEKS_AHEAD = 2


class Sql(QuerySet, file="partitions.sql", package=__package__):
    give_way: Statement
    make_weeks: Statement


async def make_weeks(db: Database) -> int:
    """Makes the partitions of this week and the next two where they are missing; the keeper's chore.

    Returns how many it made: none while somebody reads the tables for long, as a backup does. Its next turn is soon enough.
    """
    try:
        async with db.transaction() as conn:
            await Sql.give_way.run(conn)
            return await Sql.make_weeks.value(conn, ahead=WEEKS_AHEAD)
    except psycopg.errors.LockNotAvailable:
        log.info("partitions.waiting")
        return 0
