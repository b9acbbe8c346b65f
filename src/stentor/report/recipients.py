"""An execution's people, one by one: what was decided for each, and what was answered."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import PARTS, part_of
from stentor.domain.vocabulary import ChannelKind, Reason, SendState

_FIRST = UUID(int=0)
_BATCH = 1_000


class Sql(QuerySet, file="recipients.sql", package=__package__):
    page: Statement
    limit_idling: Statement
    everybody: Statement
    sends_of: Statement
    answers_of: Statement


class RecipientFilter(msgspec.Struct, frozen=True):
    """What a list of recipients is narrowed to; None is everybody."""

    state: SendState | None = None
    reason: Reason | None = None
    channel: ChannelKind | None = None


class RecipientRow(msgspec.Struct, frozen=True):
    """One send as a list shows it."""

    customer_id: UUID
    external_id: str
    channel: ChannelKind
    state: SendState
    reason: Reason
    variant: int
    tries: int
    doubts: int
    decided_at: datetime
    address: str
    """Their e-mail address or phone number as it is now, where the channel goes to one; else empty."""


class SendTrace(msgspec.Struct, frozen=True):
    """What is stored of one decision: reason, rule, one integer of evidence, and when."""

    channel: ChannelKind
    state: SendState
    reason: Reason
    rule: int
    evidence: int
    variant: int
    tries: int
    doubts: int
    chunk: int
    decided_at: datetime


class DeliveryAnswer(msgspec.Struct, frozen=True):
    """What a provider said about a send, in its own words."""

    channel: ChannelKind
    kind: str
    at: datetime
    sender_id: UUID | None
    answer: str


async def page(
    conn: Connection,
    brand_id: UUID,
    execution_id: UUID,
    narrowed: RecipientFilter,
    *,
    after: tuple[UUID, int] | None,
    limit: int,
    part_to: int = PARTS - 1,
) -> list[RecipientRow]:
    """Sends in the order of customer and channel, from `after` (customer, channel) on, as far as the part `part_to`."""
    customer, channel = after or (_FIRST, -1)
    rows = await Sql.page.tuples(
        conn,
        brand_id=brand_id,
        execution_id=execution_id,
        after_part=part_of(customer),
        after_customer=customer,
        after_channel=channel,
        part_to=part_to,
        state=narrowed.state,
        reason=narrowed.reason,
        channel=narrowed.channel,
        limit=limit,
    )
    return [_row(row) for row in rows]


async def everybody(
    conn: Connection, brand_id: UUID, execution_id: UUID, narrowed: RecipientFilter
) -> AsyncIterator[list[RecipientRow]]:
    """All sends as they are at this moment, in the order of customer and channel, a thousand at a time.

    It ends with an error of the database's when nobody asks for the next thousand within a minute.
    """
    await Sql.limit_idling.run(conn)
    await go_by_keys(conn)
    batches = Sql.everybody.batches(
        conn,
        _BATCH,
        brand_id=brand_id,
        execution_id=execution_id,
        state=narrowed.state,
        reason=narrowed.reason,
        channel=narrowed.channel,
    )
    async for rows in batches:
        yield [_row(row) for row in rows]


def _row(row: tuple[Any, ...]) -> RecipientRow:
    customer_id, external_id, channel, state, reason, *rest = row
    return RecipientRow(customer_id, external_id, ChannelKind(channel), SendState(state), Reason(reason), *rest)


async def sends_of(conn: Connection, brand_id: UUID, execution_id: UUID, customer_id: UUID) -> list[SendTrace]:
    """The decisions for one person in one execution, by channel; none when the person was not in the audience."""
    rows = await Sql.sends_of.tuples(
        conn, brand_id=brand_id, execution_id=execution_id, part=part_of(customer_id), customer_id=customer_id
    )
    return [
        SendTrace(ChannelKind(channel), SendState(state), Reason(reason), *rest)
        for channel, state, reason, *rest in rows
    ]


async def answers_of(conn: Connection, brand_id: UUID, execution_id: UUID, customer_id: UUID) -> list[DeliveryAnswer]:
    """What was answered about one person's sends in one execution, oldest first."""
    rows = await Sql.answers_of.tuples(
        conn, brand_id=brand_id, execution_id=execution_id, part=part_of(customer_id), customer_id=customer_id
    )
    return [DeliveryAnswer(ChannelKind(channel), *rest) for channel, *rest in rows]
