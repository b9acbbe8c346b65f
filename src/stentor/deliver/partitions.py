"""The weekly partitions of what grows with sends."""

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement

WEEKS_AHEAD = 2


class Sql(QuerySet, file="partitions.sql", package=__package__):
    make_weeks: Statement


async def make_weeks(conn: Connection) -> int:
    """Makes the partitions of this week and the next two where they are missing; returns how many it made."""
    return await Sql.make_weeks.value(conn, ahead=WEEKS_AHEAD)
