import asyncio
from datetime import timedelta
from typing import Any

import pytest

from stentor.accounts.model import Brand
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Invalid, NotFound, Unavailable, Unprocessable
from stentor.triggers.committer import CommitLimits
from stentor.triggers.model import Accepted
from trigger_world import SCHEMA, call_of, make_brand, make_generator, outcomes_of, rows, taking_calls

pytestmark = pytest.mark.anyio


@pytest.fixture
async def brand(db: Database) -> Brand:
    return await make_brand(db)


async def test_an_accepted_call_is_a_queued_execution_on_disk(db: Database, brand: Brand):
    publication_id = await make_generator(db, brand, "kick-off", lane="alert")

    async with taking_calls(db) as triggers:
        outcome = await triggers.run(call_of(brand, context={"match_id": "m-1", "odds": 1.5}, is_test=True))

    assert isinstance(outcome, Accepted)
    columns = "brand_id, publication_id, generator_id, topic_key, context, lane, is_test, triggered_by, state, topic_id"
    (row,) = await rows(db, f"SELECT {columns} FROM execution WHERE id = %s", outcome.execution_id)  # noqa: S608
    assert row == (
        brand.id,
        publication_id,
        "kick-off",
        "team-42",
        {"match_id": "m-1", "odds": 1.5},
        1,
        True,
        "key 1",
        "queued",
        None,
    )


@pytest.mark.fault("F12")
async def test_times_come_from_the_database_and_its_shift(brand: Brand, db: Database, database_dsn: str):
    await make_generator(db, brand, "kick-off")

    async with Database(database_dsn, size=3, shift=timedelta(days=30)) as shifted, taking_calls(shifted) as triggers:
        await triggers.run(call_of(brand))

    query = "SELECT created_at - now() > interval '29 days', status_at = created_at FROM execution"
    assert await rows(db, query) == [(True, True)]


@pytest.mark.fault("F14")
async def test_equal_calls_without_a_key_are_two_executions(db: Database, brand: Brand):
    await make_generator(db, brand, "kick-off")

    async with taking_calls(db) as triggers:
        first, second = await outcomes_of(triggers, [call_of(brand), call_of(brand)])

    assert first != second
    assert await rows(db, "SELECT count(*) FROM execution") == [(2,)]


async def test_many_calls_at_once_share_transactions_and_are_all_stored(db: Database, brand: Brand):
    await make_generator(db, brand, "kick-off")
    calls = [call_of(brand, context={"match_id": str(number)}) for number in range(400)]

    async with taking_calls(db) as triggers:
        outcomes = await outcomes_of(triggers, calls)

    stored = dict(await rows(db, "SELECT id, context ->> 'match_id' FROM execution"))
    assert [stored[outcome.execution_id] for outcome in outcomes if isinstance(outcome, Accepted)] == [
        str(number) for number in range(400)
    ]
    assert await rows(db, "SELECT count(DISTINCT xmin::text) < 40 FROM execution") == [(True,)]


async def test_an_unknown_generator_and_one_of_another_brand_are_not_found_alike(db: Database, brand: Brand):
    other = await make_brand(db, "Tennis")
    await make_generator(db, other, "theirs")

    async with taking_calls(db) as triggers:
        outcomes = await outcomes_of(
            triggers,
            [call_of(brand, name) for name in ("theirs", "nobody's", "", "x" * 201, "a\x00b", "\ud800", "../..")],
        )

    assert [(type(outcome), str(outcome)) for outcome in outcomes] == [
        (NotFound, "This brand has no such event generator.")
    ] * 7


async def test_a_brand_that_is_not_there_has_no_generators(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        with pytest.raises(NotFound):
            await triggers.run(call_of(brand, brand_id=new_id()))


@pytest.mark.parametrize(
    ("made", "says"),
    [({"type": "scheduled"}, "only one of type `api_triggered`"), ({"published": False}, "Publish it")],
)
async def test_a_generator_that_cannot_run_says_what_to_do(db: Database, brand: Brand, made: dict[str, Any], says: str):
    await make_generator(db, brand, "kick-off", **made)

    async with taking_calls(db) as triggers:
        with pytest.raises(Unprocessable, match=says):
            await triggers.run(call_of(brand))


@pytest.mark.parametrize(
    ("context", "pointer"),
    [
        ({}, "/context/match_id"),
        ({"match_id": 7}, "/context/match_id"),
        ({"match_id": "m-1", "minute": "90"}, "/context/minute"),
        ({"match_id": "m-1", "note": "x" * 65536}, "/context"),
        ({"match_id": "m-1", "note": "a\x00b"}, "/context/note"),
        ({"match_id": "m-1", "huge": 2**63}, "/context/huge"),
    ],
)
async def test_a_context_that_breaks_the_schema_or_a_limit_is_refused_by_field(
    db: Database, brand: Brand, context: dict[str, Any], pointer: str
):
    await make_generator(db, brand, "kick-off", schema=SCHEMA)

    async with taking_calls(db) as triggers:
        with pytest.raises(Invalid) as caught:
            await triggers.run(call_of(brand, context=context))

    assert [violation.pointer for violation in caught.value.violations] == [pointer]
    assert await rows(db, "SELECT count(*) FROM execution") == [(0,)]


@pytest.mark.parametrize("topic_key", ["", "x" * 201, "a\x00b"])
async def test_a_topic_key_that_no_topic_can_have_is_refused(db: Database, brand: Brand, topic_key: str):
    await make_generator(db, brand, "kick-off")

    async with taking_calls(db) as triggers:
        with pytest.raises(Invalid) as caught:
            await triggers.run(call_of(brand, topic_key=topic_key))

    assert [violation.pointer for violation in caught.value.violations] == ["/topic_key"]


async def test_a_call_that_the_database_refuses_fails_alone(db: Database, brand: Brand):
    await make_generator(db, brand, "kick-off")
    async with db.transaction() as conn:
        await conn.execute("ALTER TABLE execution ADD CHECK (topic_key <> 'poison')")
    calls = [call_of(brand, topic_key="poison" if number % 50 == 7 else "team-42") for number in range(100)]

    async with taking_calls(db) as triggers:
        outcomes = await asyncio.gather(*(triggers.run(call) for call in calls), return_exceptions=True)

    failed = [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, Accepted)]
    assert failed == [7, 57]
    assert await rows(db, "SELECT count(*) FROM execution") == [(98,)]


async def test_a_process_that_takes_no_calls_yet_or_any_more_says_so(db: Database, brand: Brand):
    await make_generator(db, brand, "kick-off")

    async with taking_calls(db) as triggers:
        await triggers.run(call_of(brand))

    with pytest.raises(Unavailable):
        await triggers.run(call_of(brand))


async def test_calls_that_wait_when_the_process_stops_are_still_stored(db: Database, brand: Brand):
    await make_generator(db, brand, "kick-off")
    async with taking_calls(db, CommitLimits(batch_calls_max=1)) as triggers:
        await triggers.run(call_of(brand))
        waiting = [asyncio.ensure_future(triggers.run(call_of(brand))) for _ in range(20)]
        await asyncio.sleep(0)

    assert all(isinstance(outcome, Accepted) for outcome in await asyncio.gather(*waiting))


async def test_more_calls_than_may_wait_are_turned_away(db: Database, brand: Brand):
    await make_generator(db, brand, "kick-off")
    limits = CommitLimits(waiting_calls_max=10)

    async with taking_calls(db, limits) as triggers:
        await triggers.run(call_of(brand))
        outcomes = await outcomes_of(triggers, [call_of(brand) for _ in range(50)])

    turned_away = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert len(turned_away) == 40
    assert turned_away[0].retry_after_s == 1


async def test_a_caller_who_hangs_up_takes_nobody_along(db: Database, brand: Brand):
    await make_generator(db, brand, "kick-off")

    async with taking_calls(db) as triggers:
        await triggers.run(call_of(brand))
        callers = [asyncio.ensure_future(triggers.run(call_of(brand))) for _ in range(20)]
        await asyncio.sleep(0)
        for caller in callers[::2]:
            caller.cancel()
        outcomes = await asyncio.gather(*callers, return_exceptions=True)

    assert all(isinstance(outcome, Accepted) for outcome in outcomes[1::2])


async def test_a_database_that_is_away_is_no_crash(db: Database, brand: Brand, database_dsn: str):
    await make_generator(db, brand, "kick-off")
    async with Database(database_dsn, size=3) as lost, taking_calls(lost) as triggers:
        await triggers.run(call_of(brand))

        await lost.aclose()
        outcomes = await outcomes_of(triggers, [call_of(brand) for _ in range(5)])

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5


async def test_a_dry_run_checks_all_that_a_run_checks_and_writes_nothing(db: Database):
    brand = await make_brand(db, "Slow", run_rate_per_s=1)
    await make_generator(db, brand, "kick-off", schema=SCHEMA)

    async with taking_calls(db) as triggers:
        forecasts = [await triggers.dry_run(call_of(brand)) for _ in range(3)]
        with pytest.raises(Invalid):
            await triggers.dry_run(call_of(brand, context={}))
        with pytest.raises(NotFound):
            await triggers.dry_run(call_of(brand, "nobody's"))
        outcome = await triggers.run(call_of(brand))

    assert [forecast.error_code for forecast in forecasts] == ["TOPIC_NOT_FOUND"] * 3
    assert isinstance(outcome, Accepted)
    assert await rows(db, "SELECT count(*) FROM execution") == [(1,)]
