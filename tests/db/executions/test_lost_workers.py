"""What becomes of people whose worker froze, died or came back too late."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from stentor.campaigns.model import LaneName
from stentor.channels.contract import Accepted, Deferred, Message, NotSent, Outcome, Wave
from stentor.channels.model import InDoubtPolicy
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.deliver.store import claim_due, extend_leases
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind
from stentor.queue.floors import Floors
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

AFTER_THE_LEASE = timedelta(seconds=30)


class FrozenChannel(ScriptedChannel):
    """Takes the messages and answers only when it is thawed, all of them the same."""

    def __init__(self, said: Outcome | None = None) -> None:
        super().__init__()
        self.said: Outcome = said or Accepted()
        self.reached = asyncio.Event()
        self.thawed = asyncio.Event()

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        self.taken += messages
        self.reached.set()
        await self.thawed.wait()
        return [self.said] * len(messages)


class FrozenSandbox(FrozenChannel):
    """The same, for a channel that accepts by storing."""

    async def record(self, conn: Connection, wave: Wave, accepted: Sequence[Message]) -> None:
        return None


async def frozen_at_hand_over(db: Database, world: World, channel: FrozenChannel) -> "asyncio.Task[int]":
    engine = Engine(db, channel, worker="frozen")
    await engine.plan()
    task = asyncio.create_task(engine.deliver())
    await channel.reached.wait()
    return task


@pytest.mark.fault("F1")
async def test_sends_on_the_wire_of_a_lost_worker_are_in_doubt_and_sent_to_nobody_twice(db: Database):
    world, frozen, channel = await World.made(db), FrozenChannel(), ScriptedChannel()
    await world.people([Someone("one"), Someone("two")])
    execution_id = await world.execution(await world.publication())
    task = await frozen_at_hand_over(db, world, frozen)

    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        await Engine(later, channel, worker="heir").drain()

    assert await world.fates(execution_id) == {"one": "unknown", "two": "unknown"}
    assert channel.taken == []
    task.cancel()
    await asyncio.wait([task])


async def _set_in_doubt(db: Database, policy: InDoubtPolicy | None) -> None:
    async with db.transaction() as conn:
        await conn.execute("UPDATE sender SET in_doubt = %s", (policy,))


@pytest.mark.fault("F1")
@pytest.mark.parametrize(
    ("policy", "lane", "kind"),
    [
        ("at_least_once", "bulk", ChannelKind.EMAIL),
        (None, "transactional", ChannelKind.EMAIL),
        (None, "bulk", ChannelKind.WEBHOOK),
    ],
)
async def test_sends_in_doubt_are_sent_again_where_the_sender_or_the_campaign_wants_that(
    db: Database, policy: InDoubtPolicy | None, lane: LaneName, kind: ChannelKind
):
    world, frozen, channel = await World.made(db), FrozenChannel(), ScriptedChannel()
    await _set_in_doubt(db, policy)
    await world.people([Someone("one", channels=kind.bit, address_mask=kind.bit, valid_mask=kind.bit)])
    execution_id = await world.execution(await world.publication([kind], lane=lane))
    task = await frozen_at_hand_over(db, world, frozen)

    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        await Engine(later, channel, worker="heir").drain()

    assert await world.fates(execution_id) == {"one": "handed_over"}
    assert channel.addresses == frozen.addresses
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("policy", ["at_most_once", "ask"])
async def test_sends_in_doubt_stay_so_where_the_sender_wants_that(db: Database, policy: InDoubtPolicy):
    world, frozen, channel = await World.made(db), FrozenChannel(), ScriptedChannel()
    await _set_in_doubt(db, policy)
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication(lane="transactional"))
    task = await frozen_at_hand_over(db, world, frozen)

    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        await Engine(later, channel, worker="heir").drain()

    assert await world.fates(execution_id) == {"one": "unknown"}
    assert channel.taken == []
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.fault("F4")
async def test_a_worker_that_thaws_after_its_lease_settles_nothing(db: Database):
    world, frozen, channel = await World.made(db), FrozenChannel(), ScriptedChannel()
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())
    task = await frozen_at_hand_over(db, world, frozen)
    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        await Engine(later, channel, worker="heir").drain()

    frozen.thawed.set()
    await task

    assert await world.fates(execution_id) == {"one": "unknown"}
    progress = await Engine(db, channel).executions.progress(world.brand_id, execution_id)
    counts = progress.channels[0]
    assert (counts.pending, counts.handed_over, counts.unknown) == (0, 0, 1)


async def test_who_is_deferred_into_a_chunk_whose_wave_is_on_the_wire_is_not_settled_with_it(db: Database):
    world, slow, retried = await World.made(db), FrozenChannel(Deferred("450 later")), FrozenChannel()
    _, middle, _ = sorted(await world.people([Someone("a"), Someone("b"), Someone("c")]))
    between = {customer_id(world.brand_id, name): name for name in "abc"}[middle]
    execution_id = await world.execution(await world.publication())
    await deferred_but_one(db, not_started=f"{between}@example.com")

    base = asyncio.create_task(Engine(db, slow, worker="base").deliver())
    await slow.reached.wait()
    await make_due(db)
    retry = asyncio.create_task(Engine(db, retried, worker="retry").deliver())
    await retried.reached.wait()
    slow.thawed.set()
    await base
    retried.thawed.set()
    await retry

    fates = await world.fates(execution_id)
    assert fates.pop(between) == "pending"
    assert set(fates.values()) == {"handed_over"}


async def deferred_but_one(db: Database, *, not_started: str) -> None:
    """A first pass in which everybody is deferred but one, whose message does not leave."""
    channel = ScriptedChannel(
        lambda message: NotSent("too old") if message.address == not_started else Deferred("450 later")
    )
    engine, stop = Engine(db, channel), asyncio.Event()
    await engine.plan()
    channel.on_wave = lambda _wave: stop.set()
    claim = await engine.deliverer.claim()
    assert claim is not None
    await engine.deliverer.deliver(claim, stop=stop)
    async with db.autocommit() as conn:
        await conn.execute(
            "UPDATE chunk SET due_at = created_at FROM execution e WHERE number < 1 << 24 AND e.id = execution_id"
        )


async def make_due(db: Database) -> None:
    async with db.autocommit() as conn:
        await conn.execute("UPDATE chunk SET due_at = created_at FROM execution e WHERE e.id = execution_id")


async def test_a_lost_wave_of_the_sandbox_was_certainly_not_accepted_and_is_sent_again(db: Database):
    world, frozen, channel = await World.made(db), FrozenSandbox(), FrozenSandbox()
    channel.thawed.set()
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())
    task = await frozen_at_hand_over(db, world, frozen)

    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        await Engine(later, channel, worker="heir").drain()

    assert await world.fates(execution_id) == {"one": "handed_over"}
    assert channel.addresses == ["one@example.com"]
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.fault("F1")
async def test_people_whose_wave_was_never_opened_are_reached_by_the_next_worker(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    lost, heir = Engine(db, ScriptedChannel(), worker="lost"), None
    await world.people([Someone(f"p{number}") for number in range(50)])
    execution_id = await world.execution(await world.publication())
    await lost.plan()
    assert await lost.deliverer.claim() is not None

    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        heir = Engine(later, channel, worker="heir")
        await heir.drain()

    assert set((await world.fates(execution_id)).values()) == {"handed_over"}
    assert len(channel.taken) == 50


async def test_a_channel_that_fails_leaves_its_wave_in_doubt_and_the_worker_goes_on(db: Database):
    world, channel = await World.made(db), ScriptedChannel()

    def explode(wave: Wave) -> None:
        raise RuntimeError("a bug")

    channel.on_wave = explode
    engine = Engine(db, channel)
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())

    await engine.drain()

    assert await world.fates(execution_id) == {"one": "unknown"}
    assert (await engine.executions.find(world.brand_id, execution_id)).state == "ended"


@pytest.mark.fault("F12")
async def test_a_lease_is_kept_by_the_databases_clock_whatever_the_workers_says(db: Database):
    world = await World.made(db)
    await world.people([Someone("one")])
    await world.execution(await world.publication())
    async with Database(db.dsn, size=3, shift=timedelta(days=1)) as ahead:
        first, second = (Engine(ahead, ScriptedChannel(), worker=name) for name in ("first", "second"))
        await first.plan()

        claims = [await engine.deliverer.claim() for engine in (first, second)]

    assert [claim is not None for claim in claims] == [True, False]


@pytest.mark.fault("F4")
async def test_a_wave_of_which_a_part_was_taken_over_is_sent_to_nobody_twice(db: Database):
    world, frozen, channel = await World.made(db), FrozenChannel(), ScriptedChannel()
    await world.people([Someone("one"), Someone("two")])
    publication_id = await world.publication()
    paused, other = [await world.execution(publication_id) for _ in range(2)]
    task = await frozen_at_hand_over(db, world, frozen)
    assert len(frozen.taken) == 4
    await Engine(db, channel).executions.pause(world.brand_id, paused)

    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        heir = Engine(later, channel, worker="heir")
        await heir.deliver()
        frozen.thawed.set()
        await task
        await heir.executions.resume(world.brand_id, paused)
        await heir.deliver()

    assert channel.taken == []
    for execution_id in (paused, other):
        assert set((await world.fates(execution_id)).values()) == {"unknown"}


async def test_a_chunk_that_somebody_holds_costs_the_others_of_its_worker_no_lease(db: Database):
    world = await World.made(db)
    await world.people([Someone("one")])
    publication_id = await world.publication()
    held, kept = [await world.execution(publication_id) for _ in range(2)]
    await Engine(db, ScriptedChannel()).plan()
    async with db.transaction() as conn:
        claim = await claim_due(conn, "busy", Floors())
    assert claim is not None

    async with db.transaction() as somebody, Database(db.dsn, size=1, shift=AFTER_THE_LEASE / 2) as later:
        await somebody.execute("SELECT FROM chunk WHERE execution_id = %s FOR UPDATE", [held])
        async with asyncio.timeout(5), later.transaction() as conn:
            await extend_leases(conn, claim.chunks)

    async with db.read() as conn:
        cursor = await conn.execute("SELECT execution_id, lease_until - statement_timestamp() > '25 s' FROM chunk")
        assert dict(await cursor.fetchall()) == {held: False, kept: True}
