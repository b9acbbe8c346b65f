"""Segments and campaigns by the integers that partners know them by: TargetGroupID and ActionID.

A number is given when somebody first asks, and is never given to anything else, whatever is deleted.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement

NUMBERED_MAX = 10_000
"""Things of a kind that are answered at once."""

Numbered: TypeAlias = Literal["segment", "campaign"]


class Sql(QuerySet, file="numbers.sql", package=__package__):
    named: Mapping[str, Statement]
    hold: Mapping[str, Statement]
    number: Mapping[str, Statement]


class Named(msgspec.Struct, frozen=True):
    """Something by its id, its name and its number."""

    id: UUID
    name: str
    number: int


class _Found(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    number: int | None


class NumberBook:
    """Gives numbers, and finds what has one."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self, brand_id: UUID, kind: Numbered) -> list[Named]:
        """The brand's segments or campaigns in the order of their numbers, 10,000 at most."""
        async with self._db.read() as conn:
            found = await _read(conn, brand_id, kind)
        if any(each.number is None for each in found):
            async with self._db.transaction() as conn:
                await Sql.hold[kind].run(conn, brand_id=brand_id)
                await Sql.number[kind].run(conn, brand_id=brand_id)
                found = await _read(conn, brand_id, kind)
        return [Named(each.id, each.name, each.number) for each in found if each.number is not None]

    async def numbers(self, brand_id: UUID, kind: Numbered) -> dict[UUID, int]:
        """The number of each, by its id."""
        return {each.id: each.number for each in await self.all(brand_id, kind)}


async def _read(conn: Connection, brand_id: UUID, kind: Numbered) -> list[_Found]:
    return await Sql.named[kind].rows(conn, _Found, brand_id=brand_id, limit=NUMBERED_MAX)
