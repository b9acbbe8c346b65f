import asyncio
from uuid import uuid4

import pytest

from losing_replies import LosingReplies
from stentor.answers.model import Answer
from stentor.answers.service import answered_once
from stentor.db.pool import Database
from stentor.errors import Unavailable

pytestmark = pytest.mark.anyio

BRAND, HASH = uuid4(), bytes(32)
MADE = Answer(201, {"Location": "/1"}, b"made")


class Handler:
    """Notes each of its calls in the database, as whatever has no name of its own is noted."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def __call__(self) -> Answer:
        async with self._db.transaction() as conn:
            await conn.execute("INSERT INTO made DEFAULT VALUES")
        return MADE

    async def made(self) -> int:
        async with self._db.read() as conn:
            return len(await (await conn.execute("SELECT FROM made")).fetchall())


@pytest.fixture
async def handler(db: Database) -> Handler:
    async with db.autocommit() as conn:
        await conn.execute("CREATE TABLE made ()")
    return Handler(db)


@pytest.mark.fault("F5")
async def test_a_call_whose_commit_was_in_doubt_is_not_handled_again(handler: Handler, database_dsn: str):
    async with LosingReplies(database_dsn, size=2) as losing:
        cut_off = Handler(losing)

        async def until_the_commit() -> Answer:
            answer = await cut_off()
            losing.lose = 1
            return answer

        with pytest.raises(Unavailable):
            await answered_once(losing, BRAND, "k-1", HASH, until_the_commit)
        repeated = await answered_once(losing, BRAND, "k-1", HASH, cut_off)

    assert repeated == (MADE, True)
    assert await handler.made() == 1


async def test_a_call_that_dies_before_its_answer_is_stored_leaves_nothing(db: Database, handler: Handler):
    async def dying() -> Answer:
        await handler()
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await answered_once(db, BRAND, "k-1", HASH, dying)
    assert await handler.made() == 0

    assert await answered_once(db, BRAND, "k-1", HASH, handler) == (MADE, False)


async def test_calls_that_take_their_time_leave_connections_to_others(db: Database, handler: Handler):
    begun, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def slow() -> Answer:
        begun.release()
        await may_end.wait()
        return MADE

    calls = [asyncio.create_task(answered_once(db, BRAND, f"k-{number}", HASH, slow)) for number in range(20)]
    await begun.acquire()
    async with asyncio.timeout(5):
        assert await handler.made() == 0
    may_end.set()

    assert await asyncio.gather(*calls) == [(MADE, False)] * 20


async def test_calls_that_wait_for_an_equal_one_hold_no_connection(handler: Handler, database_dsn: str):
    async with Database(database_dsn, size=6) as db:
        begun, waited_for = asyncio.Event(), asyncio.Event()

        async def slow() -> Answer:
            begun.set()
            await waited_for.wait()
            async with asyncio.timeout(5):
                await asyncio.create_task(Handler(db).made())
            return await Handler(db)()

        first = asyncio.create_task(answered_once(db, BRAND, "k-1", HASH, slow))
        await begun.wait()
        others = [asyncio.create_task(answered_once(db, BRAND, "k-1", HASH, handler)) for _ in range(20)]
        await answered_once(db, BRAND, "k-2", HASH, handler)
        waited_for.set()

        assert await first == (MADE, False)
        assert await asyncio.gather(*others) == [(MADE, True)] * 20
    assert await handler.made() == 2
