"""Brands by id and by brand key, for doors and hot paths."""

from collections.abc import Sequence
from uuid import UUID

from stentor.accounts import store
from stentor.accounts.model import Brand
from stentor.db.pool import Database
from stentor.db.remembered import Remembered

# Settings that were changed hold everywhere within a second.
KEEP_S = 0.8
ENTRIES_MAX = 10_000
# Each has up to 1,000 brands.
_ORGANISATIONS_MAX = 100


class BrandDirectory:
    """Finds brands, as they were less than a second ago."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_id = Remembered(self._load_by_id, keep_s=KEEP_S, entries_max=ENTRIES_MAX)
        self._by_key = Remembered(self._load_by_key, keep_s=KEEP_S, entries_max=ENTRIES_MAX)
        self._of_organisation = Remembered(self._load_of_organisation, keep_s=KEEP_S, entries_max=_ORGANISATIONS_MAX)

    async def by_id(self, brand_id: UUID) -> Brand | None:
        return await self._by_id.get(brand_id)

    async def by_key(self, brand_key: str) -> Brand | None:
        """The brand that calls itself so in `x-brand-key`."""
        return await self._by_key.get(brand_key)

    async def of_organisation(self, organisation_id: UUID) -> Sequence[Brand]:
        """The organisation's brands, in the order in which they were made."""
        return await self._of_organisation.get(organisation_id)

    async def _load_by_id(self, brand_id: UUID) -> Brand | None:
        async with self._db.read() as conn:
            return await store.find_brand(conn, brand_id)

    async def _load_by_key(self, brand_key: str) -> Brand | None:
        async with self._db.read() as conn:
            return await store.find_brand_by_key(conn, brand_key)

    async def _load_of_organisation(self, organisation_id: UUID) -> Sequence[Brand]:
        async with self._db.read() as conn:
            return await store.brands_of(conn, organisation_id)
