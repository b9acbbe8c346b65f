"""What this installation gives away and wants back unchanged, or keeps and lets nobody read."""

import base64
import binascii
import hmac
import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_MARK_BYTES = 20
_ID_BYTES = 16


class Seal:
    """Seals bytes with AES-256-GCM under 32 derived bytes; `about` says what for, and opens nothing else."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, content: bytes, about: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, content, about)

    def open(self, sealed: bytes, about: bytes) -> bytes | None:
        """What was sealed; None for what was not, was changed, or was sealed for something else."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
        except (InvalidTag, ValueError):
            return None


class LinkTokens:
    """The secret part of links by id: nobody who reads the database can make one, and it can be shown again."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, kind: str, id_: UUID) -> str:
        return base64.urlsafe_b64encode(id_.bytes + self._mark(kind, id_)).decode("ascii")

    def read(self, kind: str, token: str) -> UUID | None:
        """The id in a token of ours of that kind; None for any other text."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        if len(raw) != _ID_BYTES + _MARK_BYTES:
            return None
        id_ = UUID(bytes=raw[:_ID_BYTES])
        return id_ if hmac.compare_digest(raw[_ID_BYTES:], self._mark(kind, id_)) else None

    def _mark(self, kind: str, id_: UUID) -> bytes:
        return hmac.digest(self._key, kind.encode("ascii") + b"\0" + id_.bytes, "sha256")[:_MARK_BYTES]
