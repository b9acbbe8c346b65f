"""How often one may try: per account and per line, counted in the database, so that more processes give no more tries."""

import hmac
import math

import msgspec

from stentor.accounts import sign_in_store as store
from stentor.db.pool import Database
from stentor.errors import RateLimited


class Allowance(msgspec.Struct, frozen=True):
    """So many tries at once, and one more every so many seconds."""

    what: str
    burst: int
    every_s: float


# An account behind which many tries go wrong is slow for its owner too; who knows the password loses half a minute.
SIGN_IN_PER_ACCOUNT = Allowance("account", 10, 30.0)
SIGN_IN_PER_LINE = Allowance("line", 30, 10.0)
# A million codes, three of which are right at any moment: at this pace half a chance takes four months.
SECOND_FACTOR = Allowance("factor", 5, 60.0)
LETTERS_PER_ACCOUNT = Allowance("letters", 3, 1_200.0)
LETTERS_PER_LINE = Allowance("letters-line", 20, 180.0)


class Attempts:
    """Counts attempts. `key`: 32 bytes derived from the installation's secret, under which subjects are hashed."""

    def __init__(self, db: Database, key: bytes) -> None:
        self._db = db
        self._key = key

    async def take(self, allowance: Allowance, subject: str) -> None:
        """Counts an attempt, whatever becomes of it. Raises RateLimited when it is one too many."""
        async with self._db.transaction() as conn:
            is_taken = await store.take_attempt(
                conn, self._digest(allowance, subject), burst=allowance.burst, per_s=1 / allowance.every_s
            )
        if not is_taken:
            wait_s = math.ceil(allowance.every_s)
            raise RateLimited(
                f"Too many attempts. Wait {wait_s} seconds and try again.", retry_after_s=wait_s, limit=allowance.burst
            )

    async def give_back(self, allowance: Allowance, subject: str) -> None:
        """Forgets an attempt that was right."""
        async with self._db.transaction() as conn:
            await store.give_attempt_back(conn, self._digest(allowance, subject), burst=allowance.burst)

    def _digest(self, allowance: Allowance, subject: str) -> bytes:
        return hmac.digest(self._key, f"{allowance.what}\0{subject}".encode("utf-8", "replace"), "sha256")
