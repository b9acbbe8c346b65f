import asyncio
from collections import Counter

import pytest

from losing_replies import LosingReplies
from stentor.accounts.model import Brand
from stentor.answers.service import forget_answers
from stentor.db.pool import Database
from stentor.errors import Invalid, NotFound, RateLimited, Unavailable, Unprocessable
from stentor.triggers.model import Accepted, Replayed
from trigger_world import SCHEMA, answer_of, call_of, make_brand, make_generator, outcomes_of, rows, taking_calls

pytestmark = pytest.mark.anyio


@pytest.fixture
async def brand(db: Database) -> Brand:
    brand = await make_brand(db)
    await make_generator(db, brand, "kick-off")
    return brand


async def test_a_repeated_call_is_one_execution_and_gets_the_first_answer(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        first = await triggers.run(call_of(brand, key="k-1"))
        second = await triggers.run(call_of(brand, key="k-1"))

    assert isinstance(first, Accepted)
    assert second == Replayed(answer_of(first.execution_id))
    assert await rows(db, "SELECT count(*) FROM execution") == [(1,)]


@pytest.mark.fault("F14")
async def test_fifty_equal_calls_at_once_are_one_execution_and_one_answer(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        outcomes = await outcomes_of(triggers, [call_of(brand, key="k-1")] * 50)

    (accepted,) = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    assert outcomes.count(Replayed(answer_of(accepted.execution_id))) == 49
    assert await rows(db, "SELECT id FROM execution") == [(accepted.execution_id,)]


@pytest.mark.fault("F14")
async def test_equal_calls_at_once_to_several_processes_are_one_execution(db: Database, brand: Brand):
    async with taking_calls(db) as first, taking_calls(db) as second:
        calls = [call_of(brand, key=f"k-{number % 20}") for number in range(200)]
        found = await asyncio.gather(outcomes_of(first, calls), outcomes_of(second, calls[::-1]))

    kinds = Counter(type(outcome) for outcome in [*found[0], *found[1]])
    assert kinds == {Accepted: 20, Replayed: 380}
    assert await rows(db, "SELECT count(*) FROM execution") == [(20,)]


async def test_batches_that_hold_the_same_keys_in_other_orders_never_deadlock(db: Database, brand: Brand):
    async with taking_calls(db) as first, taking_calls(db) as second:
        for start in range(0, 400, 40):
            calls = [call_of(brand, key=f"k-{number}") for number in range(start, start + 40)]
            found = await asyncio.gather(outcomes_of(first, calls), outcomes_of(second, calls[::-1]))
            assert {type(outcome) for outcome in [*found[0], *found[1]]} == {Accepted, Replayed}

    assert await rows(db, "SELECT count(*) FROM execution") == [(400,)]
    assert await rows(db, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]


@pytest.mark.fault("F5")
async def test_a_call_whose_commit_was_in_doubt_can_be_repeated_without_harm(brand: Brand, database_dsn: str):
    async with LosingReplies(database_dsn, size=3) as db, taking_calls(db) as triggers:
        await triggers.run(call_of(brand, key="before"))
        db.lose = 1
        with pytest.raises(Unavailable):
            await triggers.run(call_of(brand, key="k-1"))
        ((stored,),) = await rows(db, "SELECT id FROM execution WHERE id = (SELECT max(id::text)::uuid FROM execution)")

        repeated = await triggers.run(call_of(brand, key="k-1"))

    assert repeated == Replayed(answer_of(stored))


@pytest.mark.fault("F14")
async def test_a_key_that_was_used_for_another_request_is_refused(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        await triggers.run(call_of(brand, key="k-1", body="one"))

        with pytest.raises(Unprocessable, match="new key for each new request"):
            await triggers.run(call_of(brand, key="k-1", body="two"))


async def test_of_two_different_calls_at_once_with_one_key_one_is_refused(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        outcomes = await outcomes_of(
            triggers, [call_of(brand, key="k-1", body="one"), call_of(brand, key="k-1", body="two")]
        )

    assert [type(outcome) for outcome in outcomes] == [Accepted, Unprocessable]


async def test_two_brands_may_use_the_same_key(db: Database, brand: Brand):
    other = await make_brand(db, "Tennis")
    await make_generator(db, other, "kick-off")

    async with taking_calls(db) as triggers:
        outcomes = await outcomes_of(triggers, [call_of(brand, key="k-1"), call_of(other, key="k-1")])

    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted]


async def test_a_replay_is_answered_at_the_rate_limit_and_costs_nothing(db: Database):
    brand = await make_brand(db, "Slow", run_rate_per_s=2)
    await make_generator(db, brand, "kick-off")

    async with taking_calls(db) as triggers:
        first = await triggers.run(call_of(brand, key="k-1"))
        outcomes = await outcomes_of(triggers, [call_of(brand, key="k-1")] * 10 + [call_of(brand)] * 10)

    assert isinstance(first, Accepted)
    assert outcomes[:10] == [Replayed(answer_of(first.execution_id))] * 10
    assert Counter(type(outcome) for outcome in outcomes[10:])[RateLimited] >= 8


async def test_a_call_that_was_refused_for_its_rate_may_use_its_key_again(db: Database):
    brand = await make_brand(db, "Slow", run_rate_per_s=1)
    await make_generator(db, brand, "kick-off")

    async with taking_calls(db) as triggers:
        await triggers.run(call_of(brand))
        with pytest.raises(RateLimited):
            await triggers.run(call_of(brand, key="k-1"))

    assert await rows(db, "SELECT count(*) FROM idempotency_key") == [(0,)]


async def test_what_was_accepted_once_is_replayed_whatever_became_of_the_generator(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        first = await triggers.run(call_of(brand, key="k-1"))
    async with db.transaction() as conn:
        await conn.execute("UPDATE event_generator SET publication_id = NULL")

    async with taking_calls(db) as triggers:
        outcomes = await outcomes_of(triggers, [call_of(brand, key="k-1"), call_of(brand, key="k-2")])

    assert isinstance(first, Accepted)
    assert outcomes[0] == Replayed(answer_of(first.execution_id))
    assert isinstance(outcomes[1], Unprocessable)


async def test_only_what_was_accepted_is_kept_under_a_key(db: Database, brand: Brand):
    await make_generator(db, brand, "strict", schema=SCHEMA)

    async with taking_calls(db) as triggers:
        with pytest.raises(NotFound):
            await triggers.run(call_of(brand, "nobody's", key="k-1"))
        with pytest.raises(Invalid):
            await triggers.run(call_of(brand, "strict", key="k-1", context={}))
        outcome = await triggers.run(call_of(brand, "strict", key="k-1"))

    assert isinstance(outcome, Accepted)


async def test_a_call_the_database_refuses_leaves_its_key_free(db: Database, brand: Brand):
    async with db.transaction() as conn:
        await conn.execute("ALTER TABLE execution ADD CHECK (topic_key <> 'poison')")
    calls = [call_of(brand, key=f"k-{number}") for number in range(10)] + [
        call_of(brand, key="k-poison", topic_key="poison")
    ]

    async with taking_calls(db) as triggers:
        outcomes = await asyncio.gather(*(triggers.run(call) for call in calls), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes[:10]] == [Accepted] * 10
    assert not isinstance(outcomes[10], Accepted)
    assert await rows(db, "SELECT count(*) FROM idempotency_key") == [(10,)]


async def test_a_key_that_another_kind_of_call_is_using_is_refused(db: Database, brand: Brand):
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO idempotency_key (brand_id, key, request_hash, status, headers, body, created_at)"
            " VALUES (%s, 'k-1', %s, 0, '{}', '', now())",
            [brand.id, b"another kind of call".ljust(32)],
        )

    async with taking_calls(db) as triggers:
        with pytest.raises(Unprocessable):
            await triggers.run(call_of(brand, key="k-1"))


@pytest.mark.fault("F14")
async def test_answers_are_kept_for_seven_days_and_then_forgotten(db: Database, brand: Brand):
    async with taking_calls(db) as triggers:
        for key in ("old", "young"):
            await triggers.run(call_of(brand, key=key))
    async with db.transaction() as conn:
        await conn.execute("UPDATE idempotency_key SET created_at = now() - interval '6 days 23 hours'")
        await conn.execute("UPDATE idempotency_key SET created_at = now() - interval '8 days' WHERE key = 'old'")

    forgotten = await forget_answers(db)

    assert forgotten == 1
    assert await rows(db, "SELECT key FROM idempotency_key") == [("young",)]
