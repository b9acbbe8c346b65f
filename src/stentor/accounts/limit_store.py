"""The windows in which calls are counted, in the database."""

from collections.abc import Sequence

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="limits.sql", package=__package__):
    take: Statement
    forget: Statement


class Wanted(msgspec.Struct, frozen=True):
    """Calls that somebody wants: `calls` of `at_most` in a window of so many seconds."""

    subject: str
    at_most: int
    window_s: int
    calls: int


class Taken(msgspec.Struct, frozen=True):
    """Calls that somebody got, 0 for none; `room` is what is left to everybody until the window ends."""

    subject: str
    given: int
    room: int
    ends_in_s: float
    ends_at: float
    """In seconds since 1970."""


async def take(conn: Connection, wanted: Sequence[Wanted]) -> dict[str, Taken]:
    """Takes from all of the windows, or, where one has no room, from none of them."""
    rows = await Sql.take.rows(
        conn,
        Taken,
        subjects=[each.subject for each in wanted],
        at_most=[each.at_most for each in wanted],
        windows_s=[each.window_s for each in wanted],
        wanted=[each.calls for each in wanted],
    )
    return {row.subject: row for row in rows}


async def forget(conn: Connection, limit: int) -> int:
    """Deletes windows that ended a day ago and returns how many."""
    return await Sql.forget.run(conn, limit=limit)
