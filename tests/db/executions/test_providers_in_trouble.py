"""A provider is in trouble: its own messages come back later and later, and nobody else notices."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from stentor.channels.contract import Accepted, Deferred, Message, Outcome
from stentor.db.pool import Database
from stentor.deliver.retrying import TRIES_MAX
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = [pytest.mark.anyio, pytest.mark.fault("F7")]

PEOPLE = 2_000
STORMS: list[Callable[[Message], Outcome]] = [
    lambda _: Deferred("500 Internal Server Error"),
    lambda _: Deferred("503 Service Unavailable", retry_after_s=60.0),
    lambda _: Deferred("429 Too Many Requests", sender_wide=True),
]


async def test_each_pause_is_drawn_from_twice_as_long_until_it_is_given_up(db: Database):
    world, channel = await World.made(db), ScriptedChannel(lambda _: Deferred("500 Internal Server Error"))
    await world.people([Someone("ann")])
    execution_id = await world.execution(await world.publication())
    await Engine(db, channel).plan()

    gaps_s: list[float] = []
    waited = timedelta()
    for _ in range(TRIES_MAX):
        async with Database(db.dsn, size=3, shift=waited) as then:
            await Engine(then, channel).deliver()
            async with then.autocommit() as conn:
                cursor = await conn.execute(
                    "SELECT due_at - statement_timestamp() FROM chunk WHERE done_at IS NULL AND sends > 0"
                )
                row = await cursor.fetchone()
        if row:
            gaps_s.append((row[0] - waited).total_seconds())
            waited = row[0]

    assert len(channel.taken) == TRIES_MAX
    for number, gap_s in enumerate(gaps_s):
        # A second is what this test itself may take between a try and its look at the next one.
        assert 5 - 1 <= gap_s <= 30 * 2**number + 1
    assert await world.fates(execution_id) == {"ann": "failed retries_exhausted"}


@pytest.mark.parametrize("storm", STORMS, ids=["500", "503", "429"])
async def test_the_neighbour_of_a_provider_in_a_storm_is_served_by_as_many_claims_as_alone(
    db: Database, storm: Callable[[Message], Outcome]
):
    alone, struck, neighbour = [await World.made(db, name) for name in ("Alone", "Struck", "Neighbour")]

    def answer(message: Message) -> Outcome:
        return storm(message) if message.address.startswith("struck") else Accepted()

    channel = ScriptedChannel(answer)
    engine = Engine(db, channel)
    for world, name in ((alone, "alone"), (struck, "struck"), (neighbour, "neighbour")):
        await world.people([Someone(f"{name}-{number}") for number in range(PEOPLE)])
    await alone.execution(await alone.publication())
    await engine.plan()
    claims_alone = await engine.deliver()

    await struck.execution(await struck.publication())
    await neighbour.execution(await neighbour.publication())
    await engine.plan()
    claims = await engine.deliver()

    served = [address for address in channel.addresses if address.startswith("neighbour")]
    tried = [address for address in channel.addresses if address.startswith("struck")]
    assert len(served) == len(set(served)) == PEOPLE
    assert len(tried) == len(set(tried)) <= PEOPLE
    assert claims <= 2 * claims_alone
