"""Listeners and their notices in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from msgspec.structs import replace

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id
from stentor.integrations.listeners.model import BACKLOG_MAX, Event, Hearer, Listener, Notice, NoticeState

_Row = TypeVar("_Row", Listener, Notice)


class Sql(QuerySet, file="queries.sql", package=__package__):
    client_exists: Statement
    executes: Statement
    count_listeners: Statement
    find_key: Statement
    put_listener: Statement
    by_id: Statement
    lock_listener: Statement
    of_brand: Statement
    update_listener: Statement
    disable_listener: Statement
    miss_waiting: Statement
    delete_listener: Statement
    generation: Statement
    rotate: Statement
    notices: Statement
    replay: Statement
    hearing: Statement
    insert_notices: Statement
    one_hearing: Statement
    insert_each: Statement


async def client_exists(conn: Connection, brand_id: UUID, client_id: UUID) -> bool:
    return bool(await Sql.client_exists.value(conn, brand_id=brand_id, client_id=client_id))


async def executes(conn: Connection, brand_id: UUID, client_id: UUID, channel: int) -> bool:
    """Whether the client executes the partner channel of that number."""
    return bool(await Sql.executes.value(conn, brand_id=brand_id, client_id=client_id, channel=channel))


async def count_listeners(conn: Connection, brand_id: UUID) -> int:
    return await Sql.count_listeners.value(conn, brand_id=brand_id)


async def find_key(conn: Connection, brand_id: UUID, client_id: UUID, event: Event, channel: int | None) -> UUID | None:
    """The listener that a client has registered for that event and channel."""
    return await Sql.find_key.value(conn, brand_id=brand_id, client_id=client_id, event=event, channel=channel)


async def put_listener(
    conn: Connection, brand_id: UUID, client_id: UUID, event: Event, channel: int | None, *, url: str
) -> UUID:
    """Makes the listener, or gives the one of that key another URL and enables it; its id."""
    return await Sql.put_listener.value(
        conn, id=new_id(), brand_id=brand_id, client_id=client_id, event=event, channel=channel, url=url
    )


async def listener_by_id(conn: Connection, brand_id: UUID, listener_id: UUID) -> Listener | None:
    row = await Sql.by_id.first(conn, Listener, brand_id=brand_id, id=listener_id, backlog=BACKLOG_MAX)
    return None if row is None else _named(row)


async def lock_listener(conn: Connection, brand_id: UUID, listener_id: UUID) -> bool:
    return await Sql.lock_listener.value(conn, brand_id=brand_id, id=listener_id) is not None


async def listeners(
    conn: Connection, brand_id: UUID, *, client_id: UUID | None, after: UUID | None, limit: int
) -> list[Listener]:
    """In the order of their making, of one client or of all."""
    rows = await Sql.of_brand.rows(
        conn, Listener, brand_id=brand_id, client_id=client_id, after=after, limit=limit, backlog=BACKLOG_MAX
    )
    return [_named(row) for row in rows]


async def update_listener(conn: Connection, brand_id: UUID, listener_id: UUID, url: str) -> None:
    """Another URL; it is enabled by that."""
    await Sql.update_listener.run(conn, brand_id=brand_id, id=listener_id, url=url)


async def disable_listener(conn: Connection, brand_id: UUID, listener_id: UUID, why: str) -> bool:
    """False where it was disabled. What waits for it is missed."""
    if not await Sql.disable_listener.run(conn, brand_id=brand_id, id=listener_id, why=why):
        return False
    await Sql.miss_waiting.run(conn, brand_id=brand_id, id=listener_id)
    return True


async def delete_listener(conn: Connection, brand_id: UUID, listener_id: UUID) -> None:
    await Sql.delete_listener.run(conn, brand_id=brand_id, id=listener_id)


async def generation(conn: Connection, brand_id: UUID, client_id: UUID) -> int:
    """Which of its signing secrets the client has."""
    return await Sql.generation.value(conn, brand_id=brand_id, client_id=client_id) or 1


async def rotate(conn: Connection, brand_id: UUID, client_id: UUID) -> int:
    """The generation of the client's new signing secret."""
    return await Sql.rotate.value(conn, brand_id=brand_id, client_id=client_id)


async def notices(
    conn: Connection,
    brand_id: UUID,
    listener_id: UUID,
    *,
    state: NoticeState | None,
    before: UUID | None,
    limit: int,
) -> list[Notice]:
    """The newest first."""
    rows = await Sql.notices.rows(
        conn, Notice, brand_id=brand_id, listener_id=listener_id, state=state, before=before, limit=limit
    )
    return [_named(row) for row in rows]


async def replay(
    conn: Connection,
    brand_id: UUID,
    listener_id: UUID,
    *,
    since: datetime,
    until: datetime,
    delivered_too: bool,
    notice_id: UUID | None,
    limit: int,
) -> int:
    """Has notices that ended sent again, and returns how many."""
    return await Sql.replay.run(
        conn,
        brand_id=brand_id,
        listener_id=listener_id,
        since=since,
        until=until,
        delivered_too=delivered_too,
        id=notice_id,
        limit=limit,
    )


async def insert_notices(
    conn: Connection,
    brand_id: UUID,
    event: Event,
    body: str,
    *,
    channels: Sequence[int] | None,
    client_id: UUID | None,
    execution_id: UUID | None,
    customer_id: UUID | None,
    due_at: datetime | None,
    url: str | None,
) -> tuple[int, int]:
    """One notice for each listener that hears of it: how many were made, and how many of these are missed at once."""
    heard = await Sql.hearing.tuples(
        conn,
        brand_id=brand_id,
        event=event,
        client_id=client_id,
        channels=None if channels is None else list(channels),
        backlog=BACKLOG_MAX,
    )
    if not heard:
        return 0, 0
    missed = [is_disabled or is_full for _, is_disabled, is_full in heard]
    await Sql.insert_notices.run(
        conn,
        brand_id=brand_id,
        event=event,
        body=body,
        url=url,
        execution_id=execution_id,
        customer_id=customer_id,
        due_at=due_at,
        ids=[new_id() for _ in heard],
        listener_ids=[listener_id for listener_id, _, _ in heard],
        missed=missed,
    )
    return len(heard), sum(missed)


async def one_hearer(conn: Connection, brand_id: UUID, event: Event, channel: int) -> Hearer | None:
    return await Sql.one_hearing.first(
        conn, Hearer, brand_id=brand_id, event=event, channel=channel, backlog=BACKLOG_MAX
    )


async def insert_for_one(
    conn: Connection,
    brand_id: UUID,
    listener_id: UUID,
    event: Event,
    told: Sequence[tuple[UUID, str]],
    *,
    execution_id: UUID,
) -> None:
    """A notice to that listener for each of these people, with its body."""
    await Sql.insert_each.run(
        conn,
        brand_id=brand_id,
        listener_id=listener_id,
        event=event,
        execution_id=execution_id,
        ids=[new_id() for _ in told],
        customer_ids=[customer_id for customer_id, _ in told],
        bodies=[body for _, body in told],
    )


def _named(row: _Row) -> _Row:
    """The row with its event as one: the database knows its name."""
    return replace(row, event=Event(row.event))
