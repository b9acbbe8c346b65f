"""What an export is made of, read at one moment: which segments there are, and beside them files of what the database has."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.optouts.exporting import store
from stentor.optouts.exporting.store import ExportedStore, SingleEntry
from stentor.optouts.exporting.writing import Source
from stentor.optouts.hashing import HashName, plain_text
from stentor.optouts.names import segment_name


class Planned(msgspec.Struct, frozen=True):
    """A source to be: `name` is its file in the storage, empty for one that is there already. About so many entries are in it."""

    source: Source
    name: str
    entries: int


class SinglesOf(msgspec.Struct, frozen=True):
    """The digests in a file of the single entries of a list, `store`, that hold, and the runs in which they may be, too."""

    store: int
    digests: Path
    hash: HashName
    run_ids: Sequence[UUID]


class Plan(msgspec.Struct, frozen=True):
    """All sources of an export in order, and what may be in two of them."""

    sources: Sequence[Planned]
    singles: Sequence[SinglesOf]


async def plan(db: Database, brand_id: UUID, list_id: UUID, directory: Path) -> Plan | None:
    """All that the list is made of, in order; what only the database has is written into the directory.

    None for a list that is there no more, or of which nothing can be read. All of it is of one moment: somebody may be in a file
    and opt out by a link meanwhile, and is then not there twice.
    """
    async with db.transaction() as conn:
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        stores = await store.stores_of(conn, brand_id, list_id)
        if not stores:
            return None
        plans = [
            await _of(conn, number, one, directory, is_own=one.brand_id == brand_id)
            for number, one in enumerate(stores)
        ]
    return Plan([each for one in plans for each in one.sources], [each for one in plans for each in one.singles])


async def _of(conn: Connection, number: int, one: ExportedStore, directory: Path, *, is_own: bool) -> Plan:
    removals, erasures, single, raw = (
        directory / f"{number}.{what}" for what in ("removals", "erasures", "single", "digests")
    )
    latest = 0
    with removals.open("wb") as file:
        async for removed in store.removals_of(conn, one):
            file.writelines(f"{digest.hex()},{generation}\n".encode() for digest, generation in removed)
            latest = max(latest, *(generation for _, generation in removed))
    with erasures.open("wb") as file:
        async for digests in store.erasures_of(conn, one):
            file.writelines(f"{digest.hex()}\n".encode() for digest in digests)
    entries = 0
    with single.open("wb") as file, raw.open("wb") as beside:
        async for rows in store.recents_of(conn, one):
            file.writelines(_line(row, one) for row in rows)
            beside.writelines(row.digest for row in rows if one.lapsed_at is None or row.at > one.lapsed_at)
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
    if not entries:
        return Plan(planned, [])
    run_ids = await store.runs_of(conn, one) if planned else []
    return Plan([*planned, Planned(base, "", entries)], [SinglesOf(number, raw, one.hash, run_ids)] if run_ids else [])


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
