"""Webhooks on this machine: a channel to a local port, and the fake provider as a process of its own."""

import http.client
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from stentor.channels.outbound import Outbound
from stentor.channels.webhook.sender import WebhookChannel
from stentor.channels.webhook.settings import WebhookSettings
from stentor.testing.channels import PlainMessage
from stentor.testing.far_side import STOP_S, SinkModule
from stentor.testing.http_script import Fault
from stentor.testing.http_sink import FAULTS_PATH

SECRET = "whsec_c3RlbnRvciBzaWducyBmb3IgdGVzdHMgb25seSE="  # noqa: S105 - of receivers that live for a test

_HERE = Outbound(allow_loopback=True)


def webhook(number: int, recipient: str, **more: Any) -> PlainMessage:
    """A small message; `number` makes its send id."""
    content = msgspec.json.encode({"to": recipient, "text": "Good evening.", **more})
    return PlainMessage(f"{number:060d}", recipient, content)


def local_webhook_settings(port: int, **changes: Any) -> WebhookSettings:
    """Settings for a receiver on 127.0.0.1 without TLS; `changes` override any of them."""
    usual: dict[str, Any] = {"url": f"http://127.0.0.1:{port}/hooks", "secrets": SECRET}
    return WebhookSettings(**(usual | changes))


@asynccontextmanager
async def local_webhooks(
    port: int, *, outbound: Outbound = _HERE, finish_s: float = 5.0, **changes: Any
) -> AsyncIterator[WebhookChannel]:
    """A channel with `local_webhook_settings`, closed at the end."""
    channel = WebhookChannel(local_webhook_settings(port, **changes), outbound, finish_s=finish_s)
    try:
        yield channel
    finally:
        await channel.aclose()


class HttpSinkProcess(SinkModule):
    """`python -m stentor.testing.http_sink` for the length of a `with`; `port` is where it listens."""

    def __init__(self, store: Path) -> None:
        super().__init__("stentor.testing.http_sink", ["--store", str(store)])

    def set_faults(self, faults: Iterable[Fault]) -> int:
        """From now on it does this wrong, and nothing else. How many messages it took while those before struck their requests."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=STOP_S)
        try:
            connection.request("PUT", FAULTS_PATH, msgspec.json.encode(list(faults)))
            return int(connection.getresponse().read())
        finally:
            connection.close()
