"""Promo codes: what a bonus system tells us that it knows, so that its codes can be named."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from stentor.accounts.audit import record
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.db.sql import QuerySet, Statement
from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Invalid, pointer_to

PROMOTIONS_MAX = 10_000
"""Of a brand."""
CODE_CHARS_MAX = 200
NAME_CHARS_MAX = 500


class Sql(QuerySet, file="promotions.sql", package=__package__):
    promotions_of: Statement
    upsert_promotions: Statement
    delete_promotions: Statement
    count_promotions: Statement


class Promotion(msgspec.Struct, frozen=True):
    """A promo code, and what people call it."""

    code: str
    name: str


class PromotionService:
    """Keeps the promo codes of brands."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self, brand_id: UUID) -> list[Promotion]:
        """All of the brand's, 10,000 at most, in the order of their codes."""
        async with self._db.read() as conn:
            return await Sql.promotions_of.rows(conn, Promotion, brand_id=brand_id, limit=PROMOTIONS_MAX)

    async def add(self, brand_id: UUID, promotions: Sequence[Promotion]) -> None:
        """Adds them; a known code gets the name that is said now. Said twice, the last one holds.

        Raises Invalid that names the item, QuotaExceeded for more than 10,000; then nothing is changed.
        """
        said = {one.code: one.name for one in map(_checked, range(len(promotions)), promotions)}
        if not said:
            return
        async with self._db.transaction() as conn:
            await Sql.upsert_promotions.run(conn, brand_id=brand_id, codes=list(said), names=list(said.values()))
            await check_quota(conn, brand_id, "promotions", PROMOTIONS_MAX + 1, _count)
            await record(conn, "promotions.added", "promotions", brand_id=brand_id, after={"promotions": said})

    async def delete(self, brand_id: UUID, codes: Sequence[str]) -> None:
        """Deletes them; a code that there is not is left out."""
        known = sorted({code for code in codes if "\0" not in code})
        async with self._db.transaction() as conn:
            if await Sql.delete_promotions.run(conn, brand_id=brand_id, codes=known):
                await record(conn, "promotions.deleted", "promotions", brand_id=brand_id, before={"codes": known})


async def _count(conn: Connection, brand_id: UUID) -> int:
    count: int = await Sql.count_promotions.value(conn, brand_id=brand_id)
    return count


def _checked(index: int, one: Promotion) -> Promotion:
    for field, text, chars_max in (
        ("PromoCode", one.code, CODE_CHARS_MAX),
        ("PromotionName", one.name, NAME_CHARS_MAX),
    ):
        if not 1 <= len(text.strip()) <= len(text) <= chars_max or NOT_IN_A_LINE.search(text):
            raise Invalid.field(
                pointer_to(index, field), "text", f"`{field}` has 1 to {chars_max} characters on one line."
            )
    return one
