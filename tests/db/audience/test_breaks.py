"""Whoever is on a break gets nothing that needs consent, keeps all choices, and gets messages again by themselves."""

from datetime import timedelta
from uuid import UUID

import pytest

from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.campaigns.model import Basis
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, new_id
from stentor.errors import Invalid, NotFound
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

ACT = Act(source=Source.PREFERENCE_PAGE)


async def sent(db: Database, world: World, basis: Basis = "topic") -> dict[str, str]:
    """What becomes of a message to everybody, by name."""
    engine = Engine(db, ScriptedChannel())
    execution_id = await world.execution(await world.publication(basis=basis))
    await engine.plan()
    await engine.drain()
    return await world.fates(execution_id)


def person(world: World, name: str = "ann") -> UUID:
    return customer_id(world.brand_id, name)


async def test_who_is_on_a_break_is_skipped_until_it_ends_and_then_gets_messages_again(db: Database):
    world = await World.made(db)
    await world.people([Someone("ann"), Someone("ben"), Someone("col", refused_mask=2)])
    service, until = SubscriptionService(db), Clock().now() + timedelta(days=7)
    for name in ("ann", "col"):
        await service.take_break(world.brand_id, person(world, name), until, ACT)

    now = await sent(db, world)
    needed = await sent(db, world, "none")
    async with Database(db.dsn, size=3, shift=timedelta(days=8)) as later:
        world.db = later
        after = await sent(later, world)

    assert now == {"ann": "skipped on_a_break", "ben": "handed_over", "col": "skipped unsubscribed"}
    assert needed["ann"] == "handed_over"
    assert after == {"ann": "handed_over", "ben": "handed_over", "col": "skipped unsubscribed"}


async def test_a_break_is_in_the_ledger_once_and_can_be_ended(db: Database):
    world = await World.made(db)
    await world.people([Someone("ann")])
    service, until = SubscriptionService(db), Clock().now() + timedelta(days=7)

    for end in (until, until, None, None):
        await service.take_break(world.brand_id, person(world), end, ACT)
    ledger = await service.ledger(world.brand_id, "ann")

    assert [(one.kind, one.until, one.source) for one in ledger if one.topic_id is None] == [
        ("break_over", None, "preference_page"),
        ("break", until, "preference_page"),
    ]
    assert await sent(db, world) == {"ann": "handed_over"}


@pytest.mark.parametrize("away", [timedelta(seconds=-1), timedelta(days=367)])
async def test_a_break_ends_in_the_future_and_within_a_year(db: Database, away: timedelta):
    world = await World.made(db)
    await world.people([Someone("ann")])
    service = SubscriptionService(db)

    with pytest.raises(Invalid, match="within 366 days"):
        await service.take_break(world.brand_id, person(world), Clock().now() + away, ACT)
    with pytest.raises(NotFound):
        await service.take_break(world.brand_id, new_id(), None, ACT)
