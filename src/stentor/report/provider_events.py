"""What providers report afterwards: stored first, then applied to the send's history, the person and the built-in list."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.model import Cause, OptOut
from stentor.optouts.service import add_to_builtin

APPLY_MAX = 1_000
"""How many events one transaction applies: with 1,000 its locks on people are held for about 50 ms."""

KEPT_DAYS = 30
"""How long an applied event is kept, so that a provider that repeats it is understood."""

FORGET_BATCH = 10_000


class Sql(QuerySet, file="provider_events.sql", package=__package__):
    claim_due: Statement
    tell: Statement
    lock_people: Statement
    mark_people: Statement
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


async def apply_due(db: Database, limit: int = APPLY_MAX) -> int:
    """Applies events that fell due, the longest due first, and returns how many; each exactly once.

    A hard bounce or a complaint bars that address: the person's channel while they still have it, and the brand's
    built-in list whoever has it. What the provider said goes into the send's history.
    """
    async with db.transaction() as conn:
        due = [ProviderEvent(*row) for row in await Sql.claim_due.tuples(conn, limit=limit)]
        by_owner = sorted(due, key=lambda event: (event.brand_id, event.channel))
        for (brand_id, channel), events in groupby(by_owner, key=lambda event: (event.brand_id, event.channel)):
            await _apply(conn, brand_id, ChannelKind(channel), list(events))
    return len(due)


async def forget_applied(db: Database) -> int:
    """Deletes a batch of the events that were applied more than 30 days ago, and returns how many."""
    async with db.transaction() as conn:
        return await Sql.forget_applied.run(conn, days=KEPT_DAYS, batch=FORGET_BATCH)


async def _apply(conn: Connection, brand_id: UUID, channel: ChannelKind, events: Sequence[ProviderEvent]) -> None:
    await Sql.tell.run(
        conn,
        brand_id=brand_id,
        channel=int(channel),
        execution_ids=[event.execution_id for event in events],
        customer_ids=[event.customer_id for event in events],
        event_ids=[_history_id(event) for event in events],
        ats=[event.at for event in events],
        parts=[event.part for event in events],
        kinds=[event.kind for event in events],
        answers=[event.answer for event in events],
    )
    await _bar_people(conn, brand_id, channel, [event for event in events if event.kind in _CAUSES])
    await add_to_builtin(conn, brand_id, list(_opt_outs(channel, events)))
    await Sql.mark_applied.run(
        conn,
        brand_id=brand_id,
        shards=[event.shard for event in events],
        providers=[event.provider for event in events],
        event_ids=[event.event_id for event in events],
    )


_CAUSES: dict[str, Cause] = {"bounced": "bounce", "complained": "complaint"}


async def _bar_people(conn: Connection, brand_id: UUID, channel: ChannelKind, events: Sequence[ProviderEvent]) -> None:
    if not events:
        return
    # One row per person and address: an update that meets a person twice applies only one of the two.
    said: defaultdict[tuple[int, UUID, bytes | None], set[str]] = defaultdict(set)
    for event in events:
        said[event.part, event.customer_id, event.digest].add(event.kind)
    people = {
        "parts": [part for part, _, _ in said],
        "customer_ids": [customer_id for _, customer_id, _ in said],
    }
    await Sql.lock_people.run(conn, brand_id=brand_id, **people)
    await Sql.mark_people.run(
        conn,
        brand_id=brand_id,
        **people,
        digests=[digest for _, _, digest in said],
        bounced=[channel.bit if "bounced" in kinds else 0 for kinds in said.values()],
        complained=[channel.bit if "complained" in kinds else 0 for kinds in said.values()],
    )


def _opt_outs(channel: ChannelKind, events: Iterable[ProviderEvent]) -> Iterable[OptOut]:
    listed = ChannelKind.EMAIL if channel is ChannelKind.EMAIL else ChannelKind.SMS
    for event in events:
        if event.digest is not None and event.kind in _CAUSES:
            yield OptOut(listed, event.digest, _CAUSES[event.kind], source=f"execution {event.execution_id}")


def _history_id(event: ProviderEvent) -> UUID:
    """The same for every repetition of the event, and in the order of time, as a UUIDv7 is."""
    name = f"{event.provider}/{event.event_id}".encode()
    spread = int.from_bytes(hashlib.blake2b(name, digest_size=10).digest(), "big")
    milliseconds = int(event.at.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | (spread >> 68) << 64 | 0b10 << 62 | spread & ((1 << 62) - 1))
