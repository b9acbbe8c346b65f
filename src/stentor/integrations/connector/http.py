"""Requests to hubs: to addresses that are checked as they are connected to, without redirects, with bodies of bounded length."""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from aiohttp.typedefs import URL

from stentor import __version__
from stentor.channels.outbound import Outbound
from stentor.channels.webhook.resolver import CheckedResolver
from stentor.channels.webhook.settings import place_of
from stentor.channels.webhook.verdicts import printable

ANSWER_BYTES_MAX = 32 * 1024 * 1024
"""Of a hub's answer: a page of 2,000 people with 16 KiB of attributes each."""
TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 10.0

_PIECE_BYTES = 64 * 1024
_HEADERS = {"User-Agent": f"Stentor/{__version__}", "Accept": "application/json", "Accept-Encoding": "identity"}


class NoAnswer(Exception):
    """The hub did not answer, or too much; the text says why."""


class Answer(NamedTuple):
    """A hub's answer in full. `retry_after_s`: how long it wants us to wait, where it says so in seconds."""

    status: int
    body: bytes
    retry_after_s: float | None

    @property
    def text(self) -> str:
        """The beginning of it, for people."""
        return printable(self.body[:200].decode("utf-8", "replace"))


class Http:
    """One session for one scheme and a hub's whole conversation; to be closed in the loop that it was opened in."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._place = place_of(url)
        self._session = session

    @classmethod
    async def opened(cls, url: str, outbound: Outbound, resolver: AbstractResolver | None = None) -> "Http":
        """Connections to where that URL leads."""
        checked = CheckedResolver(resolver or aiohttp.ThreadedResolver(), outbound, place_of(url).scheme)
        connector = aiohttp.TCPConnector(
            limit=2,
            resolver=checked,
            socket_factory=checked.socket_to,
            use_dns_cache=False,
            ssl=await asyncio.to_thread(ssl.create_default_context),
        )
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,
            timeout=timeout,
        )
        return cls(url, session)

    async def ask(self, method: str, url: str, headers: Mapping[str, str], body: Any = None) -> Answer:
        """The answer, whatever it is. Raises NoAnswer."""
        data = None if body is None else msgspec.json.encode(body)
        said = {**headers, "Content-Type": "application/json"} if data is not None else headers
        try:
            async with self._session.request(
                method, URL(url, encoded=True), headers=said, data=data, allow_redirects=False
            ) as response:
                retry_after = response.headers.get("Retry-After", "")
                return Answer(response.status, await self._read(response), _seconds(retry_after))
        except TimeoutError:
            raise NoAnswer(f"{self._place}: no answer within {TIMEOUT_S:g} s") from None
        except (aiohttp.ClientError, OSError) as trouble:
            said_there = getattr(trouble, "os_error", None) or trouble
            raise NoAnswer(printable(f"{self._place}: {said_there}")) from trouble

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        pieces: list[bytes] = []
        left = ANSWER_BYTES_MAX
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            left -= len(piece)
            if left < 0:
                raise NoAnswer(f"{self._place}: an answer of more than {ANSWER_BYTES_MAX} bytes")
            pieces.append(piece)
        return b"".join(pieces)


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
