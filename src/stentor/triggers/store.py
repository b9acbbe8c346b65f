"""Accepted calls in the database: executions and tokens."""

from collections.abc import Sequence
from uuid import UUID

from psycopg.types.json import Jsonb

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.triggers.model import QueuedCall


class Sql(QuerySet, file="queries.sql", package=__package__):
    open_bucket: Statement
    admit: Statement


async def open_bucket(conn: Connection, brand_id: UUID, rate_per_s: int) -> None:
    """Makes a full bucket for the brand where it has none."""
    await Sql.open_bucket.run(conn, brand_id=brand_id, rate_per_s=rate_per_s)


async def admit(conn: Connection, calls: Sequence[QueuedCall]) -> set[UUID]:
    """Stores as many of the calls as their brands have tokens for and returns the ids of those."""
    return set(await Sql.admit.column(conn, calls=Jsonb(calls)))
