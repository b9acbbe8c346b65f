"""Having a notice sent: written down in the transaction of what it tells of, delivered by the notifier's role after it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from stentor.db.connection import Connection
from stentor.integrations.listeners import store
from stentor.integrations.listeners.model import BODY_CHARS_MAX, Event


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
    text = body.decode()
    if not 1 <= len(text) <= BODY_CHARS_MAX:
        raise ValueError(f"A notice has 1 to {BODY_CHARS_MAX:,} characters.")
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
