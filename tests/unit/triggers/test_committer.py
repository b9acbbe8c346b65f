import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from stentor.domain.ids import new_id
from stentor.domain.vocabulary import Lane
from stentor.errors import Unavailable
from stentor.testing.waiting import eventually
from stentor.triggers.admission import Candidate, Outcome
from stentor.triggers.committer import CommitLimits, Committer
from stentor.triggers.model import Accepted, QueuedCall

pytestmark = pytest.mark.anyio

BRAND = new_id()


class Database:
    """Admits everything, once its gate is open, and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()

    async def admit(self, batch: Sequence[Candidate]) -> list[Outcome]:
        self.batches.append([candidate.call.topic_key for candidate in batch])
        await self.gate.wait()
        return [Accepted(candidate.call.id) for candidate in batch]


def candidate(name: str, size: int = 2) -> Candidate:
    context = msgspec.Raw(b"{" + b" " * (size - 2) + b"}")
    return Candidate(
        QueuedCall(new_id(), BRAND, 500, BRAND, "kick-off", name, context, Lane.BULK, False, "key 1"), None
    )


@asynccontextmanager
async def running(database: Database, **limits: int) -> AsyncIterator[Committer]:
    committer = Committer(database.admit, CommitLimits(**limits))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(committer.run(stop))
        await asyncio.sleep(0)
        try:
            yield committer
        finally:
            stop.set()
            database.gate.set()


async def test_while_a_batch_is_being_committed_the_next_one_gathers():
    database = Database()
    async with running(database) as committer:
        first = asyncio.ensure_future(committer.commit(candidate("a")))
        await eventually(lambda: len(database.batches) == 1)
        others = [asyncio.ensure_future(committer.commit(candidate(name))) for name in "bcdef"]
        await asyncio.sleep(0)
        database.gate.set()
        await asyncio.gather(first, *others)

    assert database.batches == [["a"], ["b", "c", "d", "e", "f"]]


async def test_a_batch_is_bounded_in_calls_and_in_bytes():
    database = Database()
    sizes = {"a": 10, "b": 10, "c": 10, "d": 10, "e": 60, "f": 50, "g": 5}
    async with running(database, batch_calls_max=3, batch_bytes_max=64) as committer:
        calls = [asyncio.ensure_future(committer.commit(candidate(name, size))) for name, size in sizes.items()]
        database.gate.set()
        await asyncio.gather(*calls)

    assert database.batches == [["a", "b", "c"], ["d"], ["e"], ["f", "g"]]


async def test_a_call_larger_than_a_batch_goes_alone():
    database = Database()
    async with running(database, batch_bytes_max=64) as committer:
        database.gate.set()
        await committer.commit(candidate("large", 1000))

    assert database.batches == [["large"]]


async def test_more_bytes_than_may_wait_are_turned_away():
    database = Database()
    async with running(database, waiting_bytes_max=100) as committer:
        first = asyncio.ensure_future(committer.commit(candidate("a", 80)))
        await eventually(lambda: len(database.batches) == 1)
        second = asyncio.ensure_future(committer.commit(candidate("b", 80)))
        await asyncio.sleep(0)

        with pytest.raises(Unavailable):
            await committer.commit(candidate("c", 80))
        database.gate.set()
        await asyncio.gather(first, second)

    assert database.batches == [["a"], ["b"]]


async def test_who_hung_up_while_waiting_is_not_run():
    database = Database()
    async with running(database) as committer:
        first = asyncio.ensure_future(committer.commit(candidate("a")))
        await eventually(lambda: len(database.batches) == 1)
        impatient, patient = (asyncio.ensure_future(committer.commit(candidate(name))) for name in "bc")
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.sleep(0)
        database.gate.set()
        await asyncio.gather(first, patient)

    assert database.batches == [["a"], ["c"]]


async def test_when_the_committer_is_killed_nobody_waits_for_ever():
    database = Database()
    committer = Committer(database.admit, CommitLimits())
    running = asyncio.ensure_future(committer.run(asyncio.Event()))
    await asyncio.sleep(0)
    calls = [asyncio.ensure_future(committer.commit(candidate(name))) for name in "ab"]
    await eventually(lambda: len(database.batches) == 1)

    running.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    with pytest.raises(asyncio.CancelledError):
        await running
