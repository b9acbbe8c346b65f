"""Which service fetched somebody, by which page of which list, and when."""

from typing import Any
from uuid import UUID

from stentor.db.by_keys import go_by_keys
from stentor.db.pool import Database
from stentor.domain.ids import part_of
from stentor.integrations.pulls import people_store
from stentor.integrations.pulls.model import PullTrace
from stentor.integrations.pulls.store import Sql

TRACED_PULLS_MAX = 20
"""The latest pulls of an execution in which somebody is looked for."""

TRACED_ROWS_MAX = 2_000_000
"""Rows of these pulls that are read through for that, some tenths of a second; of the latest pull all."""


async def trace(db: Database, brand_id: UUID, execution_id: UUID, customer: UUID) -> list[PullTrace]:
    """By which pages of the execution's latest pulls that person was fetched, and when."""
    async with db.transaction() as conn:
        found: dict[UUID, list[Any]] = {}
        left = TRACED_ROWS_MAX
        for pull_id, rows, *rest in await Sql.pulls_of_run.tuples(
            conn, brand_id=brand_id, execution_id=execution_id, limit=TRACED_PULLS_MAX
        ):
            # The latest is always looked at.
            if found and rows > left:
                break
            found[pull_id] = rest
            left -= rows
        if not found:
            return []
        await go_by_keys(conn)
        at = await people_store.Sql.position_of.tuples(
            conn,
            brand_id=brand_id,
            execution_id=execution_id,
            pull_ids=list(found),
            part=part_of(customer),
            customer_id=customer,
        )
        fetched = await Sql.pages_at.tuples(
            conn,
            brand_id=brand_id,
            pull_ids=[pull_id for pull_id, _ in at],
            positions=[position for _, position in at],
        )
    traces: list[PullTrace] = []
    for place, (pull_id, position) in enumerate(at):
        number, puller, frozen_at = found[pull_id]
        times = [rest for which, *rest in fetched if which == place] or [(None, None)]
        traces += [PullTrace(pull_id, number, position, puller, frozen_at, *each) for each in times]
    return sorted(traces, key=lambda trace: (trace.frozen_at, trace.asked_at or trace.frozen_at))
