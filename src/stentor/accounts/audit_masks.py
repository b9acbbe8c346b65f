"""What the audit log does not say: the one place that knows which parts of a change are secrets.

Whatever is recorded passes here as plain JSON, so nothing is told because a service forgot to leave it out:

- What a name calls a secret (a password, a token, signing secrets) is left out whole, with all that is nested in it.
- Of a URL scheme and host are told, and a keyed fingerprint, by which two of them are told apart: webhooks' addresses carry
  their secret in the path or in the query.
- Inside of texts, whoever signs in by a URL (`https://…:…@host`) is left out.
"""

import hmac
import re
from typing import Any

LEFT_OUT = "(left out)"

_FINGERPRINT_BYTES = 8

_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|token|digest|credential|authorization|cookie|signing|private_?key|api_?key|access_?key",
    re.IGNORECASE,
)
_URL = re.compile(r"(?P<origin>[a-z][a-z0-9+.-]*://)(?:[^\s/?#]*@)?(?P<host>[^\s/?#@]*)(?P<rest>\S*)", re.IGNORECASE)
_WHO_SIGNS_IN = re.compile(r"(?<=://)[^\s/?#@]*(?:@[^\s/?#@]*)*@")


def is_secret(name: str) -> bool:
    """Whether a member of that name is left out."""
    return _SECRET_NAME.search(name) is not None


def masked(told: dict[str, Any], key: bytes) -> dict[str, Any]:
    """The members of a thing without their secrets; `key` is what fingerprints are made under."""
    return {name: _of_name(name, value, key) for name, value in told.items()}


def _of_name(name: str, value: Any, key: bytes) -> Any:
    # A flag like has_secret tells that there is one, and whether that changed.
    if is_secret(name) and not isinstance(value, bool):
        return LEFT_OUT if value else value
    return _mask(value, key)


def _mask(value: Any, key: bytes) -> Any:
    if isinstance(value, dict):
        return masked(value, key)
    if isinstance(value, list):
        return [_mask(each, key) for each in value]
    return _of_text(value, key) if isinstance(value, str) else value


def _of_text(text: str, key: bytes) -> Any:
    url = _URL.fullmatch(text.strip())
    if url is None:
        return _WHO_SIGNS_IN.sub(f"{LEFT_OUT}@", text)
    origin = url["origin"] + url["host"]
    if text.strip().rstrip("/") == origin:
        return text
    digest = hmac.digest(key, text.encode("utf-8", "replace"), "sha256")
    return {"url": f"{origin}/…", "fingerprint": digest[:_FINGERPRINT_BYTES].hex()}
