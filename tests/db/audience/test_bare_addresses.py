"""Bare addresses that messages are sent to: one person each, nobody's customer, erased after their last message."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from stentor.audience.anonymous import AddressNames, AnonymousKeeper, BareAddress, hold_people, take_in_addresses
from stentor.audience.customers import CustomerService
from stentor.audience.model import CustomerPatch
from stentor.audience.upsert import until_settled
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id, part_of, recipient_id
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

NAMES = AddressNames(b"a key for tests")
STEPS = 64


async def take_in(db: Database, brand_id: UUID, *addresses: BareAddress) -> list[UUID]:
    await until_settled(db, lambda conn: take_in_addresses(conn, brand_id, addresses))
    return [recipient_id(brand_id, address.external_id) for address in addresses]


async def name(conn: Connection, brand_id: UUID, customer: UUID) -> None:
    """A message to that person."""
    values = [new_id(), customer, brand_id, part_of(customer)]
    await conn.execute(
        "INSERT INTO send_context (execution_id, customer_id, brand_id, part) VALUES (%s, %s, %s, %s)", values
    )


async def erase_all(db: Database, *brand_ids: UUID) -> int:
    keeper = AnonymousKeeper(db)
    return sum([await keeper.erase(brand_ids) for _ in range(STEPS)])


async def rows(db: Database, query: str) -> list[tuple[Any, ...]]:
    async with db.read() as conn:
        return await (await conn.execute(query.encode())).fetchall()


async def test_an_address_is_one_person_however_it_is_spelt(db: Database, brand_id: UUID, other_brand_id: UUID):
    lower, upper = NAMES.of_email(brand_id, "guest@example.org"), NAMES.of_email(brand_id, "Guest@example.org")
    elsewhere = NAMES.of_email(other_brand_id, "guest@example.org")
    await take_in(db, brand_id, lower)
    await take_in(db, brand_id, upper)

    people = await rows(db, "SELECT external_id, email, anonymous FROM customer")
    assert people == [(lower.external_id, "Guest@example.org", True)]
    assert lower.external_id != elsewhere.external_id
    assert lower.external_id != AddressNames(b"another key").of_email(brand_id, "guest@example.org").external_id


async def test_an_address_without_messages_is_erased_with_its_owner_and_nobody_else_is(
    db: Database, brand_id: UUID, other_brand_id: UUID, customers: CustomerService
):
    await customers.upsert(brand_id, CustomerPatch(external_id="ann", email="ann@example.org"))
    gone = [NAMES.of_phone(brand_id, f"+4915112345{number}") for number in range(600, 620)]
    shared = NAMES.of_email(brand_id, "ann@example.org")
    kept = NAMES.of_email(brand_id, "guest@example.org")
    foreign = NAMES.of_email(other_brand_id, "guest@example.org")
    await take_in(db, brand_id, shared, *gone)
    (with_message,) = await take_in(db, brand_id, kept)
    await take_in(db, other_brand_id, foreign)
    async with db.transaction() as conn:
        await name(conn, brand_id, with_message)

    assert await erase_all(db, brand_id) == 21
    assert await erase_all(db, brand_id) == 0

    names = {external_id for (external_id,) in await rows(db, "SELECT external_id FROM customer")}
    owners = await rows(db, "SELECT cardinality(customers) FROM address_owner")
    assert names == {"ann", kept.external_id, foreign.external_id}
    assert owners == [(1,)] * 3


async def test_an_address_that_is_written_to_meanwhile_stays(db: Database, brand_id: UUID):
    (guest,) = await take_in(db, brand_id, NAMES.of_email(brand_id, "guest@example.org"))

    async with db.transaction() as conn:
        assert await hold_people(conn, brand_id, [guest]) == {guest}
        erasing = asyncio.create_task(erase_all(db, brand_id))
        await eventually(lambda: _waiting(db))
        await name(conn, brand_id, guest)

    assert await erasing == 0
    assert await rows(db, "SELECT count(*) FROM customer") == [(1,)]


async def _waiting(db: Database) -> bool:
    return bool(await rows(db, "SELECT 1 FROM pg_locks WHERE NOT granted"))
