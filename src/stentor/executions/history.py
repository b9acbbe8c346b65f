"""How long history is kept. What is older is dropped, step by step, and leaves its daily totals."""

from typing import Any
from uuid import UUID

from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.deliver.partitions import giving_way
from stentor.failpoints import failpoint

HISTORY_DAYS = 400
"""How long history is kept unless an operator says otherwise. Links to unsubscribe live as long, and the law asks for a year."""

OF_BRAND_AT_ONCE_MAX = 20
"""Executions of a brand that keeps less than the installation, of one transaction."""

ROWS_AT_ONCE_MAX = 5_000
"""Rows of people that one transaction takes from these."""

DROPPED_AT_ONCE_MAX = 100
"""Executions of one transaction, each with its slices, chunks and waves: with a million people one has 1,430 chunks."""


class Sql(QuerySet, file="history.sql", package=__package__):
    lock_old: Statement
    add_totals: Statement
    drop_executions: Statement
    drop_week: Statement
    lock_old_of_brand: Statement
    mark_forgotten: Statement
    drop_sends: Statement
    drop_answers: Statement
    drop_contexts: Statement
    drop_casts: Statement
    drop_waits: Statement
    drop_pulled: Statement
    drop_revocations: Statement
    drop_send_revocations: Statement


_OF_PEOPLE = (
    Sql.drop_sends,
    Sql.drop_answers,
    Sql.drop_contexts,
    Sql.drop_casts,
    Sql.drop_waits,
    Sql.drop_pulled,
    Sql.drop_revocations,
    Sql.drop_send_revocations,
)


async def drop_history(db: Database, *, days: int) -> int:
    """Drops what ended more than that many days ago, a step of it; the keeper's chore.

    First executions with all that coordinates them, whose totals are added in the same transaction, and then, week by week, the
    partitions in which no execution is left. One that has not ended keeps its week. Returns how many executions and tables
    were dropped.
    """
    async with db.transaction() as conn:
        old = await _locked(Sql.lock_old, conn, days=days, limit=DROPPED_AT_ONCE_MAX)
        if old:
            await Sql.add_totals.run(conn, execution_ids=old)
            await Sql.drop_executions.run(conn, execution_ids=old)
        failpoint("history.before_commit")
    failpoint("history.after_commit")
    return len(old) or await giving_way(db, lambda conn: Sql.drop_week.value(conn, days=days))


async def drop_history_of(db: Database, brand_id: UUID, *, days: int) -> int:
    """Drops what ended of the brand's and started more than that many days ago, a step of it. Returns how many rows.

    For a brand that keeps less than the installation does: its weeks' partitions hold other brands' sends, so its own rows go
    first, some thousand at a time, and then the executions, with their totals added as `drop_history` adds them.
    """
    async with db.transaction() as conn:
        dropped = await _drop_some_of(conn, brand_id, days)
        failpoint("history_of.before_commit")
    failpoint("history_of.after_commit")
    return dropped


async def _drop_some_of(conn: Connection, brand_id: UUID, days: int) -> int:
    old = await _locked(Sql.lock_old_of_brand, conn, brand_id=brand_id, days=days, limit=OF_BRAND_AT_ONCE_MAX)
    if not old:
        return 0
    await go_by_keys(conn)
    await Sql.mark_forgotten.run(conn, brand_id=brand_id, execution_ids=old)
    dropped = 0
    for statement in _OF_PEOPLE:
        room = ROWS_AT_ONCE_MAX - dropped
        dropped += await statement.run(conn, brand_id=brand_id, execution_ids=old, limit=room)
        if dropped >= ROWS_AT_ONCE_MAX:
            return dropped
    await Sql.add_totals.run(conn, execution_ids=old)
    await Sql.drop_executions.run(conn, execution_ids=old)
    return dropped + len(old)


async def _locked(statement: Statement, conn: Connection, **values: Any) -> list[UUID]:
    """Executions that may go, locked, and then asked again.

    A remedy for a step that was committed between the look and the lock left its run's row, which is locked, as it was.
    """
    found = await statement.column(conn, execution_ids=None, **values)
    return await statement.column(conn, execution_ids=found, **values) if found else []
