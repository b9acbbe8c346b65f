"""A backend as small as can be: it calls Stentor over HTTP, with keys, and polls; for the demo and the benches."""

import asyncio
import http.client
import time
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from stentor.accounts.model import Brand, NewKey
from stentor.errors import Unavailable
from stentor.report.funnel import ChannelFunnel

_TIMEOUT_S = 30.0


class Seen(msgspec.Struct, frozen=True):
    """An execution as the native API shows it: what of it is of use here."""

    state: str
    audience_size: int
    ended_at: datetime | None
    channels: list[ChannelFunnel]


class Called(msgspec.Struct, frozen=True):
    """A call that was accepted: its execution, and when the request was sent (seconds since the epoch)."""

    execution_id: UUID
    sent_at_s: float

    @property
    def elapsed_s(self) -> float:
        """How long ago the request was sent."""
        return time.time() - self.sent_at_s


class Client:
    """Calls one brand's Stentor over one kept connection; raises Unavailable for every answer but the expected one."""

    def __init__(self, url: str, brand: Brand, key: NewKey) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
        self._brand = brand
        self._keys = {"x-api-key": key.api_key, "x-brand-key": brand.brand_key}
        self._bearer = {"Authorization": f"Bearer {key.token}"}

    async def run(self, generator: str, topic_key: str, context: dict[str, Any]) -> Called:
        """The one POST: runs the event generator."""
        body = msgspec.json.encode({"topic_key": topic_key, "context": context})
        sent_at_s = time.time()
        answer = await self._ask(
            "POST",
            f"/smart-campaigns/v1/event-generators/{generator}/run",
            {**self._keys, "Content-Type": "application/json"},
            body,
            expected=202,
        )
        return Called(UUID(answer["execution_id"].removeprefix("exec-")), sent_at_s)

    async def status(self, execution_id: UUID) -> str:
        """`queued`, `processing`, `published` or `failed`."""
        path = f"/smart-campaigns/v1/executions/exec-{execution_id.hex}/status"
        return (await self._ask("GET", path, self._keys))["status"]

    async def execution(self, execution_id: UUID) -> Seen:
        """The execution with its counts."""
        path = f"/v1/groups/{self._brand.id}/executions/{execution_id}"
        return msgspec.convert(await self._ask("GET", path, self._bearer), Seen)

    async def unsubscribe(self, external_id: str, topic_key: str) -> None:
        """Withdraws somebody's subscription; from the answer on it holds."""
        path = f"/v1/groups/{self._brand.id}/customers/{external_id}/subscriptions/{topic_key}"
        await self._ask("DELETE", path, self._bearer)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    async def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None, *, expected: int = 200
    ) -> dict[str, Any]:
        return await asyncio.to_thread(self._exchange, method, path, headers, body, expected)

    def _exchange(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, expected: int
    ) -> dict[str, Any]:
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unavailable(f"{method} {path} got no answer: {error}.") from error
        if response.status != expected:
            raise Unavailable(f"{method} {path} was answered with {response.status}: {answer.decode()[:500]}")
        return msgspec.json.decode(answer)
