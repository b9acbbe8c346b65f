"""Nobody who cannot wait stands behind a blast, and nobody behind another's slow relay: some of a worker's claims are kept."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from psycopg.errors import DeadlockDetected

from stentor.campaigns.model import LaneName
from stentor.channels.contract import Message, Outcome, Wave
from stentor.db.pool import Database
from stentor.deliver.model import Busy
from stentor.domain.vocabulary import Lane
from stentor.executions.composing import TURN_PEOPLE, BoundRenderer
from stentor.guard.meter import GuardMeter
from stentor.testing.engine import Engine, PlainRenderers, ScriptedChannel
from stentor.testing.waiting import eventually
from stentor.testing.world import Someone, World
from stentor.worker.deliverer import DelivererRole
from stentor.worker.loop import Bell

if TYPE_CHECKING:
    from stentor.executions.pipeline import Deliverer

pytestmark = pytest.mark.anyio

LANES: tuple[LaneName, ...] = ("alert", "bulk")


class BlockedChannel(ScriptedChannel):
    """Keeps bulk waves waiting until it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.bulk_waves = 0
        self.free = asyncio.Event()

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        if wave.lane is Lane.BULK:
            self.bulk_waves += 1
            await self.free.wait()
        return await super().hand_over(wave, messages)


class SlowRelay(ScriptedChannel):
    """Takes the messages of one brand, and does not answer until it is let go on."""

    def __init__(self, brand_id: UUID) -> None:
        super().__init__()
        self.brand_id = brand_id
        self.waiting: Counter[Lane] = Counter()
        self.free = asyncio.Event()

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        if wave.brand_id == self.brand_id:
            self.waiting[wave.lane] += 1
            await self.free.wait()
        return await super().hand_over(wave, messages)


class TurnsSeen(PlainRenderers):
    """Counts the turns of somebody who shares the event loop, and notes in which of them messages are rendered."""

    def __init__(self) -> None:
        self.turn = 0
        self.rendered_in: list[int] = []

    async def tick(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)

    def bind(self, *args: Any, **named: Any) -> BoundRenderer:
        return _Noting(self, super().bind(*args, **named))


class _Noting:
    def __init__(self, seen: TurnsSeen, inner: BoundRenderer) -> None:
        self._seen = seen
        self._inner = inner

    def render(self, *args: Any, **named: Any) -> Message:
        self._seen.rendered_in.append(self._seen.turn)
        return self._inner.render(*args, **named)


async def test_an_alert_is_delivered_while_bulk_has_taken_every_claim_that_it_may(db: Database):
    world, channel = await World.made(db), BlockedChannel()
    await world.people([Someone(f"p{number}") for number in range(6)])
    blasts = [await world.execution(await world.publication()) for _ in range(3)]
    engine, stop = Engine(db, channel), asyncio.Event()
    await engine.plan()
    await one_chunk_a_claim(db)
    role = DelivererRole(engine.deliverer, slots=2, due=Bell(), bulk_waits=lambda: False)

    async with asyncio.TaskGroup() as group:
        group.create_task(role.run(stop))
        await eventually(lambda: channel.bulk_waves == 2)
        alert = await world.execution(await world.publication(lane="alert"))
        await engine.plan()
        await eventually(lambda: len(channel.taken) == 6)
        bulk_waves = channel.bulk_waves
        channel.free.set()
        await eventually(lambda: len(channel.taken) == 24)
        stop.set()

    assert bulk_waves == 2
    for execution_id in (alert, *blasts):
        assert set((await world.fates(execution_id)).values()) == {"handed_over"}


@pytest.mark.fault("F9")
@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("first", LANES)
async def test_nobody_waits_for_the_slow_relay_of_somebody_else(db: Database, slots: int, first: LaneName):
    slow, other = await World.made(db, "Slow"), await World.made(db, "Other")
    channel = SlowRelay(slow.brand_id)
    engine, stop = Engine(db, channel), asyncio.Event()
    for world in (slow, other):
        await world.people([Someone("one")])
    publications = {(world, lane): await world.publication(lane=lane) for world in (slow, other) for lane in LANES}
    for lane in LANES:
        for _ in range(4):
            await slow.execution(publications[slow, lane])
    await engine.plan()
    await one_chunk_a_claim(db)
    await postpone(db, "1 hour", but=first)
    role = DelivererRole(engine.deliverer, slots=slots, due=Bell(), bulk_waits=lambda: False)

    async with asyncio.TaskGroup() as group:
        group.create_task(role.run(stop))
        await eventually(lambda: channel.waiting.total() >= slots)
        await postpone(db, "-1 hour", but=first)
        await eventually(lambda: channel.waiting.total() == slots + 1)
        runs = [await other.execution(publications[other, lane]) for lane in LANES]
        await engine.plan()
        await eventually(lambda: len(channel.taken) == 2)
        waiting = channel.waiting.total()
        channel.free.set()
        await eventually(lambda: len(channel.taken) == 10)
        stop.set()

    assert waiting == slots + 1
    assert [await other.fates(run) for run in runs] == [{"one": "handed_over"}] * 2


@pytest.mark.parametrize(("lane", "turns"), [("bulk", 100 // TURN_PEOPLE), ("alert", 1)])
async def test_others_get_turns_while_the_messages_of_a_blast_are_made(db: Database, lane: LaneName, turns: int):
    world = await World.made(db)
    await world.people([Someone(f"p{number}") for number in range(100)])
    await world.execution(await world.publication(lane=lane))
    seen = TurnsSeen()
    engine = Engine(db, ScriptedChannel(), renderers=seen)
    await engine.plan()

    others = asyncio.create_task(seen.tick())
    await engine.deliver()
    others.cancel()

    assert len(set(seen.rendered_in)) == turns
    assert len(seen.rendered_in) == 100


class Deadlocked:
    """A deliverer that has nothing to do and cannot keep its leases."""

    def __init__(self) -> None:
        self.guard_meter = GuardMeter()
        self.beats = 0

    async def claim(self, _last_lane: Lane, _busy: Busy) -> None:
        return None

    async def keep_leases(self) -> None:
        self.beats += 1
        raise DeadlockDetected("deadlock detected")


async def test_a_heartbeat_that_fails_ends_no_worker():
    deliverer, stop = Deadlocked(), asyncio.Event()
    role = DelivererRole(cast("Deliverer", deliverer), slots=1, due=Bell(), bulk_waits=lambda: False, heartbeat_s=0.01)

    async with asyncio.TaskGroup() as group:
        group.create_task(role.run(stop))
        await eventually(lambda: deliverer.beats > 2)
        stop.set()


async def one_chunk_a_claim(db: Database) -> None:
    # Small executions share a claim; chunks that say that they hold thousands do not.
    async with db.autocommit() as conn:
        await conn.execute("UPDATE chunk SET sends = 5000")


async def postpone(db: Database, time: str, *, but: LaneName) -> None:
    async with db.autocommit() as conn:
        lane = int(Lane.named(but))
        await conn.execute("UPDATE chunk SET due_at = due_at + %s::interval WHERE lane <> %s", [time, lane])
