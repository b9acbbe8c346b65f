"""Test recipients in the database."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="test_recipients.sql", package=__package__):
    count_test_recipients: Statement
    insert_test_recipient: Statement
    page_of_test_recipients: Statement
    find_test_recipient: Statement
    test_recipients_at: Statement
    hold_test_recipients: Statement
    confirm_test_recipient: Statement
    delete_test_recipient: Statement


class TestRecipient(msgspec.Struct, frozen=True):
    """Where test sends of a brand may go: an e-mail address or a phone number, in its normal form."""

    id: UUID
    address: str
    name: str
    created_at: datetime
    confirmed_at: datetime | None
    """When whoever reads the address agreed; a phone number is taken at its word."""

    @property
    def is_email(self) -> bool:
        return "@" in self.address


async def count(conn: Connection, brand_id: UUID) -> int:
    return await Sql.count_test_recipients.value(conn, brand_id=brand_id)


async def insert(conn: Connection, brand_id: UUID, recipient_id: UUID, address: str, name: str) -> bool:
    """Adds the address; False when the brand has it already."""
    return bool(
        await Sql.insert_test_recipient.run(
            conn, id=recipient_id, brand_id=brand_id, address=address, name=name, is_phone="@" not in address
        )
    )


async def page(conn: Connection, brand_id: UUID, *, after: UUID | None, limit: int) -> list[TestRecipient]:
    """Test recipients in the order of their making, from behind `after`."""
    return await Sql.page_of_test_recipients.rows(conn, TestRecipient, brand_id=brand_id, after=after, limit=limit)


async def find(conn: Connection, brand_id: UUID, recipient_id: UUID) -> TestRecipient | None:
    return await Sql.find_test_recipient.first(conn, TestRecipient, id=recipient_id, brand_id=brand_id)


async def at(conn: Connection, brand_id: UUID, addresses: Sequence[str]) -> dict[str, TestRecipient]:
    """Those that have these addresses, by address."""
    rows = await Sql.test_recipients_at.rows(conn, TestRecipient, brand_id=brand_id, addresses=list(addresses))
    return {row.address: row for row in rows}


async def hold(conn: Connection, brand_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Those of them that are still there, which nobody removes until the transaction ends."""
    return {row[0] for row in await Sql.hold_test_recipients.tuples(conn, brand_id=brand_id, ids=list(ids))}


async def confirm(conn: Connection, brand_id: UUID, recipient_id: UUID) -> bool:
    """Marks it as confirmed; False when it was."""
    return bool(await Sql.confirm_test_recipient.run(conn, id=recipient_id, brand_id=brand_id))


async def delete(conn: Connection, brand_id: UUID, recipient_id: UUID) -> bool:
    return bool(await Sql.delete_test_recipient.run(conn, id=recipient_id, brand_id=brand_id))
