"""What is old is dropped, with nobody waiting for it; its daily totals stay, each counted once."""

from datetime import UTC, datetime, timedelta

import pytest

from stentor.channels.contract import Accepted, Rejected
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import NotFound
from stentor.executions.history import HISTORY_DAYS, drop_history
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from trigger_world import rows

pytestmark = pytest.mark.anyio

THEN = timedelta(days=HISTORY_DAYS + 8)


async def dropped(db: Database, *, after: timedelta = THEN) -> int:
    """Lets the keeper drop what is old at that time; in how many steps it did something."""
    steps = 0
    async with Database(db.dsn, size=2, shift=after) as then:
        while await drop_history(then, days=HISTORY_DAYS):
            steps += 1
    return steps


async def delivered(db: Database) -> World:
    world = await World.made(db)
    await world.people([Someone("one"), Someone("two"), Someone("refused")])
    channel = ScriptedChannel(lambda message: Rejected("no") if message.address.startswith("refused") else Accepted())
    for _ in range(2):
        await world.execution(await world.publication())
    await Engine(db, channel).drain()
    return world


async def test_what_is_old_is_dropped_and_its_daily_totals_stay(db: Database):
    world = await delivered(db)

    await dropped(db)

    for table in ("execution", "slice", "chunk", "wave", "tally", "reconciliation", "send", "delivery_event"):
        assert await rows(db, f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608 - names of ours
    totals = await rows(
        db, "SELECT brand_id, day, channel, state, sum(sends) FROM daily_total GROUP BY 1, 2, 3, 4 ORDER BY 4"
    )
    today = datetime.now(UTC).date()
    assert totals == [
        (world.brand_id, today, ChannelKind.EMAIL, state, sends) for state, sends in ((-1, 6), (2, 4), (4, 2))
    ]


async def test_dropping_again_counts_nothing_twice(db: Database):
    await delivered(db)
    await dropped(db)
    before = await rows(db, "SELECT * FROM daily_total ORDER BY 1, 2, 3, 4, 5, 6")

    assert await dropped(db) == 0
    assert await rows(db, "SELECT * FROM daily_total ORDER BY 1, 2, 3, 4, 5, 6") == before


async def test_what_is_not_old_yet_stays(db: Database):
    await delivered(db)

    assert await dropped(db, after=timedelta(days=HISTORY_DAYS - 1)) == 0
    assert await rows(db, "SELECT count(*) FROM execution") == [(2,)]


async def test_nothing_is_dropped_from_a_copy_that_was_restored_to_be_looked_at(db: Database):
    await delivered(db)
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO installation (secret_fingerprint, created_at, backup_at, restored_at, paused_at)"
            " VALUES ('', now(), now(), now(), now())"
        )

    assert await dropped(db) == 0
    assert await rows(db, "SELECT count(*) FROM execution") == [(2,)]


async def test_what_has_not_ended_stays_with_its_week(db: Database):
    world = await delivered(db)
    waiting = await world.execution(await world.publication())
    await Engine(db, ScriptedChannel()).plan()

    await dropped(db)

    assert await rows(db, "SELECT id FROM execution") == [(waiting,)]
    assert set((await world.fates(waiting)).values()) == {"pending"}


async def test_nobody_waits_for_a_week_that_is_dropped_while_somebody_reads(db: Database):
    await delivered(db)
    async with db.transaction() as dumping:
        await dumping.execute("LOCK TABLE send IN ACCESS SHARE MODE")
        await dropped(db)
        assert await rows(db, "SELECT count(*) > 0 FROM send") == [(True,)]

    assert await dropped(db) > 0
    assert await rows(db, "SELECT count(*) FROM send") == [(0,)]


async def test_whoever_asks_for_what_is_that_old_is_told_that_it_is_dropped(db: Database):
    world = await delivered(db)

    with pytest.raises(NotFound, match=f"dropped after {HISTORY_DAYS} days"):
        await Engine(db, ScriptedChannel()).executions.find(world.brand_id, new_id(datetime.now(UTC) - THEN))
    with pytest.raises(NotFound, match="no such execution"):
        await Engine(db, ScriptedChannel()).executions.find(world.brand_id, new_id())
