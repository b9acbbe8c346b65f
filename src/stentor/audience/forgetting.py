"""Forgetting what is known of people when a brand wants it gone: events that were told of them, and who had a tag."""

from collections.abc import Sequence
from uuid import UUID

from stentor.db.batches import until_short
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import PARTS
from stentor.failpoints import failpoint

FORGOTTEN_AT_ONCE_MAX = 5_000
"""Events or members that are forgotten in one transaction."""

# In how many steps of the keeper everybody is looked at.
_STEP_PARTS = PARTS // 64


class Sql(QuerySet, file="forgetting.sql", package=__package__):
    forget_told: Statement
    forget_members: Statement


class ToldKeeper:
    """Forgets events of customers: of a slice of the people at each step, of all of them in 64."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._part: dict[UUID, int] = {}

    async def forget(self, brand_id: UUID, *, days: int) -> int:
        """Takes the next step: forgets what happened more than `days` days ago. Returns how many events."""
        first = self._part.get(brand_id, 0)
        self._part[brand_id] = (first + _STEP_PARTS) % PARTS

        async def forget() -> int:
            async with self._db.transaction() as conn:
                await go_by_keys(conn)
                forgotten = await Sql.forget_told.run(
                    conn,
                    brand_id=brand_id,
                    part_from=first,
                    part_to=first + _STEP_PARTS - 1,
                    days=days,
                    limit=FORGOTTEN_AT_ONCE_MAX,
                )
                failpoint("told.before_commit")
            failpoint("told.after_commit")
            return forgotten

        return await until_short(forget, FORGOTTEN_AT_ONCE_MAX)


async def forget_members(conn: Connection, brand_id: UUID, tag_ids: Sequence[UUID]) -> int:
    """Takes these tags from up to `FORGOTTEN_AT_ONCE_MAX` people who have them; returns from how many."""
    return await Sql.forget_members.run(conn, brand_id=brand_id, tag_ids=list(tag_ids), limit=FORGOTTEN_AT_ONCE_MAX)
