"""Erasing again whom a backup has brought back, before anything is sent from the restored copy."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from uuid import UUID

import msgspec
import structlog

from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of
from stentor.erasures.erasing import Eraser
from stentor.erasures.log import ErasureLog, LogEntry
from stentor.erasures.model import PEOPLE_MAX, Digests
from stentor.failpoints import failpoint

log = structlog.get_logger(__name__)

PAGE = 20_000
"""People of a brand that are compared with the log at once."""

_FIRST = UUID(int=0)


class Sql(QuerySet, file="replaying.sql", package=__package__):
    people: Statement
    tombstones: Statement
    is_read: Statement
    note_read: Statement


class Replayed(msgspec.Struct, frozen=True):
    """Whether the log was found, how many people it names, and how many of them were there and were erased again."""

    found: bool
    people: int
    erased: int


async def is_replayed(db: Database) -> bool:
    """Whether nobody can be back here who was erased: the log was read, or this is no restored copy."""
    async with db.read() as conn:
        return bool(await Sql.is_read.value(conn))


async def replay(db: Database, digests: Digests, erasures: ErasureLog) -> Replayed:
    """Erases everybody whom the log names and who was made before it does. Killed, it is begun again, and finds the others done.

    Where there is no log nothing is done, and nothing is noted. Raises LogRefused for a log that cannot be read.
    """
    if not await erasures.is_kept():
        return Replayed(found=False, people=0, erased=0)
    named: defaultdict[UUID, dict[bytes, LogEntry]] = defaultdict(dict)
    async for entry in erasures.entries():
        of_brand = named[entry.brand_id]
        for person in entry.people:
            if person not in of_brand or of_brand[person].erased_at < entry.erased_at:
                of_brand[person] = entry
    erased = sum([await _erase(db, digests, brand_id, people) for brand_id, people in sorted(named.items())])
    async with db.transaction() as conn:
        await Sql.note_read.run(conn)
        failpoint("replay.before_commit")
    failpoint("replay.after_commit")
    people = sum(map(len, named.values()))
    log.info("erasures.replayed", people=people, erased=erased)
    return Replayed(found=True, people=people, erased=erased)


async def _erase(db: Database, digests: Digests, brand_id: UUID, named: Mapping[bytes, LogEntry]) -> int:
    # What the log names is not written into it again.
    eraser = Eraser(db, digests, None)
    erased = 0
    async for page in _pages(db, brand_id):
        back: defaultdict[UUID, list[UUID]] = defaultdict(list)
        entries: dict[UUID, LogEntry] = {}
        for customer, created_at in page:
            entry = named.get(digests.of(customer))
            if entry is not None and created_at <= entry.erased_at:
                back[entry.id].append(customer)
                entries[entry.id] = entry
        for entry_id, customers in back.items():
            entry = entries[entry_id]
            for place in range(0, len(customers), PEOPLE_MAX):
                some = customers[place : place + PEOPLE_MAX]
                done = await eraser.erase(brand_id, some, asked_by=entry.asked_by, made_by=entry.erased_at)
                erased += len(done)
    return erased


async def _pages(db: Database, brand_id: UUID) -> AsyncIterator[list[tuple[UUID, datetime]]]:
    """Everybody of a brand, and then who was merged into one of them, each with when they were made."""
    for statement in (Sql.people, Sql.tombstones):
        after = _FIRST
        while True:
            async with db.read() as conn:
                page = await statement.tuples(
                    conn, brand_id=brand_id, after_part=part_of(after), after=after, limit=PAGE
                )
            yield page
            if len(page) < PAGE:
                break
            after = page[-1][0]
