"""A worker whose clock is wrong by an hour or a day: nobody is written to early, late or at night, and its leases hold."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.policy import CampaignPolicy
from stentor.domain.quiet_hours import QuietRule
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("hours", [-24, -1, 1, 24]),
]

AFTER_THE_LEASE = timedelta(seconds=30)
HALF_AN_HOUR = timedelta(minutes=30)
ASLEEP, AWAKE = "Asia/Kolkata", "Pacific/Honolulu"


def in_the_night_of(zone: str) -> CampaignPolicy:
    """Quiet hours around this very moment on the clocks of that zone."""
    clock = datetime.now(UTC).astimezone(ZoneInfo(zone))
    return CampaignPolicy(
        quiet_hours=(QuietRule(from_=f"{clock - HALF_AN_HOUR:%H:%M}", to=f"{clock + HALF_AN_HOUR:%H:%M}"),)
    )


@pytest.mark.fault("F12")
async def test_it_holds_people_in_their_night_and_reaches_the_others(db: Database, hours: int):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone("asleep", time_zone=ASLEEP), Someone("awake", time_zone=AWAKE)])
    execution = await world.execution(await world.publication(policy=in_the_night_of(ASLEEP)))

    await Engine(db, channel, clock=Clock(timedelta(hours=hours))).drain()

    assert await world.fates(execution) == {"asleep": "held quiet_hours", "awake": "handed_over"}
    assert channel.addresses == ["awake@example.com"]


@pytest.mark.fault("F12")
async def test_what_it_claimed_is_its_own_until_its_lease_is_over(db: Database, hours: int):
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([Someone("one")])
    execution = await world.execution(await world.publication())
    wrong = Engine(db, ScriptedChannel(), worker="wrong", clock=Clock(timedelta(hours=hours)))
    await wrong.plan()

    assert await wrong.deliverer.claim() is not None
    assert await Engine(db, channel, worker="right").deliver() == 0

    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as then:
        await Engine(then, channel, worker="right").deliver()
    assert await world.fates(execution) == {"one": "handed_over"}


@pytest.mark.fault("F12")
async def test_it_takes_nothing_from_others_whose_lease_holds(db: Database, hours: int):
    world = await World.made(db)
    await world.people([Someone("one")])
    await world.execution(await world.publication())
    right = Engine(db, ScriptedChannel(), worker="right")
    await right.plan()
    await right.deliverer.claim()

    assert await Engine(db, ScriptedChannel(), worker="wrong", clock=Clock(timedelta(hours=hours))).deliver() == 0


@pytest.mark.fault("F12")
async def test_a_deadline_ends_nothing_early(db: Database, hours: int):
    world = await World.made(db)
    await world.people([Someone("one")])
    execution = await world.execution(await world.publication(policy=CampaignPolicy(deadline="30m")))

    await Engine(db, ScriptedChannel(), clock=Clock(timedelta(hours=hours))).drain()

    assert await world.fates(execution) == {"one": "handed_over"}
