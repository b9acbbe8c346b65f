"""Hub clients: a partner's credentials for one brand, and what it may do with them."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

from msgspec import UNSET

from stentor.accounts.audit import record
from stentor.accounts.key_format import digest_of, new_hub_key, random_base62
from stentor.accounts.passwords import Passwords
from stentor.accounts.revoking import RevocationHook
from stentor.channels.partners import client_store, store
from stentor.channels.partners.attributes import checked_attributes, checked_writes
from stentor.channels.partners.channels import missing_channel
from stentor.channels.partners.client_store import LockedClient
from stentor.channels.partners.model import (
    CLIENTS_EVER_MAX,
    CLIENTS_MAX,
    NAME_CHARS_MAX,
    USERNAME_CHARS_MAX,
    ClientPatch,
    Credentials,
    HubClient,
    checked_number,
)
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.text import checked_name
from stentor.errors import Conflict, Invalid, NotFound, pointer_to

PAGE_MAX = 200

_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*")
_PASSWORD_CHARS = 30  # 178 bits


class HubClientService:
    """What the doors call about hub clients. Raises NotFound for one that is not this brand's.

    `pepper`: 32 bytes derived from the installation's secret, under which keys are hashed. `on_key_ended` keeps outside of the
    database what a restored backup must not bring back. It is called before the answer.
    """

    def __init__(
        self, db: Database, passwords: Passwords, pepper: bytes, *, on_key_ended: RevocationHook | None = None
    ) -> None:
        self._db = db
        self._passwords = passwords
        self._pepper = pepper
        self._on_key_ended = on_key_ended

    async def create(
        self,
        brand_id: UUID,
        name: str,
        username: str,
        channels: Mapping[int, Sequence[str]],
        *,
        writes: Mapping[int, Sequence[str]] = MappingProxyType({}),
    ) -> Credentials:
        """Makes a client for these channels and attributes. Its password and key are answered now and never again.

        `writes`: what it may change, by these channels; nothing where it is not said. Raises Invalid, NotFound for a channel that the brand has not, QuotaExceeded, and Conflict for a user name that is or
        was somebody's in this installation.
        """
        name = checked_name(name, NAME_CHARS_MAX)
        _check_username(username)
        granted, writes = _checked(channels), _checked_writes(writes, channels)
        password, api_key = random_base62(_PASSWORD_CHARS), new_hub_key()
        hashed = await self._passwords.hashed(password)
        client_id = new_id()
        async with self._db.transaction() as conn:
            await check_quota(
                conn,
                brand_id,
                "hub clients",
                CLIENTS_MAX,
                client_store.count_clients,
                remedy="Revoke those that nobody uses.",
            )
            await check_quota(
                conn,
                brand_id,
                "hub clients, revoked ones too",
                CLIENTS_EVER_MAX,
                client_store.count_ever,
                remedy="Rotate the credentials of one instead of making another one.",
            )
            await _check_are_there(conn, brand_id, granted)
            made = await client_store.insert_client(
                conn,
                brand_id,
                client_id,
                name=name,
                username=username,
                password=hashed,
                key_digest=digest_of(self._pepper, api_key),
            )
            if not made:
                raise Conflict(
                    f"The user name {username} is in use, or was, in this installation; choose another one.",
                    username=username,
                )
            await client_store.replace_grants(conn, brand_id, client_id, granted, writes)
            client = await _found(conn, brand_id, client_id)
            await record(conn, "hub_client.created", client_id, brand_id=brand_id, after=_told(client))
        return Credentials(client, password, api_key)

    async def get(self, brand_id: UUID, client_id: UUID) -> HubClient:
        async with self._db.read() as conn:
            return await _found(conn, brand_id, client_id)

    async def page(
        self, brand_id: UUID, *, is_revoked_too: bool = False, after: UUID | None = None, limit: int = PAGE_MAX
    ) -> list[HubClient]:
        """At most `limit` (and 200) clients in the order of their making, from behind the id `after`."""
        async with self._db.read() as conn:
            return await client_store.clients_of_brand(
                conn, brand_id, is_revoked_too=is_revoked_too, after=after, limit=min(limit, PAGE_MAX)
            )

    async def update(self, brand_id: UUID, client_id: UUID, patch: ClientPatch) -> HubClient:
        """Changes what is given, everywhere within a second. Raises as `create`, and Conflict for one that is revoked."""
        name = UNSET if patch.name is UNSET else checked_name(patch.name, NAME_CHARS_MAX)
        granted = UNSET if patch.channels is UNSET else _checked(patch.channels)
        async with self._db.transaction() as conn:
            await _lock_live(conn, brand_id, client_id)
            before = await _found(conn, brand_id, client_id)
            executed = before.channels if granted is UNSET else granted
            writes = _checked_writes(patch.writes, executed)
            if granted is not UNSET or writes:
                await _check_are_there(conn, brand_id, executed)
                await client_store.replace_grants(conn, brand_id, client_id, executed, {**before.writes, **writes})
            await client_store.rename_client(conn, brand_id, client_id, before.name if name is UNSET else name)
            after = await _found(conn, brand_id, client_id)
            await record(
                conn, "hub_client.updated", client_id, brand_id=brand_id, before=_told(before), after=_told(after)
            )
        return after

    async def rotate(self, brand_id: UUID, client_id: UUID) -> Credentials:
        """A new password and a new key; the old ones, and tokens given for them, are dead everywhere within a second.

        Raises Conflict for a client that is revoked.
        """
        password, api_key = random_base62(_PASSWORD_CHARS), new_hub_key()
        hashed = await self._passwords.hashed(password)
        async with self._db.transaction() as conn:
            locked = await _lock_live(conn, brand_id, client_id)
            await client_store.note_ended_key(conn, locked.key_digest)
            await client_store.change_credentials(
                conn, brand_id, client_id, password=hashed, key_digest=digest_of(self._pepper, api_key)
            )
            client = await _found(conn, brand_id, client_id)
            await record(conn, "hub_client.rotated", client_id, brand_id=brand_id, after={"username": client.username})
        await self._keep()
        return Credentials(client, password, api_key)

    async def revoke(self, brand_id: UUID, client_id: UUID) -> None:
        """Ends the client's credentials, in every process within a second; again is no error."""
        async with self._db.transaction() as conn:
            locked = await _lock(conn, brand_id, client_id)
            if locked.revoked_at is not None:
                return
            await client_store.note_ended_key(conn, locked.key_digest)
            await client_store.revoke_client(conn, brand_id, client_id)
            await record(conn, "hub_client.revoked", client_id, brand_id=brand_id, before={"username": locked.username})
        await self._keep()

    async def _keep(self) -> None:
        if self._on_key_ended is not None:
            await self._on_key_ended()


async def _found(conn: Connection, brand_id: UUID, client_id: UUID) -> HubClient:
    found = await client_store.client_by_id(conn, brand_id, client_id)
    if found is None:
        raise _missing(client_id)
    return found


async def _lock(conn: Connection, brand_id: UUID, client_id: UUID) -> LockedClient:
    locked = await client_store.lock_client(conn, brand_id, client_id)
    if locked is None:
        raise _missing(client_id)
    return locked


async def _lock_live(conn: Connection, brand_id: UUID, client_id: UUID) -> LockedClient:
    locked = await _lock(conn, brand_id, client_id)
    if locked.revoked_at is not None:
        raise Conflict(f"The hub client {locked.username} is revoked. Create another one.")
    return locked


async def _check_are_there(conn: Connection, brand_id: UUID, channels: Mapping[int, Sequence[str]]) -> None:
    there = {one.number for one in await store.lock_channels(conn, brand_id, list(channels))}
    if absent := sorted(channels.keys() - there):
        raise missing_channel(absent[0])


def _checked(channels: Mapping[int, Sequence[str]]) -> dict[int, tuple[str, ...]]:
    return {
        checked_number(pointer_to("channels", number), number, "A channel's number"): checked_attributes(number, names)
        for number, names in sorted(channels.items())
    }


def _checked_writes(
    writes: Mapping[int, Sequence[str]], channels: Mapping[int, Sequence[str]]
) -> dict[int, tuple[str, ...]]:
    if closed := sorted(writes.keys() - channels.keys()):
        raise Invalid.field(
            pointer_to("channels", closed[0]),
            "channel",
            f"The client does not execute {closed[0]}, so it changes nothing there. Open that channel to it, or leave it out.",
        )
    return {number: checked_writes(number, names) for number, names in sorted(writes.items())}


def _check_username(username: str) -> None:
    if len(username) > USERNAME_CHARS_MAX or not _USERNAME.fullmatch(username):
        raise Invalid.field(
            "/username",
            "characters",
            f"A user name has 1 to {USERNAME_CHARS_MAX} letters, digits and . _ @ + -, and begins with a letter or a digit.",
        )


def _missing(client_id: UUID) -> NotFound:
    return NotFound(f"This brand has no hub client {client_id}.")


def _told(client: HubClient) -> dict[str, object]:
    """The client as the audit log tells of it: when it last called is no change."""
    channels = {str(number): list(names) for number, names in client.channels.items()}
    writes = {str(number): list(names) for number, names in client.writes.items() if names}
    return {"name": client.name, "username": client.username, "channels": channels, "writes": writes}
