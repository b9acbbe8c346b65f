"""What a key looks like: `st_` or `st_test_`, 30 base62 characters by chance, and 6 that check them.

A partner's begins with `st_hub_`.
The checksum lets a mistyped or invented key be refused without asking the database, and lets scanners for leaked secrets
tell our keys from noise.
"""

import binascii
import hmac
import re
import secrets

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHANCE_CHARS = 30  # 178 bits
_CHECKSUM_CHARS = 6  # 62^6 is more than 2^32
_HINT_CHARS = 4
_BRAND_KEY_CHARS = 22

LIVE_PREFIX = "st_"
TEST_PREFIX = "st_test_"
HUB_PREFIX = "st_hub_"

_HUB_KEY = re.compile(r"st_hub_[0-9A-Za-z]{36}")
_PRESENTED = re.compile(r"(?:([1-9][0-9]{0,17})\|)?((?:st_|st_test_)[0-9A-Za-z]{36})")


def new_secret(*, is_test: bool) -> str:
    """A new secret that nobody can guess."""
    return _secret(TEST_PREFIX if is_test else LIVE_PREFIX)


def new_hub_key() -> str:
    """The same for the X-API-KEY of a partner."""
    return _secret(HUB_PREFIX)


def new_brand_key() -> str:
    """The public name of a brand on the wire."""
    return f"br_{random_base62(_BRAND_KEY_CHARS)}"


def random_base62(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))


def hint_of(secret: str) -> str:
    """What is shown of a secret in lists, enough to tell it from others: `st_9fKx…`."""
    prefix = TEST_PREFIX if secret.startswith(TEST_PREFIX) else LIVE_PREFIX
    return f"{secret[: len(prefix) + _HINT_CHARS]}…"


def read_presented(presented: str) -> tuple[int | None, str] | None:
    """The number, when there is one (`<number>|<secret>`), and the secret; None for what has not the shape of a key."""
    match = _PRESENTED.fullmatch(presented)
    if match is None:
        return None
    number, secret = match.groups()
    return (int(number) if number else None), secret


def is_checked(secret: str) -> bool:
    """Whether the checksum at the end is that of the rest."""
    return _checksum(secret[:-_CHECKSUM_CHARS]) == secret[-_CHECKSUM_CHARS:]


def is_hub_key(presented: str) -> bool:
    """Whether it has the shape and the checksum of a partner's X-API-KEY."""
    return _HUB_KEY.fullmatch(presented) is not None and is_checked(presented)


def digest_of(pepper: bytes, secret: str) -> bytes:
    """What is stored of a secret: HMAC-SHA-256 under a key that is not in the database."""
    return hmac.digest(pepper, secret.encode("ascii"), "sha256")


def _secret(prefix: str) -> str:
    chosen = prefix + random_base62(_CHANCE_CHARS)
    return chosen + _checksum(chosen)


def _checksum(text: str) -> str:
    number = binascii.crc32(text.encode("ascii"))
    characters = []
    for _ in range(_CHECKSUM_CHARS):
        number, digit = divmod(number, len(_BASE62))
        characters.append(_BASE62[digit])
    return "".join(reversed(characters))
