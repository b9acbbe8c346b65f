"""A message's bytes, taken apart as the person who gets it would see them."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import msgspec

from stentor.domain.vocabulary import ChannelKind

_PLAIN = {ChannelKind.SMS, ChannelKind.WHATSAPP, ChannelKind.VOICE}


class Header(msgspec.Struct, frozen=True):
    """One header of an e-mail, decoded and unfolded."""

    name: str
    value: str


class Content(msgspec.Struct, frozen=True):
    """What is in a message. `payload` is there for channels that carry JSON, `html` and `headers` for e-mail."""

    text: str
    html: str | None = None
    headers: list[Header] = []
    payload: dict[str, Any] | None = None


def content_of(channel: ChannelKind, raw: bytes) -> Content:
    """The content of a message. Never raises: what cannot be read is shown as it is."""
    if channel is ChannelKind.EMAIL:
        return _mail(raw)
    text = raw.decode("utf-8", "replace")
    if channel in _PLAIN:
        return Content(text=text)
    try:
        payload = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return Content(text=text)
    if not isinstance(payload, dict):
        return Content(text=text)
    body = payload.get("body")
    return Content(text=body if isinstance(body, str) else "", payload=payload)


def _mail(raw: bytes) -> Content:
    message = cast("EmailMessage", message_from_bytes(raw, policy=policy.default))
    return Content(
        text=_body(message, "plain") or "",
        html=_body(message, "html"),
        headers=[Header(name, value) for name, value in _headers(message)],
    )


def _headers(message: EmailMessage) -> Iterator[tuple[str, str]]:
    for name, value in message.items():
        yield name, " ".join(str(value).split())


def _body(message: EmailMessage, subtype: str) -> str | None:
    part = message.get_body((subtype,))
    if part is None:
        return None
    octets = part.get_payload(decode=True)
    if not isinstance(octets, bytes):
        return None
    charset = part.get_content_charset("utf-8")
    try:
        text = octets.decode(charset, "replace")
    except LookupError:
        text = octets.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")
