"""A brand that writes to nobody in their night, as of a chosen time."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from stentor.db.pool import Database
from stentor.testing.engine import Engine
from stentor.testing.world import Someone, World

NIGHT: dict[str, Any] = {"from": "21:00", "to": "08:00"}
# A Wednesday: 14:00 in Berlin, 08:00 in New York, 05:00 in Los Angeles, 21:00 in Tokyo.
NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)


class AtTime(Protocol):
    def __call__(self, when: datetime, world: World | None = None) -> AbstractAsyncContextManager[Database]: ...


def at_times(dsn: str) -> AtTime:
    """That database, and the world in it, as of another time."""

    # Its own pool: what is asked of a database at another time must not meet what was remembered at this one.
    @asynccontextmanager
    async def opened(when: datetime, world: World | None = None) -> AsyncIterator[Database]:
        async with Database(dsn, size=4, shift=when - datetime.now(UTC)) as db:
            if world is not None:
                world.db = db
            yield db

    return opened


async def a_world(db: Database, *people: Someone, **settings: Any) -> World:
    world = await World.made(db)
    await world.settings(**({"quiet_hours": [NIGHT]} | settings))
    await world.people(people)
    return world


def in_zone(name: str, zone: str | None = None, **more: Any) -> Someone:
    return Someone(name, time_zone=zone, **more)


async def state(engine: Engine, world: World, execution_id: UUID) -> str:
    return (await engine.executions.find(world.brand_id, execution_id)).state
