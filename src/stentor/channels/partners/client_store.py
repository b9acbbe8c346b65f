"""Hub clients in the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from stentor.channels.partners.model import HubCaller, HubClient
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="clients.sql", package=__package__):
    insert_client: Statement
    count_clients: Statement
    count_ever: Statement
    client_by_id: Statement
    lock_client: Statement
    clients_of_brand: Statement
    rename_client: Statement
    clear_grants: Statement
    insert_grant: Statement
    change_credentials: Statement
    revoke_client: Statement
    note_ended_key: Statement
    caller_by_key: Statement
    caller_by_id: Statement
    password_of: Statement
    note_use: Statement


_FIRST = UUID(int=0)
_STAMP_BYTES = 8


class LockedClient(msgspec.Struct, frozen=True):
    """A client that is locked until the transaction ends."""

    username: str
    key_digest: bytes
    revoked_at: datetime | None


class StoredPassword(msgspec.Struct, frozen=True):
    """Whose password it is, what is stored of it, and of the key that goes with it."""

    id: UUID
    password: str
    key_digest: bytes

    @property
    def stamp(self) -> bytes:
        """That of a caller with these credentials."""
        return self.key_digest[:_STAMP_BYTES]


async def insert_client(
    conn: Connection, brand_id: UUID, client_id: UUID, *, name: str, username: str, password: str, key_digest: bytes
) -> bool:
    """False, and nothing is done, when the user name is taken in this installation, be it by one that was revoked."""
    made = await Sql.insert_client.run(
        conn, brand_id=brand_id, id=client_id, name=name, username=username, password=password, key_digest=key_digest
    )
    return made == 1


async def count_clients(conn: Connection, brand_id: UUID) -> int:
    """How many the brand has that are not revoked."""
    return await Sql.count_clients.value(conn, brand_id=brand_id)


async def count_ever(conn: Connection, brand_id: UUID) -> int:
    """Also those that were revoked."""
    return await Sql.count_ever.value(conn, brand_id=brand_id)


async def client_by_id(conn: Connection, brand_id: UUID, client_id: UUID) -> HubClient | None:
    rows = await Sql.client_by_id.tuples(conn, brand_id=brand_id, id=client_id)
    return _client(rows[0]) if rows else None


async def lock_client(conn: Connection, brand_id: UUID, client_id: UUID) -> LockedClient | None:
    return await Sql.lock_client.first(conn, LockedClient, brand_id=brand_id, id=client_id)


async def clients_of_brand(
    conn: Connection, brand_id: UUID, *, is_revoked_too: bool, after: UUID | None, limit: int
) -> list[HubClient]:
    """In the order of their making, from the one behind `after` on."""
    rows = await Sql.clients_of_brand.tuples(
        conn, brand_id=brand_id, is_revoked_too=is_revoked_too, after=after or _FIRST, limit=limit
    )
    return [_client(row) for row in rows]


async def rename_client(conn: Connection, brand_id: UUID, client_id: UUID, name: str) -> None:
    await Sql.rename_client.run(conn, brand_id=brand_id, id=client_id, name=name)


async def replace_grants(
    conn: Connection,
    brand_id: UUID,
    client_id: UUID,
    channels: Mapping[int, Sequence[str]],
    writes: Mapping[int, Sequence[str]],
) -> None:
    """These are the channels that it executes now, with what it may pull and what it may change; all of them are there."""
    await Sql.clear_grants.run(conn, brand_id=brand_id, id=client_id)
    for number, attributes in sorted(channels.items()):
        await Sql.insert_grant.run(
            conn,
            brand_id=brand_id,
            id=client_id,
            number=number,
            attributes=list(attributes),
            writes=list(writes.get(number, ())),
        )


async def change_credentials(
    conn: Connection, brand_id: UUID, client_id: UUID, *, password: str, key_digest: bytes
) -> None:
    await Sql.change_credentials.run(conn, brand_id=brand_id, id=client_id, password=password, key_digest=key_digest)


async def revoke_client(conn: Connection, brand_id: UUID, client_id: UUID) -> None:
    await Sql.revoke_client.run(conn, brand_id=brand_id, id=client_id)


async def note_ended_key(conn: Connection, key_digest: bytes) -> None:
    """Keeps that no key of this digest may open anything any more, also in copies of older backups."""
    await Sql.note_ended_key.run(conn, key_digest=key_digest)


async def caller_by_key(conn: Connection, key_digest: bytes) -> HubCaller | None:
    rows = await Sql.caller_by_key.tuples(conn, key_digest=key_digest)
    return _caller(rows[0]) if rows else None


async def caller_by_id(conn: Connection, client_id: UUID) -> HubCaller | None:
    rows = await Sql.caller_by_id.tuples(conn, id=client_id)
    return _caller(rows[0]) if rows else None


async def password_of(conn: Connection, username: str) -> StoredPassword | None:
    """What is stored for that user name, unless its client was revoked."""
    return await Sql.password_of.first(conn, StoredPassword, username=username)


async def note_use(conn: Connection, client_ids: Sequence[UUID]) -> None:
    """Records that the clients called in this minute."""
    await Sql.note_use.run(conn, ids=list(client_ids))


def _client(row: tuple[Any, ...]) -> HubClient:
    identity, brand_id, name, username, channels, writes, *rest = row
    return HubClient(identity, brand_id, name, username, _grants(channels), _grants(writes), *rest)


def _caller(row: tuple[Any, ...]) -> HubCaller:
    client_id, brand_id, name, key_digest, channels, writes = row
    may_write = frozenset(name for names in _grants(writes).values() for name in names)
    return HubCaller(client_id, brand_id, name, _grants(channels), key_digest[:_STAMP_BYTES], may_write)


def _grants(text: str | None) -> dict[int, tuple[str, ...]]:
    granted = msgspec.json.decode(text, type=dict[int, tuple[str, ...]]) if text else {}
    return dict(sorted(granted.items()))
