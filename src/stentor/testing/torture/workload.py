"""The clients: they call, they leave, they repeat what is not answered, and they write down what they were promised."""

import asyncio
import http.client
import itertools
import json
import random
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from stentor.testing.smtp_local import SinkProcess, Stored
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.evidence import send_of
from stentor.testing.torture.stage import Stage

_TIMEOUT_S = 5.0
_REPEAT_S = 0.2
_LEAVERS_SHARE_MAX = 0.3
_INDEX_TAIL_BYTES = 4_096
_ONE_CLICK = re.compile(rb"^List-Unsubscribe:\s*<https?://[^/>]+(/u/[^>]+)>", re.MULTILINE | re.IGNORECASE)
_FOLDED = re.compile(rb"\r\n[ \t]+")


class Seat(NamedTuple):
    """A person's subscription to a topic."""

    person: str
    topic: str


class Clients:
    """A brand's backend and its people, over HTTP. What is said to them counts; what is lost on the way they say again."""

    def __init__(
        self,
        port: int,
        stage: Stage,
        chronicle: Chronicle,
        audiences: dict[str, list[str]],
        draw: random.Random,
        *,
        by_the_clock: Collection[str] = (),
    ) -> None:
        """Topics that are called by the clock are not drawn."""
        self._port = port
        self._stage = stage
        self._chronicle = chronicle
        self._topics = [topic for topic in audiences if topic not in by_the_clock]
        self._draw = draw
        self._numbers = itertools.count(1)
        seats = [Seat(person, topic) for topic, people in audiences.items() for person in people]
        draw.shuffle(seats)
        self._seats = seats[: round(len(seats) * _LEAVERS_SHARE_MAX)]
        self._gone: set[Seat] = set()

    async def call(self, topic: str = "") -> None:
        """One more execution, of a topic drawn by lot unless one is named; comes back when it is acknowledged."""
        number = next(self._numbers)
        topic, key = topic or self._draw.choice(self._topics), f"call-{number}"
        self._chronicle.called(key, topic)
        headers = {
            "x-api-key": self._stage.key.api_key,
            "x-brand-key": self._stage.brand.brand_key,
            "Idempotency-Key": key,
            "Content-Type": "application/json",
        }
        body = json.dumps({"topic_key": topic, "context": {}}).encode()
        path = f"/smart-campaigns/v1/event-generators/{topic}/run"
        answer = await self._insist("POST", path, headers, body, expected=202)
        self._chronicle.accepted(key, topic, json.loads(answer)["execution_id"].removeprefix("exec-"))

    async def leave_by_api(self, topic: str = "") -> None:
        """Somebody opts out of a topic through the API, of that one if it is named."""
        seat = self._drawn(topic)
        if seat is None:
            return
        self._chronicle.leaving(*seat)
        path = f"/v1/groups/{self._stage.brand.id}/customers/{seat.person}/subscriptions/{seat.topic}"
        await self._insist("DELETE", path, {"Authorization": f"Bearer {self._stage.key.token}"})
        self._chronicle.left(*seat)

    async def leave_by_link(self, sink: SinkProcess, index: Path, topics: dict[bytes, str]) -> None:
        """Whoever got one of the newest messages clicks its one-click link; `topics` are those of executions."""
        stored = self._draw.choice(newest(index) or [None])
        if stored is None:
            return
        seat = Seat(stored.recipient.partition("@")[0], topics.get(send_of(stored.message_id).execution, ""))
        link = _ONE_CLICK.search(_FOLDED.sub(b" ", sink.body(stored)))
        if not seat.topic or link is None or seat in self._gone:
            return
        self._gone.add(seat)
        self._chronicle.leaving(*seat)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        await self._insist("POST", link[1].decode(), headers, b"List-Unsubscribe=One-Click")
        self._chronicle.left(*seat)

    def _drawn(self, topic: str) -> Seat | None:
        for place in reversed(range(len(self._seats))):
            if not topic or self._seats[place].topic == topic:
                seat = self._seats.pop(place)
                if seat not in self._gone:
                    self._gone.add(seat)
                    return seat
        return None

    async def _insist(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None, *, expected: int = 200
    ) -> bytes:
        """The answer, however often it takes; raises ValueError for one that no outage explains."""
        while True:
            try:
                status, answer = await asyncio.to_thread(self._exchange, method, path, headers, body)
            except (OSError, http.client.HTTPException):
                status, answer = 503, b""
            if status == expected:
                return answer
            if status not in {409, 429, 503}:
                raise ValueError(f"{method} {path} was answered with {status}: {answer[:500]!r}")
            await asyncio.sleep(_REPEAT_S)

    def _exchange(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def newest(index: Path) -> list[Stored]:
    """The last few whole lines of a ledger."""
    with index.open("rb") as lines:
        end = lines.seek(0, 2)
        lines.seek(max(0, end - _INDEX_TAIL_BYTES))
        whole = lines.read().rpartition(b"\n")[0].decode()
    found: list[Stored] = []
    for line in whole.split("\n")[1:]:
        at_ns, offset, size, message_id, recipient = line.split(" ", 4)
        found.append(Stored(int(at_ns), int(offset), int(size), message_id, recipient))
    return found
