"""Every end of an execution has its books: counted from rows, stored with the end, and told of where counters differ."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from stentor.channels.contract import Accepted, InDoubt
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import NotFound, Unavailable
from stentor.executions.ending import end_finished, end_forgotten
from stentor.executions.service import EXPORTS_MAX
from stentor.report.recipients import RecipientFilter
from stentor.report.reconciliations import PIECE_PEOPLE, Reconciliation, batches, pieces_of
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

EVERYBODY = RecipientFilter()


async def delivered(db: Database, people: int = 3) -> tuple[World, Engine, UUID]:
    world = await World.made(db)
    await world.people([Someone(f"p{number}") for number in range(people)])
    engine = Engine(db, ScriptedChannel())
    execution_id = await world.execution(await world.publication())
    await engine.drain()
    return world, engine, execution_id


async def reconciliations(engine: Engine, world: World, execution_id: UUID) -> list[Reconciliation]:
    return await engine.executions.reconciliations(world.brand_id, execution_id, before=None, limit=10)


async def do(db: Database, statement: str) -> None:
    async with db.autocommit() as conn:
        await conn.execute(statement.encode())


async def test_books_are_counted_from_rows(db: Database):
    world, engine, execution_id = await delivered(db)

    (books,) = await reconciliations(engine, world, execution_id)

    assert (books.number, books.balanced) == (1, True)
    assert [(one.channel, one.audience, one.handed_over) for one in books.channels] == [("email", 3, 3)]


async def test_counters_that_differ_from_the_rows_are_told_of(db: Database):
    world, engine, execution_id = await delivered(db)
    await do(db, "UPDATE tally SET sends = sends + 1 WHERE state = 2")
    await do(db, "UPDATE execution SET state = 'sending', ended_at = NULL")

    with capture_logs() as logs:
        await end_finished(db, [execution_id])

    second, first = await reconciliations(engine, world, execution_id)
    assert (second.balanced, first.balanced) == (False, True)
    assert second.channels == first.channels
    assert [one["event"] for one in logs if one["log_level"] == "error"] == ["execution.unbalanced"]


@pytest.mark.parametrize("what", ["cancel", "remedy", "slice"])
async def test_whatever_comes_while_the_rows_are_counted_puts_off_the_end(db: Database, what: str):
    world, engine, execution_id = await delivered(db)
    await do(db, "UPDATE execution SET state = 'sending', ended_at = NULL")
    await do(db, "DELETE FROM reconciliation")
    changes: dict[str, str] = {
        "cancel": "UPDATE execution SET state = 'cancelled'",
        "remedy": "UPDATE execution SET remedies = remedies + 1",
        "slice": "UPDATE execution SET slices_left = slices_left + 1",
    }
    counting = MeddledWith(db, lambda: do(db, changes[what]))

    assert await end_finished(counting, [execution_id]) == []
    assert await reconciliations(engine, world, execution_id) == []
    assert await end_finished(db, [execution_id]) == [execution_id]


class MeddledWith(Database):
    """A database in which something happens between the counting of rows and the next transaction."""

    def __init__(self, db: Database, meddle: Callable[[], Awaitable[None]]) -> None:
        super().__init__(db.dsn)
        self._real = db
        self._meddle = meddle
        self._transactions = 0

    @asynccontextmanager
    async def read(self, *, statement_timeout: timedelta | None = None) -> AsyncIterator[Connection]:
        async with self._real.read(statement_timeout=statement_timeout) as conn:
            yield conn

    @asynccontextmanager
    async def transaction(self, *, statement_timeout: timedelta | None = None) -> AsyncIterator[Connection]:
        self._transactions += 1
        if self._transactions == 2:
            await self._meddle()
        async with self._real.transaction(statement_timeout=statement_timeout) as conn:
            yield conn


async def test_two_who_end_it_at_once_store_one_reconciliation(db: Database):
    world, engine, execution_id = await delivered(db)
    await do(db, "UPDATE execution SET state = 'sending', ended_at = NULL")

    ended = await asyncio.gather(*(end_finished(db, [execution_id]) for _ in range(4)))

    assert sorted(ended) == [[], [], [], [execution_id]]
    assert [one.number for one in await reconciliations(engine, world, execution_id)] == [2, 1]


async def test_what_was_cancelled_ends_with_its_books_too(db: Database):
    world = await World.made(db)
    await world.people([Someone("one")])
    engine = Engine(db, ScriptedChannel())
    planned, unplanned = [await world.execution(await world.publication()) for _ in range(2)]
    await engine.executions.cancel(world.brand_id, unplanned)
    await engine.plan()
    await engine.executions.cancel(world.brand_id, planned)
    await engine.deliver()

    assert await end_forgotten(db) == 1
    (books,) = await reconciliations(engine, world, planned)
    (empty,) = await reconciliations(engine, world, unplanned)
    assert books.channels[0].skipped_by_reason == {"execution_cancelled": 1}
    assert (empty.channels, empty.balanced) == ([], True)
    assert await end_forgotten(db) == 0


def test_a_large_execution_is_counted_in_pieces_and_small_ones_together():
    large = list(pieces_of(UUID(int=1), UUID(int=2), 1_000_000))
    small = [piece for number in range(30) for piece in pieces_of(UUID(int=number), UUID(int=2), 1_000)]

    assert len(large) == 50
    assert [(one.part_from, one.part_to) for one in (large[0], large[-1])] == [(0, 80), (4014, 4095)]
    assert sum(one.part_to - one.part_from + 1 for one in large) == 4096
    assert [len(batch) for batch in batches(iter(large))] == [1] * 50
    assert [len(batch) for batch in batches(iter(small))] == [PIECE_PEOPLE // 1_000, 10]


async def test_what_a_cancelled_execution_left_unplanned_is_passed_over_by_nobody(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone(f"p{number}") for number in range(21_000)])
    execution_id = await world.execution(await world.publication())
    await engine.planner.plan_next()
    await engine.planner.plan_next()
    await engine.executions.cancel(world.brand_id, execution_id)

    await engine.drain()
    await end_forgotten(db)

    async with db.read() as conn:
        cursor = await conn.execute("SELECT count(*) FROM slice WHERE planned_at IS NULL")
        assert await cursor.fetchall() == [(0,)]
    (books,) = await reconciliations(engine, world, execution_id)
    assert books.balanced


async def test_an_export_is_of_one_moment_whatever_happens_while_it_is_read(db: Database):
    world = await World.made(db)
    await world.people([Someone(f"p{number}") for number in range(2_500)])
    channel = ScriptedChannel(lambda _message: InDoubt("lost"))
    engine = Engine(db, channel)
    execution_id = await world.execution(await world.publication())
    await engine.drain()

    pages = engine.executions.export_recipients(world.brand_id, execution_id, EVERYBODY)
    rows = list(await anext(pages))
    await do(db, "UPDATE send SET state = 2, decided_at = decided_at")
    async for page in pages:
        rows += page

    assert len({row.customer_id for row in rows}) == len(rows) == 2_500
    assert {row.state.label for row in rows} == {"unknown"}


async def test_exports_are_bounded_and_those_that_are_let_go_of_make_room(db: Database):
    world, _, execution_id = await delivered(db)
    async with Database(db.dsn, size=EXPORTS_MAX + 2) as pool:
        executions = Engine(pool, ScriptedChannel(lambda _message: Accepted())).executions
        reading = [executions.export_recipients(world.brand_id, execution_id, EVERYBODY) for _ in range(EXPORTS_MAX)]
        for one in reading:
            await anext(one)

        with pytest.raises(Unavailable, match="exports"):
            await anext(executions.export_recipients(world.brand_id, execution_id, EVERYBODY))
        for one in reading:
            await one.aclose()
        last = executions.export_recipients(world.brand_id, execution_id, EVERYBODY)
        rows = await anext(last)
        await last.aclose()

    assert len(rows) == 3


async def test_nothing_of_another_brand_is_exported(db: Database):
    _, engine, execution_id = await delivered(db)
    stranger = await World.made(db, "Stranger")

    with pytest.raises(NotFound):
        await anext(engine.executions.export_recipients(stranger.brand_id, execution_id, EVERYBODY))
    with pytest.raises(NotFound):
        await anext(engine.executions.reconciliation_lines(stranger.brand_id, execution_id))
