import asyncio
import time
from collections import Counter

import pytest

from stentor.db.pool import Database
from stentor.errors import RateLimited
from stentor.triggers.model import Accepted
from trigger_world import call_of, make_brand, make_generator, outcomes_of, rows, taking_calls

pytestmark = pytest.mark.anyio


async def test_a_full_bucket_lets_one_second_through_at_once_and_says_when_to_come_back(db: Database):
    brand = await make_brand(db, run_rate_per_s=20)
    await make_generator(db, brand, "kick-off")

    async with taking_calls(db) as triggers:
        outcomes = await outcomes_of(triggers, [call_of(brand) for _ in range(60)])

    refused = [outcome for outcome in outcomes if isinstance(outcome, RateLimited)]
    assert 20 <= 60 - len(refused) <= 30
    assert (refused[0].retry_after_s, refused[0].limit) == (1, 20)
    assert await rows(db, "SELECT count(*) FROM execution") == [(60 - len(refused),)]


async def test_first_come_is_first_served(db: Database):
    brand = await make_brand(db, run_rate_per_s=1)
    await make_generator(db, brand, "kick-off")

    async with taking_calls(db) as triggers:
        await triggers.dry_run(call_of(brand))
        outcomes = await outcomes_of(triggers, [call_of(brand) for _ in range(10)])

    assert [type(outcome) for outcome in outcomes] == [Accepted] + [RateLimited] * 9


@pytest.mark.fault("F24")
async def test_processes_share_one_bucket(db: Database):
    rate = 20  # which a busy machine asks for, too
    brand = await make_brand(db, run_rate_per_s=rate)
    await make_generator(db, brand, "kick-off")
    kinds: Counter[type] = Counter()
    started = time.monotonic()

    async with taking_calls(db) as first, taking_calls(db) as second:
        while (seconds := time.monotonic() - started) < 2:
            found = await asyncio.gather(
                *(outcomes_of(triggers, [call_of(brand) for _ in range(30)]) for triggers in (first, second))
            )
            kinds.update(type(outcome) for outcomes in found for outcome in outcomes)

    seconds = time.monotonic() - started
    assert kinds[RateLimited] > 0
    assert 0.8 * (rate + rate * seconds) < kinds[Accepted] <= rate + rate * seconds


@pytest.mark.fault("F24")
async def test_a_brand_at_its_limit_takes_nothing_from_another(db: Database):
    slow, fast = await make_brand(db, "Slow", run_rate_per_s=1), await make_brand(db, "Fast")
    for brand in (slow, fast):
        await make_generator(db, brand, "kick-off")

    async with taking_calls(db) as triggers:
        outcomes = await outcomes_of(triggers, [call_of(brand) for _ in range(50) for brand in (slow, fast)])

    assert [type(outcome) for outcome in outcomes[1::2]] == [Accepted] * 50
    assert Counter(type(outcome) for outcome in outcomes[::2])[RateLimited] >= 45


async def test_a_rate_that_was_changed_holds_within_a_second(db: Database):
    from stentor.accounts.service import AccountService
    from stentor.testing.waiting import eventually

    brand = await make_brand(db, run_rate_per_s=1)
    await make_generator(db, brand, "kick-off")

    async with taking_calls(db) as triggers:
        await triggers.run(call_of(brand))
        await AccountService(db, b"p" * 32).update_brand_settings(brand.id, {"run_rate_per_s": 10_000})

        async def all_pass() -> bool:
            outcomes = await outcomes_of(triggers, [call_of(brand) for _ in range(20)])
            return {type(outcome) for outcome in outcomes} == {Accepted}

        await eventually(all_pass, within_s=2)
