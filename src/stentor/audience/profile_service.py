"""Profiles: the people of a brand as callers of batches know them, one by one and searched for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from psycopg.errors import QueryCanceled

from stentor.audience import customer_store, tag_store
from stentor.audience.customers import id_of, missing_customer
from stentor.audience.holder_store import holders_of
from stentor.audience.intake import Refusal
from stentor.audience.model import Act, Customer, Fate, Source
from stentor.audience.profiles import Entrants, ProfileReader
from stentor.audience.upsert import Overtaken, Stored, Vanished, until_settled, upsert
from stentor.clock import boottime_s
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.address import email_digest, normal_email, normal_phone, phone_digest
from stentor.errors import NotFound, Unavailable, Unprocessable, Violation

PAGE_MAX = 1000
COUNTED_MAX = 100_000
SEARCH_NAME_CHARS_MAX = 200
SEARCH_PEOPLE_MAX = 5_000
"""People whom one statement of a search by name reads: no search is ever one long statement."""
SEARCH_S_MAX = 2
"""Seconds after which such a search answers with whom it found until then, and where it goes on."""
_STATEMENT = timedelta(seconds=5)

_ACT = Act(source=Source.API)


class ProfileFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which profiles are looked for; at most one of these is said."""

    external_id: str | None = None
    email: str | None = None
    phone: str | None = None
    tag_id: UUID | None = None


class Named(msgspec.Struct, frozen=True):
    """Whom a search by name found; `behind`: the id behind which it goes on, None where everybody was read."""

    people: list[Customer]
    behind: UUID | None


class ProfileService:
    """The profiles of all brands; every call names its brand and sees nothing of the others."""

    def __init__(self, db: Database, *, search_s: float = SEARCH_S_MAX) -> None:
        self._db = db
        self._search_s = search_s

    async def create(self, brand_id: UUID, body: Any, *, region: str | None) -> Customer:
        """A new person, whose consent nothing is said of. Raises Unprocessable, naming every field that breaks a rule."""
        reader = ProfileReader(whole="body")
        reader.read(body, 0)
        entrants = reader.entrants(brand_id, region=region)
        return await until_settled(self._db, lambda conn: _made(conn, brand_id, entrants))

    async def update(self, brand_id: UUID, profile: str, body: Any, *, region: str | None) -> Customer:
        """The person with what is said changed: a field that is left out stays, null takes it away.

        Raises NotFound, also where the person is erased or merged at that moment, and Unprocessable, naming every field that
        breaks a rule.
        """
        known = await self.find(brand_id, profile)
        reader = ProfileReader(whole="body")
        reader.read(body, 0, address=False, external_id=known.external_id)
        if isinstance(body, dict) and body.get("external_id") not in (None, known.external_id):
            reader.refuse(("external_id",), "unchangeable", "cannot be changed", "Merge two profiles instead.")
        entrants = reader.entrants(brand_id, region=region)
        return await until_settled(self._db, lambda conn: _changed(conn, brand_id, entrants, profile))

    async def find(self, brand_id: UUID, profile: str) -> Customer:
        """The person of that id, which is ours (a UUID) or the caller's own; of somebody merged, the one they are now.

        Raises NotFound.
        """
        ids = [id_of(brand_id, profile)]
        with suppress(ValueError):
            # Some callers' own ids are UUIDs as well, and it is no more than a look-up.
            ids.insert(0, UUID(profile))
        async with self._db.read() as conn:
            ids = [await customer_store.survivor_of(conn, brand_id, each) for each in ids]
            found = await customer_store.customers_by_id(conn, brand_id, ids)
        customer = next((found[each] for each in ids if each in found), None)
        if customer is None:
            raise missing_customer(profile)
        return customer

    async def page(
        self, brand_id: UUID, wanted: ProfileFilter, *, region: str | None, after: UUID | None, limit: int
    ) -> list[Customer]:
        """The people who are looked for, in the order of their ids, from behind `after`; at most `PAGE_MAX`."""
        limit = min(limit, PAGE_MAX)
        if wanted.tag_id is not None:
            async with self._db.read() as conn:
                return await tag_store.page_of_customers(conn, brand_id, wanted.tag_id, after=after, limit=limit)
        if wanted == ProfileFilter():
            async with self._db.read() as conn:
                return await customer_store.page_of_customers(conn, brand_id, after=after, limit=limit)
        found = await self._few(brand_id, wanted, region)
        return [each for each in found if after is None or each.customer_id > after][:limit]

    async def named(self, brand_id: UUID, name: str, *, after: UUID | None, limit: int) -> Named:
        """The first people behind `after`, in the order of their ids, whose first and last name have `name` in them.

        It reads `SEARCH_PEOPLE_MAX` at a time until there are `limit` of them, and no longer than `SEARCH_S_MAX`. Raises
        Unavailable where so few take more than 5 s.
        """
        begun_s, limit = boottime_s(), min(limit, PAGE_MAX)
        found: list[Customer] = []
        while True:
            with found_in_time():
                async with self._db.read(statement_timeout=_STATEMENT) as conn:
                    end = await customer_store.end_of_slice(conn, brand_id, after=after, people=SEARCH_PEOPLE_MAX)
                    # One more tells whether there is another page.
                    most = limit + 1 - len(found)
                    found += await customer_store.page_of_named(conn, brand_id, name, after=after, last=end, limit=most)
            if len(found) > limit:
                return Named(found[:limit], found[limit - 1].customer_id)
            if end is None or boottime_s() - begun_s >= self._search_s:
                return Named(found, end)
            after = end

    async def count(self, brand_id: UUID, wanted: ProfileFilter, *, region: str | None) -> int:
        """How many that are, counted up to `COUNTED_MAX`."""
        async with self._db.read() as conn:
            if wanted.tag_id is not None:
                return await tag_store.count_members(conn, brand_id, wanted.tag_id, COUNTED_MAX)
            if wanted == ProfileFilter():
                return await customer_store.count_customers(conn, brand_id, COUNTED_MAX)
        return len(await self._few(brand_id, wanted, region))

    async def _few(self, brand_id: UUID, wanted: ProfileFilter, region: str | None) -> list[Customer]:
        async with self._db.read() as conn:
            ids = await _ids(conn, brand_id, wanted, region)
            found = await customer_store.customers_by_id(conn, brand_id, ids) if ids else {}
        return sorted(found.values(), key=lambda customer: customer.customer_id)


async def _ids(conn: Connection, brand_id: UUID, wanted: ProfileFilter, region: str | None) -> list[UUID]:
    if wanted.external_id is not None:
        try:
            return [id_of(brand_id, wanted.external_id)]
        except NotFound:
            return []
    emails = _digests(wanted.email, normal_email, email_digest)
    phones = _digests(wanted.phone, lambda text: normal_phone(text, region), phone_digest)
    holders = await holders_of(conn, brand_id, emails, phones)
    return [holder.customer_id for holder in holders.people.values() if not holder.is_anonymous]


@contextmanager
def found_in_time() -> Iterator[None]:
    """Says of a search that ran into its time what else may be looked for. Raises Unavailable."""
    try:
        yield
    except Unavailable as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        text = (
            "The database is too busy to look for names. Try again in a minute, or look for an external id, an address or "
            "a tag, which are found at once."
        )
        raise Unavailable(text, retry_after_s=60) from error


def _digests(text: str | None, normal: Callable[[str], Any], digest: Callable[[str], bytes]) -> Sequence[str]:
    found = None if text is None else normal(text)
    # What is no address is nobody's.
    return [digest(found).hex()] if isinstance(found, str) else []


async def _made(conn: Connection, brand_id: UUID, entrants: Entrants) -> Customer:
    customer, stored = await _written(conn, brand_id, entrants)
    _refuse(stored.refused)
    if stored.fates[0] is not Fate.ADDED:
        text = "The external_id has already been taken. Change that profile, or leave the external_id out."
        raise Unprocessable(text, violations=[Violation("/external_id", "taken", text)])
    if customer is None:
        raise Overtaken
    return customer


async def _changed(conn: Connection, brand_id: UUID, entrants: Entrants, profile: str) -> Customer:
    try:
        customer, stored = await _written(conn, brand_id, entrants)
    except Vanished:
        raise missing_customer(profile) from None
    if customer is None or stored.fates.get(0) is Fate.ADDED:
        # Erased or merged since they were found: to change somebody makes nobody.
        raise missing_customer(profile)
    _refuse(stored.refused)
    return customer


async def _written(conn: Connection, brand_id: UUID, entrants: Entrants) -> tuple[Customer | None, Stored]:
    _refuse(entrants.refused)
    rows = entrants.intake.rows
    stored = await upsert(conn, brand_id, rows, _ACT)
    return await customer_store.customer_by_id(conn, brand_id, UUID(hex=rows.customer_ids[0])), stored


def _refuse(refused: Sequence[Refusal]) -> None:
    if refused:
        violations = [refusal.violation for refusal in refused]
        raise Unprocessable(violations[0].message, violations=violations)
