"""Casts that take long keep nobody waiting: neither other casts, nor whoever cancels them."""

import asyncio

import pytest
from psycopg.types.json import Jsonb

from stentor.audience.casting import Choice, ConditionSource, casting
from stentor.audience.segments.expressions import Sent
from stentor.audience.segments.standing import compiled
from stentor.campaigns.sources import PublicationSource
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.audiences import OfSegment, OfTag
from stentor.executions.casting import Caster
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.waiting import eventually
from stentor.testing.world import Someone, World
from trigger_world import rows

pytestmark = pytest.mark.anyio

EMAIL = ChannelKind.EMAIL


async def test_a_long_cast_holds_up_neither_the_others_nor_who_cancels_it(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("ann")])
    publication_id, segment_id = await world.publication(basis="channel"), new_id()
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO segment (id, brand_id, name, expression, created_at, updated_at) VALUES (%s, %s, 's', %s, now(), now())",
            [segment_id, world.brand_id, Jsonb({"type": "event", "name": "order"})],
        )
    long = await world.execution(publication_id, audience=OfSegment(segment_id))
    short = await world.execution(publication_id, audience=OfTag(await world.tag(["ann"])))

    async with Database(db.dsn, size=3) as other, db.transaction() as conn:
        # What a segment of millions does for minutes, this does until the block ends.
        await conn.execute("LOCK TABLE customer_event")
        caster = Caster(other, PublicationSource(other), small_s=0.1)
        while await caster.cast_next():
            continue
        waiting = await rows(other, "SELECT id, casts_alone FROM execution WHERE awaits_cast")
        casting_alone = asyncio.create_task(caster.cast_next_alone())
        await eventually(lambda: _somebody_waits(other))
        is_anybody_else_at_it = await Caster(other, PublicationSource(other)).cast_next_alone()
        cancelled = await engine.executions.cancel(world.brand_id, long)
    assert await casting_alone
    await engine.drain()

    assert waiting == [(long, True)]
    assert (is_anybody_else_at_it, cancelled.execution.state) == (False, "cancelled")
    assert await world.fates(short) == {"ann": "handed_over"}
    assert await rows(db, "SELECT count(*) FROM cast_member WHERE execution_id = %s", long) == [(0,)]
    assert (await engine.executions.find(world.brand_id, long)).error_code == "CANCELLED"


async def test_a_segment_that_is_expected_to_take_long_is_not_tried_among_the_others(db: Database):
    world = await World.made(db)
    await world.people([Someone("ann")])
    publication_id, segment_id = await world.publication(basis="channel"), new_id()
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO segment (id, brand_id, name, expression, created_at, updated_at) VALUES (%s, %s, 's', %s, now(), now())",
            [segment_id, world.brand_id, Jsonb({"type": "known", "field": "email"})],
        )
    dear = await world.execution(publication_id, audience=OfSegment(segment_id))
    tagged = await world.execution(publication_id, audience=OfTag(await world.tag(["ann"])))
    caster = Caster(db, PublicationSource(db), small_cost=0)

    await caster.cast_next()
    waiting = await rows(db, "SELECT id, casts_alone FROM execution WHERE awaits_cast")
    await caster.cast_next_alone()

    assert waiting == [(dear, True)]
    assert await rows(db, "SELECT id, cast_size FROM execution ORDER BY id") == [(dear, 1), (tagged, 1)]


async def _somebody_waits(db: Database) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return await rows(db, waiting) == [(1,)]


async def test_what_a_campaign_sent_is_known_however_often_it_ran(db: Database):
    world = await World.made(db)
    await world.people([Someone("ann"), Someone("bob")])
    engine, publication_id = Engine(db, ScriptedChannel()), await world.publication(basis="channel")
    ((campaign_id,),) = await rows(db, "SELECT campaign_id FROM publication WHERE id = %s", publication_id)
    for name in ("ann", "bob"):
        await world.execution(publication_id, audience=OfTag(await world.tag([name])))
        await engine.drain()
    found: list[int] = []

    for wanted in (campaign_id, new_id()):
        for named_max in (1, 2):
            async with db.transaction() as conn:
                sent = Sent(what="sent", campaign_id=wanted)
                condition = ConditionSource(await compiled(conn, world.brand_id, sent, named_max=named_max))
                cast = await casting(conn, world.brand_id, new_id(), condition, [Choice(0, EMAIL.bit)])
                found.append(cast.people)

    assert found == [2, 2, 0, 0]


async def test_a_cast_of_nobody_ends_at_once(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    audience = OfTag(await world.tag([]))
    execution_id = await world.execution(await world.publication(basis="channel"), audience=audience)

    await engine.plan()

    execution = await engine.executions.find(world.brand_id, execution_id)
    assert (execution.state, execution.cast_size, execution.audience_size) == ("ended", 0, 0)
