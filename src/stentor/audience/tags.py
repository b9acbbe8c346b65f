"""Tags: names that people of a brand are given, by batches and one by one."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias
from uuid import UUID

from stentor.audience import customer_store, tag_store
from stentor.audience.customers import id_of, missing_customer
from stentor.audience.model import Customer, Tag
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.text import checked_name
from stentor.errors import Conflict, NotFound

TAGS_MAX = 10_000
"""Of a brand, beside those that batches make: of these there are as many as calls."""

NAME_CHARS_MAX = 300
PAGE_MAX = 1000
COUNTED_MAX = 100_000
UNTAGGED_AT_ONCE_MAX = 10_000
"""People from whom a tag that goes is taken in one transaction: well under a second."""

Needed: TypeAlias = Callable[[Connection, UUID, UUID], Awaitable[str | None]]
"""Says why a tag cannot go yet, or None."""


class TagService:
    """The tags of all brands; every call names its brand and sees nothing of the others."""

    def __init__(self, db: Database, *, needed: Sequence[Needed] = ()) -> None:
        self._db = db
        self._needed = needed

    async def create(self, brand_id: UUID, name: str) -> Tag:
        """A tag that nobody has yet.

        Raises Invalid for a name that does not do, Conflict for one that is taken, and QuotaExceeded for one more than
        `TAGS_MAX`.
        """
        name = checked_name(name, NAME_CHARS_MAX)
        tag_id = new_id()
        async with self._db.transaction() as conn:
            await check_quota(conn, brand_id, "profile tags", TAGS_MAX, tag_store.count_by_hand)
            if not await tag_store.insert(conn, brand_id, tag_id, name, by_hand=True):
                raise Conflict(f"The brand has a profile tag {name!r} already; choose another name.")
            return await _found(conn, brand_id, tag_id)

    async def find(self, brand_id: UUID, tag_id: UUID) -> Tag:
        """The tag. Raises NotFound."""
        async with self._db.read() as conn:
            return await _found(conn, brand_id, tag_id)

    async def page(self, brand_id: UUID, *, before: UUID | None, limit: int) -> list[Tag]:
        """A brand's tags, newest first, from before the id `before`; at most `PAGE_MAX`."""
        async with self._db.read() as conn:
            return await tag_store.page(conn, brand_id, before=before, limit=min(limit, PAGE_MAX))

    async def count(self, brand_id: UUID) -> int:
        """How many tags the brand has, counted up to `COUNTED_MAX`."""
        async with self._db.read() as conn:
            return await tag_store.count(conn, brand_id, COUNTED_MAX)

    async def members(self, brand_id: UUID, tag_id: UUID, *, after: UUID | None, limit: int) -> list[Customer]:
        """The people of a tag in the order of their ids, from behind `after`; at most `PAGE_MAX`. Raises NotFound."""
        async with self._db.read() as conn:
            await _found(conn, brand_id, tag_id)
            return await tag_store.page_of_customers(conn, brand_id, tag_id, after=after, limit=min(limit, PAGE_MAX))

    async def count_members(self, brand_id: UUID, tag_id: UUID) -> int:
        """How many people have the tag, counted up to `COUNTED_MAX`."""
        async with self._db.read() as conn:
            return await tag_store.count_members(conn, brand_id, tag_id, COUNTED_MAX)

    async def tag(self, brand_id: UUID, tag_id: UUID, external_id: str) -> None:
        """Gives the tag to a person; who has it keeps it. Raises NotFound for a tag or a person that is not there."""
        customer = id_of(brand_id, external_id)
        async with self._db.transaction() as conn:
            if not await tag_store.hold(conn, brand_id, tag_id):
                raise _missing()
            if not await customer_store.lock_customers(conn, brand_id, [customer.hex]):
                raise missing_customer(external_id)
            await tag_store.tag_customers(conn, brand_id, tag_id, [customer])

    async def untag(self, brand_id: UUID, tag_id: UUID, external_id: str) -> None:
        """Takes the tag from a person. Raises NotFound where they do not have it."""
        customer = id_of(brand_id, external_id)
        async with self._db.transaction() as conn:
            if not await tag_store.untag(conn, brand_id, tag_id, [customer]):
                raise NotFound("This profile does not have that tag.")

    async def delete(self, brand_id: UUID, tag_id: UUID) -> None:
        """Takes the tag from everybody and removes it; a delete that broke off is gone on with by the next one.

        Raises NotFound, and Conflict while a campaign is still to be run for its people.
        """
        is_gone = False
        while not is_gone:
            async with self._db.transaction() as conn:
                if await tag_store.lock(conn, brand_id, tag_id) is None:
                    raise _missing()
                for needed in self._needed:
                    if why := await needed(conn, brand_id, tag_id):
                        raise Conflict(why)
                left = await tag_store.untag_some(conn, brand_id, tag_id, UNTAGGED_AT_ONCE_MAX)
                is_gone = left < UNTAGGED_AT_ONCE_MAX and await tag_store.delete(conn, brand_id, tag_id)


async def known_tags(conn: Connection, brand_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these ids are tags of the brand."""
    return set(await tag_store.by_id(conn, brand_id, ids))


async def held_tags(conn: Connection, brand_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """As `known_tags`; they stay there until the transaction ends, so that what names them is seen by who deletes them."""
    return set(await tag_store.hold_all(conn, brand_id, ids))


async def _found(conn: Connection, brand_id: UUID, tag_id: UUID) -> Tag:
    tag = await tag_store.find(conn, brand_id, tag_id)
    if tag is None:
        raise _missing()
    return tag


def _missing() -> NotFound:
    return NotFound("This brand has no such profile tag. List them with GET …/profile-tags.")
