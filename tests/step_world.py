"""A run whose campaign has steps, and the time that passes between them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncCursor

from stentor.campaigns.sources import PublicationSource
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, new_id, part_of
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.steps.following import write_waits
from stentor.executions.steps.model import Steps
from stentor.executions.steps.starting import StepKeeper
from stentor.testing.engine import Engine
from stentor.testing.world import World


class Walk:
    """Drives a world's executions and their steps, and lets time pass."""

    def __init__(self, world: World, engine: Engine) -> None:
        self.world = world
        self.engine = engine
        self.keeper = StepKeeper(world.db, PublicationSource(world.db))

    @property
    def db(self) -> Database:
        return self.world.db

    async def on(self) -> None:
        """All that is to do now, until nothing is."""
        while True:
            await self.engine.drain()
            await write_waits(self.db)
            if not await self.keeper.start_due():
                return

    async def after(self, **period: float) -> None:
        """All that is to do that much later."""
        self.db.shift += timedelta(**period)
        await self.on()

    async def steps(self, execution_id: UUID) -> Steps:
        """How they stand; each balances."""
        steps = await self.engine.executions.steps(self.world.brand_id, execution_id)
        for step in steps.steps:
            assert step.handed_over == step.waiting + step.went_on + step.exits.people
        return steps

    async def fates(self, execution_id: UUID, step: int) -> dict[str, str]:
        """What became of everybody in the executions of that step."""
        steps = await self.steps(execution_id)
        found: dict[str, str] = {}
        for one in steps.steps[step - 1].executions:
            found |= await self.world.fates(one.id)
        return found

    async def report(
        self, execution_id: UUID, name: str, kind: str, answer: str = "", channel: ChannelKind = ChannelKind.EMAIL
    ) -> None:
        """What a provider said of a message, as it stands in its history."""
        person = customer_id(self.world.brand_id, name)
        await self.run(
            "INSERT INTO delivery_event (execution_id, customer_id, brand_id, event_id, at, part, channel, kind, answer)"
            " VALUES (%s, %s, %s, %s, now(), %s, %s, %s, %s)",
            [execution_id, person, self.world.brand_id, new_id(), part_of(person), channel, kind, answer],
        )

    async def run(self, query: str, values: Sequence[Any] = ()) -> AsyncCursor[Any]:
        """One statement, committed."""
        async with self.db.transaction() as conn:
            return await conn.execute(query.encode(), values)
