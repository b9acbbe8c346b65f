"""Bare addresses that messages are sent to: people without a name, who stay no longer than their last message.

Each has an external id of ours, `addr:` and a keyed digest of the address, so that the same address is the same person and
the id tells nobody which address it is. They are in no topic, no list and no search; opt-outs, bounces and complaints of
their address hold for them as for anybody.
"""

import base64
import hashlib
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from stentor.audience import customer_store
from stentor.audience.customer_store import Owners
from stentor.audience.intake import Given, take_in
from stentor.audience.model import CustomerPatch
from stentor.audience.upsert import until_settled, upsert
from stentor.db.batches import until_short
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.address import email_digest, phone_digest
from stentor.domain.ids import ANONYMOUS_PREFIX, PARTS, part_of
from stentor.domain.vocabulary import ChannelKind

ERASED_AT_ONCE_MAX = 1_000
"""Bare addresses that are erased in one transaction: well under a second."""

# Every part is looked at once in 64 steps of the keeper.
_STEP_PARTS = PARTS // 64
_DIGEST_BYTES = 20


class Sql(QuerySet, file="anonymous.sql", package=__package__):
    hold_people: Statement
    without_messages: Statement
    lock_anonymous: Statement
    erase_anonymous: Statement
    erase_past: Statement


class BareAddress(msgspec.Struct, frozen=True):
    """An address in its normal form, an e-mail address or a phone number, and the external id of whoever has it."""

    external_id: str
    email: str | None = None
    phone: str | None = None


class AddressNames:
    """Gives bare addresses their external ids, with a key that is the installation's own."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of_email(self, brand_id: UUID, email: str) -> BareAddress:
        """The bare e-mail address, which is in its normal form."""
        return BareAddress(self._name(brand_id, ChannelKind.EMAIL, email_digest(email)), email=email)

    def of_phone(self, brand_id: UUID, phone: str) -> BareAddress:
        """The bare phone number, which is in its normal form."""
        return BareAddress(self._name(brand_id, ChannelKind.SMS, phone_digest(phone)), phone=phone)

    def _name(self, brand_id: UUID, kind: ChannelKind, digest: bytes) -> str:
        said = hashlib.blake2b(brand_id.bytes + bytes([kind]) + digest, digest_size=_DIGEST_BYTES, key=self._key)
        return ANONYMOUS_PREFIX + base64.b32encode(said.digest()).decode("ascii").lower()


async def take_in_addresses(conn: Connection, brand_id: UUID, addresses: Sequence[BareAddress]) -> None:
    """Stores these addresses, each at most once among them, as people without a name. Runs within `until_settled`."""
    patches = [
        CustomerPatch(external_id=address.external_id, email=address.email or UNSET, phone=address.phone or UNSET)
        for address in addresses
    ]
    if patches:
        await upsert(conn, brand_id, take_in(brand_id, Given.of(patches), anonymous=True).rows, None)


async def hold_people(conn: Connection, brand_id: UUID, customers: Sequence[UUID]) -> set[UUID]:
    """Which of these people exist; nobody can erase them before the transaction ends."""
    places = await Sql.hold_people.column(conn, brand_id=brand_id, **_keys(customers))
    return {customers[place] for place in places}


class AnonymousKeeper:
    """Erases bare addresses whose last message is gone: a slice of them at each step, all of them in 64 steps.

    A step every ten minutes looks at each of them twice a day, at one look-up for each week of messages.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._part = 0

    async def erase(self, brand_ids: Collection[UUID]) -> int:
        """Takes the next step for these brands; returns how many were erased."""
        first, self._part = self._part, (self._part + _STEP_PARTS) % PARTS
        return sum([await self._erase(brand_id, first) for brand_id in brand_ids])

    async def _erase(self, brand_id: UUID, first: int) -> int:
        return await until_short(lambda: until_settled(self._db, partial(_erase, brand_id, first)), ERASED_AT_ONCE_MAX)


async def _erase(brand_id: UUID, first: int, conn: Connection) -> int:
    await customer_store.go_by_keys(conn)
    found = await Sql.without_messages.tuples(
        conn, brand_id=brand_id, part_from=first, part_to=first + _STEP_PARTS - 1, limit=ERASED_AT_ONCE_MAX
    )
    if not found:
        return 0
    await customer_store.lock_addresses(conn, brand_id, Owners({}, {}), _owners(found))
    keys = _keys([customer for customer, _, _ in found])
    await Sql.lock_anonymous.run(conn, brand_id=brand_id, **keys)
    erased = set(await Sql.erase_anonymous.column(conn, brand_id=brand_id, **keys))
    if erased:
        await Sql.erase_past.run(conn, brand_id=brand_id, **_keys(list(erased)))
        leavers = _owners([person for person in found if person[0] in erased])
        await customer_store.leave_addresses(conn, brand_id, leavers)
    return len(erased)


def _owners(people: Sequence[tuple[UUID, str | None, str | None]]) -> Owners:
    # Each has one address, and always the same: its name is made of it.
    emails = {digest: customer.hex for customer, digest, _ in people if digest}
    return Owners(emails, {digest: customer.hex for customer, _, digest in people if digest})


def _keys(customers: Sequence[UUID]) -> dict[str, Any]:
    return {"parts": [part_of(customer) for customer in customers], "customer_ids": list(customers)}
