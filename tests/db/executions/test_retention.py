"""What a brand does not want to be kept any longer is forgotten; what is pending or in doubt is not, and reports stay."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from stentor.accounts.audit import forget_audit_of, record
from stentor.accounts.service import AccountService
from stentor.audience.forgetting import ToldKeeper
from stentor.channels.contract import Accepted, InDoubt, Message, Outcome, Rejected
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, new_id, part_of
from stentor.errors import Conflict, NotFound
from stentor.executions.audiences import OfTag
from stentor.executions.forgetting import PayloadKeeper
from stentor.executions.history import drop_history_of
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from stentor.triggers.batches.forgetting import BatchKeeper
from stentor.worker.retention import RetentionKeeper

pytestmark = pytest.mark.anyio

DAYS = 30


@pytest.fixture
async def later(db: Database) -> AsyncIterator[Database]:
    """The same database, a day after the things of now have become too old."""
    async with Database(db.dsn, size=4, shift=timedelta(days=DAYS + 1)) as moved:
        yield moved


async def rows(db: Database, query: Any, *values: Any) -> list[tuple[Any, ...]]:
    async with db.read() as conn:
        return await (await conn.execute(query, values)).fetchall()


async def words_of(db: Database, execution_id: UUID) -> tuple[Any, int]:
    """The execution's context, and how many answers there are words of."""
    ((context,),) = await rows(db, "SELECT context FROM execution WHERE id = %s", execution_id)
    ((answers,),) = await rows(
        db, "SELECT count(*) FROM delivery_event WHERE execution_id = %s AND answer <> ''", execution_id
    )
    return context, answers


async def test_what_an_execution_said_is_forgotten_and_what_became_of_it_is_not(db: Database, later: Database):
    def answer(message: Message) -> Outcome:
        return Rejected("550 nobody here") if message.address.startswith("gone") else Accepted()

    world, engine = await World.made(db), Engine(db, ScriptedChannel(answer))
    await world.people([Someone("ann"), Someone("gone")])
    execution_id = await world.execution(await world.publication(), context={"match": "Reds"})
    await engine.drain()
    before = await words_of(db, execution_id)
    keeper = PayloadKeeper(later)

    forgotten = [await keeper.forget(world.brand_id, days=DAYS) for _ in range(3)]

    assert before == ({"match": "Reds"}, 1)
    assert await words_of(db, execution_id) == ({}, 0)
    assert forgotten == [2, 0, 0]
    assert await world.fates(execution_id) == {"ann": "handed_over", "gone": "failed provider_rejected"}
    story = await engine.executions.explain(world.brand_id, execution_id, "gone")
    assert story.forgotten == f"What the call said and what was answered was forgotten after {DAYS + 1} days."
    overview = await engine.executions.overview(world.brand_id, execution_id)
    assert (overview.channels[0].handed_over, overview.channels[0].failed) == (1, 1)
    with pytest.raises(Conflict, match="forgotten"):
        await engine.executions.remedy(world.brand_id, execution_id, "retry_failed", asked_by="a test")


async def test_what_is_pending_or_in_doubt_or_younger_or_another_brands_keeps_its_words(db: Database, later: Database):
    world, other = await World.made(db), await World.made(db, "Other")
    doubtful = Engine(db, ScriptedChannel(lambda _: InDoubt("lost")))
    for one in (world, other):
        await one.people([Someone("ann")])
    in_doubt = await world.execution(await world.publication(), context={"match": "Reds"})
    others = await other.execution(await other.publication(), context={"match": "Reds"})
    await doubtful.drain()
    pending = await world.execution(await world.publication(), context={"match": "Blues"})
    await doubtful.plan()
    keeper = PayloadKeeper(later)

    too_young = await PayloadKeeper(db).forget(world.brand_id, days=DAYS)
    forgotten = [await keeper.forget(world.brand_id, days=DAYS) for _ in range(3)]
    await Engine(db, ScriptedChannel()).deliver()
    forgotten.append(await keeper.forget(world.brand_id, days=DAYS))

    assert (too_young, forgotten) == (0, [0, 0, 0, 1])
    assert (await words_of(db, in_doubt))[0] == {"match": "Reds"}
    assert (await words_of(db, others))[0] == {"match": "Reds"}
    assert (await words_of(db, pending))[0] == {}


async def test_a_brand_that_keeps_less_loses_its_sends_and_keeps_its_totals(db: Database, later: Database):
    world, other = await World.made(db), await World.made(db, "Other")
    doubtful = Engine(db, ScriptedChannel(lambda _: InDoubt("lost")))
    for one in (world, other):
        await one.people([Someone("ann"), Someone("bob")])
    in_doubt = await world.execution(await world.publication())
    await doubtful.drain()
    dropped = await world.execution(await world.publication())
    others = await other.execution(await other.publication())
    await Engine(db, ScriptedChannel()).drain()

    steps = [await drop_history_of(later, world.brand_id, days=DAYS) for _ in range(2)]

    assert steps == [3, 0]
    assert {row[0] for row in await rows(db, "SELECT id FROM execution")} == {in_doubt, others}
    assert {row[0] for row in await rows(db, "SELECT execution_id FROM send")} == {in_doubt, others}
    totals = await rows(db, "SELECT state, sends FROM daily_total WHERE brand_id = %s ORDER BY state", world.brand_id)
    assert totals == [(-1, 2), (2, 2)]
    await world.settings(history_days=60)
    with pytest.raises(NotFound, match="no such execution"):
        await doubtful.executions.find(world.brand_id, dropped)


async def test_events_members_of_batches_and_the_audit_log_are_forgotten_of_that_brand_alone(
    db: Database, later: Database
):
    worlds = [await World.made(db), await World.made(db, "Other")]
    for world in worlds:
        await world.people([Someone("ann")])
        ann = customer_id(world.brand_id, "ann")
        async with db.transaction() as conn:
            await conn.execute(
                "INSERT INTO customer_event (part, customer_id, brand_id, at, event_id, name)"
                " VALUES (%s, %s, %s, now(), %s, 'ordered')",
                [part_of(ann), ann, world.brand_id, new_id()],
            )
    async with Database(db.dsn, size=1, shift=timedelta(days=-DAYS - 1)) as earlier:
        for world in worlds:
            async with earlier.transaction() as conn:
                await record(conn, "campaign.updated", "c", brand_id=world.brand_id, after={"name": "New"})
    tagged = [await worlds[0].tag(["ann"]) for _ in range(2)]
    kept_tag = tagged[0]
    async with db.transaction() as conn:
        for tag_id in tagged:
            await conn.execute(
                "INSERT INTO batch (id, brand_id, kind, tag_id, profiles, is_test, made_by, created_at, updated_at)"
                " VALUES (%s, %s, 'call', %s, 1, false, 'key 1', now(), now())",
                [new_id(), worlds[0].brand_id, tag_id],
            )
    # Whom this campaign is still to be run for.
    await worlds[0].execution(await worlds[0].publication(basis="channel"), audience=OfTag(kept_tag))
    async with db.transaction() as conn:
        await record(conn, "campaign.updated", "c", brand_id=worlds[0].brand_id, after={"name": "Newer"})
    told, batches, brand_id = ToldKeeper(later), BatchKeeper(later), worlds[0].brand_id

    events = sum([await told.forget(brand_id, days=DAYS) for _ in range(64)])
    members = [await batches.forget(brand_id, days=DAYS) for _ in range(2)]
    entries = [await forget_audit_of(db, brand_id, days=DAYS) for _ in range(2)]

    assert (events, members, entries) == (1, [1, 0], [1, 0])
    assert await rows(db, "SELECT brand_id FROM customer_event") == [(worlds[1].brand_id,)]
    assert await rows(db, "SELECT tag_id FROM customer_tag") == [(kept_tag,)]
    assert await rows(db, "SELECT count(*), min(profiles) FROM batch") == [(2, 1)]
    assert (await rows(db, "SELECT count(*) FROM audit_entry WHERE brand_id = %s", worlds[1].brand_id))[0][0] == 1


async def test_the_keeper_goes_by_what_each_brand_says(db: Database, later: Database):
    worlds = [await World.made(db), await World.made(db, "Other")]
    executions: list[UUID] = []
    await worlds[0].settings(payload_days=DAYS)
    for world in worlds:
        await world.people([Someone("ann")])
        executions.append(await world.execution(await world.publication(), context={"match": "Reds"}))
    await Engine(db, ScriptedChannel()).drain()

    forgotten = await RetentionKeeper(later, AccountService(later, b"p" * 32).brands, history_days=400).forget()

    assert forgotten == 1
    assert [(await words_of(db, one))[0] for one in executions] == [{}, {"match": "Reds"}]
