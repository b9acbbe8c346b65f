"""Who calls at the hub: the client behind an X-API-KEY, behind a user name with its password, or behind a token."""

import asyncio
from uuid import UUID

from stentor.accounts.key_format import digest_of, is_hub_key
from stentor.accounts.keyring import ENTRIES_MAX, KEEP_S
from stentor.accounts.passwords import PASSWORD_CHARS_MAX, Passwords
from stentor.channels.partners import client_store
from stentor.channels.partners.model import USERNAME_CHARS_MAX, HubCaller
from stentor.db.last_uses import LastUses
from stentor.db.pool import Database
from stentor.db.remembered import Remembered


class HubCallers:
    """Finds the clients that call, and records when each last did while `run` runs.

    What it says is at most half a second old: who was revoked, and what may be pulled no more, is dead everywhere within a second.
    """

    def __init__(self, db: Database, passwords: Passwords, pepper: bytes) -> None:
        self._db = db
        self._passwords = passwords
        self._pepper = pepper
        self._by_key = Remembered(self._load_by_key, keep_s=KEEP_S, entries_max=ENTRIES_MAX)
        self._by_id = Remembered(self._load_by_id, keep_s=KEEP_S, entries_max=ENTRIES_MAX)
        self._uses = LastUses(db, client_store.note_use)

    async def authenticate_key(self, presented: str) -> HubCaller | None:
        """The client of an X-API-KEY; None for what is no key of the hub, and for one that was revoked or rotated."""
        if not is_hub_key(presented):
            return None
        return self._noted(await self._by_key.get(presented))

    async def authenticate(self, username: str, password: str) -> HubCaller | None:
        """The client of that user name and password; None, after the same time, for any other pair.

        Raises Unavailable when too many log in at this moment.
        """
        stored = None
        if len(username) <= USERNAME_CHARS_MAX and "\0" not in username:
            async with self._db.read() as conn:
                stored = await client_store.password_of(conn, username.encode("utf-8", "replace").decode("utf-8"))
        is_right = await self._passwords.is_right(stored.password if stored else None, password[:PASSWORD_CHARS_MAX])
        if stored is None or not is_right:
            return None
        caller = await self._load_by_id(stored.id)
        # Rotated while the password was compared: what is given for the old one must not hold.
        return self._noted(caller) if caller is not None and caller.stamp == stored.stamp else None

    async def caller(self, client_id: UUID, stamp: bytes) -> HubCaller | None:
        """The client that a token was given to; None once it was revoked, or has other credentials than those of `stamp`."""
        caller = await self._by_id.get(client_id)
        return self._noted(caller) if caller is not None and caller.stamp == stamp else None

    async def run(self, stop: asyncio.Event) -> None:
        """Records the last use of clients until `stop` is set, and once more then."""
        await self._uses.run(stop)

    async def flush(self) -> None:
        """Records the last use of the clients that called since the last time."""
        await self._uses.flush()

    def _noted(self, caller: HubCaller | None) -> HubCaller | None:
        if caller is not None:
            self._uses.add(caller.client_id)
        return caller

    async def _load_by_key(self, api_key: str) -> HubCaller | None:
        async with self._db.read() as conn:
            return await client_store.caller_by_key(conn, digest_of(self._pepper, api_key))

    async def _load_by_id(self, client_id: UUID) -> HubCaller | None:
        async with self._db.read() as conn:
            return await client_store.caller_by_id(conn, client_id)
