"""What providers report afterwards, stored before anything is made of it."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind
from stentor.report import reactions
from stentor.report.reactions import Told

KEPT_DAYS = 30
"""How long an applied event is kept, so that a provider that repeats it is understood."""

FORGET_BATCH = 10_000


class Sql(QuerySet, file="provider_events.sql", package=__package__):
    claim_due: Statement
    tell: Statement
    mark_applied: Statement
    forget_applied: Statement


class ProviderEvent(NamedTuple):
    """One report about one send. `digest` is of the address that was written to."""

    shard: int
    provider: str
    event_id: str
    brand_id: UUID
    execution_id: UUID
    customer_id: UUID
    part: int
    channel: int
    digest: bytes | None
    kind: str
    at: datetime
    answer: str


async def claim_due(conn: Connection, limit: int) -> list[ProviderEvent]:
    """Events that fell due, the longest due first, locked until the transaction ends."""
    return [ProviderEvent(*row) for row in await Sql.claim_due.tuples(conn, limit=limit)]


async def tell(conn: Connection, brand_id: UUID, channel: ChannelKind, events: Sequence[ProviderEvent]) -> None:
    """Enters them in the histories of their sends; what was told before is told once."""
    told = [Told(event.execution_id, event.customer_id, int(channel), event.kind) for event in events]
    await reactions.count(conn, brand_id, told)
    await Sql.tell.run(
        conn,
        brand_id=brand_id,
        channel=int(channel),
        execution_ids=[event.execution_id for event in events],
        customer_ids=[event.customer_id for event in events],
        event_ids=[history_id(f"{event.provider}/{event.event_id}", event.at) for event in events],
        ats=[event.at for event in events],
        parts=[event.part for event in events],
        kinds=[event.kind for event in events],
        answers=[event.answer for event in events],
    )


async def mark_applied(conn: Connection, brand_id: UUID, events: Sequence[ProviderEvent]) -> None:
    """They are not due any more."""
    await Sql.mark_applied.run(
        conn,
        brand_id=brand_id,
        shards=[event.shard for event in events],
        providers=[event.provider for event in events],
        event_ids=[event.event_id for event in events],
    )


async def forget_applied(conn: Connection) -> int:
    """Deletes a batch of the events that were applied more than 30 days ago, and returns how many."""
    return await Sql.forget_applied.run(conn, days=KEPT_DAYS, batch=FORGET_BATCH)


def history_id(name: str, at: datetime) -> UUID:
    """What an event of that name and time has in histories: always the same, and in the order of time, as a UUIDv7 is."""
    spread = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=10).digest(), "big")
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | (spread >> 68) << 64 | 0b10 << 62 | spread & ((1 << 62) - 1))
