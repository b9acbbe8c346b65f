"""Runs with a `start_at`: scheduled until then, begun once, and never late in silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from stentor.accounts.model import Brand
from stentor.campaigns.model import Deduplication
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.policy import CampaignPolicy
from stentor.errors import Conflict, Invalid
from stentor.executions.model import Execution
from stentor.executions.service import start_due, sweep_expired
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from stentor.triggers.model import Accepted, Deduplicated, Replayed
from stentor.triggers.service import START_AHEAD_DAYS_MAX
from trigger_world import answer_of, call_of, make_brand, make_generator, rows, taking_calls

pytestmark = pytest.mark.anyio

TOMORROW = timedelta(days=1)


@pytest.fixture
async def brand(db: Database) -> Brand:
    brand = await make_brand(db)
    await make_generator(db, brand, "kick-off")
    return brand


def to_come(after: timedelta = TOMORROW) -> datetime:
    return datetime.now(UTC) + after


@asynccontextmanager
async def later(db: Database, by: timedelta) -> AsyncIterator[Database]:
    async with Database(db.dsn, size=3, shift=by) as shifted:
        yield shifted


async def scheduled(db: Database, brand: Brand, start_at: datetime | None = None, **changes: Any) -> UUID:
    async with taking_calls(db) as triggers:
        outcome = await triggers.run(call_of(brand, start_at=start_at or to_come(), **changes))
    assert isinstance(outcome, Accepted)
    return outcome.execution_id


async def found(db: Database, brand: Brand, execution_id: UUID) -> Execution:
    return await Engine(db, ScriptedChannel()).executions.find(brand.id, execution_id)


async def test_a_run_is_scheduled_until_its_time_and_then_queued(db: Database, brand: Brand):
    execution_id = await scheduled(db, brand)
    early = await start_due(db)
    waiting = await found(db, brand, execution_id)

    async with later(db, TOMORROW) as then:
        begun = await start_due(then), await start_due(then)

    assert (early, waiting.state) == (0, "scheduled")
    assert begun == (1, 0)
    assert (await found(db, brand, execution_id)).state == "queued"


async def test_who_is_meant_is_asked_when_it_starts(db: Database):
    world = await World.made(db)
    await world.people([Someone("before")])
    execution_id = await world.execution(await world.publication())
    async with db.autocommit() as conn:
        await conn.execute("UPDATE execution SET state = 'scheduled', start_at = now() + interval '1 day'")
    await Engine(db, ScriptedChannel()).drain()

    await world.people([Someone("meanwhile")])
    async with later(db, TOMORROW) as then:
        await start_due(then)
        await Engine(then, ScriptedChannel()).drain()

    assert await world.fates(execution_id) == {"before": "handed_over", "meanwhile": "handed_over"}


async def test_its_id_is_of_the_time_at_which_it_starts(db: Database, brand: Brand):
    start_at = to_come(timedelta(days=300))

    execution_id = await scheduled(db, brand, start_at)

    assert execution_id.version == 7
    assert execution_id.int >> 80 == int(start_at.timestamp() * 1000)


async def test_several_keepers_at_once_begin_it_once(db: Database, brand: Brand):
    for _ in range(5):
        await scheduled(db, brand)

    async with later(db, TOMORROW) as then:
        begun = await asyncio.gather(*(start_due(then) for _ in range(3)))

    assert sum(begun) == 5


async def test_what_is_cancelled_before_its_time_never_starts(db: Database, brand: Brand):
    execution_id = await scheduled(db, brand)
    await Engine(db, ScriptedChannel()).executions.cancel(brand.id, execution_id)

    async with later(db, TOMORROW) as then:
        assert await start_due(then) == 0

    execution = await found(db, brand, execution_id)
    assert (execution.state, execution.error_code) == ("cancelled", "CANCELLED")


async def test_what_is_paused_at_its_time_starts_when_it_is_resumed(db: Database, brand: Brand):
    execution_id = await scheduled(db, brand)
    await Engine(db, ScriptedChannel()).executions.pause(brand.id, execution_id)

    async with later(db, TOMORROW * 3) as then:
        assert await start_due(then) == 0
        resumed = await Engine(then, ScriptedChannel()).executions.resume(brand.id, execution_id)
        assert await start_due(then) == 1
        with pytest.raises(Conflict):
            await Engine(then, ScriptedChannel()).executions.resume(brand.id, execution_id)

    assert resumed.execution.state == "scheduled"
    assert (await found(db, brand, execution_id)).state == "queued"


@pytest.mark.parametrize(("late", "state"), [(timedelta(minutes=59), "queued"), (timedelta(minutes=61), "failed")])
async def test_what_an_outage_kept_from_starting_is_not_sent_late_in_silence(
    db: Database, brand: Brand, late: timedelta, state: str
):
    execution_id = await scheduled(db, brand)

    async with later(db, TOMORROW + late) as then:
        assert await start_due(then) == 1

    execution = await found(db, brand, execution_id)
    assert execution.state == state
    assert execution.error_code == (None if state == "queued" else "DEADLINE")


async def test_its_deadline_counts_from_its_start(db: Database, brand: Brand):
    publication_id = await make_generator(db, brand, "hurried")
    policy = msgspec.json.encode(CampaignPolicy(deadline="10m")).decode()
    async with db.autocommit() as conn:
        await conn.execute(
            "UPDATE publication SET content = jsonb_set(content, '{policy}', %s::jsonb) WHERE id = %s",
            [policy, publication_id],
        )
    execution_id = await scheduled(db, brand, generator_id="hurried")

    async with later(db, TOMORROW) as then:
        await sweep_expired(then)
        await start_due(then)

    ((left,),) = await rows(db, "SELECT deadline_at - start_at FROM execution WHERE id = %s", execution_id)
    assert left == timedelta(minutes=10)
    assert (await found(db, brand, execution_id)).state == "queued"


async def test_a_start_a_moment_ago_means_at_once(db: Database, brand: Brand):
    execution_id = await scheduled(db, brand, to_come(-timedelta(seconds=30)))

    assert (await found(db, brand, execution_id)).state == "queued"


@pytest.mark.parametrize(
    ("after", "code"),
    [(-timedelta(seconds=90), "past"), (timedelta(days=START_AHEAD_DAYS_MAX, minutes=1), "too-far")],
)
async def test_a_start_that_is_past_or_too_far_ahead_is_refused(
    db: Database, brand: Brand, after: timedelta, code: str
):
    async with taking_calls(db) as triggers:
        with pytest.raises(Invalid) as refused:
            await triggers.run(call_of(brand, start_at=to_come(after)))

    (violation,) = refused.value.violations
    assert (violation.pointer, violation.code) == ("/start_at", code)


async def test_a_repeated_call_is_replayed_even_when_its_start_is_past(db: Database, brand: Brand):
    call = call_of(brand, key="k", start_at=to_come())
    async with taking_calls(db) as triggers:
        first = await triggers.run(call)
        assert isinstance(first, Accepted)
        ours = call_of(brand, key="k", start_at=to_come(-TOMORROW))

        async with taking_calls(db) as elsewhere:
            assert await elsewhere.run(ours) == Replayed(answer_of(first.execution_id))


async def test_an_event_is_told_from_the_call_until_the_window_after_its_start(db: Database, brand: Brand):
    window = timedelta(hours=1)
    said = Deduplication(("match_id",), int(window.total_seconds()))
    await make_generator(db, brand, "told", deduplication=said)
    first = await scheduled(db, brand, generator_id="told")

    async with taking_calls(db) as triggers:
        assert await triggers.run(call_of(brand, "told")) == Deduplicated(first)
    async with later(db, TOMORROW + window / 2) as then, taking_calls(then) as triggers:
        assert await triggers.run(call_of(brand, "told")) == Deduplicated(first)
    async with later(db, TOMORROW + window * 1.1) as then, taking_calls(then) as triggers:
        assert isinstance(await triggers.run(call_of(brand, "told")), Accepted)


@pytest.mark.parametrize("hours", [-24, -1, 1, 24])
async def test_the_clock_of_the_process_that_takes_the_call_is_not_asked(db: Database, brand: Brand, hours: int):
    half_an_hour = timedelta(minutes=30)

    async with taking_calls(db, clock=Clock(timedelta(hours=hours))) as triggers:
        outcome = await triggers.run(call_of(brand, start_at=to_come(half_an_hour)))
        with pytest.raises(Invalid, match="is past"):
            await triggers.run(call_of(brand, start_at=to_come(-half_an_hour)))

    assert isinstance(outcome, Accepted)
    assert (await found(db, brand, outcome.execution_id)).state == "scheduled"
    assert await start_due(db) == 0
    async with later(db, half_an_hour) as then:
        assert await start_due(then) == 1
