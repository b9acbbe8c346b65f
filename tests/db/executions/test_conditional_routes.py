"""Routes with conditions: of those on a channel the first that holds is meant, for tags, topics and named people alike."""

from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from stentor.audience.segments.expressions import Attribute, Expression, Language, Missing, NoneOf, Sample, Tagged
from stentor.campaigns.sources import PublicationSource
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, part_of
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.audiences import OfTag
from stentor.executions.explaining import Explanation
from stentor.executions.forecasting import Trial
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from trigger_world import rows

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS
BOTH = EMAIL.bit | SMS.bit
GERMAN = Language(values=("de",))


def reachable(name: str, *, locale: str | None = None) -> Someone:
    """Somebody who takes and can be reached by mail and text."""
    return Someone(name, channels=BOTH, address_mask=BOTH, valid_mask=BOTH, locale=locale)


async def explained(engine: Engine, world: World, execution_id: UUID, name: str) -> Explanation:
    return await engine.executions.explain(world.brand_id, execution_id, name)


async def routes_of(engine: Engine, world: World, execution_id: UUID, name: str) -> list[tuple[int, Expression | None]]:
    """The routes by which somebody was written to, each with its condition."""
    return [(one.route, one.when) for one in (await explained(engine, world, execution_id, name)).channels]


async def test_of_the_routes_on_a_channel_the_first_whose_condition_holds_is_meant(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    names = ["vip_de", "german", "english", "outsider"]
    await world.people(
        [reachable(name, locale="de-AT" if "de" in name or name == "german" else "en") for name in names]
    )
    vip = Tagged(tag_id=await world.tag(["vip_de"]))
    tag = OfTag(await world.tag(names[:3]))
    publication_id = await world.publication(
        (EMAIL, EMAIL, SMS, EMAIL), basis="channel", languages=("en", "de"), whens=(vip, GERMAN, vip)
    )

    told = await engine.executions.dry_run(world.brand_id, publication_id, Trial("", {}, Clock().now(), tag))
    execution_id = await world.execution(publication_id, audience=tag)
    await engine.drain()

    assert (told.audience_size, told.routes) == (3, [1, 1, 1, 1])
    assert await routes_of(engine, world, execution_id, "vip_de") == [(0, vip), (2, vip)]
    assert await routes_of(engine, world, execution_id, "german") == [(1, GERMAN)]
    assert await routes_of(engine, world, execution_id, "english") == [(3, None)]
    assert await rows(db, "SELECT channel, variant FROM send ORDER BY 1, 2") == [(1, 1), (1, 3), (1, 4), (2, 1)]
    assert set((await world.fates(execution_id)).values()) == {"handed_over", "handed_over, handed_over"}


async def test_subscribers_of_a_topic_are_cast_where_routes_have_conditions(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people(
        [
            reachable("german", locale="de"),
            reachable("english", locale="en"),
            Someone("by_text", channels=SMS.bit, address_mask=SMS.bit, valid_mask=SMS.bit, locale="en"),
            Someone("left", channels=0, locale="de"),
        ]
    )
    publication_id = await world.publication((EMAIL, SMS), mode="first", whens=(GERMAN, NoneOf(conditions=(GERMAN,))))

    execution_id = await world.execution(publication_id)
    await engine.drain()

    assert await routes_of(engine, world, execution_id, "german") == [(0, GERMAN)]
    assert [one for one, _ in await routes_of(engine, world, execution_id, "english")] == [1]
    assert await world.fates(execution_id) == dict.fromkeys(("german", "english", "by_text"), "handed_over")
    assert "no route's condition held" in (await explained(engine, world, execution_id, "left")).outside
    execution = (await engine.executions.progress(world.brand_id, execution_id)).execution
    assert (execution.cast_size, execution.audience_size, execution.topic_id) == (3, 3, world.topic_id)


async def test_a_topic_whose_campaign_has_no_conditions_needs_no_cast(db: Database):
    world = await World.made(db)
    await world.people([Someone("ann")])
    execution_id = await world.execution(await world.publication())

    await Engine(db, ScriptedChannel()).drain()

    assert await world.fates(execution_id) == {"ann": "handed_over"}
    assert await rows(db, "SELECT count(*) FROM cast_member") == [(0,)]


async def test_named_people_are_decided_by_the_same_conditions(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    names = ["german", "english"]
    await world.people([reachable("german", locale="de"), reachable("english", locale="en")])
    # Whom nobody told us of is known by an address alone, and has no language.
    await world.people([reachable("bare")])
    async with db.transaction() as conn:
        await conn.execute("UPDATE customer SET external_id = 'addr:bare' WHERE external_id = 'bare'")
    everybody_else = Attribute(name="tier", test=Missing())
    publication_id = await world.publication(
        (EMAIL, EMAIL, SMS), basis="none", lane="transactional", whens=(GERMAN, everybody_else, GERMAN)
    )
    execution_id = await world.execution(publication_id, topic_key="")
    ids = [customer_id(world.brand_id, name) for name in (*names, "bare")]
    async with db.transaction() as conn:
        await conn.execute("UPDATE execution SET recipients = 3 WHERE id = %s", [execution_id])
        await conn.execute(
            "INSERT INTO send_context (execution_id, part, customer_id, brand_id)"
            " SELECT %s, n.part, n.id, %s FROM unnest(%s::smallint[], %s::uuid[]) AS n (part, id)",
            [execution_id, world.brand_id, [part_of(one) for one in ids], ids],
        )

    await engine.drain()

    assert [one for one, _ in await routes_of(engine, world, execution_id, "german")] == [0, 2]
    assert await routes_of(engine, world, execution_id, "english") == [(1, everybody_else)]
    assert (await world.fates(execution_id))["addr:bare"] == "handed_over"
    no_text = await engine.executions.message(world.brand_id, execution_id, ids[1], SMS)
    assert (no_text.state.label, no_text.reason.label) == ("skipped", "other_channel")
    assert no_text.note == "On sms, no route's condition held for them."


async def test_of_a_call_nobody_is_written_to_whom_no_route_is_meant_for(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    (ann,) = await world.people([reachable("ann", locale="en")])
    publication_id = await world.publication((EMAIL,), basis="none", lane="transactional", whens=(GERMAN,))
    execution_id = await world.execution(publication_id, topic_key="")
    async with db.transaction() as conn:
        await conn.execute("UPDATE execution SET recipients = 1 WHERE id = %s", [execution_id])
        await conn.execute(
            "INSERT INTO send_context (execution_id, part, customer_id, brand_id) VALUES (%s, %s, %s, %s)",
            [execution_id, part_of(ann), ann, world.brand_id],
        )

    await engine.drain()

    assert (await engine.executions.find(world.brand_id, execution_id)).state == "ended"
    assert (await engine.executions.message(world.brand_id, execution_id, ann, EMAIL)).reason.label == "other_channel"
    told = await explained(engine, world, execution_id, "ann")
    assert (told.channels, told.outside) == ([], "Named by the call, but no route's condition held for them.")


async def test_many_routes_share_a_channel_and_everybody_has_one(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    names = [f"p{number}" for number in range(200)]
    await world.people([Someone(name) for name in names])
    whens = [Sample(share=1 / (32 - ordinal), seed=str(ordinal)) for ordinal in range(31)]
    publication_id = await world.publication((EMAIL,) * 32, basis="channel", whens=whens)

    execution_id = await world.execution(publication_id, audience=OfTag(await world.tag(names)))
    await engine.drain()

    assert list((await world.fates(execution_id)).values()) == ["handed_over"] * 200
    assert len({route for (route,) in await rows(db, "SELECT variant FROM send")}) > 20


async def test_what_was_published_before_there_were_conditions_runs_as_it_did(db: Database):
    world = await World.made(db)
    publication_id = await world.publication()
    async with db.transaction() as conn:
        (old,) = await rows(db, "SELECT content FROM publication")
        for route in old[0]["routes"]:
            del route["when"], route["app"]
        await conn.execute("UPDATE publication SET content = %s", [Jsonb(old[0])])

    publication = await PublicationSource(db).load(world.brand_id, publication_id)

    assert [(route.when, route.app) for route in publication.content.routes] == [(None, None)]
