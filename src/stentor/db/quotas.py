"""How many of a thing one brand may have: counted where one more is made, exactly."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.errors import QuotaExceeded


class Sql(QuerySet, file="quotas.sql", package=__package__):
    hold: Statement


async def check_quota(
    conn: Connection,
    brand_id: UUID,
    things: str,
    at_most: int,
    count: Callable[[Connection, UUID], Awaitable[int]],
    *,
    remedy: str = "Delete those that nobody needs any more.",
) -> None:
    """Raises QuotaExceeded when the brand has `at_most` of these `things` already.

    Called before one is made, in its transaction: until that ends, nobody else counts or makes any for the brand.
    """
    await Sql.hold.run(conn, things=things, brand_id=brand_id)
    if await count(conn, brand_id) >= at_most:
        raise QuotaExceeded(f"A brand has at most {at_most:,} {things}. {remedy}", quota=at_most)
