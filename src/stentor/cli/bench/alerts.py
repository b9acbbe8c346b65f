"""Small calls that cannot wait: alerts to two hundred people and messages to one, at a steady rate, each timed to its end."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.cli.bench.club import Club
from stentor.cli.bench.executions import ends
from stentor.cli.bench.fixtures import CONTEXT
from stentor.cli.output import fail
from stentor.cli.premises import Premises
from stentor.testing.http_load import open_loop, post_maker

ALERTS_PER_S = 5
PEOPLE_PER_ALERT = 200
MESSAGES_PER_S = 20

_CONNECTIONS = 16
_ENDED_WITHIN_S = 120.0
_LOOK_EVERY_S = 0.1


class Timed(msgspec.Struct, frozen=True):
    """What was called, and how long each took from its POST to its last message accepted, in seconds."""

    took_s: list[float]

    def p99_ms(self) -> float:
        """The 99th percentile in milliseconds."""
        ranked = sorted(self.took_s)
        return ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))] * 1000


async def alerts(
    premises: Premises, club: Club, generator_id: str, topic_keys: list[str], *, duration_s: float
) -> Timed:
    """Five alerts a second to the topics in turn."""
    path = f"/v1/groups/{club.brand.id}/event-generators/{generator_id}/run"

    def body(number: int) -> bytes:
        topic_key = topic_keys[number % len(topic_keys)]
        return msgspec.json.encode({"topic_key": topic_key, "context": CONTEXT | {"match_id": f"alert-{number}"}})

    def execution_of(answer: bytes) -> UUID:
        return UUID(msgspec.json.decode(answer)["execution_id"])

    return await _timed(premises, club, path, body, execution_of, rate_per_s=ALERTS_PER_S, duration_s=duration_s)


async def messages(premises: Premises, club: Club, generator_id: str, *, duration_s: float) -> Timed:
    """Twenty transactional messages a second, each to one address that nobody knows yet."""

    def body(number: int) -> bytes:
        recipient = {"email": f"guest-{number}@guests.example"}
        return msgspec.json.encode({"event_generator_id": generator_id, "context": CONTEXT, "recipients": [recipient]})

    def execution_of(answer: bytes) -> UUID:
        (message,) = msgspec.json.decode(answer)["messages"]
        return premises.core.send_ids.decode(message["id"])[0]

    path = f"/v1/groups/{club.brand.id}/messages"
    return await _timed(premises, club, path, body, execution_of, rate_per_s=MESSAGES_PER_S, duration_s=duration_s)


async def _timed(
    premises: Premises,
    club: Club,
    path: str,
    body_of: Callable[[int], bytes],
    execution_of: Callable[[bytes], UUID],
    *,
    rate_per_s: int,
    duration_s: float,
) -> Timed:
    sent_at_s: dict[int, float] = {}
    called: dict[UUID, float] = {}

    def body(number: int) -> bytes:
        sent_at_s[number] = time.time()
        return body_of(number)

    def take(number: int, status: int, answer: bytes) -> None:
        if status != 202:
            fail(f"Call {number} was answered with {status}: {answer.decode()[:300]}")
        called[execution_of(answer)] = sent_at_s[number]

    host, port = premises.settings.host, premises.settings.port
    headers = {"Authorization": f"Bearer {club.key.token}", "Content-Type": "application/json"}
    await open_loop(
        host,
        port,
        post_maker(f"{host}:{port}", path, headers, body),
        connections=_CONNECTIONS,
        requests=max(1, round(rate_per_s * duration_s)),
        rate_per_s=rate_per_s,
        take=take,
    )
    ended = await _ended(premises, club, list(called))
    return Timed([ended[execution_id].timestamp() - sent_s for execution_id, sent_s in called.items()])


async def _ended(premises: Premises, club: Club, execution_ids: list[UUID]) -> dict[UUID, datetime]:
    async with asyncio.timeout(_ENDED_WITHIN_S):
        while True:
            found = await ends(premises, club, execution_ids)
            if len(found) == len(execution_ids):
                return found
            await asyncio.sleep(_LOOK_EVERY_S)
