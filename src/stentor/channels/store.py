"""Senders in the database."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from stentor.channels.model import InDoubtPolicy, Sender, SenderKind
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind


class Sql(QuerySet, file="queries.sql", package=__package__):
    insert_sender: Statement
    count_senders: Statement
    insert_sandboxes: Statement
    sender_by_id: Statement
    sender_at_work: Statement
    lock_sender: Statement
    sender_by_name: Statement
    senders_of_brand: Statement
    default_sender: Statement
    sealed_secret: Statement
    update_sender: Statement
    pause_sender: Statement
    resume_sender: Statement
    delete_sender: Statement
    restore_listener: Statement


_FIRST = UUID(int=0)


async def count_senders(conn: Connection, brand_id: UUID) -> int:
    return await Sql.count_senders.value(conn, brand_id=brand_id)


async def insert_sender(
    conn: Connection,
    brand_id: UUID,
    sender_id: UUID,
    *,
    name: str,
    channel: ChannelKind,
    kind: SenderKind,
    settings: dict[str, Any],
    secret: bytes | None,
    enabled: bool,
    in_doubt: InDoubtPolicy | None,
    pace_per_s: float | None,
) -> bool:
    """False, and nothing is done, when the name is taken."""
    inserted = await Sql.insert_sender.run(
        conn,
        brand_id=brand_id,
        id=sender_id,
        name=name,
        channel=int(channel),
        kind=kind,
        settings=Jsonb(settings),
        secret=secret,
        enabled=enabled,
        in_doubt=in_doubt,
        pace_per_s=pace_per_s,
    )
    return inserted == 1


async def insert_sandboxes(
    conn: Connection, brand_id: UUID, *, ids: Sequence[UUID], names: Sequence[str], channels: Sequence[ChannelKind]
) -> None:
    """Makes those that are not there yet."""
    await Sql.insert_sandboxes.run(
        conn, brand_id=brand_id, ids=list(ids), names=list(names), channels=[int(channel) for channel in channels]
    )


async def sender_by_id(conn: Connection, brand_id: UUID, sender_id: UUID) -> Sender | None:
    return await _one(Sql.sender_by_id, conn, brand_id=brand_id, id=sender_id)


async def sender_at_work(conn: Connection, brand_id: UUID, sender_id: UUID) -> Sender | None:
    """The sender as a worker needs it: also when it was deleted meanwhile."""
    return await _one(Sql.sender_at_work, conn, brand_id=brand_id, id=sender_id)


async def lock_sender(conn: Connection, brand_id: UUID, sender_id: UUID) -> Sender | None:
    """The sender, locked until the transaction ends."""
    return await _one(Sql.lock_sender, conn, brand_id=brand_id, id=sender_id)


async def sender_by_name(conn: Connection, brand_id: UUID, name: str) -> Sender | None:
    return await _one(Sql.sender_by_name, conn, brand_id=brand_id, name=name)


async def senders_of_brand(conn: Connection, brand_id: UUID, *, after: UUID | None, limit: int) -> list[Sender]:
    """In the order of their making, from the one behind `after` on."""
    rows = await Sql.senders_of_brand.tuples(conn, brand_id=brand_id, after=after or _FIRST, limit=limit)
    return [_sender(row) for row in rows]


async def default_sender(conn: Connection, brand_id: UUID, channel: ChannelKind) -> Sender | None:
    return await _one(Sql.default_sender, conn, brand_id=brand_id, channel=int(channel))


async def sealed_secret(conn: Connection, brand_id: UUID, sender_id: UUID) -> bytes | None:
    return await Sql.sealed_secret.value(conn, brand_id=brand_id, id=sender_id)


async def update_sender(
    conn: Connection,
    brand_id: UUID,
    sender_id: UUID,
    *,
    name: str,
    settings: dict[str, Any],
    secret: bytes | None,
    enabled: bool,
    in_doubt: InDoubtPolicy | None,
    pace_per_s: float | None,
) -> None:
    await Sql.update_sender.run(
        conn,
        brand_id=brand_id,
        id=sender_id,
        name=name,
        settings=Jsonb(settings),
        secret=secret,
        enabled=enabled,
        in_doubt=in_doubt,
        pace_per_s=pace_per_s,
    )


async def pause_sender(conn: Connection, brand_id: UUID, sender_id: UUID) -> None:
    await Sql.pause_sender.run(conn, brand_id=brand_id, id=sender_id)


async def resume_sender(conn: Connection, brand_id: UUID, sender_id: UUID) -> None:
    await Sql.resume_sender.run(conn, brand_id=brand_id, id=sender_id)


async def delete_sender(conn: Connection, brand_id: UUID, sender_id: UUID) -> None:
    await Sql.delete_sender.run(conn, brand_id=brand_id, id=sender_id)


async def restore_listener(conn: Connection, brand_id: UUID, sender_id: UUID) -> None:
    """Takes back that a partner channel's sender was deleted. UniqueViolation where another sender has its name now."""
    await Sql.restore_listener.run(conn, brand_id=brand_id, id=sender_id)


async def _one(statement: Statement, conn: Connection, **params: Any) -> Sender | None:
    rows = await statement.tuples(conn, **params)
    return _sender(rows[0]) if rows else None


def _sender(row: tuple[Any, ...]) -> Sender:
    identity, brand_id, name, channel, *rest = row
    return Sender(identity, brand_id, name, ChannelKind(channel), *rest)
