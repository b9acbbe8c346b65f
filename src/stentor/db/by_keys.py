"""Telling PostgreSQL that what follows is found by its keys."""

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="by_keys.sql", package=__package__):
    go_by_keys: Statement


async def go_by_keys(conn: Connection) -> None:
    """Until this transaction ends, joins walk the indexes."""
    await Sql.go_by_keys.run(conn)
