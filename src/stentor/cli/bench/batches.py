"""Batches: how many are accepted durably and how fast each, how many profiles a second a stream of them takes in, and what follows."""

import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec

from stentor.cli.bench import fixtures
from stentor.cli.bench.club import Club, found_club
from stentor.cli.bench.result import Measure, megabytes, milliseconds, per_s
from stentor.cli.bench.schedules import SCHEDULES, schedules_started
from stentor.cli.bench.segments import measure_segments
from stentor.cli.memory import MemoryWatch
from stentor.cli.output import fail
from stentor.cli.premises import Premises
from stentor.testing.http_load import RequestMaker, closed_loop, open_loop, post_maker
from stentor.triggers.batches.streaming import StreamCall

PEOPLE = 1_000_000
PROFILES_PER_BATCH = 50
STEADY_RATE_PER_S = 300
"""At which the time of each is measured: what is promised."""

CONNECTIONS = 16
_SHARE = 4
_BATCHES_MIN = 20
_WARM_UP_BATCHES = 20
_CHUNK_BYTES = 1 << 20


async def measure(premises: Premises, people: int) -> dict[str, Measure]:
    """Batches into a database that a stream of `people` has filled before, a quarter as many of them twice; then segments.

    Segments are of those who came by the stream. Last come schedules, one for each hundred people, 10,000 at the most.
    """
    async with MemoryWatch(premises.data) as memory:
        async with premises.running(workers=0):
            club = await found_club(premises)
            bulk_per_s, tag_id = await _streamed(premises, club, people)
            await premises.until_listening()
            results = await _Batches(premises, club, people).measured(people // _SHARE)
        results |= {"bulk_profiles_per_s": per_s(bulk_per_s)}
        results |= await measure_segments(premises, club, tag_id)
        results |= await schedules_started(premises, min(SCHEDULES, max(1, people // 100)))
    return results | {"peak_rss_mb": megabytes(memory.peak_mb)}


async def _streamed(premises: Premises, club: Club, people: int) -> tuple[float, UUID]:
    """Profiles stored per second, from the stream's first byte to its last commit, and the tag that they have."""
    with tempfile.TemporaryFile(prefix="stentor-profiles-") as file:
        file.writelines(b"%b\n" % profile for profile in fixtures.profiles(range(people)))
        file.seek(0)

        async def chunks() -> AsyncIterator[bytes]:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

        call = StreamCall(
            brand_id=club.brand.id,
            source="the bench's stream",
            name="Bench",
            start_at=None,
            campaign_id=None,
            region=fixtures.REGION,
            made_by="the bench",
        )
        started_s = time.perf_counter()
        batch_id = (await premises.services.streams.begin(call)).batch_id
        done = await premises.services.imports.run(club.brand.id, batch_id, chunks())
        took_s = time.perf_counter() - started_s
    if done.added != people or done.rejected:
        fail(f"Of {people} profiles {done.added} were added and {done.rejected} rejected.")
    batch = await premises.services.batches.find(club.brand.id, batch_id)
    if batch.tag is None:
        fail("The stream left no tag. This is a defect; please report it.")
    return people / took_s, batch.tag.id


class _Batches:
    """Calls of 50 profiles each, all of them new people, and the batches that were acknowledged."""

    def __init__(self, premises: Premises, club: Club, first: int) -> None:
        self._premises = premises
        self._club = club
        self._first = first
        self._accepted: list[UUID] = []
        self._host, self._port = premises.settings.host, premises.settings.port

    async def measured(self, people: int) -> dict[str, Measure]:
        """The rate at which they are answered, and the time of each at a steady 300 a second."""
        batches = max(_BATCHES_MIN, people // PROFILES_PER_BATCH)
        await closed_loop(self._host, self._port, self._maker(_WARM_UP_BATCHES), **self._loop(_WARM_UP_BATCHES))
        fastest = await closed_loop(self._host, self._port, self._maker(batches), **self._loop(batches))
        steady = await open_loop(
            self._host, self._port, self._maker(batches), rate_per_s=STEADY_RATE_PER_S, **self._loop(batches)
        )
        await self._check(_WARM_UP_BATCHES + 2 * batches)
        return {
            "batches_per_s": per_s(fastest.answers_per_s),
            "batch_p99_ms": milliseconds(steady.latency_ms(0.99)),
        }

    def _loop(self, requests: int) -> dict[str, Any]:
        return {"connections": CONNECTIONS, "requests": requests, "take": self._take}

    def _maker(self, requests: int) -> RequestMaker:
        """Of so many batches, written down before: what is measured is not how fast the bench writes JSON."""
        numbers = range(self._first, self._first + requests * PROFILES_PER_BATCH)
        self._first = numbers.stop
        profiles = list(fixtures.profiles(numbers))
        bodies = [
            b'{"profiles":[%b]}' % b",".join(profiles[at : at + PROFILES_PER_BATCH])
            for at in range(0, len(profiles), PROFILES_PER_BATCH)
        ]
        headers = {"Authorization": f"Bearer {self._club.key.token}", "Content-Type": "application/json"}
        path = f"/v1/groups/{self._club.brand.id}/batches"
        return post_maker(f"{self._host}:{self._port}", path, headers, bodies.__getitem__)

    def _take(self, number: int, status: int, body: bytes) -> None:
        if status != 201:
            fail(f"Batch {number} was answered with {status}: {body.decode()[:300]}")
        self._accepted.append(msgspec.json.decode(body, type=_Answer).uuid)

    async def _check(self, batches: int) -> None:
        """Ends the command unless every acknowledged batch is there with all its profiles, each under an id of its own."""
        if len(set(self._accepted)) != batches:
            fail(f"{batches} batches were sent, and {len(set(self._accepted))} acknowledged.")
        for batch_id in (self._accepted[0], self._accepted[-1]):
            batch = await self._premises.services.batches.find(self._club.brand.id, batch_id)
            if len(batch.profiles) != PROFILES_PER_BATCH:
                fail(f"The acknowledged batch {batch_id} has {len(batch.profiles)} profiles.")
        counted = await self._premises.services.batches.count(self._club.brand.id)
        # And the stream, which is one too.
        if counted != batches + 1:
            fail(f"{batches} batches were acknowledged, and {counted - 1} are in the database.")


class _Answer(msgspec.Struct, frozen=True):
    uuid: UUID
