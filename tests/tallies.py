"""Whether the counters of executions say what the rows say that they count."""

from typing import LiteralString
from uuid import UUID

from stentor.db.pool import Database
from stentor.report.funnel import ChannelFunnel
from stentor.testing.engine import Engine
from stentor.testing.world import World

_DIFFERENT: LiteralString = """
    SELECT execution_id, channel, state, c.sends, r.sends
    FROM (SELECT execution_id, channel, state, reason, sum(sends) AS sends FROM tally WHERE state >= 0
        GROUP BY 1, 2, 3, 4 HAVING sum(sends) <> 0) c
    FULL JOIN (SELECT execution_id, channel, state, reason, count(*) AS sends FROM send GROUP BY 1, 2, 3, 4) r
        USING (execution_id, channel, state, reason)
    WHERE c.sends IS DISTINCT FROM r.sends"""


async def unbalanced(db: Database) -> list[tuple[object, ...]]:
    """Where counters and rows differ in one snapshot."""
    async with db.read() as conn:
        return await (await conn.execute(_DIFFERENT)).fetchall()


async def funnel(engine: Engine, world: World, execution_id: UUID) -> ChannelFunnel:
    """The counters of an execution that has one channel."""
    (channel,) = (await engine.executions.progress(world.brand_id, execution_id)).channels
    assert channel.balanced
    return channel
