"""Nobody is written to in their night: planned, judged again, released and counted, on a real database at a chosen time."""

import asyncio
import random
import zoneinfo
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.model import Mode, Publication
from stentor.campaigns.sources import PublicationSource
from stentor.channels.contract import Accepted, Deferred, Wave
from stentor.db.pool import Database
from stentor.deliver.model import RELEASE_SPREAD
from stentor.domain.ids import new_id
from stentor.domain.policy import CampaignPolicy
from stentor.domain.quiet_hours import QuietRule
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.forecasting import Trial
from stentor.executions.model import PlannedRoute
from stentor.executions.planning import Planner
from stentor.executions.quieting import QuietSource
from stentor.executions.service import sweep_expired
from stentor.report.funnel import ChannelFunnel
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS
NIGHT: dict[str, Any] = {"from": "21:00", "to": "08:00"}
# A Wednesday: 14:00 in Berlin, 08:00 in New York, 05:00 in Los Angeles, 21:00 in Tokyo.
NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)


class AtTime(Protocol):
    def __call__(self, when: datetime, world: World | None = None) -> AbstractAsyncContextManager[Database]: ...


@pytest.fixture
def at(database_dsn: str) -> AtTime:
    """The test's database, and the world in it, as of another time."""

    # Its own pool: what is asked of a database at another time must not meet what was remembered at this one.
    @asynccontextmanager
    async def opened(when: datetime, world: World | None = None) -> AsyncIterator[Database]:
        async with Database(database_dsn, size=4, shift=when - datetime.now(UTC)) as db:
            if world is not None:
                world.db = db
            yield db

    return opened


async def funnel(engine: Engine, world: World, execution_id: UUID) -> ChannelFunnel:
    (channel,) = (await engine.executions.progress(world.brand_id, execution_id)).channels
    assert channel.balanced
    return channel


async def state(engine: Engine, world: World, execution_id: UUID) -> str:
    return (await engine.executions.find(world.brand_id, execution_id)).state


async def a_world(db: Database, *people: Someone, **settings: Any) -> World:
    world = await World.made(db)
    await world.settings(**({"quiet_hours": [NIGHT]} | settings))
    await world.people(people)
    return world


def in_zone(name: str, zone: str | None = None, **more: Any) -> Someone:
    return Someone(name, time_zone=zone, **more)


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


async def test_a_rule_that_skips_leaves_out_who_is_in_their_night(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(
            db,
            in_zone("berlin", "Europe/Berlin"),
            in_zone("tokyo", "Asia/Tokyo"),
            quiet_hours=[NIGHT | {"action": "skip"}],
        )
        engine = Engine(db, ScriptedChannel())
        execution_id = await world.execution(await world.publication())

        await engine.drain()

        assert await world.fates(execution_id) == {"berlin": "handed_over", "tokyo": "skipped quiet_hours_cancelled"}
        assert await state(engine, world, execution_id) == "ended"


async def test_without_a_zone_the_phone_says_where_somebody_is_and_then_the_brand(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(
            db,
            in_zone("a_californian", phone="+14155550123"),
            in_zone("a_new_yorker", phone="+12125550123"),
            in_zone("a_german", phone="+4915112345678"),
            # Some of Australia is asleep from 11:00 UTC on, and one does not know which of it this is.
            in_zone("an_australian", phone="+61412345678"),
            in_zone("own_zone_wins", "Asia/Tokyo", phone="+4915112345678"),
            in_zone("from_nowhere"),
            # It is five o'clock in California, from where such a number may be answered.
            in_zone("toll_free", phone="+18005550123"),
            default_time_zone="Asia/Tokyo",
        )
        execution_id = await world.execution(await world.publication())

        await Engine(db, ScriptedChannel()).plan()

        assert await world.fates(execution_id) == {
            "a_californian": "held quiet_hours",
            "a_new_yorker": "pending",
            "a_german": "pending",
            "an_australian": "held quiet_hours",
            "own_zone_wins": "held quiet_hours",
            "from_nowhere": "held quiet_hours",
            "toll_free": "held quiet_hours",
        }


async def test_where_no_hour_is_open_in_all_plausible_zones_nobody_can_say_when_to_write(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(
            db,
            in_zone("a_russian", phone="+79161234567"),
            in_zone("a_muscovite", "Europe/Moscow", phone="+79161234567"),
            quiet_hours=[{"from": "18:00", "to": "10:00"}],
        )
        execution_id = await world.execution(await world.publication())

        await Engine(db, ScriptedChannel()).plan()

        assert await world.fates(execution_id) == {"a_russian": "skipped no_timezone", "a_muscovite": "pending"}


async def test_what_was_planned_in_the_day_is_judged_again_when_it_leaves_and_held_in_the_night(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("berlin", "Europe/Berlin"), in_zone("new_york", "America/New_York"))
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).plan()
        assert set((await world.fates(execution_id)).values()) == {"pending"}
    channel = ScriptedChannel()
    async with at(NOON + timedelta(hours=8), world) as db:
        engine = Engine(db, channel)

        await engine.deliver()

        assert await world.fates(execution_id) == {"berlin": "held quiet_hours", "new_york": "handed_over"}
        assert (await funnel(engine, world, execution_id)).held == 1
        assert await state(engine, world, execution_id) == "sending"
        assert await engine.deliver() == 0
    async with at(NOON + timedelta(hours=18, seconds=1), world) as db:
        engine = Engine(db, channel)
        await engine.deliver()
        assert await world.fates(execution_id) == {"berlin": "handed_over", "new_york": "handed_over"}
        assert len(channel.addresses) == 2
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


async def test_transactional_messages_go_out_at_any_hour(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("tokyo", "Asia/Tokyo"))
        execution_id = await world.execution(await world.publication(lane="transactional"))

        await Engine(db, ScriptedChannel()).drain()

        assert await world.fates(execution_id) == {"tokyo": "handed_over"}


async def test_a_rule_is_for_its_channels_only(at: AtTime):
    async with at(NOON) as db:
        world = await World.made(db)
        await world.settings(quiet_hours=[NIGHT | {"channels": ["sms", "voice"]}])
        both = EMAIL.bit | SMS.bit
        await world.people(
            [Someone("tokyo", channels=both, address_mask=both, valid_mask=both, time_zone="Asia/Tokyo")]
        )
        everywhere = await world.execution(await world.publication((EMAIL, SMS)))
        first = await world.execution(await world.publication((SMS, EMAIL), mode="first"))

        await Engine(db, ScriptedChannel()).plan()

        assert await world.fates(everywhere) == {"tokyo": "pending, held quiet_hours"}
        # Quiet hours do not choose the channel: they say when.
        assert await world.fates(first) == {"tokyo": "held quiet_hours"}


async def test_a_campaign_adds_its_rules_to_the_brands(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("berlin", "Europe/Berlin"), in_zone("tokyo", "Asia/Tokyo"))
        siesta = QuietRule(from_="13:00", to="16:00", action="skip")
        execution_id = await world.execution(await world.publication(policy=CampaignPolicy(quiet_hours=(siesta,))))

        await Engine(db, ScriptedChannel()).plan()

        assert await world.fates(execution_id) == {
            "berlin": "skipped quiet_hours_cancelled",
            "tokyo": "held quiet_hours",
        }


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


@pytest.mark.parametrize("mode", ["all", "first"])
async def test_a_dry_run_counts_who_would_be_held_and_who_would_be_skipped_as_the_run_then_does(at: AtTime, mode: Mode):
    siesta = {"from": "14:00", "to": "15:00", "action": "skip"}
    async with at(NOON) as db:
        world = await a_world(
            db,
            in_zone("berlin", "Europe/Berlin"),
            in_zone("new_york", "America/New_York"),
            in_zone("tokyo", "Asia/Tokyo"),
            in_zone("tokyo_too", "Asia/Tokyo", refused_mask=EMAIL.bit),
            quiet_hours=[NIGHT, siesta],
        )
        engine = Engine(db, ScriptedChannel())
        publication_id = await world.publication(mode=mode)

        (told,) = (await engine.executions.dry_run(world.brand_id, publication_id, Trial("news", {}, NOON))).channels

        execution_id = await world.execution(publication_id)
        await engine.drain()
        counts = await funnel(engine, world, execution_id)
        assert (
            (told.audience, told.would_send, told.held)
            == (counts.audience, counts.handed_over, counts.held)
            == (4, 1, 1)
        )
        assert told.skipped == counts.skipped_by_reason == {"quiet_hours_cancelled": 1, "unsubscribed": 1}


async def test_a_person_is_told_until_when_they_are_held_and_what_their_clock_said(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("tokyo", "Asia/Tokyo"))
        engine = Engine(db, ScriptedChannel())
        execution_id = await world.execution(await world.publication())
        await engine.plan()

        (told,) = (await engine.executions.explain(world.brand_id, execution_id, "tokyo")).channels

        (objected,) = [check for check in told.checks if check.outcome == "objected"]
        assert told.held_until == NOON + timedelta(hours=11)
        assert (objected.name, objected.reason) == ("quiet_hours", "quiet_hours")
        assert objected.detail == (
            "It was Wed 21:00 in Asia/Tokyo; the brand's quiet hours 1 (21:00 to 08:00, policy version 2) objected until "
            "2026-07-15 23:00:00 UTC."
        )


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


async def test_rules_that_changed_hold_for_what_was_planned_before(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("berlin", "Europe/Berlin"))
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).plan()
        await world.settings(quiet_hours=[{"from": "14:00", "to": "15:00"}])

        await Engine(db, ScriptedChannel()).deliver()

        assert await world.fates(execution_id) == {"berlin": "held quiet_hours"}


async def test_without_rules_nobody_is_asked_where_they_are(at: AtTime):
    async with at(NOON) as db:
        world = await a_world(db, in_zone("tokyo", "Asia/Tokyo"), quiet_hours=[NIGHT | {"channels": ["sms"]}])
        publication = await PublicationSource(db).load(world.brand_id, await world.publication())
        route = PlannedRoute(new_id(), world.topic_id, int(EMAIL), new_id(), 2, None, 0, 1, 0, 4095)
        routes = [route]

        async with db.transaction() as conn:
            assert await QuietSource(BrandDirectory(db)).plan(conn, publication, routes) is routes


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
