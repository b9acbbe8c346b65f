"""Having a notice sent: written down in the transaction of what it tells of, delivered by the notifier's role after it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.integrations.listeners import store
from stentor.integrations.listeners.model import BODY_CHARS_MAX, Event, Hearer


class Meant(NamedTuple):
    """Somebody of whom one listener is told, and what it is told."""

    customer_id: UUID
    body: bytes


async def enqueue(
    conn: Connection,
    brand_id: UUID,
    event: Event,
    body: bytes,
    *,
    channels: Sequence[int] | None = None,
    client_id: UUID | None = None,
    execution_id: UUID | None = None,
    customer_id: UUID | None = None,
    due_at: datetime | None = None,
    url: str | None = None,
) -> int:
    """Has `body`, JSON of at most 64 KiB, posted to each listener that hears of the event, and returns how many do.

    `channels` are the numbers of the partner channels that it is about (None: it is about none): listeners of one of them hear
    it, and the general ones of clients that execute one of them, or with `client_id` of that client alone. What names a person
    says whom by `customer_id`, so that it is erased with them. The same bytes go out at each try, signed, with the event's name
    in the header `stentor-event`. `due_at`: not before then. `url`: there, at each try, and not at the
    listener's own.
    """
    text = _text(body)
    made, _ = await store.insert_notices(
        conn,
        brand_id,
        event,
        text,
        channels=channels,
        client_id=client_id,
        execution_id=execution_id,
        customer_id=customer_id,
        due_at=due_at,
        url=url,
    )
    return made


async def one_hearer(conn: Connection, brand_id: UUID, event: Event, channel: int) -> Hearer | None:
    """The one listener that is told of what must not be done twice: a channel's own before one of all channels, then the older.

    One that hears nothing now comes last, with no room. None where nobody has registered one.
    """
    return await store.one_hearer(conn, brand_id, event, channel)


async def enqueue_for_one(
    conn: Connection, brand_id: UUID, hearer: Hearer, event: Event, people: Sequence[Meant], *, execution_id: UUID
) -> None:
    """Has each of these people told to that one listener, in notices of their own; at most `hearer.room` of them."""
    texts = [(one.customer_id, _text(one.body)) for one in people]
    await store.insert_for_one(conn, brand_id, hearer.listener_id, event, texts, execution_id=execution_id)


def _text(body: bytes) -> str:
    text = body.decode()
    if not 1 <= len(text) <= BODY_CHARS_MAX:
        raise ValueError(f"A notice has 1 to {BODY_CHARS_MAX:,} characters.")
    return text
