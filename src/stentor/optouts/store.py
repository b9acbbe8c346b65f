"""The built-in list of a brand in the database."""

from collections.abc import Sequence
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.optouts.model import OptOut


class Sql(QuerySet, file="queries.sql", package=__package__):
    insert_builtin: Statement
    insert_entries: Statement
    delete_entries: Statement


async def insert_builtin(conn: Connection, brand_id: UUID, *, list_id: UUID, name: str) -> None:
    """Makes the brand's built-in list where there is none."""
    await Sql.insert_builtin.run(conn, id=list_id, brand_id=brand_id, name=name)


async def insert_entries(conn: Connection, brand_id: UUID, entries: Sequence[OptOut]) -> int:
    """Adds the entries and returns how many were not listed before."""
    return await Sql.insert_entries.run(
        conn,
        brand_id=brand_id,
        digests=[entry.digest for entry in entries],
        channels=[int(entry.channel) for entry in entries],
        causes=[entry.cause for entry in entries],
        sources=[entry.source for entry in entries],
        addresses=[entry.address for entry in entries],
        campaigns=[entry.campaign for entry in entries],
        ips=[entry.ip for entry in entries],
    )


async def delete_entries(conn: Connection, brand_id: UUID, digests: Sequence[bytes]) -> int:
    """Takes the digests off the list and returns how many were on it."""
    return await Sql.delete_entries.run(conn, brand_id=brand_id, digests=list(digests))
