"""One request and its answer, over kept connections, by aiohttp: what is certain about it, and what is not."""

import asyncio
import os
import ssl
from collections.abc import Callable, Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter
from aiohttp.typedefs import URL

from stentor import __version__
from stentor.channels.outbound import Outbound
from stentor.channels.webhook.resolver import CheckedResolver, NotAllowed
from stentor.channels.webhook.settings import WebhookSettings
from stentor.channels.webhook.verdicts import ANSWER_BYTES_MAX, Reply, printable
from stentor.failpoints import failpoint

# Common servers close an idle connection after 5 s and more. A request that meets the close is in doubt: we leave first.
IDLE_S = 4.0

_HEADERS = {
    "User-Agent": f"Stentor/{__version__}",
    "Accept": "application/json",
    # What is not asked for need not be unpacked: 64 KiB stay 64 KiB.
    "Accept-Encoding": "identity",
}


class NotWritten(Exception):
    """Nothing of the request left this process; the text says why. A definite no, for every request at this moment."""


class TooLate(Exception):
    """When the connection was there the request might not start any more; nothing of it left this process."""


class ReplyLost(Exception):
    """The request was written, in part at least, and no answer came: perhaps it was taken, perhaps not."""


class _Gone(NotWritten):
    """The connection that was kept for the request had been closed meanwhile."""


class RequestBody(aiohttp.BytesPayload):
    """A body that asks before its first byte, and knows whether that left. Headers leave with it, never before."""

    def __init__(self, content: bytes, may_leave: Callable[[], bool]) -> None:
        super().__init__(content, content_type="application/json")
        self.content = content
        self.has_begun = False
        self.refusal: NotWritten | TooLate | None = None
        self._may_leave = may_leave

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        failpoint("webhook.before_write")
        self.refusal = self._refusal(writer)
        if self.refusal is not None:
            raise self.refusal
        self.has_begun = True
        await super().write_with_length(writer, content_length)
        failpoint("webhook.after_write")

    def _refusal(self, writer: AbstractStreamWriter) -> NotWritten | TooLate | None:
        if writer.transport is None or writer.transport.is_closing():
            return _Gone("the receiver closes its connections at once")
        return None if self._may_leave() else TooLate()


class Exchange:
    """Posts to one URL. To be opened inside the running loop, and closed there."""

    def __init__(self, settings: WebhookSettings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._place = settings.place
        # As it was written: some receivers tell requests apart by a query that another writing of it would break.
        self._url = URL(settings.url, encoded=True)
        self._session = session

    @classmethod
    async def opened(
        cls, settings: WebhookSettings, outbound: Outbound, resolver: AbstractResolver | None
    ) -> "Exchange":
        """Reads the trusted certificates, which takes 20 ms, in a thread."""
        checked = CheckedResolver(resolver or aiohttp.ThreadedResolver(), outbound, settings.place.scheme)
        connector = aiohttp.TCPConnector(
            limit=settings.connections_max,
            keepalive_timeout=IDLE_S,
            resolver=checked,
            socket_factory=checked.socket_to,
            # Each connection asks anew; what was allowed a minute ago may lead elsewhere now.
            use_dns_cache=False,
            ssl=await asyncio.to_thread(ssl.create_default_context),
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s, connect=settings.connect_timeout_s),
        )
        return cls(settings, session)

    async def post(self, body: RequestBody, headers: Mapping[str, str]) -> Reply:
        """The answer, within `timeout_s`. Raises NotWritten, TooLate or ReplyLost, and nothing else.

        Where a kept connection turns out to be closed, which costs no time, another is made. Once the status is there, the
        request is answered: what the body lacks by then, it lacks.
        """
        try:
            return await self._post(body, headers)
        except _Gone:
            return await self._post(body, headers)

    async def _post(self, body: RequestBody, headers: Mapping[str, str]) -> Reply:
        body.refusal = None
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                failpoint("webhook.after_read")
                content, is_whole = await _read(response)
                return Reply(
                    response.status,
                    reason=response.reason or "",
                    retry_after=response.headers.get("Retry-After", ""),
                    body=content,
                    is_whole=is_whole,
                )
        except (aiohttp.ClientError, OSError) as trouble:
            if body.refusal is not None:
                raise body.refusal from trouble
            if body.has_begun:
                raise ReplyLost(self._words(trouble, f"no answer within {self._settings.timeout_s:g} s")) from trouble
            within_s = min(self._settings.connect_timeout_s, self._settings.timeout_s)
            raise NotWritten(self._words(trouble, f"no connection within {within_s:g} s")) from trouble

    async def close(self) -> None:
        await self._session.close()

    def _words(self, trouble: Exception, silence: str) -> str:
        """What the network said, without the library's own words around it."""
        match trouble:
            case TimeoutError():
                said = silence
            case aiohttp.ClientConnectorCertificateError(certificate_error=refusal):
                said = str(refusal)
            case aiohttp.ClientConnectorError(os_error=(NotAllowed() | ssl.SSLError()) as refusal):
                said = str(refusal)
            case aiohttp.ClientResponseError(message=message):
                said = f"an answer that is no HTTP: {message}"
            case aiohttp.ClientOSError(errno=int(number)) if number > 0:
                said = os.strerror(number)
            case _:
                said = str(trouble)
        return printable(f"{self._place}: {said}")


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """At most 64 KiB of the body, and whether that is all of it. Whoever releases a longer one closes its connection."""
    pieces: list[bytes] = []
    left = ANSWER_BYTES_MAX
    try:
        while left and (piece := await response.content.read(left)):
            pieces.append(piece)
            left -= len(piece)
    except (aiohttp.ClientError, OSError):
        return b"".join(pieces), False
    return b"".join(pieces), response.content.at_eof()
