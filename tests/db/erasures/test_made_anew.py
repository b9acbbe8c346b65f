"""Whoever comes back on the id of somebody erased is another person: nothing that was decided before is theirs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from erasure_world import Erasing
from stentor.audience.profile_service import ProfileService
from stentor.db.pool import Database
from stentor.domain.ids import part_of
from stentor.erasures import store
from stentor.errors import Conflict, NotFound
from stentor.executions.audiences import OfTag
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.waiting import eventually
from stentor.testing.world import Someone
from trigger_world import rows

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("meant_by", ["cast", "call", "topic"])
async def test_nobody_gets_what_was_decided_of_whom_they_come_after(erasing: Erasing, meant_by: str):
    world, channel = erasing.world, ScriptedChannel()
    engine = Engine(erasing.db, channel)
    await world.people([Someone("ann"), Someone("bob")])
    publication_id = await world.publication(basis="topic" if meant_by == "topic" else "channel")
    audience = None if meant_by == "topic" else OfTag(await world.tag(["ann", "bob"]))
    execution_id = await world.execution(publication_id, audience=audience)
    if meant_by == "call":
        await _name(erasing, execution_id, "ann", "bob")
    await engine.plan()

    await erasing.erase("ann")
    await world.people([Someone("ann")])
    later_id = await world.execution(publication_id, audience=audience and OfTag(await world.tag(["ann"])))
    await engine.drain()

    assert await world.fates(execution_id) == {"ann": "skipped no_address", "bob": "handed_over"}
    told = await engine.executions.explain(erasing.brand_id, execution_id, "ann")
    (address,) = [check for check in told.channels[0].checks if check.name == "address"]
    assert address.detail.startswith("Whoever was meant at ")
    assert [check.name for check in told.channels[0].checks if check.differs] == []
    assert (await world.fates(later_id))["ann"] == "handed_over"


async def _name(erasing: Erasing, execution_id: Any, *names: str) -> None:
    """Makes of it an execution whose call named these people."""
    async with erasing.db.transaction() as conn:
        query = b"UPDATE execution SET recipients = %s, audience = NULL, awaits_cast = false WHERE id = %s"
        await conn.execute(query, [len(names), execution_id])
        for name in names:
            customer = erasing.id_of(name)
            await conn.execute(
                "INSERT INTO send_context (execution_id, customer_id, brand_id, part) VALUES (%s, %s, %s, %s)",
                [execution_id, customer, erasing.brand_id, part_of(customer)],
            )


async def test_a_change_that_meets_an_erasure_makes_nobody(erasing: Erasing):
    profiles = ProfileService(erasing.db)
    changes: list[tuple[type[Exception], Callable[[], Awaitable[Any]]]] = [
        (Conflict, lambda: erasing.add("ann", email="new@example.org")),
        (NotFound, lambda: profiles.update(erasing.brand_id, "ann", {"person": {"locale": "fi"}}, region=None)),
    ]
    for refused, change in changes:
        await erasing.add("ann", email="ann@example.org")
        async with asyncio.TaskGroup() as group, erasing.db.transaction() as conn:
            # In the order in which an erasure locks them.
            await conn.execute("SELECT FROM address_owner FOR UPDATE")
            await conn.execute("SELECT FROM customer FOR UPDATE")
            changing = group.create_task(_raised(change))
            await eventually(lambda: _somebody_waits(erasing.db))
            await conn.execute("DELETE FROM address_owner")
            await conn.execute("DELETE FROM customer")

        assert type(await changing) is refused
        assert await rows(erasing.db, "SELECT count(*) FROM customer") == [(0,)]
    await erasing.add("ann")
    assert (await erasing.customers.get(erasing.brand_id, "ann")).email is None


async def _raised(call: Callable[[], Awaitable[Any]]) -> Exception | None:
    try:
        await call()
    except Exception as error:  # noqa: BLE001  it is what is asked for
        return error
    return None


async def _somebody_waits(db: Database) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return await rows(db, waiting) == [(1,)]


async def test_the_history_of_a_person_is_looked_for_where_it_may_be(erasing: Erasing):
    world, engine = erasing.world, Engine(erasing.db, ScriptedChannel())
    await world.people([Someone("ann"), Someone("bob", channels=0)])
    publication_id = await world.publication(basis="channel")
    theirs = [await world.execution(publication_id, audience=OfTag(await world.tag(["ann"])))]
    others = [await world.execution(publication_id, audience=OfTag(await world.tag(["bob"])))]
    theirs.append(await world.execution(publication_id))
    named, unnamed = await world.execution(publication_id), await world.execution(publication_id)
    await _name(erasing, named, "ann")
    await _name(erasing, unnamed, "bob")
    await engine.drain()
    await erasing.erase("ann")

    async with erasing.db.read() as conn:
        found = [
            await store.page_of_executions(conn, erasing.brand_id, [erasing.id_of("ann")], after=after, limit=2)
            for after in (UUID(int=0), theirs[1])
        ]

    assert found == [theirs, [named]]
    assert not {*others, unnamed} & {one for page in found for one in page}
