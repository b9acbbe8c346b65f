"""How long history is kept. What is older is dropped, step by step, and leaves its daily totals."""

from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.deliver.partitions import giving_way
from stentor.failpoints import failpoint

HISTORY_DAYS = 400
"""How long history is kept unless an operator says otherwise. Links to unsubscribe live as long, and the law asks for a year."""

DROPPED_AT_ONCE_MAX = 100
"""Executions of one transaction, each with its slices, chunks and waves: with a million people one has 1,430 chunks."""


class Sql(QuerySet, file="history.sql", package=__package__):
    lock_old: Statement
    add_totals: Statement
    drop_executions: Statement
    drop_week: Statement


async def drop_history(db: Database, *, days: int) -> int:
    """Drops what ended more than that many days ago, a step of it; the keeper's chore.

    First executions with all that coordinates them, whose totals are added in the same transaction, and then, week by week, the
    partitions in which no execution is left. One that has not ended keeps its week. Returns how many executions and tables
    were dropped.
    """
    async with db.transaction() as conn:
        old = await Sql.lock_old.column(conn, days=days, limit=DROPPED_AT_ONCE_MAX)
        if old:
            await Sql.add_totals.run(conn, execution_ids=old)
            await Sql.drop_executions.run(conn, execution_ids=old)
        failpoint("history.before_commit")
    failpoint("history.after_commit")
    return len(old) or await giving_way(db, lambda conn: Sql.drop_week.value(conn, days=days))
