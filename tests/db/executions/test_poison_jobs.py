"""What kills every worker that touches it is given up, and holds up nobody else."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from stentor.channels.contract import Accepted, Message, Outcome, Wave
from stentor.channels.model import InDoubtPolicy
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

EMAIL = ChannelKind.EMAIL
LEASE_OVER = timedelta(seconds=30)


class Killed(BaseException):
    """What the death of a process looks like to its own code: nothing of it runs on."""


class Mortal(Database):
    """The database as a process sees it that may die."""

    is_over = False

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Connection]:
        if self.is_over:
            raise Killed
        async with super()._borrowed() as conn:
            yield conn


class Deadly(ScriptedChannel):
    """A channel whose process dies of messages to `poison@example.com`."""

    def __init__(self) -> None:
        super().__init__()
        self.process: Mortal | None = None
        self.deaths = 0

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        if self.process and any(message.address.startswith("poison") for message in messages):
            self.deaths += 1
            self.process.is_over = True
            raise Killed
        self.taken += messages
        return [Accepted()] * len(messages)


class DeadlySandbox(Deadly):
    """The same, of what accepts by the commit that settles."""

    async def record(self, conn: Connection, wave: Wave, accepted: Sequence[Message]) -> None:
        return None


class DeadlyRelay(Deadly):
    """The same, of what keeps a journal: its process dies before anything was started."""

    @property
    def keeps_notes(self) -> Literal[True]:
        return True


KINDS = [
    pytest.param(Deadly, "at_least_once", id="at_least_once"),
    pytest.param(DeadlySandbox, "at_most_once", id="sandbox"),
    pytest.param(DeadlyRelay, "at_most_once", id="journal"),
]


@pytest.mark.fault("F16")
@pytest.mark.parametrize(("kind", "policy"), KINDS)
@pytest.mark.parametrize("people", [1, 50])
async def test_what_workers_die_of_is_soon_alone_and_given_up_and_everybody_else_is_reached(
    db: Database, tmp_path: Path, kind: type[Deadly], policy: InDoubtPolicy, people: int
):
    world, channel = await World.made(db), kind()
    names = [f"p{number}" for number in range(people)]
    await world.people([Someone("poison"), *map(Someone, names)])
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET in_doubt = %s", [policy])
    publication_id = await world.publication()
    deadly = await world.execution(publication_id)
    await Engine(db, channel).plan()
    await world.choose("poison", 0)
    others = [await world.execution(publication_id) for _ in range(3)]
    await Engine(db, channel).plan()
    await world.choose("poison", EMAIL.bit)

    for number in range(15):
        async with Mortal(db.dsn, size=3, shift=number * LEASE_OVER) as process:
            channel.process = process
            with suppress(Killed):
                await Engine(process, channel, worker=f"worker-{number}", data=tmp_path).drain()

    # The wave of all, its half, and so on; one alone is given up by the third owner in a row.
    assert channel.deaths <= max(3, people.bit_length() + 1)
    assert await world.fates(deadly) == {"poison": "unknown"} | dict.fromkeys(names, "handed_over")
    assert [await world.fates(other) for other in others] == [dict.fromkeys(names, "handed_over")] * 3
    assert sorted(channel.addresses) == sorted(f"{name}@example.com" for name in names * 4)
    assert (await Engine(db, channel).executions.find(world.brand_id, deadly)).state == "ended"


@pytest.mark.fault("F16")
async def test_of_what_workers_were_lost_with_one_after_the_other_is_taken_up_and_beside_it_only_what_is_new(
    db: Database,
):
    world, channel = await World.made(db), Deadly()
    neighbour = await World.made(db, "Neighbour")
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET in_doubt = 'at_least_once'")
    for one in (world, neighbour):
        await one.people([Someone("poison"), Someone("p")])
        await one.execution(await one.publication())
    await Engine(db, channel).plan()
    async with Mortal(db.dsn, size=3) as process:
        channel.process = process
        engine = Engine(process, channel)
        claims = [await engine.deliverer.claim() for _ in range(2)]
        for claim in filter(None, claims):
            # Both were open when it died.
            process.is_over = False
            with suppress(Killed):
                await engine.deliverer.deliver(claim, stop=asyncio.Event())
    channel.process = None

    async with Database(db.dsn, size=3, shift=LEASE_OVER) as later:
        heir = Engine(later, channel, worker="heir")
        for _ in range(2):
            lost = await heir.deliverer.claim()
            assert lost is not None
            await heir.deliverer.deliver(lost, stop=asyncio.Event())
        first = await heir.deliverer.claim()
        second = await heir.deliverer.claim()
        new = await world.execution(await world.publication())
        await heir.plan()
        third = await heir.deliverer.claim()
        assert first is not None
        await heir.deliverer.deliver(first, stop=asyncio.Event())
        fourth = await heir.deliverer.claim()

    assert channel.deaths == 2
    assert second is None
    assert third is not None
    assert third.execution_ids == [new]
    assert fourth is not None
    assert {first.brand_id, fourth.brand_id} == {world.brand_id, neighbour.brand_id}
