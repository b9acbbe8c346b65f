"""The second factor: codes of an authenticator app, each good once, and recovery codes for when it is lost."""

import base64
import hmac
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from stentor.accounts import sign_in_store as store
from stentor.accounts import totp
from stentor.accounts.attempts import SECOND_FACTOR, Attempts
from stentor.accounts.sealing import Seal
from stentor.clock import Clock
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import Conflict, Invalid, Unavailable

RECOVERY_CODES = 10
CODE_CHARS_MAX = 40
BEGUN_S_MAX = 600

_RECOVERY_BYTES = 10


class SecondFactors:
    """What somebody has beside a password. `key`: 32 bytes derived from the installation's secret."""

    def __init__(self, db: Database, attempts: Attempts, clock: Clock, *, key: bytes) -> None:
        self._db = db
        self._attempts = attempts
        self._clock = clock
        self._seal = Seal(key)
        self._key = key

    async def begin(self, user_id: UUID, session_id: UUID) -> bytes:
        """A new secret for an app, asked for as soon as a code of it confirms it, in that session, within ten minutes.

        Raises Conflict where one is confirmed.
        """
        secret = totp.new_secret()
        async with self._db.transaction() as conn:
            if not await store.begin_factor(conn, user_id, self._seal.seal(secret, user_id.bytes), session_id):
                raise Conflict("A second factor is in use. Take it off first, then set up another one.")
        return secret

    async def begun(self, user_id: UUID, session_id: UUID) -> bytes | None:
        """The secret that waits to be confirmed in that session; None when there is none."""
        async with self._db.read() as conn:
            sealed = await store.find_begun_factor(conn, user_id, session_id, BEGUN_S_MAX)
        return None if sealed is None else self._opened(user_id, sealed)

    @asynccontextmanager
    async def attempt(self, user_id: UUID) -> AsyncGenerator[None, None]:
        """Around the transaction in which a code is tried: counts it, and forgives it where all went well.

        Raises RateLimited for too many that did not.
        """
        counted = SECOND_FACTOR, user_id.hex
        await self._attempts.take(counted)
        yield
        await self._attempts.give_back(counted)

    async def confirm(self, conn: Connection, user_id: UUID, session_id: UUID, code: str) -> list[str]:
        """Puts the second factor in use in that transaction; returns its recovery codes, which are shown this once.

        Raises Invalid for a code that is not the app's.
        """
        sealed = await store.find_begun_factor(conn, user_id, session_id, BEGUN_S_MAX)
        step = None if sealed is None else totp.step_of(self._opened(user_id, sealed), _plain(code), self._step())
        if sealed is None or step is None:
            raise wrong_code()
        codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
        recovery = [self._digest(user_id, each) for each in codes]
        if not await store.confirm_factor(conn, user_id, sealed, session_id, step=step, recovery=recovery):
            raise wrong_code()
        return codes

    async def check(self, conn: Connection, user_id: UUID, code: str) -> None:
        """Uses a code of the app, or a recovery code, up in that transaction.

        Raises Invalid for one that is wrong or was used before.
        """
        if not await self._is_good(conn, user_id, _plain(code)):
            raise wrong_code()

    async def codes_left(self, user_id: UUID) -> int | None:
        """How many recovery codes are left; None where no second factor is in use."""
        async with self._db.read() as conn:
            return await store.count_recovery(conn, user_id)

    async def remove(self, conn: Connection, user_id: UUID) -> bool:
        """Asks for no second factor any more, from that transaction on; False where there is none."""
        return await store.delete_factor(conn, user_id)

    async def _is_good(self, conn: Connection, user_id: UUID, code: str) -> bool:
        if len(code) > CODE_CHARS_MAX:
            return False
        found = await store.find_factor(conn, user_id)
        if found is None or not found[1]:
            return False
        if len(code) != totp.DIGITS:
            return await store.use_recovery(conn, user_id, self._digest(user_id, code))
        step = totp.step_of(self._opened(user_id, found[0]), code, self._step())
        return step is not None and await store.use_step(conn, user_id, step)

    def _step(self) -> int:
        return totp.step_at(self._clock.now().timestamp())

    def _opened(self, user_id: UUID, sealed: bytes) -> bytes:
        secret = self._seal.open(sealed, user_id.bytes)
        if secret is None:
            raise Unavailable(
                "This second factor was stored under another installation secret. Start with that secret."
            )
        return secret

    def _digest(self, user_id: UUID, code: str) -> bytes:
        return hmac.digest(self._key, user_id.bytes + code.encode("utf-8", "replace"), "sha256")


def wrong_code() -> Invalid:
    """The same for every code that is not taken."""
    return Invalid.field(
        "/code",
        "wrong-code",
        "This code is not the present one of your app, or was used already. Wait for the next one.",
    )


def _recovery_code() -> str:
    """80 bits in lower-case base32."""
    return base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode("ascii").lower()


def _plain(code: str) -> str:
    """As it is compared: people type blanks and dashes into codes, and read l for 1 never, since base32 has no 1."""
    return "".join(code.split()).replace("-", "").lower()
