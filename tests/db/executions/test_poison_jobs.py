"""What kills every worker that touches it is given up, and holds up nobody else."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from stentor.channels.contract import Accepted, Message, Outcome, Wave
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

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


@pytest.mark.fault("F16")
@pytest.mark.parametrize("kind", [Deadly, DeadlySandbox], ids=["at_least_once", "sandbox"])
async def test_what_three_workers_died_of_is_given_up_and_everybody_else_is_reached(db: Database, kind: type[Deadly]):
    world, channel = await World.made(db), kind()
    await world.people([Someone("poison"), Someone("one")])
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET in_doubt = 'at_least_once'")
    publication_id = await world.publication()
    deadly = await world.execution(publication_id)
    await Engine(db, channel).plan()
    await world.choose("poison", 0)
    others = [await world.execution(publication_id) for _ in range(3)]
    await Engine(db, channel).plan()
    await world.choose("poison", 2)

    for number in range(8):
        async with Mortal(db.dsn, size=3, shift=number * LEASE_OVER) as process:
            channel.process = process
            with suppress(Killed):
                await Engine(process, channel, worker=f"worker-{number}").drain()

    assert channel.deaths == 3
    assert await world.fates(deadly) == {"one": "unknown", "poison": "unknown"}
    assert [await world.fates(other) for other in others] == [{"one": "handed_over"}] * 3
    assert sorted(channel.addresses) == ["one@example.com"] * 3
    assert (await Engine(db, channel).executions.find(world.brand_id, deadly)).state == "ended"
