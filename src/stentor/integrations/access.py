"""Partners who log in, and the tokens by which they are known afterwards.

A token lasts 20 minutes from the last call that was made with it. To write that down with each call would cost a transaction a
call, so a write buys a minute more than is promised, and the calls of that minute write nothing.
"""

import hmac
from uuid import uuid4

from stentor.accounts.attempts import HUB_LOGIN_PER_LINE, Attempts
from stentor.accounts.limits import RateLimiter, limit_of_hub_logins
from stentor.channels.partners.callers import HubCallers
from stentor.channels.partners.model import HubCaller
from stentor.db.batches import until_short
from stentor.db.pool import Database
from stentor.db.remembered import Remembered
from stentor.errors import RateLimited, Unauthenticated
from stentor.integrations import access_store as store

TOKEN_S = 20 * 60.0
TOKENS_MAX = 1_000
"""Of one client at once; one more ends the oldest."""

CREDENTIAL_CHARS_MAX = 300

_AHEAD_S = 60.0
# As with other keys, what was revoked is dead everywhere within a second.
_KEEP_S = 0.5
_ENTRIES_MAX = 10_000
_FORGOTTEN_AT_ONCE_MAX = 10_000


class HubAccess:
    """Who a partner is. `key`: 32 bytes derived from the installation's secret, under which tokens are hashed."""

    def __init__(
        self,
        db: Database,
        callers: HubCallers,
        *,
        key: bytes,
        attempts: Attempts,
        limiter: RateLimiter,
        tokens_max: int = TOKENS_MAX,
    ) -> None:
        self._db = db
        self._key = key
        self._callers = callers
        self._attempts = attempts
        self._limiter = limiter
        self._tokens_max = tokens_max
        self._tokens = Remembered(self._load, keep_s=_KEEP_S, entries_max=_ENTRIES_MAX)

    async def log_in(self, username: str, password: str, *, line: str) -> str:
        """A token for the right user name and password; earlier ones stay good.

        Raises Unauthenticated, in the same words whatever is wrong, and RateLimited for too many guesses or logins.
        """
        if max(len(username), len(password)) > CREDENTIAL_CHARS_MAX:
            raise _not_right()
        await self._attempts.take((HUB_LOGIN_PER_LINE, line))
        # Before the password is compared, which takes a place among few and a tenth of a second of a processor.
        (standing,) = await self._limiter.take([limit_of_hub_logins(username, line)])
        if standing.is_over:
            await self._attempts.give_back((HUB_LOGIN_PER_LINE, line))
            raise RateLimited(
                "Too many logins in a second. Keep the token: it lasts 20 minutes from your last call.",
                retry_after_s=standing.retry_after_s,
                limit=standing.limit.at_most,
            )
        client = await self._callers.authenticate(username, password)
        if client is None:
            raise _not_right()
        await self._attempts.give_back((HUB_LOGIN_PER_LINE, line))
        # A version 4 UUID is 122 bits by chance, and the older clients of Login take nothing else for a token.
        token = str(uuid4())
        async with self._db.transaction() as conn:
            await store.insert_token(conn, self._digest(token), client.client_id, client.stamp, TOKEN_S)
            await store.end_oldest(conn, client.client_id, kept=self._tokens_max)
        return token

    async def by_token(self, token: str) -> HubCaller | None:
        """Whose token it is; None for any other text, and for one that is over. The call lengthens it."""
        holder = await self._tokens.get(token) if len(token) <= CREDENTIAL_CHARS_MAX else None
        return None if holder is None else await self._callers.caller(holder.client_id, holder.stamp)

    async def by_key(self, key: str) -> HubCaller | None:
        """Whose key it is; None for any other text, and for one that was revoked."""
        return await self._callers.authenticate_key(key) if len(key) <= CREDENTIAL_CHARS_MAX else None

    async def _load(self, token: str) -> store.Holder | None:
        digest = self._digest(token)
        async with self._db.read() as conn:
            holder = await store.find(conn, digest, TOKEN_S)
        if holder is not None and holder.is_behind:
            async with self._db.transaction() as conn:
                await store.lengthen(conn, digest, TOKEN_S + _AHEAD_S)
        return holder

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._key, token.encode("utf-8", "replace"), "sha256")


async def forget_tokens(db: Database) -> int:
    """Clears away tokens that are over; the keeper's chore. Returns how many."""

    async def forget() -> int:
        async with db.transaction() as conn:
            return await store.forget(conn, _FORGOTTEN_AT_ONCE_MAX)

    return await until_short(forget, _FORGOTTEN_AT_ONCE_MAX)


def _not_right() -> Unauthenticated:
    return Unauthenticated("No client has this user name and password.")
