"""What an export is made of, read at one moment: which segments there are, and beside them files of what the database has."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.optouts.exporting import store
from stentor.optouts.exporting.store import ExportedStore, SingleEntry
from stentor.optouts.exporting.writing import Source
from stentor.optouts.hashing import plain_text
from stentor.optouts.names import segment_name


class Planned(msgspec.Struct, frozen=True):
    """A source to be: `name` is its file in the storage, empty for one that is there already. About so many entries are in it."""

    source: Source
    name: str
    entries: int


async def plan(db: Database, brand_id: UUID, list_id: UUID, directory: Path) -> list[Planned] | None:
    """All that the list is made of, in order; what only the database has is written into the directory.

    None for a list that is there no more, or of which nothing can be read. All of it is of one moment: somebody may be in a file
    and opt out by a link meanwhile, and is then not there twice.
    """
    async with db.transaction() as conn:
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        stores = await store.stores_of(conn, brand_id, list_id)
        if not stores:
            return None
        return [
            planned
            for number, one in enumerate(stores)
            for planned in await _of(conn, number, one, directory, is_own=one.brand_id == brand_id)
        ]


async def _of(conn: Connection, number: int, one: ExportedStore, directory: Path, *, is_own: bool) -> list[Planned]:
    removals, erasures, single = (directory / f"{number}.{what}" for what in ("removals", "erasures", "single"))
    latest = 0
    with removals.open("wb") as file:
        async for removed in store.removals_of(conn, one):
            file.writelines(f"{digest.hex()},{generation}\n".encode() for digest, generation in removed)
            latest = max(latest, *(generation for _, generation in removed))
    with erasures.open("wb") as file:
        async for digests in store.erasures_of(conn, one):
            file.writelines(f"{digest.hex()}\n".encode() for digest in digests)
    entries = 0
    with single.open("wb") as file:
        async for rows in store.recents_of(conn, one):
            file.writelines(_line(row, one) for row in rows)
            entries += len(rows)
    is_anybody_erased = erasures.stat().st_size > 0
    base = Source(
        path=single,
        store=number,
        hash=one.hash,
        are_single=True,
        tells_ip=is_own,
        lapsed_at=_in_utc(one.lapsed_at),
    )
    planned = [
        Planned(
            msgspec.structs.replace(
                base,
                are_single=False,
                # What compaction has looked for is in the file no more, and to look for it takes longer than all the rest.
                removals=removals if segment.cleared < latest else None,
                erasures=erasures if is_anybody_erased else None,
            ),
            segment_name(segment.id),
            segment.entries,
        )
        for segment in await store.segments_of(conn, one)
    ]
    return [*planned, Planned(base, "", entries)] if entries else planned


def _line(entry: SingleEntry, one: ExportedStore) -> bytes:
    whole = entry.digest if entry.hash is None and one.hash == "md5" else entry.hash
    row = {
        "address": None if entry.address is None else plain_text(entry.address),
        "hash": None if whole is None else whole.hex(),
        "collected": entry.collected,
        "at": _in_utc(entry.at),
        "campaign": entry.campaign,
        "affiliate": entry.affiliate,
        "sub_affiliate": entry.sub_affiliate,
        "ip": entry.ip,
    }
    return msgspec.json.encode(row) + b"\n"


def _in_utc(at: datetime | None) -> datetime | None:
    """As files have it: in UTC, without saying so."""
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None)
