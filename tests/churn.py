"""The queue's churn while somebody reads for long: how long a claim takes, from the first one to the last."""

import asyncio
from time import perf_counter

from stentor.db.pool import Database
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

EXECUTIONS_A_ROUND = 20


async def claims_beside_a_reader(db: Database, rounds: int) -> list[float]:
    """Seconds that the claim of each round took, while one transaction holds on to how it all began."""
    world = await World.made(db)
    await world.people([Someone("one")])
    publication_id = await world.publication()
    engine = Engine(db, ScriptedChannel())
    took_s: list[float] = []
    async with Database(db.dsn, size=1) as other, other.transaction() as reader:
        await reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await reader.execute("SELECT count(*) FROM chunk")
        for _ in range(rounds):
            for _ in range(EXECUTIONS_A_ROUND):
                await world.execution(publication_id)
            await engine.plan()
            began = perf_counter()
            claim = await engine.deliverer.claim()
            took_s.append(perf_counter() - began)
            assert claim is not None
            await engine.deliverer.deliver(claim, stop=asyncio.Event())
    return took_s
