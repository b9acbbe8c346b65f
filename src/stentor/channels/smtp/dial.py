"""Opens connections to a relay, ready for mail: TCP, TLS, EHLO and login by aiosmtplib, which then hands its transport over."""

import asyncio
import os
import re
import ssl

from aiosmtplib import SMTP, SMTPException, SMTPHeloError, SMTPResponseException

from stentor.channels.smtp.envelope import Offers
from stentor.channels.smtp.replies import ANSWER_CHARS_MAX
from stentor.channels.smtp.settings import Security, SmtpSettings

_SIZE = re.compile(r"[0-9]{1,15}")


class CannotConnect(Exception):
    """No connection that mail can be sent over; the text is what the network or the server said."""


class Dialler:
    """Dials one relay. The TLS context is made once: reading the trusted certificates takes 20 ms."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._tls_context: ssl.SSLContext | None = None

    async def dial(self) -> tuple[asyncio.Transport, Offers]:
        """An open connection and what the server offers on it. Raises `CannotConnect`, within `connect_timeout_s`."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                return await self._connect()
        except SMTPResponseException as refusal:
            words = " ".join(refusal.message.split())
            raise CannotConnect(f"{refusal.code} {words}"[:ANSWER_CHARS_MAX]) from refusal
        except TimeoutError as silence:
            raise CannotConnect(
                f"no connection to {settings.host}:{settings.port} within {settings.connect_timeout_s:g} s"
            ) from silence
        except (SMTPException, OSError, UnicodeError) as trouble:
            raise CannotConnect(f"{settings.host}:{settings.port}: {_words(trouble)}"[:ANSWER_CHARS_MAX]) from trouble

    async def _connect(self) -> tuple[asyncio.Transport, Offers]:
        settings = self._settings
        client = SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=settings.greeting_name,
            username=settings.username or None,
            password=settings.password or None,
            use_tls=settings.security is Security.TLS,
            start_tls=settings.security is Security.STARTTLS,
            tls_context=await self._context(),
            timeout=settings.connect_timeout_s,
        )
        await client.connect()
        try:
            if client.is_ehlo_or_helo_needed:
                await _greet(client)
            return _taken_over(client)
        except BaseException:
            client.close()
            raise

    async def _context(self) -> ssl.SSLContext | None:
        if self._settings.security is Security.NONE:
            return None
        if self._tls_context is None:
            self._tls_context = await asyncio.to_thread(_tls_context, verify=self._settings.verify_tls)
        return self._tls_context


async def _greet(client: SMTP) -> None:
    try:
        await client.ehlo()
    except SMTPHeloError:
        await client.helo()


def _taken_over(client: SMTP) -> tuple[asyncio.Transport, Offers]:
    transport = client.transport
    if not isinstance(transport, asyncio.Transport):
        raise ConnectionResetError("the server closed the connection after its greeting")
    named = client.esmtp_extensions
    size = named.get("size", "")
    return transport, Offers(
        pipelining="pipelining" in named,
        chunking="chunking" in named,
        eight_bit_mime="8bitmime" in named,
        smtputf8="smtputf8" in named,
        size="size" in named,
        size_max=int(size) if _SIZE.fullmatch(size) else 0,
    )


def _words(trouble: Exception) -> str:
    """The system's own words ("Connection refused"), which asyncio and aiosmtplib replace by theirs."""
    cause = trouble.__cause__ if isinstance(trouble.__cause__, OSError) else trouble
    if isinstance(cause, ConnectionError) and cause.errno:
        return os.strerror(cause.errno)
    return str(cause)


def _tls_context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
