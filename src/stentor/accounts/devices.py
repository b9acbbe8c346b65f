"""Browsers in which somebody signed in before: a signed cookie by which their tries are told from those of strangers.

It opens nothing. Whoever has it for a user may try that user's password at a pace of their own, as slow as a stranger's.
"""

import base64
import binascii
import hmac
import secrets
from uuid import UUID

from stentor.clock import Clock

DEVICE_DAYS_MAX = 180

_CHANCE_BYTES = 12
_DAY_BYTES = 3
_MARK_BYTES = 16
_DAY_S = 86_400


class Devices:
    """Makes and reads such cookies. `key`: 32 bytes derived from the installation's secret."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def token(self, user_id: UUID) -> str:
        """A cookie by which the browser is known for that user, for 180 days."""
        said = secrets.token_bytes(_CHANCE_BYTES) + self._today().to_bytes(_DAY_BYTES, "big")
        return base64.urlsafe_b64encode(said + self._mark(user_id, said)).decode("ascii")

    def known(self, user_id: UUID, token: str) -> str | None:
        """By what the browser is told from the user's others; None for a cookie of somebody else, an old one, or none."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        said, mark = raw[:-_MARK_BYTES], raw[-_MARK_BYTES:]
        if len(said) != _CHANCE_BYTES + _DAY_BYTES or not hmac.compare_digest(mark, self._mark(user_id, said)):
            return None
        is_over = self._today() - int.from_bytes(said[_CHANCE_BYTES:], "big") > DEVICE_DAYS_MAX
        return None if is_over else said.hex()

    def _today(self) -> int:
        return int(self._clock.now().timestamp()) // _DAY_S

    def _mark(self, user_id: UUID, said: bytes) -> bytes:
        return hmac.digest(self._key, user_id.bytes + said, "sha256")[:_MARK_BYTES]
