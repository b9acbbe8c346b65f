"""The sender and a server that others wrote: aiosmtpd, which knows no PIPELINING, with STARTTLS and AUTH."""
# ruff: noqa: N802 - aiosmtpd names the handler's methods and their parameters

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from stentor.channels.contract import Accepted, Deferred, Rejected
from stentor.channels.smtp.settings import Security
from stentor.testing.channels import mail, wave_of
from stentor.testing.smtp_local import local_channel
from stentor.testing.tls import self_signed_context

pytestmark = pytest.mark.anyio

MESSAGES = [mail(number, f"person{number}@example.com", body=b".\r\n..dots\r\n") for number in range(30)]


class Mailbox:
    """An aiosmtpd handler that keeps what it takes; its methods have aiosmtpd's names."""

    def __init__(self) -> None:
        self.taken: dict[str, bytes] = {}

    async def handle_RCPT(
        self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("dead"):
            return "550 5.1.1 no such user"
        if address.startswith("slow"):
            return "451 4.2.0 later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, smtp: SMTP, session: Session, envelope: Envelope) -> str:
        (recipient,) = envelope.rcpt_tos
        content = envelope.content
        self.taken[recipient] = content if isinstance(content, bytes) else b""
        return "250 2.0.0 Ok: queued as AIO"


def authenticate(smtp: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = data == LoginPassword(b"stentor", b"fifty voices")
    return AuthResult(success=right, handled=False)


@asynccontextmanager
async def aiosmtpd(mailbox: Mailbox, **options: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(mailbox, hostname="localhost", enable_SMTPUTF8=True, loop=loop, **options), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_every_message_arrives_byte_for_byte() -> None:
    mailbox = Mailbox()
    async with aiosmtpd(mailbox) as port, local_channel(port) as channel:
        outcomes = await channel.hand_over(wave_of(), MESSAGES)

    assert set(outcomes) == {Accepted("AIO")}
    assert mailbox.taken == {message.address: message.raw for message in MESSAGES}


async def test_refusals_mean_what_they_say() -> None:
    mailbox = Mailbox()
    addresses = ["ann@example.com", "dead@example.com", "slow@example.com", "ben@example.com"]
    async with aiosmtpd(mailbox) as port, local_channel(port, connections_max=1) as channel:
        outcomes = await channel.hand_over(wave_of(), [mail(0, address) for address in addresses])

    assert outcomes == [
        Accepted("AIO"),
        Rejected("550 5.1.1 no such user", bad_address=True),
        Deferred("451 4.2.0 later"),
        Accepted("AIO"),
    ]


async def test_an_international_address_arrives() -> None:
    mailbox = Mailbox()
    async with aiosmtpd(mailbox) as port, local_channel(port) as channel:
        outcomes = await channel.hand_over(wave_of(), [mail(0, "jörg@example.com", body="Grüße\r\n".encode())])

    assert outcomes == [Accepted("AIO")]
    assert list(mailbox.taken) == ["jörg@example.com"]


async def test_a_login_over_starttls(tmp_path: Path) -> None:
    mailbox = Mailbox()
    options = {"tls_context": self_signed_context(tmp_path), "auth_required": True, "authenticator": authenticate}
    login = {"username": "stentor", "password": "fifty voices", "security": Security.STARTTLS, "verify_tls": False}
    async with aiosmtpd(mailbox, **options) as port, local_channel(port, **login) as channel:
        outcomes = await channel.hand_over(wave_of(), MESSAGES)

    assert set(outcomes) == {Accepted("AIO")}
    assert mailbox.taken == {message.address: message.raw for message in MESSAGES}


async def test_a_wrong_password_defers_and_a_missing_login_too(tmp_path: Path) -> None:
    mailbox = Mailbox()
    options = {"tls_context": self_signed_context(tmp_path), "auth_required": True, "authenticator": authenticate}
    wrong = {"username": "stentor", "password": "one voice", "security": Security.STARTTLS, "verify_tls": False}
    async with aiosmtpd(mailbox, **options) as port:
        async with local_channel(port, **wrong) as channel:
            (refused,) = await channel.hand_over(wave_of(), MESSAGES[:1])
        async with local_channel(port, security=Security.STARTTLS, verify_tls=False) as channel:
            (unknown,) = await channel.hand_over(wave_of(), MESSAGES[:1])

    assert isinstance(refused, Deferred)
    assert isinstance(unknown, Deferred)
    assert (refused.sender_wide, unknown.sender_wide) == (True, True)
    assert (refused.answer[:3], unknown.answer[:3]) == ("535", "530")
    assert mailbox.taken == {}
