"""Limits per hour, held by buckets in the database: over all workers, over all executions that share one, and across pauses.

A bucket holds a sixtieth of its limit, a minute's worth, and is filled so slowly that a full one and an hour's filling come to the
limit together. What nobody has taken for an hour, as in a pause, is not made up for.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement

TURN_S_MAX = 600.0
"""The longest that sends without room are left alone before they ask again, however many wait before them."""

START_S_MAX = 2.0
"""How long after its tokens were taken the last send of a wave may start: by so much an hour is longer here."""

_HOUR_S = 3600
_FORGOTTEN_AT_ONCE_MAX = 10_000


class Sql(QuerySet, file="hour_buckets.sql", package=__package__):
    fill_hour_buckets: Statement
    take_turns: Statement
    spend_hour_tokens: Statement
    forget_hour_buckets: Statement
    forget_hour_promises: Statement


class HourLimit(msgspec.Struct, frozen=True):
    """At most `per_hour` sends in any hour. `owner_id`: whose limit it is: a campaign's, an execution's, or a brand's on a channel."""

    owner_id: UUID
    per_hour: int

    @property
    def burst(self) -> int:
        """What the bucket holds."""
        return max(1, self.per_hour // 60)

    @property
    def per_s(self) -> float:
        """How fast it fills.

        In less than an hour it gives less than a bucket and an hour's filling, `per_hour + 1`: `per_hour` at most, as they are whole.
        """
        return (self.per_hour - self.burst + 1) / (_HOUR_S + START_S_MAX)


async def rooms(conn: Connection, brand_id: UUID, limits: Sequence[HourLimit]) -> dict[UUID, int]:
    """How many sends each limit allows now, by its owner. The buckets stay locked until the transaction ends."""
    return dict(
        await Sql.fill_hour_buckets.tuples(
            conn,
            brand_id=brand_id,
            owner_ids=[limit.owner_id for limit in limits],
            bursts=[float(limit.burst) for limit in limits],
            rates=[limit.per_s for limit in limits],
        )
    )


async def turns(conn: Connection, brand_id: UUID, wanted: Mapping[UUID, int]) -> dict[UUID, float]:
    """In how many seconds so many sends may ask again of each owner's limit, which has no room now."""
    return dict(
        await Sql.take_turns.tuples(
            conn,
            brand_id=brand_id,
            wait_s=TURN_S_MAX,
            owner_ids=list(wanted),
            wanted=[float(sends) for sends in wanted.values()],
        )
    )


async def spend(conn: Connection, brand_id: UUID, spent: Mapping[UUID, int]) -> None:
    """Takes so many sends from each owner's limit, which `rooms` has locked in this transaction."""
    await Sql.spend_hour_tokens.run(conn, brand_id=brand_id, owner_ids=list(spent), spent=list(spent.values()))


async def forget_hour_buckets(db: Database) -> int:
    """Deletes buckets that nobody has taken from for two hours, and promises of minutes that are over; the keeper's chore.

    Returns how many of both.
    """
    async with db.transaction() as conn:
        forgotten = await Sql.forget_hour_promises.run(conn, limit=_FORGOTTEN_AT_ONCE_MAX)
        return forgotten + await Sql.forget_hour_buckets.run(conn, limit=_FORGOTTEN_AT_ONCE_MAX)
