"""Whom a brand's test sends may go to: addresses of its own people, which admins keep and their readers confirm."""

from collections.abc import Sequence
from uuid import UUID

from stentor.accounts import letter_store
from stentor.accounts import test_recipient_store as store
from stentor.accounts.attempts import CODES_PER_ADDRESS, CODES_PER_ORGANISATION, Attempts
from stentor.accounts.audit import record
from stentor.accounts.model import NAME_CHARS_MAX, Brand
from stentor.accounts.sealing import LinkTokens
from stentor.accounts.test_recipient_store import TestRecipient
from stentor.accounts.users import email_key
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.address import InvalidAddress, normal_email, normal_phone
from stentor.domain.ids import new_id
from stentor.domain.text import checked_name
from stentor.errors import Conflict, Invalid, NotFound

TEST_RECIPIENTS_MAX = 100
PAGE_MAX = 100

KIND = "test_recipient"
"""What a letter with a code is about."""


class TestRecipientService:
    """Keeps the test recipients of brands.

    An e-mail address is confirmed by a code that the installation mails to it: nobody can name somebody else's. Without a sender of
    the installation's own (`sends_mail`) none is mailed, and what is not confirmed gets messages from the sandbox alone.
    """

    def __init__(self, db: Database, codes: LinkTokens, attempts: Attempts, *, sends_mail: bool) -> None:
        self._db = db
        self._codes = codes
        self._attempts = attempts
        self.sends_mail = sends_mail

    async def add(self, brand: Brand, address: str, name: str) -> TestRecipient:
        """Adds the address, and has a code mailed to it if it is one of e-mail.

        Raises Invalid for an address or a name that is none, Conflict for one that is there, QuotaExceeded, and RateLimited,
        adding none, where the address or the brand's organisation gets too many codes.
        """
        brand_id = brand.id
        normal = normal_address(address, brand.settings.default_country, "/address")
        name = checked_name(name, NAME_CHARS_MAX) if name else ""
        recipient_id = new_id()
        async with self._db.transaction() as conn:
            await check_quota(conn, brand_id, "test recipients", TEST_RECIPIENTS_MAX, store.count)
            if not await store.insert(conn, brand_id, recipient_id, normal, name):
                raise Conflict("This address is a test recipient already.")
            if "@" in normal and self.sends_mail:
                # Counted by themselves, so that removing an address and adding it again mails no more of them.
                organisation = CODES_PER_ORGANISATION, brand.organisation_id.hex
                await self._attempts.take_in(conn, organisation, (CODES_PER_ADDRESS, email_key(normal)))
                await letter_store.insert_letter(conn, KIND, recipient_id, brand.organisation_id)
            added = await _found(conn, brand_id, recipient_id)
            await record(conn, "test_recipient.added", recipient_id, brand_id=brand_id, after=added)
        return added

    async def page(self, brand_id: UUID, *, after: UUID | None, limit: int) -> list[TestRecipient]:
        """At most `limit` (and 100) of them, from behind the id `after`."""
        async with self._db.read() as conn:
            return await store.page(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))

    async def confirm(self, brand_id: UUID, recipient_id: UUID, code: str) -> TestRecipient:
        """Takes back the code of the letter. Raises NotFound, and Invalid for any other code."""
        async with self._db.transaction() as conn:
            held = await _found(conn, brand_id, recipient_id)
            if self._codes.read(KIND, code.strip()) != recipient_id:
                raise Invalid.field("/code", "wrong-code", "This is not the code of the letter to this address.")
            is_new = await store.confirm(conn, brand_id, recipient_id)
            confirmed = await _found(conn, brand_id, recipient_id)
            if is_new:
                await record(
                    conn, "test_recipient.confirmed", recipient_id, brand_id=brand_id, before=held, after=confirmed
                )
        return confirmed

    async def remove(self, brand_id: UUID, recipient_id: UUID) -> None:
        """Takes the address out, at once. Raises NotFound."""
        async with self._db.transaction() as conn:
            held = await _found(conn, brand_id, recipient_id)
            if not await store.delete(conn, brand_id, recipient_id):
                # Somebody else did so a moment ago.
                raise _missing(recipient_id)
            await record(conn, "test_recipient.removed", recipient_id, brand_id=brand_id, before=held)


async def _found(conn: Connection, brand_id: UUID, recipient_id: UUID) -> TestRecipient:
    found = await store.find(conn, brand_id, recipient_id)
    if found is None:
        raise _missing(recipient_id)
    return found


def _missing(recipient_id: UUID) -> NotFound:
    return NotFound(f"This brand has no test recipient {recipient_id}. List them with GET …/test-recipients.")


async def checked_recipients(conn: Connection, brand: Brand, to: Sequence[str]) -> list[TestRecipient]:
    """The test recipients of these addresses, in their order. Raises Invalid with pointers such as `/to/1`."""
    normal = [normal_address(text, brand.settings.default_country, f"/to/{place}") for place, text in enumerate(to)]
    known = await store.at(conn, brand.id, normal)
    for place, address in enumerate(normal):
        if address not in known:
            raise _unknown(place)
        if address in normal[:place]:
            raise Invalid.field(f"/to/{place}", "duplicate-recipient", "Name each address once.")
    return [known[address] for address in normal]


async def hold_recipients(conn: Connection, brand_id: UUID, ids: Sequence[UUID]) -> None:
    """Keeps them from being removed until the transaction ends. Raises Invalid as `checked_recipients` for who was meanwhile."""
    held = await store.hold(conn, brand_id, ids)
    for place, one in enumerate(ids):
        if one not in held:
            raise _unknown(place)


def _unknown(place: int) -> Invalid:
    text = "This is no test recipient of the group. Whoever may change its settings adds it: POST …/test-recipients."
    return Invalid.field(f"/to/{place}", "unknown-recipient", text)


def normal_address(text: str, region: str | None, pointer: str) -> str:
    """An e-mail address or phone number in its normal form. Raises Invalid, naming `pointer`."""
    is_email = "@" in text
    found = normal_email(text.strip()) if is_email else normal_phone(text.strip(), region)
    if isinstance(found, InvalidAddress):
        raise Invalid.field(pointer, "invalid-email" if is_email else "invalid-phone", found.reason)
    return found
