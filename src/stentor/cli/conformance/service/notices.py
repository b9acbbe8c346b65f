"""Notifying the service as hubs do: the documented names and no others, extra facts only in headers."""

import secrets
import time
from datetime import UTC, datetime

import aiohttp
import msgspec
from aiohttp.typedefs import URL

from stentor.channels.webhook.signing import BadSecret, Signer, keys_of
from stentor.cli.conformance.service.book import Book, Notice
from stentor.errors import Invalid

ANSWER_S = 15.0
"""How long a listener may take."""

PROCESSED, CANCELLED, EXECUTED = 1, 4, 13

_ANSWER_BYTES_MAX = 64 * 1024


class Notifier:
    """Posts notices to the service's listeners, and notes what they answer. Raises Invalid for a bad signing secret."""

    def __init__(self, book: Book, http: aiohttp.ClientSession) -> None:
        self._book = book
        self._http = http
        self._signer: Signer | None = None
        if book.target.signing_secret:
            try:
                self._signer = Signer(keys_of(book.target.signing_secret))
            except BadSecret as error:
                raise Invalid(str(error)) from error

    async def tell(self, event: int, campaign: int, webhook_id: str = "") -> str:
        """Notifies whoever listens to that event, and returns the notice's id; with the id of another one it is that one again."""
        said: dict[str, object] = {
            "EventTypeID": event,
            "TimeStamp": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
            "CampaignID": campaign,
        }
        if event == EXECUTED:
            said["ChannelID"] = self._book.target.channel
        body = msgspec.json.encode(said)
        webhook_id = webhook_id or f"msg_{secrets.token_hex(16)}"
        for url in self._book.urls_of(event):
            self._book.note(self._book.notices, await self._posted(url, event, campaign, webhook_id, body))
        return webhook_id

    async def _posted(self, url: str, event: int, campaign: int, webhook_id: str, body: bytes) -> Notice:
        at_s = int(time.time())
        headers = {"Content-Type": "application/json", "webhook-id": webhook_id, "webhook-timestamp": str(at_s)}
        if self._signer is not None:
            headers |= self._signer.headers(webhook_id, at_s, body)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        try:
            async with self._http.post(
                URL(url, encoded=True), data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                await response.content.read(_ANSWER_BYTES_MAX)
                return Notice(event, campaign, url, response.status)
        except TimeoutError:
            return Notice(event, campaign, url, None, f"no answer within {ANSWER_S:g} s")
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return Notice(event, campaign, url, None, f"{type(error).__name__} {error}")
