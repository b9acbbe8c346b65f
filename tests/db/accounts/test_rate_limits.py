"""Limits on calls hold over all processes: two of them, each with its limiter, on one database."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from stentor.accounts.acting import Actor, as_actor
from stentor.accounts.keyring import KeyRing
from stentor.accounts.limits import (
    Limit,
    RateLimiter,
    Standing,
    forget_windows,
    least_left,
    limits_of_key,
    limits_of_seed_nouns,
)
from stentor.accounts.model import Brand, Principal
from stentor.accounts.service import AccountService
from stentor.accounts.users import UserService
from stentor.db.pool import Database

pytestmark = [pytest.mark.anyio, pytest.mark.fault("S20")]

USER = Limit("user", "user 1", 25, 60)
GROUP = Limit("group", "group g", 10, 60)
KEY = Limit("key", "key 1", 100, 1)


@pytest.fixture
async def processes(database_dsn: str) -> AsyncIterator[list[RateLimiter]]:
    async with Database(database_dsn, size=4) as one, Database(database_dsn, size=4) as other:
        yield [RateLimiter(one), RateLimiter(other)]


async def take(limiter: RateLimiter, *limits: Limit) -> Standing:
    return least_left(await limiter.take(limits))


async def at_once(processes: list[RateLimiter], calls: int, *limits: Limit) -> list[Standing]:
    return await asyncio.gather(*(take(processes[call % 2], *limits) for call in range(calls)))


async def test_of_a_limit_of_a_minute_not_one_call_too_many_passes(processes: list[RateLimiter]):
    first = await at_once(processes, 40, GROUP)
    more = await at_once(processes, 5, GROUP)

    assert Counter(standing.is_over for standing in first) == {False: 10, True: 30}
    assert sorted(standing.remaining for standing in first if not standing.is_over) == list(range(10))
    assert all(standing.is_over and standing.remaining == 0 for standing in more)
    ends = [standing.ends_at for standing in first + more]
    # Who is refused without seeing the first call's row is told when a window of its own would have ended.
    assert max(ends) - min(ends) < 1
    assert all(0 < standing.ends_in_s <= 60 for standing in more)


async def test_a_call_that_one_limit_refuses_is_counted_by_none(processes: list[RateLimiter]):
    both = await at_once(processes, 30, USER, GROUP)
    of_the_user = await at_once(processes, 30, USER)

    assert sum(not standing.is_over for standing in both) == 10
    assert {standing.limit.name for standing in both} == {"group"}
    assert sum(not standing.is_over for standing in of_the_user) == 15


async def test_a_window_begins_with_its_first_call_and_a_new_one_is_whole(database_dsn: str):
    async with Database(database_dsn, size=2) as db:
        limiter = RateLimiter(db)
        first = [await take(limiter, GROUP) for _ in range(11)]
        db.shift = timedelta(seconds=30)
        half = await take(limiter, GROUP)
        db.shift = timedelta(seconds=61)
        later = await take(limiter, GROUP)

    assert (first[0].remaining, first[-1].is_over, half.is_over) == (9, True, True)
    assert half.ends_at == first[0].ends_at
    assert half.retry_after_s in {29, 30}
    assert (later.remaining, later.is_over) == (9, False)


async def test_what_processes_take_in_advance_is_never_too_many_together(processes: list[RateLimiter]):
    standings = [standing for _ in range(6) for standing in await at_once(processes, 60, KEY)]

    passed = Counter(standing.ends_at for standing in standings if not standing.is_over)
    refused = Counter(standing.ends_at for standing in standings if standing.is_over)
    assert max(passed.values()) <= KEY.at_most
    # Where somebody was refused, the others had nearly all of it.
    assert all(passed[window] >= 0.75 * KEY.at_most for window in refused)


async def test_a_busy_key_costs_few_statements(processes: list[RateLimiter], database_dsn: str):
    limit = Limit("key", "key 2", 10_000, 1)
    async with Database(database_dsn, size=1) as db, db.read() as conn:
        await conn.execute("CREATE SEQUENCE asked")
        await conn.execute(
            "CREATE FUNCTION ask() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM nextval('asked'); RETURN NEW; END $$"
        )
        await conn.execute("CREATE TRIGGER asked BEFORE INSERT ON rate_window FOR EACH ROW EXECUTE FUNCTION ask()")
        for _ in range(1_000):
            assert not (await take(processes[0], limit)).is_over
        asked = await (await conn.execute("SELECT nextval('asked')")).fetchone()

    assert asked is not None
    assert asked[0] <= 60


async def test_a_limit_that_is_changed_holds_at_once(processes: list[RateLimiter]):
    await at_once(processes, 20, KEY)
    lower = Limit(KEY.name, KEY.subject, 5, KEY.window_s)
    standings = await at_once(processes, 20, lower)

    passed = Counter(standing.ends_at for standing in standings if not standing.is_over)
    assert all(calls <= lower.at_most for calls in passed.values())


async def test_of_many_callers_the_oldest_are_forgotten_and_still_held_to_their_limit(database_dsn: str):
    limits = [Limit("key", f"key {number}", 1, 3_600) for number in range(5)]
    async with Database(database_dsn, size=2) as db:
        limiter = RateLimiter(db, subjects_max=2)
        first = [await take(limiter, limit) for limit in limits]
        again = [await take(limiter, limit) for limit in limits]

    assert [standing.is_over for standing in first] == [False] * 5
    assert [standing.is_over for standing in again] == [True] * 5


async def test_no_limit_asks_nobody(processes: list[RateLimiter]):
    assert await processes[0].take([]) == []


PEPPER = b"p" * 32


async def made_by(db: Database, actor: Actor, **owner: Any) -> Principal:
    """The holder of a key that this actor made."""
    with as_actor(actor):
        key = await AccountService(db, PEPPER).create_key("k", scopes=["admin"], **owner)
    principal = await KeyRing(db, PEPPER).principal(key.token)
    assert principal is not None
    return principal


async def somebody(db: Database, name: str, brand: Brand) -> Actor:
    """A user who may do everything in the brand's organisation."""
    user = await UserService(db).create(
        f"{name}@example.org", name, organisation_id=brand.organisation_id, role="admin"
    )
    return Actor("user", str(user.id), name)


async def test_all_tokens_of_a_user_share_the_users_limit_and_no_others_do(db: Database, processes: list[RateLimiter]):
    accounts = AccountService(db, PEPPER)
    brand = await accounts.create_brand("Football")
    await accounts.update_brand_settings(brand.id, {"user_rate_per_min": 5})
    brand = await accounts.brand(brand.id)
    ann, ben = [await somebody(db, name, brand) for name in ("ann", "ben")]
    first, second = [await made_by(db, ann, brand_id=brand.id) for _ in range(2)]
    # A key that makes keys makes no more calls of them either.
    third = await made_by(db, Actor("key", str(second.key_number)), brand_id=brand.id)
    fourth = await made_by(db, Actor("key", str(third.key_number)), brand_id=brand.id)
    others = [await made_by(db, who, brand_id=brand.id) for who in (ben, Actor("cli", "0"), Actor("engine"))]
    by_other = await made_by(db, Actor("key", str(others[1].key_number)), brand_id=brand.id)

    async def calls(*of: Principal) -> list[bool]:
        limits = [limits_of_seed_nouns(principal, brand, is_batch=False) for principal in of]
        return [not (await take(processes[0], *each)).is_over for each in limits]

    assert await calls(first, second, third, fourth, first, second, fourth) == [True] * 5 + [False] * 2
    assert await calls(*others) == [True] * 3
    assert await calls(others[1], by_other, others[1], by_other, by_other) == [True] * 4 + [False]


async def test_a_key_of_all_brands_is_counted_for_each_by_that_brands_limits(
    db: Database, processes: list[RateLimiter]
):
    accounts = AccountService(db, PEPPER)
    one, other = await accounts.create_brand("Football"), await accounts.create_brand("Tennis")
    for brand, at_most in ((one, 2), (other, 4)):
        await accounts.update_brand_settings(brand.id, {"user_rate_per_min": at_most, "key_rate_per_s": at_most})
    principal = await made_by(db, await somebody(db, "ann", one), organisation_id=one.organisation_id)
    brands = [await accounts.brand(brand.id) for brand in (one, other)]

    passed = {"key": Counter[str](), "user": Counter[str]()}
    for _ in range(6):
        for brand in brands:
            for limits in (limits_of_key(principal, brand), limits_of_seed_nouns(principal, brand, is_batch=False)):
                standing = await take(processes[0], *limits)
                passed[standing.limit.name][brand.name] += not standing.is_over

    assert passed["user"] == {"Football": 2, "Tennis": 4}
    assert all(at_least <= passed["key"][name] for name, at_least in (("Football", 2), ("Tennis", 4)))


async def test_windows_are_cleared_away_a_day_after_they_ended(db: Database):
    await take(RateLimiter(db), GROUP, USER)
    assert await forget_windows(db) == 0
    db.shift = timedelta(days=1, seconds=61)
    assert await forget_windows(db) == 2
