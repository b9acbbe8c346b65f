"""Limits per hour: of a campaign over all its executions and workers, of a run, and across pauses."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from math import ceil
from uuid import UUID

import pytest

from stentor.channels.contract import Accepted, Deferred, Message, Outcome
from stentor.db.pool import Database
from stentor.deliver.hour_buckets import START_S_MAX, HourLimit, forget_hour_buckets
from stentor.domain.ids import new_id
from stentor.domain.policy import BrandPolicy, CampaignPolicy, policy_violations
from stentor.executions.pipeline import GUARD_AGE_S_MAX
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

PER_HOUR = 120
# What a bucket of that limit holds.
AT_ONCE_MAX = 2


@pytest.fixture
async def later(db: Database) -> AsyncIterator[Database]:
    """The same database, whose time the test moves on."""
    async with Database(db.dsn, size=6, shift=timedelta()) as moved:
        yield moved


class Hands:
    """Two workers that deliver side by side at chosen minutes, and how many messages left at each."""

    def __init__(self, later: Database, channel: ScriptedChannel) -> None:
        self._later = later
        self._channel = channel
        self._engines = [Engine(later, channel, worker=f"worker-{number}") for number in range(2)]
        self.minutes: dict[float, int] = {}

    async def deliver(self, minutes: Sequence[float]) -> int:
        """Lets both deliver at each of these minutes; returns how many messages left in them."""
        for minute in minutes:
            self._later.shift = timedelta(minutes=minute)
            before = len(self._channel.taken)
            await asyncio.gather(*(engine.deliver() for engine in self._engines))
            self.minutes[minute] = len(self._channel.taken) - before
        return sum(self.minutes[minute] for minute in minutes)

    @property
    def busiest_hour(self) -> int:
        """The most messages in any sixty minutes."""
        return max(
            sum(sends for minute, sends in self.minutes.items() if first <= minute < first + 60)
            for first in self.minutes
        )


def thirds(first: int, last: int) -> list[float]:
    """Three times in each of these minutes."""
    return [minute + third / 3 for minute in range(first, last) for third in range(3)]


async def two_executions(db: Database, world: World, people: int) -> list[UUID]:
    await world.people([Someone(f"p{number}") for number in range(people)])
    publication_id = await world.publication(policy=CampaignPolicy(per_hour=PER_HOUR))
    found = [await world.execution(publication_id) for _ in range(2)]
    await Engine(db, ScriptedChannel()).plan()
    return found


async def test_executions_and_workers_share_their_campaigns_limit_across_a_pause(db: Database, later: Database):
    world, hands = await World.made(db), Hands(later, ScriptedChannel())
    executions = await two_executions(db, world, people=20)
    service = Engine(db, ScriptedChannel()).executions

    first = await hands.deliver(thirds(0, 6))
    for execution_id in executions:
        await service.pause(world.brand_id, execution_id)
    paused = await hands.deliver([30])
    for execution_id in executions:
        await service.resume(world.brand_id, execution_id)
    after = await hands.deliver(thirds(40, 70))

    assert (first, paused) == (pytest.approx(12, abs=2), 0)
    assert max(hands.minutes.values()) <= AT_ONCE_MAX
    assert first + after == 2 * 20
    assert {fate for one in executions for fate in (await world.fates(one)).values()} == {"handed_over"}


async def test_the_smallest_limit_lets_one_leave_in_an_hour(db: Database, later: Database):
    world, hands = await World.made(db), Hands(later, ScriptedChannel())
    await world.people([Someone("one"), Someone("two"), Someone("three")])
    await world.execution(await world.publication(), per_hour=1)
    await Engine(db, ScriptedChannel()).plan()

    await hands.deliver(range(0, 130, 10))

    assert hands.busiest_hour == 1
    assert sum(hands.minutes.values()) == 2


async def test_tries_count_and_whom_the_guard_keeps_back_does_not(db: Database, later: Database):
    def answer(_message: Message) -> Outcome:
        return Accepted() if len(channel.taken) > 4 else Deferred("Come again.", retry_after_s=1.0)

    world, channel = await World.made(db), ScriptedChannel()
    channel.answer = answer
    hands = Hands(later, channel)
    await world.people([Someone(f"p{number}") for number in range(30)])
    execution_id = await world.execution(await world.publication(), per_hour=PER_HOUR)
    await Engine(db, channel).plan()
    for number in range(24):
        await world.choose(f"p{number}", 0)

    await hands.deliver(thirds(0, 12))

    fates = list((await world.fates(execution_id)).values())
    assert (fates.count("skipped unsubscribed"), fates.count("handed_over")) == (24, 6)
    assert len(channel.taken) > 6
    assert max(hands.minutes.values()) <= AT_ONCE_MAX


async def test_a_brands_limit_on_a_channel_holds_for_all_campaigns_but_not_for_what_is_transactional(
    db: Database, later: Database
):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone(f"p{number}") for number in range(6)])
    await world.brand_policy(BrandPolicy(per_hour={"email": PER_HOUR}))
    news = [await world.execution(await world.publication()) for _ in range(2)]
    code = await world.execution(await world.publication(basis="none", lane="transactional"))
    hands = Hands(later, channel)
    await Engine(db, channel).plan()

    await hands.deliver([0])

    fates = [fate for one in news for fate in (await world.fates(one)).values()]
    assert fates.count("handed_over") == AT_ONCE_MAX
    assert set((await world.fates(code)).values()) == {"handed_over"}
    assert [one.pointer for one in policy_violations(BrandPolicy(per_hour={"fax": 1}), "")] == ["/per_hour/fax"]


async def test_what_is_cancelled_and_what_is_a_test_waits_for_no_limit(db: Database, later: Database):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone(f"p{number}") for number in range(6)])
    publication_id = await world.publication(policy=CampaignPolicy(per_hour=1))
    test = await world.execution(publication_id, is_test=True)
    cancelled = await world.execution(publication_id)
    engine = Engine(later, channel)
    await engine.plan()
    await engine.deliver()
    await engine.executions.cancel(world.brand_id, cancelled)
    later.shift = timedelta(minutes=11)

    await engine.deliver()

    assert set((await world.fates(test)).values()) == {"handed_over"}
    fates = list((await world.fates(cancelled)).values())
    assert (fates.count("handed_over"), fates.count("skipped execution_cancelled")) == (1, 5)


async def test_a_limit_of_which_nobody_has_sent_for_two_hours_is_forgotten(db: Database, later: Database):
    world = await World.made(db)
    await world.people([Someone("one")])
    await world.execution(await world.publication(), per_hour=10)
    await Engine(db, ScriptedChannel()).drain()

    kept = await forget_hour_buckets(db)
    later.shift = timedelta(hours=2, minutes=1)

    assert (kept, await forget_hour_buckets(later)) == (0, 1)


@pytest.mark.parametrize("per_hour", [1, 2, 59, 60, 61, 119, 1_000, 100_000_000])
def test_no_hour_gives_more_than_its_limit_and_a_late_start_changes_nothing(per_hour: int):
    limit = HourLimit(new_id(), per_hour)
    gathered = limit.burst + limit.per_s * (3600 + START_S_MAX)

    assert ceil(round(gathered, 6)) - 1 == per_hour
    assert GUARD_AGE_S_MAX <= START_S_MAX
