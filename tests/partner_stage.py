"""Executions that go out by a partner channel, whose service is played by statements: what their tests share."""

from typing import Any, LiteralString
from uuid import UUID

from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.ending import end_forgotten
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Partner, Someone, World
from trigger_world import rows

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS
BOTH = EMAIL.bit | SMS.bit
SEVERAL_SLICES = 45_000


def reader(name: str, **changes: Any) -> Someone:
    """Somebody who subscribed by e-mail and by sms."""
    return Someone(name, channels=BOTH, address_mask=BOTH, valid_mask=BOTH, **changes)


async def a_stage(db: Database, *, people: int = 3) -> tuple[World, Engine, ScriptedChannel, Partner]:
    """A brand with readers and a partner channel, 505, for sms."""
    world, channel = await World.made(db), ScriptedChannel()
    await world.people([reader(f"p{number}") for number in range(people)])
    return world, Engine(db, channel), channel, await world.partner()


async def runs(db: Database) -> dict[UUID, tuple[int, list[int]]]:
    return {
        execution_id: (number, channels)
        for number, execution_id, channels in await rows(db, "SELECT number, execution_id, channels FROM partner_run")
    }


async def told(db: Database) -> list[tuple[Any, ...]]:
    return await rows(db, "SELECT execution_id, kind FROM partner_event ORDER BY at, id")


async def chunks(db: Database) -> list[tuple[Any, ...]]:
    return await rows(
        db,
        "SELECT channel, parked, pulled, count(*)::integer FROM chunk WHERE done_at IS NULL GROUP BY 1, 2, 3 ORDER BY 1",
    )


async def pulled(db: Database, execution_id: UUID) -> None:
    """What the service's pull makes of everybody who waits for it."""
    hand_over: LiteralString = (
        "WITH taken AS (UPDATE send SET state = 2, tries = 1, decided_at = clock_timestamp()"
        " WHERE execution_id = %s AND channel = 2 AND state = 0 RETURNING brand_id)"
        " INSERT INTO tally SELECT %s, 2, 0, m.state, 0, t.brand_id, m.sign * count(*) FROM taken t,"
        " (VALUES (0, -1), (2, 1)) AS m (state, sign) GROUP BY m.state, m.sign, t.brand_id"
        " ON CONFLICT (execution_id, channel, shard, state, reason) DO UPDATE SET sends = tally.sends + excluded.sends"
    )
    async with db.transaction() as conn:
        await conn.execute(hand_over, [execution_id, execution_id])
        await conn.execute(
            "UPDATE chunk SET done_at = clock_timestamp() WHERE execution_id = %s AND channel = 2", [execution_id]
        )
    await end_forgotten(db)


async def as_if_many_had_subscribed(db: Database) -> None:
    """Cuts what is resolved now into slices, as the counter of its topic says."""
    async with db.autocommit() as conn:
        await conn.execute("UPDATE topic_counter SET subscribers = subscribers + %s", [SEVERAL_SLICES])


async def as_if_few_had(db: Database) -> None:
    async with db.autocommit() as conn:
        await conn.execute("UPDATE topic_counter SET subscribers = subscribers - %s", [SEVERAL_SLICES])
