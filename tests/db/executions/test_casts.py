"""Executions for a tag: their people are fixed as a cast, and then it is the same flow as for a topic."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg.types.json import Jsonb

from night_world import AtTime, a_world, in_zone
from stentor.audience.casting import Choice, ConditionSource, casting
from stentor.audience.segments.expressions import Sent
from stentor.audience.segments.standing import compiled
from stentor.campaigns.sources import PublicationSource
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind, SendState
from stentor.executions.audiences import OfSegment, OfTag
from stentor.executions.casting import Caster
from stentor.executions.forecasting import Trial
from stentor.executions.history import HISTORY_DAYS, drop_history
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from tallies import funnel
from trigger_world import rows

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS


async def test_a_tag_is_reached_by_channel_flags_whoever_subscribed_to_what(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine, bit = Engine(db, channel), EMAIL.bit
    names = ["good", "never_subscribed", "refused", "bounced", "complained", "nowhere", "invalid"]
    await world.people(
        [
            Someone("good"),
            Someone("never_subscribed", channels=0),
            Someone("refused", refused_mask=bit),
            Someone("bounced", bounced_mask=bit),
            Someone("complained", complained_mask=bit),
            Someone("nowhere", address_mask=0, valid_mask=0),
            Someone("invalid", valid_mask=0),
            Someone("untagged"),
        ]
    )
    tag = OfTag(await world.tag(names))
    execution_id = await world.execution(await world.publication(basis="channel"), audience=tag)

    await engine.drain()

    assert await world.fates(execution_id) == {
        "good": "handed_over",
        "never_subscribed": "handed_over",
        "refused": "skipped unsubscribed",
        "bounced": "skipped bounced_before",
        "complained": "skipped complained",
        "nowhere": "skipped no_address",
        "invalid": "skipped invalid_address",
    }
    execution = (await engine.executions.progress(world.brand_id, execution_id)).execution
    assert (execution.state, execution.audience_size, execution.cast_size) == ("ended", 7, 7)
    assert execution.cast_at is not None


async def test_a_large_cast_is_cut_into_slices_and_loses_nobody(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine, names = Engine(db, channel), [f"p{number}" for number in range(45_000)]
    await world.people([Someone(name) for name in names])
    tag = OfTag(await world.tag(names))
    execution_id = await world.execution(await world.publication(basis="channel"), audience=tag)

    await engine.drain()

    assert (await funnel(engine, world, execution_id)).handed_over == 45_000
    assert len(set(channel.addresses)) == len(channel.addresses) == 45_000


async def test_the_cast_is_who_had_the_tag_when_it_was_made_and_the_guard_asks_again(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone("early"), Someone("late"), Someone("leaver")])
    tag_id = await world.tag(["early", "leaver"])
    execution_id = await world.execution(await world.publication(basis="channel"), audience=OfTag(tag_id))

    assert await engine.caster.cast_next()
    async with db.transaction() as conn:
        await conn.execute("DELETE FROM customer_tag")
        await conn.execute("UPDATE customer SET refused_mask = %s WHERE external_id = 'leaver'", [EMAIL.bit])
    await engine.drain()

    assert await world.fates(execution_id) == {"early": "handed_over", "leaver": "skipped unsubscribed"}


async def test_one_message_on_the_first_channel_that_may(db: Database):
    world, both = await World.made(db), EMAIL.bit | SMS.bit
    engine = Engine(db, ScriptedChannel())
    await world.people(
        [
            Someone("both", address_mask=both, valid_mask=both),
            Someone("no_mail", address_mask=both, valid_mask=both, refused_mask=EMAIL.bit),
        ]
    )
    tag = OfTag(await world.tag(["both", "no_mail"]))
    publication_id = await world.publication((EMAIL, SMS), mode="first", basis="channel")
    execution_id = await world.execution(publication_id, audience=tag)

    await engine.drain()

    channels = await rows(db, "SELECT channel, count(*)::integer FROM send WHERE state = 2 GROUP BY 1 ORDER BY 1")
    assert channels == [(EMAIL, 1), (SMS, 1)]
    assert set((await world.fates(execution_id)).values()) == {"handed_over"}


async def test_quiet_hours_hold_people_of_a_cast_until_their_morning(at: AtTime):
    async with at(datetime(2026, 7, 15, 20, 30, tzinfo=UTC)) as db:
        night = {"from": "22:00", "to": "08:00"}
        world = await a_world(
            db, in_zone("berlin", "Europe/Berlin"), in_zone("lima", "America/Lima"), quiet_hours=[night]
        )
        tag = OfTag(await world.tag(["berlin", "lima"]))
        execution_id = await world.execution(await world.publication(basis="channel"), audience=tag)
        await Engine(db, ScriptedChannel()).drain()
        assert await world.fates(execution_id) == {"berlin": "held quiet_hours", "lima": "handed_over"}

    async with at(datetime(2026, 7, 16, 6, 11, tzinfo=UTC), world) as db:
        await Engine(db, ScriptedChannel()).drain()
        assert set((await world.fates(execution_id)).values()) == {"handed_over"}


async def test_a_dry_run_of_a_tag_counts_as_the_run_then_does_and_writes_nothing(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one"), Someone("two"), Someone("refused", refused_mask=EMAIL.bit), Someone("other")])
    tag = OfTag(await world.tag(["one", "two", "refused"]))
    publication_id = await world.publication(basis="channel")

    told = await engine.executions.dry_run(world.brand_id, publication_id, Trial("", {}, Clock().now(), tag))
    gone = await engine.executions.dry_run(
        world.brand_id, publication_id, Trial("", {}, Clock().now(), OfTag(new_id()))
    )

    (channel,) = told.channels
    assert (told.audience_size, channel.would_send, channel.skipped) == (3, 2, {"unsubscribed": 1})
    assert {sample.external_id for sample in told.samples} == {"one", "two"}
    assert gone.error_code == "AUDIENCE_NOT_FOUND"
    assert await rows(db, "SELECT count(*) FROM cast_member") == [(0,)]


async def test_what_is_explained_of_a_cast(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("in", channels=0), Someone("out")])
    tag = OfTag(await world.tag(["in"]))
    execution_id = await world.execution(await world.publication(basis="channel"), audience=tag)
    await engine.drain()

    inside = await engine.executions.explain(world.brand_id, execution_id, "in")
    outside = await engine.executions.explain(world.brand_id, execution_id, "out")

    assert [check.name for check in inside.channels[0].checks if check.differs] == []
    assert inside.channels[0].state == "handed_over"
    assert outside.outside.startswith("Not in the audience when it was fixed, at ")


async def test_an_audience_that_was_deleted_fails_its_execution_and_no_other(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    publication_id = await world.publication(basis="channel")
    gone = await world.execution(publication_id, audience=OfTag(new_id()))
    unpublished = await world.execution(publication_id, audience=OfTag(await world.tag(["one"])))
    async with db.transaction() as conn:
        await conn.execute("UPDATE execution SET publication_id = %s WHERE id = %s", [new_id(), unpublished])
    good = await world.execution(publication_id, audience=OfTag(await world.tag(["one"])))

    await engine.drain()

    found = [await engine.executions.find(world.brand_id, each) for each in (gone, unpublished, good)]
    assert [(each.state, each.error_code) for each in found] == [
        ("failed", "AUDIENCE_NOT_FOUND"),
        ("failed", "INTERNAL"),
        ("ended", None),
    ]


async def test_a_segment_is_whom_it_holds_when_the_execution_starts(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people(
        [Someone("pt", locale="pt"), Someone("br", locale="pt-BR"), Someone("en", locale="en"), Someone("no")]
    )
    segment_id = new_id()
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO segment (id, brand_id, name, expression, created_at, updated_at) VALUES (%s, %s, 's', %s, now(), now())",
            [segment_id, world.brand_id, Jsonb({"type": "locale", "values": ["pt"]})],
        )
    audience, publication_id = OfSegment(segment_id), await world.publication(basis="channel", languages=["en", "pt"])
    execution_id = await world.execution(publication_id, audience=audience)

    told = await engine.executions.dry_run(world.brand_id, publication_id, Trial("", {}, Clock().now(), audience))
    await engine.drain()

    assert await world.variants(execution_id) == {"pt": 1, "br": 1}
    assert told.audience_size == 2


async def test_a_cast_is_cancelled_and_paused_like_any_other(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("one")])
    tag, publication_id = OfTag(await world.tag(["one"])), await world.publication(basis="channel")
    paused = await world.execution(publication_id, audience=tag)
    cancelled = await world.execution(publication_id, audience=tag)
    await engine.executions.pause(world.brand_id, paused)
    await engine.executions.cancel(world.brand_id, cancelled)
    await engine.drain()
    before = await world.fates(paused)

    await engine.executions.resume(world.brand_id, paused)
    await engine.drain()

    assert (before, await world.fates(cancelled)) == ({}, {})
    assert await world.fates(paused) == {"one": "handed_over"}


async def test_a_cast_goes_with_its_week(db: Database):
    world = await World.made(db)
    await world.people([Someone("one")])
    await world.execution(await world.publication(basis="channel"), audience=OfTag(await world.tag(["one"])))
    await Engine(db, ScriptedChannel()).drain()
    assert await rows(db, "SELECT count(*) FROM cast_member") == [(1,)]

    async with Database(db.dsn, size=2, shift=timedelta(days=HISTORY_DAYS + 8)) as then:
        while await drop_history(then, days=HISTORY_DAYS):
            continue

    assert await rows(db, "SELECT count(*) FROM cast_member") == [(0,)]


@pytest.mark.parametrize("of_one_campaign", [True, False])
async def test_what_a_test_run_or_a_test_send_sent_is_no_message_to_a_segment(db: Database, of_one_campaign: bool):
    world = await World.made(db)
    await world.people([Someone("ann")])
    publication_id = await world.publication()
    ((campaign_id,),) = await rows(db, "SELECT campaign_id FROM publication WHERE id = %s", publication_id)
    test_send = await world.publication()
    async with db.transaction() as conn:
        await conn.execute(
            "UPDATE publication SET is_test_send = true, campaign_id = %s WHERE id = %s", [campaign_id, test_send]
        )
    sent = Sent(what="sent", campaign_id=campaign_id if of_one_campaign else None)
    found: list[int] = []

    for ran, is_test in ((publication_id, True), (test_send, False), (publication_id, False)):
        await world.execution(ran, is_test=is_test)
        await Engine(db, ScriptedChannel()).drain()
        async with db.transaction() as conn:
            condition = ConditionSource(await compiled(conn, world.brand_id, sent))
            found.append((await casting(conn, world.brand_id, new_id(), condition, [Choice(0, EMAIL.bit)])).people)

    assert found == [0, 0, 1]
    assert await rows(db, "SELECT state, count(*)::integer FROM send GROUP BY 1") == [(SendState.HANDED_OVER, 3)]


async def test_a_cast_that_takes_too_long_fails_with_what_to_do(db: Database):
    world = await World.made(db)
    await world.people([Someone("ann")])
    tag = OfTag(await world.tag(["ann"]))
    execution_id = await world.execution(await world.publication(basis="channel"), audience=tag)
    engine = Engine(db, ScriptedChannel())

    async with db.transaction() as conn:
        await conn.execute("LOCK TABLE customer_tag")
        async with Database(db.dsn, size=2) as other:
            caster = Caster(other, PublicationSource(other), small_s=0.05, longest_s=0.2)
            assert await caster.cast_next()
            assert await caster.cast_next_alone()

    execution = (await engine.executions.progress(world.brand_id, execution_id)).execution
    assert (execution.state, execution.error_code) == ("failed", "INTERNAL")
    assert "longer than 0.2 s. Ask for less in its segment" in (execution.error_message or "")
