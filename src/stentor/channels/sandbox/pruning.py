"""Keeps inboxes within their limits: deletes in batches that nobody who is delivering notices."""

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from stentor.channels.sandbox import store
from stentor.channels.sandbox.model import InboxLimits
from stentor.db.connection import Connection
from stentor.db.pool import Database

# Small enough that a batch's locks and dead rows bother nobody who is delivering: 50 ms.
_DELETE_BATCH = 5_000
_PRUNE_BATCHES = 40


async def prune_inboxes(db: Database, limits: Mapping[UUID, InboxLimits]) -> int:
    """Deletes what is past each brand's limits, as `prune_inbox` does; the keeper's chore. Returns how many messages."""
    return sum([await prune_inbox(db, brand_id, brand_limits) for brand_id, brand_limits in limits.items()])


async def prune_inbox(db: Database, brand_id: UUID, limits: InboxLimits) -> int:
    """Deletes what is past the limits and the skeletons that nothing needs; returns how many messages.

    At most 200,000 at a time each of the old and of the surplus, in transactions of 5,000.
    """
    aged = await _in_batches(
        db, lambda conn: store.delete_aged(conn, brand_id, days=limits.days, batch=_DELETE_BATCH), _PRUNE_BATCHES
    )
    surplus = await keep_newest(db, brand_id, limits.messages_max, batches_max=_PRUNE_BATCHES)
    async with db.transaction() as conn:
        await store.delete_unused_skeletons(conn, brand_id)
    return aged + surplus


async def keep_newest(db: Database, brand_id: UUID, messages_max: int, *, batches_max: int) -> int:
    """Deletes what is not among the brand's newest so many messages, at most so many batches; returns how many."""
    async with db.read() as conn:
        place = await store.first_surplus(conn, brand_id, messages_max=messages_max)
    if place is None:
        return 0
    return await _in_batches(
        db, lambda conn: store.delete_from(conn, brand_id, place, batch=_DELETE_BATCH), batches_max
    )


async def _in_batches(db: Database, delete: Callable[[Connection], Awaitable[int]], batches_max: int) -> int:
    deleted = 0
    for _ in range(batches_max):
        async with db.transaction() as conn:
            batch = await delete(conn)
        deleted += batch
        if batch < _DELETE_BATCH:
            break
    return deleted
