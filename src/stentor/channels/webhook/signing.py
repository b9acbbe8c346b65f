"""Signatures as Standard Webhooks 1.0.0 has them: HMAC-SHA256 over id, time and body, one for each secret in use."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

SECRETS_MAX = 5
KEY_BYTES_MIN = 24
KEY_BYTES_MAX = 64
PREFIX = "whsec_"


class BadSecret(ValueError):
    """The text is no list of signing secrets; its words say what one looks like, and never what it was."""


def keys_of(secrets: str) -> list[bytes]:
    """The keys of secrets with blanks between them. Raises BadSecret."""
    texts = secrets.split()
    if not 1 <= len(texts) <= SECRETS_MAX:
        raise BadSecret(
            f"A webhook sender needs 1 to {SECRETS_MAX} signing secrets with a blank between them: each {PREFIX} and then "
            f"{KEY_BYTES_MIN} to {KEY_BYTES_MAX} random bytes in base64, as of `openssl rand -base64 32`."
        )
    return [_key_of(text) for text in texts]


def _key_of(text: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True) if text.startswith(PREFIX) else b""
    except binascii.Error:
        key = b""
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise BadSecret(
            f"A signing secret is {PREFIX} and then {KEY_BYTES_MIN} to {KEY_BYTES_MAX} random bytes in base64, as of "
            "`openssl rand -base64 32`."
        )
    return key


class Signer:
    """Signs requests with every key."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        # Hashing the key into a fresh HMAC is half the price of a small body's signature; a copy has done it.
        self._begun = [hmac.new(key, digestmod=hashlib.sha256) for key in keys]

    def headers(self, webhook_id: str, at_s: int, body: bytes) -> dict[str, str]:
        """The three headers by which a receiver knows the request: its id, its time, its signatures."""
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": " ".join(self._signatures(f"{webhook_id}.{at_s}.".encode(), body)),
        }

    def _signatures(self, head: bytes, body: bytes) -> list[str]:
        signatures = []
        for begun in self._begun:
            mac = begun.copy()
            mac.update(head)
            mac.update(body)
            signatures.append(f"v1,{base64.b64encode(mac.digest()).decode()}")
        return signatures
