"""The scripted partner: how it calls the hub, and what it has come to know."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp.typedefs import URL

from stentor.cli.conformance.checks import expect, unmet
from stentor.cli.conformance.listener import Listener
from stentor.cli.conformance.target import Target
from stentor.errors import Unavailable

CALL_S = 600.0
"""How long one call may take: a hub makes a large list before it answers."""

# A hub counts 50 calls in 10 s; the kit makes twice as many.
_NOTHING: Mapping[str, Any] = {}
_TRIES = 6
_TOO_MANY = 429
_PAUSE_S = 10.0
_PAUSE_S_MAX = 60.0


class Answer(msgspec.Struct, frozen=True):
    """What came back. The names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises Unmet for another one."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            unmet("JSON", self.text)

    def __repr__(self) -> str:
        return f"{self.status} {self.text or '(empty)'}"


class Row(msgspec.Struct, frozen=True):
    """One send detail, as it was pulled."""

    customer: str
    template: int
    scheduled: str


class Partner:
    """What checks work with. `campaign` and `rows` are there once a campaign came and was pulled."""

    def __init__(self, target: Target, http: aiohttp.ClientSession, listener: Listener) -> None:
        self.target = target
        self.listener = listener
        self.token = ""
        self.campaign = target.campaign
        self.rows: list[Row] = []
        self._http = http

    async def call(
        self,
        path: str,
        query: Mapping[str, Any] | str = "",
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Calls that path below the hub's URL, with the partner's credentials unless others are given.

        A `body` is sent as JSON, by POST; a `query` in words is sent as it stands. Where the hub says that there were too many
        calls, it is called again later. Raises Unavailable where there is no hub, and Unmet where it breaks off.
        """
        asked = query if isinstance(query, str) else "&".join(f"{name}={quote(str(query[name]))}" for name in query)
        url = URL(f"{self.target.url.rstrip('/')}{path}{'?' if asked else ''}{asked}", encoded=True)
        said = {**(self.credentials if headers is None else headers)}
        sent = None
        if body is not None:
            sent = msgspec.json.encode(body)
            said["Content-Type"] = "application/json"
        answer = await self._send(url, sent, said)
        for _ in range(_TRIES - 1):
            if answer.status != _TOO_MANY:
                break
            after = answer.headers.get("retry-after", "")
            await asyncio.sleep(min(float(after), _PAUSE_S_MAX) if after.isdigit() else _PAUSE_S)
            answer = await self._send(url, sent, said)
        return answer

    async def _send(self, url: URL, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        verb = "GET" if body is None else "POST"
        try:
            async with self._http.request(verb, url, data=body, headers=headers, allow_redirects=False) as response:
                return Answer(
                    response.status,
                    {name.lower(): value for name, value in response.headers.items()},
                    await response.read(),
                )
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(f"There is no hub at {self.target.url}: {error}. Look at the URL.") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            unmet(f"an answer to {verb} {url.path}", f"{type(error).__name__} {error}")

    @property
    def credentials(self) -> dict[str, str]:
        """The headers that open the API: the key, or else the token of Login."""
        if self.target.key:
            return {"X-API-KEY": self.target.key}
        return {"Authorization-Token": self.token}

    async def get(self, function: str, **query: Any) -> Any:
        """What a function answers, as JSON. Raises Unmet unless it is a 200."""
        answer = await self.call(f"/current/{function}", query)
        expect(answer.status == 200, f"200 from {function}", answer)
        return answer.json()

    async def post(self, function: str, body: Any, **query: Any) -> None:
        """Calls a function that returns nothing. Raises Unmet unless it answers 200 and an empty body."""
        answer = await self.call(f"/current/{function}", query, body=body)
        expect(answer.status == 200 and not answer.body, f"200 and an empty body from {function}", answer)

    async def details(self, query: Mapping[str, Any] = _NOTHING, *, version: str = "/current") -> list[dict[str, Any]]:
        """Send details of the campaign, with these parameters beside. Raises Unmet unless they are a 200 with an array of objects."""
        asked = {"ChannelID": self.target.channel, "CampaignID": self.campaign, **query}
        answer = await self.call(f"{version}/customers/GetCustomerSendDetailsByChannel", asked)
        expect(answer.status == 200, "200 with send details", answer)
        rows = answer.json()
        expect(isinstance(rows, list) and all(isinstance(row, dict) for row in rows), "an array of objects", answer)
        return rows
