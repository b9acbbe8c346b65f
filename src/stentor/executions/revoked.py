"""Whom an execution must not write to any more because the hub that named them said so, whatever is known of them here.

Waves ask for it right before they leave, and only in executions of which somebody was revoked.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from stentor.audience.reach import Recipient
from stentor.db.connection import Connection
from stentor.deliver.model import ChunkStanding, PendingSend
from stentor.domain.ids import part_of
from stentor.executions.store import WaveSql
from stentor.guard.contacts import SendKey


async def revoke(conn: Connection, brand_id: UUID, execution_id: UUID, customers: Sequence[UUID]) -> int:
    """These people are skipped as `revoked` by all waves that open after the commit; returns how many are new."""
    if not customers:
        return 0
    await WaveSql.has_revoked.run(conn, execution_id=execution_id, brand_id=brand_id)
    keys = sorted(customers, key=lambda one: (part_of(one), one))
    return await WaveSql.revoke.run(
        conn,
        execution_id=execution_id,
        brand_id=brand_id,
        parts=[part_of(one) for one in keys],
        customer_ids=keys,
    )


async def revoked_among(
    conn: Connection,
    brand_id: UUID,
    standing: Mapping[tuple[UUID, int], ChunkStanding],
    loaded: Sequence[tuple[PendingSend, Recipient | None]],
) -> frozenset[SendKey]:
    """Who of these is revoked, as (execution, customer)."""
    asked = {execution_id for (execution_id, _), state in standing.items() if state.has_revoked}
    sends = [send for send, _ in loaded if send.execution_id in asked] if asked else []
    if not sends:
        return frozenset()
    found = await WaveSql.revoked.tuples(
        conn,
        brand_id=brand_id,
        execution_ids=[send.execution_id for send in sends],
        parts=[part_of(send.customer_id) for send in sends],
        customer_ids=[send.customer_id for send in sends],
    )
    return frozenset((execution_id, customer) for execution_id, customer in found)
