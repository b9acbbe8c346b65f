"""Senders' passwords, as they lie in the database: readable only with the installation's secret."""

import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stentor.errors import Unavailable

KEY_BYTES = 32
_NONCE_BYTES = 12


class SecretBox:
    """Seals secrets with AES-256-GCM. `key`: 32 bytes derived from the installation's secret for this purpose alone.

    What is sealed for one sender opens for no other, so a row copied over another is found out.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"The key has {KEY_BYTES} bytes.")
        self._aead = AESGCM(key)

    def seal(self, sender_id: UUID, secret: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret.encode(), sender_id.bytes)

    def open(self, sender_id: UUID, sealed: bytes) -> str:
        """The secret. Raises Unavailable when it was sealed under another installation's secret."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], sender_id.bytes).decode()
        except InvalidTag:
            raise Unavailable(
                f"The password of sender {sender_id} was stored under another installation secret. "
                "Start with that secret, or set the sender's password again.",
                retry_after_s=60,
            ) from None
