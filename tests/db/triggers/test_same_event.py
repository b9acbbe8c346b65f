"""Calls that tell of the same event: one execution, and everybody gets its id."""

from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from stentor.accounts.model import Brand
from stentor.campaigns.model import Deduplication
from stentor.db.pool import Database
from stentor.errors import Invalid, RateLimited
from stentor.triggers.events import forget_events
from stentor.triggers.model import Accepted, Deduplicated, Replayed
from trigger_world import answer_of, call_of, make_brand, make_generator, outcomes_of, rows, taking_calls

pytestmark = pytest.mark.anyio

WINDOW_S = 600
AFTER_THE_WINDOW = timedelta(seconds=WINDOW_S + 1)


@pytest.fixture
async def brand(db: Database) -> Brand:
    brand = await make_brand(db)
    await make_generator(db, brand, "kick-off", deduplication=Deduplication(("match_id",), WINDOW_S))
    return brand


def about(brand: Brand, match_id: Any, *, key: str | None = None, **changes: Any):
    context = {"match_id": match_id, "minute": changes.pop("minute", 0)}
    return call_of(brand, key=key, context=context, **changes)


async def accepted(triggers: Any, call: Any) -> UUID:
    outcome = await triggers.run(call)
    assert isinstance(outcome, Accepted)
    return outcome.execution_id


async def test_a_later_call_about_the_same_event_gets_the_first_ones_execution(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        first = await accepted(triggers, about(brand, "m-1", minute=1))

        again = await triggers.run(about(brand, "m-1", minute=2))

    assert again == Deduplicated(first)
    assert await rows(db, "SELECT id, context ->> 'minute' FROM execution") == [(first, "1")]


@pytest.mark.parametrize(
    "other", [{"match_id": "m-2"}, {"match_id": 1}, {"topic_key": "team-43"}, {"is_test": True}], ids=str
)
async def test_another_event_topic_or_a_test_is_a_call_of_its_own(db: Database, brand: Brand, other: dict[str, Any]):
    async with taking_calls(db) as triggers:
        await accepted(triggers, about(brand, "m-1"))

        outcome = await triggers.run(about(brand, **({"match_id": "m-1"} | other)))

    assert isinstance(outcome, Accepted)


async def test_a_thousand_calls_at_once_to_two_processes_are_one_execution(db: Database, brand: Brand):
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(taking_calls(db)) for _ in range(2)]
        calls = [about(brand, "m-1", minute=number) for number in range(500)]
        outcomes = [one for process in processes for one in await outcomes_of(process, calls)]

    ((only,),) = await rows(db, "SELECT id FROM execution")
    assert outcomes.count(Accepted(only)) == 1
    assert outcomes.count(Deduplicated(only)) == 999


async def test_the_window_does_not_slide(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        first = await accepted(triggers, about(brand, "m-1"))
        assert await triggers.run(about(brand, "m-1")) == Deduplicated(first)

    async with Database(db.dsn, size=3, shift=AFTER_THE_WINDOW) as later, taking_calls(later) as triggers:
        second = await accepted(triggers, about(brand, "m-1"))
        assert await triggers.run(about(brand, "m-1")) == Deduplicated(second)

    assert second != first


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_an_execution_that_came_to_nothing_does_not_count(db: Database, brand: Brand, state: str):
    async with taking_calls(db) as triggers:
        first = await accepted(triggers, about(brand, "m-1"))
        async with db.autocommit() as conn:
            await conn.execute("UPDATE execution SET state = %s, error_code = 'INTERNAL'", [state])

        second = await accepted(triggers, about(brand, "m-1"))

    assert second != first


async def test_a_call_about_a_known_event_costs_no_token(db: Database):
    brand = await make_brand(db, "Slow", run_rate_per_s=1)
    await make_generator(db, brand, "kick-off", deduplication=Deduplication(("match_id",), WINDOW_S))
    async with taking_calls(db) as triggers:
        first = await accepted(triggers, about(brand, "m-1"))

        outcomes = await outcomes_of(triggers, [about(brand, "m-1") for _ in range(20)])

    assert outcomes == [Deduplicated(first)] * 20


async def test_an_event_whose_first_call_was_refused_is_still_to_be_told(db: Database):
    brand = await make_brand(db, "Slow", run_rate_per_s=1)
    await make_generator(db, brand, "kick-off", deduplication=Deduplication(("match_id",), WINDOW_S))
    async with taking_calls(db) as triggers:
        calls = [about(brand, f"m-{number}") for number in range(3)] * 2
        outcomes = await outcomes_of(triggers, calls)

    (only,) = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    assert outcomes.count(Deduplicated(only.execution_id)) == 1
    assert sum(isinstance(outcome, RateLimited) for outcome in outcomes) == 4
    assert await rows(db, "SELECT execution_id FROM event_claim") == [(only.execution_id,)]


async def test_an_idempotency_key_is_looked_at_first_and_replays_what_was_answered(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        first = await accepted(triggers, about(brand, "m-1"))
        assert await triggers.run(about(brand, "m-1", key="k-1")) == Deduplicated(first)

        again = await triggers.run(about(brand, "m-1", key="k-1"))

    async with taking_calls(db) as elsewhere:
        from_disk = await elsewhere.run(about(brand, "m-1", key="k-1"))
    assert again == from_disk == Replayed(answer_of(first, deduplicated=True))


async def test_a_call_without_a_field_that_tells_events_apart_is_refused(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        with pytest.raises(Invalid) as refused:
            await triggers.run(call_of(brand, context={"minute": 1}))

    (violation,) = refused.value.violations
    assert (violation.pointer, violation.code) == ("/context/match_id", "required")


async def test_a_field_within_an_object_tells_events_apart(db: Database):
    brand = await make_brand(db, "Nested")
    await make_generator(db, brand, "kick-off", deduplication=Deduplication(("match.id",), WINDOW_S))
    async with taking_calls(db) as triggers:
        first = await accepted(triggers, call_of(brand, context={"match": {"id": 7}}))

        again = await triggers.run(call_of(brand, context={"match": {"id": 7, "minute": 3}}))

    assert again == Deduplicated(first)


async def test_events_are_forgotten_when_their_window_is_over(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        await accepted(triggers, about(brand, "m-1"))
    early = await forget_events(db)

    async with Database(db.dsn, size=3, shift=AFTER_THE_WINDOW) as later:
        assert (early, await forget_events(later)) == (0, 1)
