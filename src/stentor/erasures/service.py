"""Erasing people on request, and what is known of erasures."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import UUID

from stentor.audience.customers import id_of, missing_customer
from stentor.db.pool import Database
from stentor.erasures import store
from stentor.erasures.erasing import Eraser
from stentor.erasures.log import ErasureLog
from stentor.erasures.model import PEOPLE_MAX, Digests, Erased, Erasure
from stentor.errors import NotFound, TooLarge

PAGE_MAX = 1_000


class ErasureService:
    """Erases people of a brand; for good, whatever backup comes back."""

    def __init__(self, db: Database, digests: Digests, log: ErasureLog) -> None:
        self._db = db
        self._digests = digests
        self._eraser = Eraser(db, digests, log)

    async def erase(self, brand_id: UUID, external_id: str, *, asked_by: str) -> Erased:
        """Erases one person. At return they are gone, and nothing more is begun for them.

        What was sent to them is emptied within minutes (`completed_at`), files of opt-out lists within 30 days. Their addresses
        stay suppressed. Of somebody who was erased already it is the record of that. Raises NotFound for who never was.
        """
        found = await self.erase_many(brand_id, [external_id], asked_by=asked_by)
        if not found:
            raise missing_customer(external_id)
        return found[0]

    async def erase_many(self, brand_id: UUID, external_ids: Sequence[str], *, asked_by: str) -> list[Erased]:
        """Erases these people together, and returns their erasures, in the order given; who never was is left out.

        Raises TooLarge for more than 100, and NotFound for a text that can be nobody's external id.
        """
        if len(external_ids) > PEOPLE_MAX:
            raise TooLarge(f"{len(external_ids)} people in one erasure; at most {PEOPLE_MAX}. Send several.")
        return await self._erase(
            brand_id, {id_of(brand_id, external_id): external_id for external_id in external_ids}, asked_by
        )

    async def erase_profile(self, brand_id: UUID, profile: str, *, asked_by: str) -> Erased:
        """Erases one person, as `erase`, who is named by our id (a UUID) or by the caller's own.

        Raises NotFound for who never was.
        """
        ids = [id_of(brand_id, profile)]
        with suppress(ValueError):
            # As profiles are found: some callers' own ids are UUIDs as well.
            ids.insert(0, UUID(profile))
        for each in ids:
            if found := await self._erase(brand_id, {each: profile}, asked_by):
                return found[0]
        raise missing_customer(profile)

    async def _erase(self, brand_id: UUID, people: Mapping[UUID, str], asked_by: str) -> list[Erased]:
        new = {
            erasure.digest: erasure for erasure in await self._eraser.erase(brand_id, list(people), asked_by=asked_by)
        }
        digests = {customer: self._digests.of(customer) for customer in people}
        earlier = [digest for digest in digests.values() if digest not in new]
        async with self._db.read() as conn:
            known = await store.newest_of(conn, brand_id, earlier)
        return [
            Erased(external_id=people[customer], erasure=erasure, is_new=digest in new)
            for customer, digest in digests.items()
            if (erasure := new.get(digest) or known.get(digest)) is not None
        ]

    async def page(self, brand_id: UUID, *, before: UUID | None = None, limit: int = PAGE_MAX) -> list[Erasure]:
        """A brand's erasures, newest first, from before that one."""
        async with self._db.read() as conn:
            return await store.page(conn, brand_id, before=before, limit=min(limit, PAGE_MAX))

    async def get(self, brand_id: UUID, erasure_id: UUID) -> Erasure:
        """That erasure. Raises NotFound."""
        async with self._db.read() as conn:
            found = await store.brand_erasure(conn, brand_id, erasure_id)
        if found is None:
            raise NotFound(f"This brand has no erasure {erasure_id}.")
        return found
