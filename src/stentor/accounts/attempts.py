"""How often one may try, counted in the database, so that more processes give no more tries.

A password is guessed at from somewhere. From one line to the internet ten tries at an account are a person who looks for
the right password; from everywhere together a hundred are somebody else, who must not be able to lock its owner out: a browser
in which the owner signed in before is counted by itself.
"""

import hmac
import math
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from stentor.accounts import sign_in_store as store
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import RateLimited

LINE_TRIES_MAX = 30
"""Passwords tried from one line to the internet, at whatever accounts; then one more every 10 s."""
ACCOUNT_LINE_TRIES_MAX = 10
"""At one account from one line; then one more every 30 s."""
ACCOUNT_TRIES_MAX = 100
"""At one account from everywhere, known browsers apart; then one more every 10 s: 8,740 on the worst day."""
DEVICE_TRIES_MAX = 10
"""At one account from a browser in which its user signed in before; then one more every 30 s."""
PRESENT_PASSWORD_TRIES_MAX = 10
"""Of the present password by whoever is signed in; then one more every 30 s."""
CODE_TRIES_MAX = 5
"""Of a second factor, in one account; then one more a minute."""
RESETS_PER_ADDRESS_MAX = 3
"""Letters to one address with a link to choose a password; then one more an hour, which is as long as a link is good."""
RESETS_PER_LINE_MAX = 20
"""Such letters that are asked for from one line; then one more every three minutes."""
INVITATIONS_PER_ADDRESS_MAX = 3
"""Mailed to one address, whoever invites; then three more a day."""

HUB_LINE_TRIES_MAX = 60
"""Wrong credentials of partners from one line; then one more every 5 s. Right ones are not counted."""

CODES_PER_ADDRESS_MAX = 3
"""Mailed to one address as a test recipient, whoever adds it; then three more a day."""
CODES_PER_ORGANISATION_MAX = 200
"""Mailed to test recipients of one organisation's brands; then 200 more a day."""


class Allowance(msgspec.Struct, frozen=True):
    """So many tries at once, and one more every so many seconds."""

    what: str
    burst: int
    every_s: float


Counted: TypeAlias = tuple[Allowance, str]
"""What is counted, and whose it is."""

SIGN_IN_PER_LINE = Allowance("line", LINE_TRIES_MAX, 10.0)
SIGN_IN_PER_ACCOUNT_AND_LINE = Allowance("account-line", ACCOUNT_LINE_TRIES_MAX, 30.0)
SIGN_IN_PER_ACCOUNT = Allowance("account", ACCOUNT_TRIES_MAX, 10.0)
SIGN_IN_PER_DEVICE = Allowance("device", DEVICE_TRIES_MAX, 30.0)
PRESENT_PASSWORD = Allowance("present", PRESENT_PASSWORD_TRIES_MAX, 30.0)
# A million codes, three of which are right at any moment: at this pace half a chance takes four months.
SECOND_FACTOR = Allowance("factor", CODE_TRIES_MAX, 60.0)
# Whoever takes the letters of somebody else thereby sends them a link that is good until the next one may be asked for.
RESETS_PER_ADDRESS = Allowance("letters", RESETS_PER_ADDRESS_MAX, 3_600.0)
RESETS_PER_LINE = Allowance("letters-line", RESETS_PER_LINE_MAX, 180.0)
INVITATIONS_PER_ADDRESS = Allowance("invitations", INVITATIONS_PER_ADDRESS_MAX, 28_800.0)
# Programs log in many at a time, and each counts until it is known to be right. Their passwords are made by chance, so that
# nobody guesses one: this is for the time that comparing takes.
HUB_LOGIN_PER_LINE = Allowance("hub-line", HUB_LINE_TRIES_MAX, 5.0)
CODES_PER_ADDRESS = Allowance("codes", CODES_PER_ADDRESS_MAX, 28_800.0)
CODES_PER_ORGANISATION = Allowance("codes-organisation", CODES_PER_ORGANISATION_MAX, 432.0)


class Attempts:
    """Counts attempts. `key`: 32 bytes derived from the installation's secret, under which subjects are hashed."""

    def __init__(self, db: Database, key: bytes) -> None:
        self._db = db
        self._key = key

    async def take(self, *counted: Counted) -> None:
        """Counts an attempt, whatever becomes of it. Raises RateLimited, counting nothing, when it is one too many."""
        async with self._db.transaction() as conn:
            await self.take_in(conn, *counted)

    async def take_in(self, conn: Connection, *counted: Counted) -> None:
        """As `take`, in the transaction of what is tried, which counts for nothing where that fails."""
        for each in counted:
            if not await self.is_taken(conn, each):
                allowance, _ = each
                raise too_many("attempts", allowance.every_s, limit=allowance.burst)

    async def is_taken(self, conn: Connection, counted: Counted) -> bool:
        """Counts an attempt in that transaction; False, counting nothing, when it is one too many."""
        allowance, subject = counted
        return await store.take_attempt(
            conn, self._digest(allowance, subject), burst=allowance.burst, per_s=1 / allowance.every_s
        )

    async def give_back(self, *counted: Counted) -> None:
        """Forgets an attempt that was right."""
        async with self._db.transaction() as conn:
            for allowance, subject in counted:
                await store.give_attempt_back(conn, self._digest(allowance, subject), burst=allowance.burst)

    def _digest(self, allowance: Allowance, subject: str) -> bytes:
        return hmac.digest(self._key, f"{allowance.what}\0{subject}".encode("utf-8", "replace"), "sha256")


def too_many(what: str, wait_s: float, *, limit: int) -> RateLimited:
    """The refusal of one attempt too many, which says how long to wait."""
    seconds = math.ceil(wait_s)
    return RateLimited(f"Too many {what}. Wait {_in_words(seconds)} and try again.", retry_after_s=seconds, limit=limit)


_UNITS: Sequence[tuple[int, str]] = ((3_600, "hour"), (60, "minute"))


def _in_words(seconds: int) -> str:
    for unit_s, name in _UNITS:
        if seconds > unit_s:
            return f"{math.ceil(seconds / unit_s)} {name}s"
    return f"{seconds} seconds"
