"""E-mail: subject, preheader, HTML and text compiled into one message, multipart/alternative in quoted-printable."""

import re
from collections.abc import Mapping
from email.headerregistry import HeaderRegistry
from email.message import EmailMessage, Message, MIMEPart
from email.policy import SMTP
from operator import itemgetter

import msgspec

from stentor.render.compiled import CompiledMessage, MessageKind, PartPieces, Plan
from stentor.render.encodings import PlainText
from stentor.render.frame import ADDRESS, DATE, ONE_CLICK, SEND_ID, SENDER, UNSUBSCRIBE_URL, Frame, Layout, Stage
from stentor.render.headers import decoded, mailbox, one_click_url, recipient, unstructured
from stentor.render.liquid import Part, compile_part
from stentor.render.pieces import Piece, Slot, block_of
from stentor.render.quoted_printable import QuotedPrintable

# "=_" never occurs in quoted-printable, so no body can end its part.
_BOUNDARY = "=_stentor_alternative"

_BODY = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_HIDDEN = '<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">{}</div>'


class EmailSource(msgspec.Struct, frozen=True):
    """One language of an e-mail template, every part final: Liquid in HTML and in text."""

    subject: str
    html: str
    text: str
    preheader: str = ""
    """The line that inboxes show beside the subject; it is put, hidden, in front of the HTML's content."""


def compile_email(source: EmailSource, bindings: Mapping[str, str]) -> CompiledMessage:
    """The template, ready to be bound to executions.

    `bindings` says what each bare name means (`{"title": "context.title", "plan": "customer.attributes.plan"}`).
    Raises TemplateInvalid, naming part and line, for what cannot be rendered.
    """
    return CompiledMessage(_plan(source, bindings), _KIND)


def _plan(source: EmailSource, bindings: Mapping[str, str]) -> Plan:
    def plan(layout: Layout) -> PartPieces:
        subject = compile_part(Part("subject", source.subject), PlainText(), layout, bindings)
        text = compile_part(Part("text", source.text), QuotedPrintable(autoescape=False), layout, bindings)
        if source.preheader:
            compile_part(
                Part("preheader", source.preheader), PlainText(autoescape=True), Layout(), bindings, autoescape=True
            )
        html = compile_part(
            Part("html", with_preheader(source.html, source.preheader)),
            QuotedPrintable(autoescape=True),
            layout,
            bindings,
            autoescape=True,
        )
        filled = {**_ENVELOPE, "subject": _subject(block_of(subject, layout)), "text": text, "html": html}
        return [
            (name, filled[name]) if index % 2 else ("", [name])
            for index, name in enumerate(_MARK.split(_letter().as_bytes().decode("ascii")))
        ]

    return plan


def with_preheader(html: str, preheader: str) -> str:
    """The HTML source with the preheader's, hidden, after its body tag (or first, where it has none)."""
    if not preheader:
        return html
    body = _BODY.search(html)
    place = body.end() if body else 0
    return html[:place] + _HIDDEN.format(preheader.strip()) + html[place:]


def _letter() -> EmailMessage:
    """The message with a mark wherever a template, the sender or the person fills it."""
    policy = SMTP.clone(header_factory=HeaderRegistry(use_default_map=False))
    letter = EmailMessage(policy)
    for name, mark in _HEADERS.items():
        letter[name] = mark
    letter["Content-Type"] = f'multipart/alternative; boundary="{_BOUNDARY}"'
    letter["MIME-Version"] = "1.0"
    parts = [MIMEPart(policy), MIMEPart(policy)]
    for part, subtype, mark in zip(parts, ("plain", "html"), ("@@text@@", "@@html@@"), strict=True):
        part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
        part["Content-Transfer-Encoding"] = "quoted-printable"
        part.set_payload(mark)
    letter.set_payload(list[Message | str](parts))
    return letter


# A mark at the end of a value stands for headers that only some executions have.
_HEADERS = {
    "From": "@@from@@@@reply_to@@",
    "To": "@@to@@",
    "Subject": "@@subject@@",
    "Date": "@@date@@",
    "Message-ID": "<@@message_id@@>@@one_click@@",
}
_MARK = re.compile("@@([a-z_]+)@@")


def _from(frame: Frame) -> str:
    return mailbox(frame[SENDER].name, frame[SENDER].address, "From")


def _reply_to(frame: Frame) -> str:
    address = frame[SENDER].reply_to
    return f"\r\nReply-To: {mailbox('', address, 'Reply-To')}" if address else ""


def _message_id_domain(frame: Frame) -> str:
    return "@" + frame[SENDER].address.rpartition("@")[2]


def _before_url(frame: Frame) -> str:
    return "\r\nList-Unsubscribe: <" if frame[ONE_CLICK] else ""


def _url(frame: Frame) -> str:
    return one_click_url(frame[UNSUBSCRIBE_URL]) if frame[ONE_CLICK] else ""


def _after_url(frame: Frame) -> str:
    return ">\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click" if frame[ONE_CLICK] else ""


_ENVELOPE: dict[str, list[Piece]] = {
    "from": [Slot(_from, Stage.EXECUTION)],
    "reply_to": [Slot(_reply_to, Stage.EXECUTION)],
    "to": [Slot(lambda frame: recipient(frame[ADDRESS]), Stage.PERSON)],
    "date": [Slot(itemgetter(DATE), Stage.PERSON)],
    "message_id": [Slot(itemgetter(SEND_ID), Stage.PERSON), Slot(_message_id_domain, Stage.EXECUTION)],
    "one_click": [
        Slot(_before_url, Stage.EXECUTION),
        Slot(_url, Stage.PERSON),
        Slot(_after_url, Stage.EXECUTION),
    ],
}


def _subject(block: Slot) -> list[Piece]:
    text = block.emit
    return [Slot(lambda frame: unstructured(text(frame), "Subject"), block.stage)]


_KIND = MessageKind(headline="subject", read_headline=decoded, needs_sender=True)
