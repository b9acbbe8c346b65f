"""Forgetting who was in a batch, when a brand wants it gone. The batch itself, its counts and its campaign's report stay."""

from uuid import UUID

from stentor.audience.forgetting import FORGOTTEN_AT_ONCE_MAX, forget_members
from stentor.db.by_keys import go_by_keys
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.failpoints import failpoint
from stentor.triggers.uses import needed_tag

BATCHES_AT_ONCE_MAX = 100
"""Batches of one transaction."""

_FIRST = UUID(int=0)


class Sql(QuerySet, file="forgetting.sql", package=__package__):
    old_batches: Statement


class BatchKeeper:
    """Goes through the old batches of brands, a page at each step, and begins anew at the end.

    A batch whose people are still to be written to keeps them, and so does one whose tag a segment, a schedule or an execution to
    come goes by: without its members, whoever is left out by it would be let in.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._after: dict[UUID, UUID] = {}

    async def forget(self, brand_id: UUID, *, days: int) -> int:
        """Takes the next step: forgets who was in batches that came more than `days` days ago. Returns how many people."""
        async with self._db.transaction() as conn:
            page = await Sql.old_batches.tuples(
                conn,
                brand_id=brand_id,
                after=self._after.get(brand_id, _FIRST),
                days=days,
                limit=BATCHES_AT_ONCE_MAX,
            )
            tags = [tag_id for _, tag_id in page if tag_id is not None]
            free = [tag_id for tag_id in tags if await needed_tag(conn, brand_id, tag_id) is None]
            await go_by_keys(conn)
            forgotten = await forget_members(conn, brand_id, free) if free else 0
            failpoint("batch_members.before_commit")
        failpoint("batch_members.after_commit")
        if forgotten < FORGOTTEN_AT_ONCE_MAX:
            self._after[brand_id] = page[-1][0] if len(page) == BATCHES_AT_ONCE_MAX else _FIRST
        return forgotten
