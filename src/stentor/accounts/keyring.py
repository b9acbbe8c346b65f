"""Who calls: the holder of the key that came with a request."""

import asyncio

from stentor.accounts import store
from stentor.accounts.key_format import digest_of, is_checked, read_presented
from stentor.accounts.model import Principal
from stentor.db.last_uses import LastUses
from stentor.db.pool import Database
from stentor.db.remembered import Remembered

# A revoked key is dead everywhere within a second: this, and half a second for the revocation itself.
KEEP_S = 0.5
# Keys that exist and keys that do not, together; with invented ones somebody can push out others, not grow the memory.
ENTRIES_MAX = 10_000


class KeyRing:
    """Finds the holders of keys, and records when a key was last used while `run` runs."""

    def __init__(self, db: Database, pepper: bytes) -> None:
        self._db = db
        self._pepper = pepper
        self._remembered = Remembered(self._load, keep_s=KEEP_S, entries_max=ENTRIES_MAX)
        self._uses = LastUses(db, store.note_key_use)

    async def principal(self, presented: str) -> Principal | None:
        """The holder of a key given as an `x-api-key` (`st_…`) or as a bearer token (`<number>|st_…`).

        None for what is no key, for a revoked one, and for a token whose number is not that of its secret.
        """
        read = read_presented(presented)
        if read is None:
            return None
        number, secret = read
        principal = await self._remembered.get(secret)
        if principal is None or number not in {None, principal.key_number}:
            return None
        self._uses.add(principal.key_number)
        return principal

    async def run(self, stop: asyncio.Event) -> None:
        """Records the last use of keys until `stop` is set, and once more then."""
        await self._uses.run(stop)

    async def flush(self) -> None:
        """Records the last use of the keys that were used since the last time."""
        await self._uses.flush()

    async def _load(self, secret: str) -> Principal | None:
        if not is_checked(secret):
            return None
        async with self._db.read() as conn:
            return await store.find_principal(conn, digest_of(self._pepper, secret))
