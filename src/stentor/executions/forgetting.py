"""Forgetting what executions said: contexts of calls, of recipients, and what providers answered, when a brand wants it gone.

Sends with their states and reasons, counters and reconciliations stay as long as history does. What is not over is not forgotten: an
execution with somebody pending, held or in doubt, with a remedy that is not done, or whose experiment has no winner yet keeps its words,
and so does a run as long as that is so of one of its steps, which say them.
"""

from uuid import UUID

from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.failpoints import failpoint

EXECUTIONS_AT_ONCE_MAX = 100
"""Executions of one transaction."""

ANSWERS_AT_ONCE_MAX = 5_000
"""Answers of providers that are emptied in one transaction."""

_FIRST = UUID(int=0)


class Sql(QuerySet, file="forgetting.sql", package=__package__):
    page_of_old: Statement
    lock_forgettable: Statement
    blank_answers: Statement
    blank_contexts: Statement
    forget: Statement
    forgotten_after: Statement


class PayloadKeeper:
    """Goes through the old executions of brands, a page at each step, and begins anew at the end.

    A round begins at the first execution that the last one had to leave, so that what is forgotten is not looked through again.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._after: dict[UUID, UUID] = {}
        self._left: dict[UUID, UUID] = {}

    async def forget(self, brand_id: UUID, *, days: int) -> int:
        """Takes the next step: forgets what started more than `days` days ago. Returns how much was emptied."""
        after = self._after.get(brand_id, _FIRST)
        async with self._db.transaction() as conn:
            page = await Sql.page_of_old.column(
                conn, brand_id=brand_id, after=after, days=days, limit=EXECUTIONS_AT_ONCE_MAX
            )
            emptied, forgotten = await _forget(conn, brand_id, page)
            failpoint("payloads.before_commit")
        failpoint("payloads.after_commit")
        if emptied >= ANSWERS_AT_ONCE_MAX:
            # The same page again: some of its answers are left.
            return emptied
        if left := [execution_id for execution_id in page if execution_id not in forgotten]:
            self._left.setdefault(brand_id, UUID(int=left[0].int - 1))
        if len(page) == EXECUTIONS_AT_ONCE_MAX:
            self._after[brand_id] = page[-1]
        else:
            self._after[brand_id] = self._left.pop(brand_id, page[-1] if page else after)
        return emptied + len(forgotten)


async def forgotten_after(conn: Connection, brand_id: UUID, execution_id: UUID) -> int | None:
    """After how many days what the execution said was forgotten; None where it was not."""
    return await Sql.forgotten_after.value(conn, brand_id=brand_id, execution_id=execution_id)


async def _forget(conn: Connection, brand_id: UUID, page: list[UUID]) -> tuple[int, set[UUID]]:
    """How many answers were emptied, and which executions are forgotten: none while there may be more answers."""
    ids = await Sql.lock_forgettable.column(conn, brand_id=brand_id, execution_ids=page) if page else []
    # Once more, now that they are locked: who ordered a remedy for a step meanwhile, or decided an experiment, held them until then.
    ids = await Sql.lock_forgettable.column(conn, brand_id=brand_id, execution_ids=ids) if ids else []
    if not ids:
        return 0, set()
    await go_by_keys(conn)
    emptied = await Sql.blank_answers.run(conn, brand_id=brand_id, execution_ids=ids, limit=ANSWERS_AT_ONCE_MAX)
    if emptied >= ANSWERS_AT_ONCE_MAX:
        return emptied, set()
    await Sql.blank_contexts.run(conn, brand_id=brand_id, execution_ids=ids)
    await Sql.forget.run(conn, brand_id=brand_id, execution_ids=ids)
    return emptied, set(ids)
