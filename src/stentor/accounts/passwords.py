"""Passwords: argon2id, keyed with the installation's secret, few at a time."""

import asyncio
import base64
import hmac
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from stentor.errors import Invalid, Unavailable

T = TypeVar("T")

PASSWORD_CHARS_MIN = 12
PASSWORD_CHARS_MAX = 256
# Each takes 46 MiB and about 60 ms of a core: more at once would be a way to fill the memory from outside.
VERIFIES_MAX = 2
VERIFIES_WAITING_MAX = 50

_TIME_COST, _MEMORY_KIB, _LANES = 2, 46 * 1024, 1
_SALT_BYTES, _HASH_BYTES = 16, 32
_DIFFERENT_CHARS_MIN = 5


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii").rstrip("=")


# Nobody's: what is compared where there is no account or no password, so that it takes as long as where there is one.
_NOBODYS = f"$argon2id$v=19$m={_MEMORY_KIB},t={_TIME_COST},p={_LANES}${_base64(bytes(_SALT_BYTES))}${_base64(bytes(_HASH_BYTES))}"


class Passwords:
    """Hashes and compares passwords.

    `key`: 32 bytes derived from the installation's secret; without it no stored hash can even be guessed at.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._hasher = PasswordHasher(_TIME_COST, _MEMORY_KIB, _LANES, _HASH_BYTES, _SALT_BYTES, type=Type.ID)
        self._free = asyncio.Semaphore(VERIFIES_MAX)
        self._waiting = 0

    async def hashed(self, password: str) -> str:
        """What is stored of a password. Raises Unavailable when too many wait for theirs."""
        return await self._worked_out(lambda: self._hasher.hash(self._keyed(password)))

    async def is_right(self, stored: str | None, password: str) -> bool:
        """Whether it is that password; where none is stored, False after the same time. Raises Unavailable as `hashed`."""

        def compare() -> bool:
            try:
                return self._hasher.verify(stored or _NOBODYS, self._keyed(password))
            except (VerifyMismatchError, InvalidHashError):
                return False

        return await self._worked_out(compare) and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether it was hashed with other parameters than today's, and is to be hashed anew when its password is known."""
        return self._hasher.check_needs_rehash(stored)

    def _keyed(self, password: str) -> bytes:
        # The same characters, however a keyboard composes them; keyed, because a stolen database is then no place to guess.
        return hmac.digest(self._key, unicodedata.normalize("NFC", password).encode("utf-8", "replace"), "sha256")

    async def _worked_out(self, work: Callable[[], T]) -> T:
        if self._waiting >= VERIFIES_WAITING_MAX:
            raise Unavailable("Too many people sign in at this moment. Try again in a few seconds.", retry_after_s=5)
        self._waiting += 1
        try:
            async with self._free:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def check_password(password: str, *, email: str) -> None:
    """Raises Invalid, saying what to choose instead, for a password that is too short, too long or too plain."""
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        raise Invalid.field(
            "/password",
            "password-length",
            f"A password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters; a few words that do not belong "
            "together are easy to keep.",
        )
    plain = password.casefold()
    if len(set(plain)) < _DIFFERENT_CHARS_MIN or plain in {email.casefold(), email.casefold().partition("@")[0]}:
        raise Invalid.field(
            "/password",
            "password-plain",
            "This password is guessed first: it is your address, or repeats a few letters.",
        )
