"""Customers and who owns which address, in the database."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from stentor.audience.intake import TIME_ZONE, Rows
from stentor.audience.model import Customer
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.address import ADDRESSLESS_CHANNELS
from stentor.domain.ids import new_id, part_of

# Beyond this many owners only the newest are kept: a switchboard's number must not grow a row without end.
OWNERS_MAX = 100
_SEPARATOR = "\x1f"
_FIRST = UUID(int=0)
_LAST = UUID(int=(1 << 128) - 1)


class Sql(QuerySet, file="customers.sql", package=__package__):
    go_by_keys: Statement
    known_customers: Statement
    survivors_of: Statement
    survivor_of: Statement
    compare_customers: Statement
    lock_addresses: Statement
    take_addresses: Statement
    leave_addresses: Statement
    free_addresses: Statement
    lock_customers: Statement
    insert_customers: Statement
    keep_past: Statement
    update_customers: Statement
    mark_shared: Statement
    customer_by_id: Statement
    customers_by_id: Statement
    page_of_customers: Statement
    count_customers: Statement
    end_of_slice: Statement
    named_customers: Statement


class Known(NamedTuple):
    """The places of rows whose person exists, in order, and of those whose person was merged, with the survivor's external id."""

    places: list[int]
    merged: dict[int, str]


class Standing(NamedTuple):
    """How somebody who exists stands to what was said: the digests on file, whether anything changes, and to what size."""

    place: int
    email_digest: str | None
    phone_digest: str | None
    differs: bool
    attributes_bytes: int


class Owners(NamedTuple):
    """Who comes to an address or leaves it, by the address's digest: the e-mail addresses, and the phone numbers.

    The owners of one address are ids with commas between them: nearly all have one, and lists of one are dear.
    """

    emails: dict[str, str]
    phones: dict[str, str]


async def go_by_keys(conn: Connection) -> None:
    """For the rest of the transaction, sets of keys are looked up in indexes, however large the tables are."""
    await Sql.go_by_keys.run(conn)


async def known_customers(conn: Connection, brand_id: UUID, rows: Rows) -> Known:
    """Which of the rows' people exist, and which were merged into somebody."""
    found = await Sql.known_customers.tuples(conn, brand_id=brand_id, separator=_SEPARATOR, **_keys(rows))
    merged = {place: survivor for place, survivor in found if survivor is not None}
    survivors = await customers_by_id(conn, brand_id, list(merged.values())) if merged else {}
    return Known(
        sorted(place for place, survivor in found if survivor is None),
        {place: survivors[survivor].external_id for place, survivor in merged.items() if survivor in survivors},
    )


async def survivors_of(conn: Connection, brand_id: UUID, people: Collection[UUID]) -> dict[UUID, UUID]:
    """Whom those of these people were merged into who were; the others are left out."""
    rows = await Sql.survivors_of.tuples(
        conn, brand_id=brand_id, parts=[part_of(person) for person in people], customer_ids=list(people)
    )
    return dict(rows)


async def survivor_of(conn: Connection, brand_id: UUID, customer_id: UUID) -> UUID:
    """Whom this person was merged into, or themselves."""
    found = await Sql.survivor_of.value(conn, part=part_of(customer_id), customer_id=customer_id, brand_id=brand_id)
    return found or customer_id


async def compare_customers(conn: Connection, brand_id: UUID, rows: Rows) -> list[Standing]:
    """How the people of these rows stand to what was said of them, in their order; who does not exist is left out."""
    found = await Sql.compare_customers.tuples(
        conn,
        brand_id=brand_id,
        separator=_SEPARATOR,
        **_keys(rows),
        given=_joined(map(str, rows.given)),
        emails=_nullable(rows.emails),
        phones=_nullable(rows.phones),
        push_tokens=_joined(rows.push_tokens),
        locales=_nullable(rows.locales),
        time_zones=_nullable(rows.time_zones),
        attributes=_joined(rows.attributes),
        removed=_joined(rows.removed),
    )
    return sorted(Standing(*row) for row in found)


async def lock_addresses(conn: Connection, brand_id: UUID, comers: Owners, leavers: Owners) -> None:
    """Locks the rows of all these addresses, those that exist, in key order."""
    both = Owners({**comers.emails, **leavers.emails}, {**comers.phones, **leavers.phones})
    columns = _owner_columns(both)
    del columns["customers"]
    await Sql.lock_addresses.run(conn, brand_id=brand_id, separator=_SEPARATOR, **columns)


async def take_addresses(conn: Connection, brand_id: UUID, comers: Owners) -> set[str]:
    """Enters the owners; answers with all owners of the addresses that now have several."""
    found = await Sql.take_addresses.column(
        conn, brand_id=brand_id, separator=_SEPARATOR, owners_max=OWNERS_MAX, **_owner_columns(comers)
    )
    return {owner.hex for owners in found for owner in owners}


async def leave_addresses(conn: Connection, brand_id: UUID, leavers: Owners) -> None:
    """Takes the owners off the addresses that they had."""
    columns = _owner_columns(leavers)
    await Sql.leave_addresses.run(conn, brand_id=brand_id, separator=_SEPARATOR, **columns)
    await Sql.free_addresses.run(conn, brand_id=brand_id, separator=_SEPARATOR, **columns)


async def lock_customers(
    conn: Connection, brand_id: UUID, customer_ids: Sequence[str]
) -> dict[str, tuple[str | None, str | None]]:
    """Locks these people in id order; answers with the digests of their e-mail address and phone number."""
    found = await Sql.lock_customers.tuples(conn, brand_id=brand_id, separator=_SEPARATOR, **_id_columns(customer_ids))
    return {customer.hex: (email, phone) for customer, email, phone in found}


async def insert_customers(conn: Connection, brand_id: UUID, rows: Rows, *, asserted: int) -> None:
    """Makes these people, who agreed to the channels `asserted` (a mask) as far as they have a valid address for them.

    Raises psycopg's UniqueViolation when one of them exists.
    """
    # An external id may hold any character; then something that none of them holds stands between the values.
    free = not any(_SEPARATOR in external_id for external_id in rows.external_ids)
    separator = _SEPARATOR if free else f"{_SEPARATOR}{new_id().hex}{_SEPARATOR}"
    await Sql.insert_customers.run(
        conn,
        brand_id=brand_id,
        separator=separator,
        addressless=ADDRESSLESS_CHANNELS,
        asserted=asserted,
        **_keys(rows, separator),
        external_ids=separator.join(rows.external_ids),
        addresses=_joined(map(str, rows.addresses), separator),
        valid=_joined(map(str, rows.valid), separator),
        emails=_nullable(rows.emails, separator),
        email_digests=_nullable(rows.email_digests, separator),
        phones=_nullable(rows.phones, separator),
        phone_digests=_nullable(rows.phone_digests, separator),
        push_tokens=_joined(rows.push_tokens, separator),
        locales=_nullable(rows.locales, separator),
        time_zones=_nullable(rows.time_zones, separator),
        attributes=_joined(rows.attributes, separator),
    )


async def update_customers(conn: Connection, brand_id: UUID, rows: Rows, renewed: Sequence[int]) -> int:
    """Writes what was said; on the channels of `renewed` (masks) the address is another one now. Answers how many.

    What the guard knew of them until now is kept where that becomes something else.
    """
    guarded = {
        **_keys(rows),
        "given": _joined(map(str, rows.given)),
        "touched": _joined(map(str, rows.touched)),
        "addresses": _joined(map(str, rows.addresses)),
        "valid": _joined(map(str, rows.valid)),
        "renewed": _joined(map(str, renewed)),
        "time_zones": _nullable(rows.time_zones),
    }
    if any(rows.touched) or any(given & TIME_ZONE for given in rows.given):
        await Sql.keep_past.run(conn, brand_id=brand_id, separator=_SEPARATOR, **guarded)
    return await Sql.update_customers.run(
        conn,
        brand_id=brand_id,
        separator=_SEPARATOR,
        **guarded,
        emails=_nullable(rows.emails),
        email_digests=_nullable(rows.email_digests),
        phones=_nullable(rows.phones),
        phone_digests=_nullable(rows.phone_digests),
        push_tokens=_joined(rows.push_tokens),
        locales=_nullable(rows.locales),
        attributes=_joined(rows.attributes),
        removed=_joined(rows.removed),
    )


async def mark_shared(conn: Connection, brand_id: UUID, customer_ids: Sequence[str]) -> None:
    """Marks these people as having an address that others have too."""
    await Sql.mark_shared.run(conn, brand_id=brand_id, separator=_SEPARATOR, **_id_columns(customer_ids))


async def customer_by_id(conn: Connection, brand_id: UUID, customer_id: UUID) -> Customer | None:
    """The person, as far as this brand has them."""
    return await Sql.customer_by_id.first(
        conn, Customer, part=part_of(customer_id), customer_id=customer_id, brand_id=brand_id
    )


async def customers_by_id(conn: Connection, brand_id: UUID, customer_ids: Sequence[UUID]) -> dict[UUID, Customer]:
    """Those of these people whom this brand has."""
    rows = await Sql.customers_by_id.rows(
        conn,
        Customer,
        parts=[part_of(customer) for customer in customer_ids],
        customer_ids=list(customer_ids),
        brand_id=brand_id,
    )
    return {row.customer_id: row for row in rows}


async def page_of_customers(conn: Connection, brand_id: UUID, *, after: UUID | None, limit: int) -> list[Customer]:
    """People in the order of their ids, from behind `after`."""
    behind = after or _FIRST
    return await Sql.page_of_customers.rows(
        conn, Customer, brand_id=brand_id, after_part=part_of(behind), after=behind, limit=limit
    )


async def count_customers(conn: Connection, brand_id: UUID, most: int) -> int:
    """How many people the brand has, as far as that."""
    return await Sql.count_customers.value(conn, brand_id=brand_id, most=most)


async def end_of_slice(conn: Connection, brand_id: UUID, *, after: UUID | None, people: int) -> UUID | None:
    """The id of the last of so many people behind `after`; None where fewer are left."""
    behind = after or _FIRST
    return await Sql.end_of_slice.value(
        conn, brand_id=brand_id, after_part=part_of(behind), after=behind, people=people
    )


async def page_of_named(
    conn: Connection, brand_id: UUID, name: str, *, after: UUID | None, last: UUID | None, limit: int
) -> list[Customer]:
    """Those of the people behind `after` and up to `last` whose first and last name have `name` in them, in the order of ids."""
    behind, end = after or _FIRST, last or _LAST
    return await Sql.named_customers.rows(
        conn,
        Customer,
        brand_id=brand_id,
        name=name,
        after_part=part_of(behind),
        after=behind,
        last_part=part_of(end),
        last=end,
        limit=limit,
    )


def _keys(rows: Rows, separator: str = _SEPARATOR) -> dict[str, str]:
    return {"parts": separator.join(rows.parts), "customer_ids": separator.join(rows.customer_ids)}


def _id_columns(customer_ids: Sequence[str]) -> dict[str, str]:
    return {
        "parts": _joined([str(int(customer[:3], 16)) for customer in customer_ids]),
        "customer_ids": _joined(customer_ids),
    }


def _owner_columns(owners: Owners) -> dict[str, str | int]:
    people = [*owners.emails.values(), *owners.phones.values()]
    return {
        "emails": len(owners.emails),
        "digests": _joined([*owners.emails, *owners.phones]),
        "customers": _joined([_newest(customers) if "," in customers else customers for customers in people]),
    }


def _newest(people: str) -> str:
    return ",".join(people.split(",")[-OWNERS_MAX:])


def _joined(values: Iterable[str], separator: str = _SEPARATOR) -> str:
    return separator.join(values)


def _nullable(values: Iterable[str | None], separator: str = _SEPARATOR) -> str:
    return separator.join([value or "" for value in values])
