"""How many of a thing one brand, or one organisation, may have: counted where one more is made, exactly."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.errors import QuotaExceeded


class Sql(QuerySet, file="quotas.sql", package=__package__):
    hold: Statement


async def check_quota(
    conn: Connection,
    owner_id: UUID,
    things: str,
    at_most: int,
    count: Callable[[Connection, UUID], Awaitable[int]],
    *,
    whose: str = "A brand",
    remedy: str = "Delete those that nobody needs any more.",
) -> None:
    """Raises QuotaExceeded when the owner, a brand unless `whose` says other, has `at_most` of these `things` already.

    Called before one is made, in its transaction: until that ends, nobody else counts or makes any for the owner.
    """
    await Sql.hold.run(conn, things=things, owner_id=owner_id)
    if await count(conn, owner_id) >= at_most:
        raise QuotaExceeded(f"{whose} has at most {at_most:,} {things}. {remedy}", quota=at_most)
