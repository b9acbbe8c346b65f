"""Templates rendered for tests: one person, one moment, one sender."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, cast

from stentor.domain.vocabulary import ChannelKind
from stentor.render.compiled import MailSender
from stentor.render.messages import compile_message
from stentor.render.skeleton import Rendered

AT = datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
SEND_ID = "a2" * 30
ADDRESS = "ann@example.com"
SENDER = MailSender("news@brand.example", "Brand & Sons")
URL = "https://brand.example/u/abc-DEF_123"


def render(
    kind: ChannelKind,
    parts: Mapping[str, str],
    *,
    customer: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    brand: Mapping[str, Any] | None = None,
    bindings: Mapping[str, str] | None = None,
    sender: MailSender = SENDER,
    address: str = ADDRESS,
    unsubscribe_url: str = URL,
) -> Rendered:
    """The message of one person; an e-mail has List-Unsubscribe where there is an address for it."""
    bound = compile_message(kind, parts, bindings or {}).bind(
        context=context or {}, brand=brand or {}, sender=sender, one_click=bool(unsubscribe_url)
    )
    return bound.render(customer or {}, send_id=SEND_ID, address=address, at=AT, unsubscribe_url=unsubscribe_url)


def text_of(template: str, **values: Any) -> str:
    """What a text message with that template says."""
    return render(ChannelKind.SMS, {"text": template}, **values).wire().decode()


def mail(
    *, subject: str = "Hello", html: str = "<p>Hello</p>", text: str = "Hello", preheader: str = "", **values: Any
) -> Rendered:
    """An e-mail of those parts."""
    return render(ChannelKind.EMAIL, {"subject": subject, "html": html, "text": text, "preheader": preheader}, **values)


def parsed(message: Rendered) -> EmailMessage:
    """The e-mail as the standard library reads it."""
    return cast("EmailMessage", message_from_bytes(message.wire(), policy=SMTP))


def body_of(message: Rendered, subtype: str) -> str:
    """The decoded text of its plain or HTML part, with LF line ends."""
    part = parsed(message).get_body((subtype,))
    assert part is not None
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")
