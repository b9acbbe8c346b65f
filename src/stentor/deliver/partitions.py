"""The weekly partitions of what grows with sends."""

from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement

WEEKS_AHEAD = 2


class Sql(QuerySet, file="partitions.sql", package=__package__):
    make_weeks: Statement


async def make_weeks(db: Database) -> int:
    """Makes the partitions of this week and the next two where they are missing; the keeper's chore.

    Returns how many it made.
    """
    async with db.transaction() as conn:
        return await Sql.make_weeks.value(conn, ahead=WEEKS_AHEAD)
