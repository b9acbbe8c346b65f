"""A database that goes away in the middle of a wave: what is known of the wave is not forgotten over it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from stentor.channels.contract import Message, Outcome, Wave
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.policy import BrandCap, BrandPolicy
from stentor.errors import Unavailable
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

AFTER_THE_LEASE = timedelta(seconds=30)


class Failing(Database):
    """A database that goes away at the end of a transaction: before its COMMIT, or before the reply to it."""

    before_commit = 0
    after_commit = 0

    @asynccontextmanager
    async def transaction(self, *, statement_timeout: timedelta | None = None) -> AsyncIterator[Connection]:
        async with super().transaction(statement_timeout=statement_timeout) as conn:
            yield conn
            if self.before_commit:
                self.before_commit -= 1
                raise Unavailable("The database does not answer: the server closed the connection")
        if self.after_commit:
            self.after_commit -= 1
            raise Unavailable("The database does not answer: the reply to COMMIT was lost")


class Interrupted(ScriptedChannel):
    """A channel that takes everything, while the database is about to go away as told."""

    def __init__(self, db: Failing, **outage: int) -> None:
        super().__init__()
        self._db = db
        self._outage = outage

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        for name, times in self._outage.items():
            setattr(self._db, name, times)
        self._outage = {}
        return await super().hand_over(wave, messages)


@pytest.fixture
async def failing(db: Database) -> AsyncIterator[Failing]:
    async with Failing(db.dsn, size=4) as opened:
        yield opened


async def open_unheard(engine: Engine, failing: Failing) -> None:
    """Commits a wave, hears nothing of it, and does not start it."""
    claim = await engine.deliverer.claim()
    assert claim is not None
    failing.after_commit = 1
    with pytest.raises(Unavailable):
        await engine.deliverer.deliver(claim, stop=asyncio.Event())


@pytest.mark.fault("F5")
@pytest.mark.parametrize("outage", ["before_commit", "after_commit"])
async def test_a_chunks_last_wave_is_settled_as_it_was_answered_whenever_the_database_goes_away(
    db: Database, failing: Failing, outage: str
):
    world, channel = await World.made(db), Interrupted(failing, **{outage: 1})
    await world.people([Someone("one"), Someone("two")])
    execution_id = await world.execution(await world.publication())
    engine = Engine(failing, channel)
    await engine.plan()

    await engine.deliver()

    assert set((await world.fates(execution_id)).values()) == {"handed_over"}
    assert len(channel.taken) == 2


@pytest.mark.fault("F5")
async def test_a_wave_whose_commit_was_not_heard_of_was_never_started_and_is_sent_by_the_next_worker(
    db: Database, failing: Failing
):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone("one"), Someone("two")])
    execution_id = await world.execution(await world.publication())
    engine = Engine(failing, channel)
    await engine.plan()

    await open_unheard(engine, failing)
    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        await Engine(later, channel, worker="heir").drain()

    assert set((await world.fates(execution_id)).values()) == {"handed_over"}
    assert len(channel.taken) == 2


async def test_a_wave_that_was_never_started_gives_back_what_it_reserved_of_a_cap(db: Database, failing: Failing):
    world, channel = await World.made(db), ScriptedChannel()
    await world.brand_policy(BrandPolicy((BrandCap(1, "24h"),)))
    await world.people([Someone("one")])
    publication_id = await world.publication()
    unstarted = await world.execution(publication_id)
    engine = Engine(failing, channel)
    await engine.plan()

    await open_unheard(engine, failing)
    await engine.executions.cancel(world.brand_id, unstarted)
    next_one = await world.execution(publication_id)
    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        await Engine(later, channel, worker="heir").drain()

    assert await world.fates(unstarted) == {"one": "skipped execution_cancelled"}
    assert await world.fates(next_one) == {"one": "handed_over"}
