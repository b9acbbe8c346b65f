"""Codes of an authenticator app: RFC 6238 with its usual numbers, SHA-1, six digits, 30 seconds."""

import base64
import hmac
import secrets
from urllib.parse import quote, urlencode

STEP_S = 30
DIGITS = 6
# A clock that is a step off, or a code that was read at the end of its time.
STEPS_OFF_MAX = 1

_SECRET_BYTES = 20


def new_secret() -> bytes:
    """160 bits by chance."""
    return secrets.token_bytes(_SECRET_BYTES)


def step_at(epoch_s: float) -> int:
    """The number of the time step in which that moment lies."""
    return int(epoch_s) // STEP_S


def code_of(secret: bytes, step: int) -> str:
    """The six digits of that step."""
    mac = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    at = mac[-1] & 0x0F
    number = int.from_bytes(mac[at : at + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def step_of(secret: bytes, code: str, now_step: int) -> int | None:
    """The step to which a code belongs, if that is now or one off; the comparison takes the same time for each."""
    typed = code.encode("utf-8", "replace")
    fits = [
        step
        for step in range(now_step - STEPS_OFF_MAX, now_step + STEPS_OFF_MAX + 1)
        if hmac.compare_digest(code_of(secret, step).encode("ascii"), typed)
    ]
    return fits[-1] if fits else None


def written(secret: bytes) -> str:
    """The secret as people type it into an app: base32 in groups of four."""
    text = base64.b32encode(secret).decode("ascii")
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def address(secret: bytes, *, account: str, issuer: str) -> str:
    """The `otpauth:` address that an app reads from a QR code."""
    said = urlencode({"secret": base64.b32encode(secret).decode("ascii"), "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer)}:{quote(account)}?{said}"
