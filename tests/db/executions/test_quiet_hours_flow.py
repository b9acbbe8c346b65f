"""Whoever is in their night is held, released when it is over, and counted at all times, whatever happens meanwhile."""

import asyncio
import random
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from night_world import NIGHT, NOON, AtTime, a_world, in_zone, state
from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.model import Publication
from stentor.campaigns.sources import PublicationSource
from stentor.channels.contract import Accepted, Deferred, Wave
from stentor.deliver.model import RELEASE_SPREAD
from stentor.domain.policy import CampaignPolicy
from stentor.domain.quiet_hours import QuietRule
from stentor.executions.planning import Planner
from stentor.executions.quieting import QuietSource
from stentor.executions.service import sweep_expired
from stentor.testing.engine import Engine, ScriptedChannel
from tallies import funnel

pytestmark = pytest.mark.anyio


async def test_who_is_in_their_night_is_held_at_planning_and_reached_when_it_is_over(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(
            db,
            in_zone("berlin", "Europe/Berlin"),
            in_zone("new_york", "America/New_York"),
            in_zone("los_angeles", "America/Los_Angeles"),
            in_zone("tokyo", "Asia/Tokyo"),
        )
        channel = ScriptedChannel()
        engine = Engine(db, channel)
        execution_id = await world.execution(await world.publication())

        await engine.plan()
        planned = await world.fates(execution_id)
        await engine.deliver()

        assert planned == {
            "berlin": "pending",
            "new_york": "pending",
            "los_angeles": "held quiet_hours",
            "tokyo": "held quiet_hours",
        }
        counts = await funnel(engine, world, execution_id)
        assert (counts.audience, counts.handed_over, counts.held) == (4, 2, 2)
        assert counts.held_by_reason == {"quiet_hours": 2}
        assert await state(engine, world, execution_id) == "sending"
    async with at(NOON + timedelta(hours=2, minutes=59), world) as db:
        assert await Engine(db, channel).deliver() == 0
    async with at(NOON + timedelta(hours=3, seconds=1), world) as db:
        engine = Engine(db, channel)
        await engine.deliver()
        assert (await funnel(engine, world, execution_id)).held == 1
    async with at(NOON + timedelta(hours=11, seconds=1), world) as db:
        engine = Engine(db, channel)
        await engine.deliver()
        assert channel.addresses[2:] == ["los_angeles@example.com", "tokyo@example.com"]
        assert (await funnel(engine, world, execution_id)).handed_over == 4
        assert await state(engine, world, execution_id) == "ended"


async def test_what_is_released_into_another_night_is_held_again(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("tokyo", "Asia/Tokyo"))
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).plan()
    channel = ScriptedChannel()
    for hours in (24, 25, 33):
        async with at(NOON + timedelta(hours=hours), world) as db:
            engine = Engine(db, channel)
            await engine.deliver()
            assert (await funnel(engine, world, execution_id)).held == 1
    async with at(NOON + timedelta(hours=35, seconds=1), world) as db:
        await Engine(db, channel).deliver()
        assert await world.fates(execution_id) == {"tokyo": "handed_over"}


@pytest.fixture
def decreed(tmp_path: Path) -> Iterator[Callable[[str, str], None]]:
    """Gives a zone the clocks of another one, as its government may, and as the next release of tzdata tells."""

    def decree(zone: str, like: str) -> None:
        changed = tmp_path / zone
        changed.parent.mkdir(parents=True)
        changed.write_bytes(resources.files("tzdata").joinpath("zoneinfo", like).read_bytes())
        zoneinfo.reset_tzpath([tmp_path])
        ZoneInfo.clear_cache()

    before = zoneinfo.TZPATH
    yield decree
    zoneinfo.reset_tzpath(before)
    ZoneInfo.clear_cache()


async def test_a_country_that_sets_its_clocks_back_while_its_people_are_held_is_not_woken_by_its_old_ones(
    at: AtTime, decreed: Callable[[str, str], None]
):
    channel, midnight = ScriptedChannel(), NOON + timedelta(hours=12)
    async with at(midnight) as db:
        world = await a_world(db, in_zone("athens", "Europe/Athens"))
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).plan()
    decreed("Europe/Athens", "Europe/London")
    async with at(midnight + timedelta(hours=5, minutes=15), world) as db:
        await Engine(db, channel).deliver()
        assert await world.fates(execution_id) == {"athens": "held quiet_hours"}
    async with at(midnight + timedelta(hours=7, minutes=15), world) as db:
        await Engine(db, channel).deliver()
        assert await world.fates(execution_id) == {"athens": "handed_over"}


async def test_a_try_that_falls_into_the_night_waits_for_the_morning_and_stays_the_same_try(at: AtTime):
    async with at(NOON + timedelta(hours=6, minutes=59)) as db:
        world = await a_world(db, in_zone("berlin", "Europe/Berlin"))
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel(lambda _message: Deferred("421 Later"))).drain()
        assert await world.fates(execution_id) == {"berlin": "pending"}
    channel = ScriptedChannel()
    async with at(NOON + timedelta(hours=7, minutes=10), world) as db:
        await Engine(db, channel).deliver()
        assert await world.fates(execution_id) == {"berlin": "held quiet_hours"}
    async with at(NOON + timedelta(hours=18, seconds=1), world) as db:
        engine = Engine(db, channel)
        await engine.deliver()
        (told,) = (await engine.executions.explain(world.brand_id, execution_id, "berlin")).channels
        assert (told.state, told.tries) == ("handed_over", 2)


async def test_an_opt_out_while_somebody_is_held_stops_the_send(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("tokyo", "Asia/Tokyo"))
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).plan()
        await world.choose("tokyo", 0)
    async with at(NOON + timedelta(hours=12), world) as db:
        engine = Engine(db, ScriptedChannel())
        await engine.deliver()
        assert await world.fates(execution_id) == {"tokyo": "skipped unsubscribed"}
        assert (await funnel(engine, world, execution_id)).skipped == 1


async def test_cancelling_settles_who_is_held_at_once(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("tokyo", "Asia/Tokyo"))
        engine = Engine(db, ScriptedChannel())
        execution_id = await world.execution(await world.publication())
        await engine.plan()

        await engine.executions.cancel(world.brand_id, execution_id)
        await engine.deliver()

        assert await world.fates(execution_id) == {"tokyo": "skipped execution_cancelled"}
        assert (await funnel(engine, world, execution_id)).held == 0


async def test_people_who_share_an_address_do_not_claim_it_while_they_are_held(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(
            db,
            in_zone("tokyo", "Asia/Tokyo", email="home@example.com", shared=True),
            in_zone("berlin", "Europe/Berlin", email="home@example.com", shared=True),
        )
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).drain()
    async with at(NOON + timedelta(hours=12), world) as db:
        await Engine(db, ScriptedChannel()).drain()
        assert await world.fates(execution_id) == {"berlin": "handed_over", "tokyo": "skipped duplicate_address"}


async def test_what_was_held_is_released_evenly_over_ten_minutes(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, *(in_zone(f"p{number}", "Asia/Tokyo") for number in range(7_000)))
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).plan()
    opens = NOON + timedelta(hours=11)
    channel = ScriptedChannel()
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        async with at(opens + RELEASE_SPREAD * share + timedelta(seconds=1), world) as db:
            engine = Engine(db, channel)
            await engine.deliver()
            assert len(channel.addresses) == pytest.approx(7_000 * min(1.0, share + 0.1), abs=700)
            await funnel(engine, world, execution_id)
    assert len(set(channel.addresses)) == len(channel.addresses) == 7_000
    async with at(opens + RELEASE_SPREAD + timedelta(seconds=1), world) as db:
        assert await state(Engine(db, channel), world, execution_id) == "ended"


async def test_a_large_audience_over_many_zones_is_planned_by_slices_and_nobody_is_lost(at: AtTime):
    zones = ("Europe/Berlin", "Asia/Tokyo", "America/Los_Angeles", "Asia/Kolkata", "Australia/Lord_Howe", None)
    async with at(NOON) as db:
        world = await a_world(
            db, *(in_zone(f"p{number}", zones[number % 6], phone="+14155550123") for number in range(42_000))
        )
        channel = ScriptedChannel()
        engine = Engine(db, channel)
        execution_id = await world.execution(await world.publication())

        await engine.drain()

        counts = await funnel(engine, world, execution_id)
        assert (counts.audience, counts.handed_over, counts.held) == (42_000, 14_000, 28_000)
    async with at(NOON + timedelta(hours=11, minutes=10, seconds=1), world) as db:
        engine = Engine(db, channel)
        await engine.drain()
        counts = await funnel(engine, world, execution_id)
        # Those of Kolkata went at noon; on Lord Howe Island it is 09:41, in Tokyo 08:10, in California 16:10.
        assert (counts.handed_over, counts.held) == (42_000, 0)
        assert len(set(channel.addresses)) == len(channel.addresses)


async def test_a_worker_that_is_lost_with_released_people_on_the_wire_leaves_them_in_doubt_and_nobody_else(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("tokyo", "Asia/Tokyo"), in_zone("los_angeles", "America/Los_Angeles"))
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).plan()
    async with at(NOON + timedelta(hours=12), world) as db:

        def gone(_wave: Wave) -> None:
            raise asyncio.CancelledError

        channel = ScriptedChannel()
        channel.on_wave = gone
        engine = Engine(db, channel)
        claim = await engine.deliverer.claim()
        assert claim is not None
        with pytest.raises(asyncio.CancelledError):
            await engine.deliverer.deliver(claim, stop=asyncio.Event())
    async with at(NOON + timedelta(hours=12, minutes=5), world) as db:
        engine = Engine(db, ScriptedChannel(), worker="worker-2")
        await engine.deliver()
        assert (await funnel(engine, world, execution_id)).unknown == 2
        assert await state(engine, world, execution_id) == "ended"


async def test_who_is_held_uses_up_nothing_of_a_cap_and_is_asked_about_it_when_the_night_is_over(at: AtTime):
    policy = {"caps": [{"at_most": 1, "per": "1h"}]}
    async with at(NOON) as db:
        world = await a_world(db, in_zone("berlin", "Europe/Berlin"), quiet_hours=[], policy=policy)
        publication_id = await world.publication()
        night = await world.execution(publication_id)
        await Engine(db, ScriptedChannel()).plan()
        await world.settings(quiet_hours=[{"from": "14:00", "to": "15:00"}], policy=policy)
        engine = Engine(db, ScriptedChannel())
        await engine.deliver()
        (told,) = (await engine.executions.explain(world.brand_id, night, "berlin")).channels
        async with db.read() as conn:
            reserved = await (await conn.execute("SELECT count(*) FROM contact")).fetchall()

        assert {check.name: check.outcome for check in told.checks}["cap"] == "not_reached"
        assert (await world.fates(night), reserved) == ({"berlin": "held quiet_hours"}, [(0,)])
    async with at(NOON + timedelta(hours=1, minutes=30), world) as db:
        await world.settings(policy=policy)
        engine = Engine(db, ScriptedChannel())
        day = await world.execution(publication_id)
        await engine.drain()

        fates = [(await world.fates(one))["berlin"] for one in (night, day)]
        assert sorted(fates) == ["handed_over", "skipped frequency_cap"]


async def test_who_is_held_past_the_deadline_is_not_waited_for(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("tokyo", "Asia/Tokyo"))
        execution_id = await world.execution(await world.publication(policy=CampaignPolicy(deadline="2h")))
        await Engine(db, ScriptedChannel()).drain()
        assert await world.fates(execution_id) == {"tokyo": "held quiet_hours"}
    async with at(NOON + timedelta(hours=2, seconds=1), world) as db:
        engine = Engine(db, ScriptedChannel())
        await sweep_expired(db)
        await engine.drain()

        assert await world.fates(execution_id) == {"tokyo": "skipped deadline"}
        assert (await funnel(engine, world, execution_id)).held == 0
        assert await state(engine, world, execution_id) == "ended"


@pytest.mark.fault("F13")
@pytest.mark.parametrize("seed", [20_261_024, 7])
async def test_over_days_in_which_clocks_are_set_nobody_is_written_to_in_their_night_and_every_number_adds_up(
    at: AtTime, seed: int
):
    draw = random.Random(seed)
    zones = (
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "Pacific/Kiritimati",
        "Asia/Tokyo",
    )
    now = datetime(2026, 10, 24, 9, 30, tzinfo=UTC) if seed % 2 == 0 else datetime(2026, 10, 31, 20, 10, tzinfo=UTC)
    people = {f"p{number}": zones[number % 6] for number in range(240)}
    channel = ScriptedChannel(lambda _message: Accepted() if draw.random() < 0.6 else Deferred("451 Later"))
    written: list[tuple[str, datetime]] = []
    async with at(now) as db:
        night = QuietRule(from_="20:30", to="08:15", days=("mon", "tue", "wed", "thu", "sat", "sun"))
        world = await a_world(db, *(in_zone(name, zone) for name, zone in people.items()), quiet_hours=[night])
        execution_id = await world.execution(await world.publication())
        await Engine(db, channel).plan()
    for _ in range(90):
        async with at(now, world) as db:
            engine = Engine(db, channel)
            channel.taken.clear()
            await engine.deliver()

            written += [(address.partition("@")[0], now) for address in channel.addresses]
            fates = Counter((await world.fates(execution_id)).values())
            counts = await funnel(engine, world, execution_id)
            assert (counts.pending, counts.held) == (fates["pending"], fates["held quiet_hours"])
            assert counts.handed_over == fates["handed_over"]
            if await state(engine, world, execution_id) == "ended":
                break
        now += timedelta(minutes=draw.randint(5, 110))
    assert (counts.pending, counts.held, counts.audience) == (0, 0, 240)
    assert counts.handed_over + counts.failed == 240
    clocks = {(name, instant.astimezone(ZoneInfo(people[name]))) for name, instant in written}
    assert [
        (name, clock)
        for name, clock in clocks
        if (f"{clock:%H:%M}" >= "20:30" and f"{clock:%a}" != "Fri")
        or (f"{clock:%H:%M}" < "08:15" and f"{clock:%a}" != "Sat")
    ] == []
    assert len(written) > 240


async def test_a_slice_that_is_planned_while_its_execution_is_cancelled_is_settled_at_once(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, *(in_zone(f"p{number}", "Asia/Tokyo") for number in range(20_100)))
        engine = Engine(db, ScriptedChannel())
        execution_id = await world.execution(await world.publication())
        assert await engine.planner.plan_next()

        class Cancelling(PublicationSource):
            async def load(self, brand_id: UUID, publication_id: UUID) -> Publication:
                await engine.executions.cancel(brand_id, execution_id)
                return await super().load(brand_id, publication_id)

        assert await Planner(db, Cancelling(db), QuietSource(BrandDirectory(db))).plan_next()
        assert (await funnel(engine, world, execution_id)).held > 5_000

        await engine.deliver()

        assert (await funnel(engine, world, execution_id)).held == 0
        assert set((await world.fates(execution_id)).values()) == {"skipped execution_cancelled"}


async def test_what_is_held_for_some_minutes_more_stays_in_its_chunk_and_is_not_forgotten(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("tokyo", "Asia/Tokyo"))
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).plan()
        await world.settings(quiet_hours=[NIGHT | {"to": "08:10"}])
    opens = NOON + timedelta(hours=11, minutes=10)
    async with at(opens - timedelta(minutes=5), world) as db:
        engine = Engine(db, ScriptedChannel())
        await engine.deliver()
        assert (await funnel(engine, world, execution_id)).held == 1
        assert await state(engine, world, execution_id) == "sending"
        assert await engine.deliver() == 0
    async with at(opens + timedelta(seconds=1), world) as db:
        engine = Engine(db, ScriptedChannel())
        await engine.deliver()
        assert await world.fates(execution_id) == {"tokyo": "handed_over"}
        assert await state(engine, world, execution_id) == "ended"
