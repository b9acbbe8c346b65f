import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from listed import on_builtin
from sandbox_letters import SEND_IDS, deliver, letter, reassemble, wave_for
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.channels.sandbox.inbox import InboxService
from stentor.channels.sandbox.model import ChaosRule
from stentor.db.pool import Database
from stentor.domain.address import email_digest
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.provider_events import apply_due, forget_applied
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

EMAIL = ChannelKind.EMAIL
RULES = [
    ChaosRule("bounce", recipients="bounce*"),
    ChaosRule("complain", recipients="complain*"),
    ChaosRule("delay", recipients="late*"),
]


@pytest.fixture
async def world(db: Database) -> World:
    made = await World.made(db)
    await made.people([Someone(name) for name in ("bounce", "complain", "late", "ann")])
    return made


async def send(db: Database, brand_id: UUID, *names: str, rules: list[ChaosRule] | None = None) -> None:
    """Delivers a message to `<name>@example.com` each, under chaos rules that make provider events."""
    await InboxService(db, SEND_IDS, reassemble).set_chaos(brand_id, RULES if rules is None else rules)
    letters = [letter(brand_id, f"{name}@example.com", external_id=name) for name in names]
    await deliver(db, SandboxChannel(db, ChaosSource(db)), wave_for(brand_id), letters)


async def masks(db: Database, brand_id: UUID, name: str) -> tuple[int, int]:
    async with db.read() as conn:
        rows = await conn.execute(
            "SELECT bounced_mask, complained_mask FROM customer WHERE brand_id = %s AND external_id = %s",
            [brand_id, name],
        )
        found = await rows.fetchone()
    assert found is not None
    return found[0], found[1]


async def listed(db: Database, brand_id: UUID, *names: str) -> set[str]:
    digests = {email_digest(f"{name}@example.com"): name for name in names}
    async with db.read() as conn:
        return {digests[digest] for digest in await on_builtin(conn, brand_id, list(digests))}


async def history(db: Database, brand_id: UUID) -> list[tuple[UUID, str]]:
    async with db.read() as conn:
        rows = await conn.execute(
            "SELECT customer_id, kind FROM delivery_event WHERE brand_id = %s ORDER BY kind", [brand_id]
        )
        return [(row[0], row[1]) for row in await rows.fetchall()]


@pytest.mark.fault("F19")
async def test_a_bounce_and_a_complaint_bar_the_person_and_the_address_and_stand_in_the_history(
    db: Database, world: World
):
    await send(db, world.brand_id, "bounce", "complain", "late", "ann")

    applied = await apply_due(db)

    assert applied == 3
    assert await masks(db, world.brand_id, "bounce") == (EMAIL.bit, 0)
    assert await masks(db, world.brand_id, "complain") == (0, EMAIL.bit)
    assert await masks(db, world.brand_id, "late") == (0, 0)
    assert await listed(db, world.brand_id, "bounce", "complain", "late", "ann") == {"bounce", "complain"}
    assert await history(db, world.brand_id) == [
        (customer_id(world.brand_id, "bounce"), "bounced"),
        (customer_id(world.brand_id, "complain"), "complained"),
        (customer_id(world.brand_id, "late"), "delivered"),
    ]


async def test_a_bounce_and_a_complaint_are_on_the_list_with_the_address_and_the_execution(db: Database, world: World):
    await send(db, world.brand_id, "bounce", "complain")
    await apply_due(db)

    async with db.read() as conn:
        rows = await conn.execute(
            "SELECT cause, address, source LIKE 'execution %%' FROM optout_recent WHERE brand_id = %s ORDER BY cause",
            [world.brand_id],
        )
        assert await rows.fetchall() == [
            ("bounce", "bounce@example.com", True),
            ("complaint", "complain@example.com", True),
        ]


async def test_an_event_is_applied_once_however_often_it_is_looked_for(db: Database, world: World):
    await send(db, world.brand_id, "bounce", "complain")

    first = await asyncio.gather(*(apply_due(db) for _ in range(4)))
    again = await apply_due(db)

    assert sum(first) == 2
    assert again == 0
    assert len(await history(db, world.brand_id)) == 2


async def test_an_event_that_is_not_due_waits(database_dsn: str, db: Database, world: World):
    await send(db, world.brand_id, "bounce", rules=[ChaosRule("bounce", after_s=60)])

    before = await apply_due(db)
    async with Database(database_dsn, size=1, shift=timedelta(seconds=61)) as later:
        after = await apply_due(later)

    assert (before, after) == (0, 1)


async def test_a_bounce_of_an_address_that_was_changed_since_bars_the_old_one_alone(db: Database, world: World):
    await send(db, world.brand_id, "bounce")
    async with db.transaction() as conn:
        await conn.execute(
            "UPDATE customer SET email = 'new@example.com', email_digest = %s WHERE brand_id = %s AND external_id = %s",
            [email_digest("new@example.com"), world.brand_id, "bounce"],
        )

    await apply_due(db)

    assert await masks(db, world.brand_id, "bounce") == (0, 0)
    assert await listed(db, world.brand_id, "bounce", "new") == {"bounce"}


async def test_a_bounce_and_a_complaint_about_one_address_are_both_remembered(db: Database, world: World):
    await send(db, world.brand_id, "ann", rules=[ChaosRule("bounce")])
    await send(db, world.brand_id, "ann", rules=[ChaosRule("complain")])

    await apply_due(db)

    assert await masks(db, world.brand_id, "ann") == (EMAIL.bit, EMAIL.bit)


async def test_events_of_people_who_are_gone_are_told_and_done(db: Database, world: World):
    await send(db, world.brand_id, "bounce")
    async with db.transaction() as conn:
        await conn.execute("DELETE FROM customer WHERE brand_id = %s", [world.brand_id])

    assert await apply_due(db) == 1
    assert await listed(db, world.brand_id, "bounce") == {"bounce"}


async def test_each_brand_is_told_of_its_own_events_alone(db: Database, world: World):
    other = await World.made(db, "Other")
    await other.people([Someone("bounce")])
    await send(db, world.brand_id, "bounce")

    await apply_due(db)

    assert await masks(db, other.brand_id, "bounce") == (0, 0)
    assert await listed(db, other.brand_id, "bounce") == set()
    assert await history(db, other.brand_id) == []


async def test_a_batch_is_bounded_and_the_rest_comes_next(db: Database, world: World):
    names = [f"bounce{number}" for number in range(7)]
    await world.people([Someone(name) for name in names])
    await send(db, world.brand_id, *names)

    applied = [await apply_due(db, limit=3) for _ in range(4)]

    assert applied == [3, 3, 1, 0]
    assert len(await listed(db, world.brand_id, *names)) == 7


async def test_applied_events_are_forgotten_after_a_month_and_open_ones_never(
    database_dsn: str, db: Database, world: World
):
    await send(db, world.brand_id, "bounce")
    await apply_due(db)
    await send(db, world.brand_id, "complain", rules=[ChaosRule("complain", after_s=86_400)])

    early = await forget_applied(db)
    async with Database(database_dsn, size=1, shift=timedelta(days=31)) as later:
        late = await forget_applied(later)
        still_applied = await apply_due(later)

    assert (early, late, still_applied) == (0, 1, 1)
