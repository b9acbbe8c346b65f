"""Whose night it is, by the rules and by where they are: asked when they are planned, and again when a wave leaves."""

from datetime import timedelta

import pytest

from night_world import NIGHT, NOON, AtTime, a_world, in_zone, state
from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.model import Mode
from stentor.campaigns.sources import PublicationSource
from stentor.domain.ids import new_id
from stentor.domain.policy import CampaignPolicy
from stentor.domain.quiet_hours import QuietRule
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.forecasting import Trial
from stentor.executions.model import PlannedRoute
from stentor.executions.quieting import QuietSource
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from tallies import funnel

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS


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
        route = PlannedRoute(
            execution_id=new_id(),
            table="topic",
            audience_id=world.topic_id,
            ordinal=0,
            variant_base=0,
            channel=int(EMAIL),
            sender_id=new_id(),
            lane=2,
            languages=None,
            chunk_base=0,
            chunks=1,
            part_from=0,
            part_to=4095,
        )
        routes = [route]

        async with db.transaction() as conn:
            assert await QuietSource(BrandDirectory(db)).plan(conn, publication, routes) is routes
