"""The installation's own sender: one SMTP relay, by a URL, for letters to its users and to nobody else."""

from email.message import EmailMessage
from email.utils import formataddr, make_msgid
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib
import msgspec

from stentor.clock import Clock
from stentor.domain.hosts import is_loopback
from stentor.errors import Unavailable

_TIMEOUT_S = 30.0
_PORTS = {"smtp": 587, "smtps": 465}


class Letter(msgspec.Struct, frozen=True):
    """A letter of plain text."""

    to: str
    subject: str
    text: str


class Mailer(Protocol):
    """Whatever hands a letter over. Raises Unavailable when it cannot; it is tried again then."""

    async def send(self, letter: Letter) -> None: ...


class SmtpMailer:
    """Hands letters to the relay of a URL, `smtps://mail.example.com:465` or `smtp://…:587`, user and password before the host.

    A password, and a letter to another machine, are only ever sent under TLS: `smtp` asks for STARTTLS everywhere but on
    this machine. `sender` is the address that the letters come from.
    """

    def __init__(self, url: str, sender: str, clock: Clock) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._is_tls = parts.scheme == "smtps"
        self._sender = sender
        self._clock = clock

    async def send(self, letter: Letter) -> None:
        """Raises Unavailable, with the relay's own words as its reason, when the letter was not taken."""
        starts_tls = not self._is_tls and not is_loopback(self._host)
        try:
            await aiosmtplib.send(
                self._message(letter),
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._is_tls,
                start_tls=starts_tls,
                timeout=_TIMEOUT_S,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unavailable("The installation's own mail relay did not take a letter.", reason=str(error)) from None

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        message["From"] = formataddr(("Stentor", self._sender))
        message["To"] = letter.to
        message["Subject"] = letter.subject
        message["Date"] = self._clock.now()
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        return message
