"""What providers report afterwards, brought to where it belongs: the send's history, the person, the built-in list."""

from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from stentor.db.batches import until_short
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.barring import Barred, BarringCause, bar
from stentor.failpoints import failpoint
from stentor.report import provider_events as events
from stentor.report.provider_events import ProviderEvent

APPLY_MAX = 1_000
"""How many events one transaction applies: with 1,000 its locks on people are held for about 50 ms."""

_CAUSES: dict[str, BarringCause] = {"bounced": "bounce", "complained": "complaint"}


async def apply_due(db: Database, limit: int = APPLY_MAX) -> int:
    """Applies events that fell due, the longest due first, and returns how many; each exactly once.

    What the provider said goes into the send's history. A hard bounce or a complaint bars the address.
    """
    async with db.transaction() as conn:
        due = await events.claim_due(conn, limit)
        by_owner = sorted(due, key=lambda event: (event.brand_id, event.channel))
        for (brand_id, channel), told in groupby(by_owner, key=lambda event: (event.brand_id, event.channel)):
            await _apply(conn, brand_id, ChannelKind(channel), list(told))
        failpoint("provider_events.before_commit")
    failpoint("provider_events.after_commit")
    return len(due)


async def forget_applied(db: Database) -> int:
    """Deletes the events that were applied more than 30 days ago, and returns how many."""

    async def forget() -> int:
        async with db.transaction() as conn:
            return await events.forget_applied(conn)

    return await until_short(forget, events.FORGET_BATCH)


async def _apply(conn: Connection, brand_id: UUID, channel: ChannelKind, told: Sequence[ProviderEvent]) -> None:
    await events.tell(conn, brand_id, channel, told)
    barred = [
        Barred(event.execution_id, event.customer_id, event.digest, _CAUSES[event.kind])
        for event in told
        if event.kind in _CAUSES
    ]
    await bar(conn, brand_id, channel, barred)
    await events.mark_applied(conn, brand_id, told)
