"""Single entries of lists in the database, and what was taken off them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.asking import AskedStore
from stentor.optouts.hashing import DIGEST_BYTES, HashName, hash_of
from stentor.optouts.model import Cause, ListedEntry, OptOutList, PastEntry, Said, outweighed_by


class Sql(QuerySet, file="entries.sql", package=__package__):
    store_of: Statement
    hold_list: Statement
    own_list: Statement
    insert_recents: Statement
    outweigh: Statement
    end_recents: Statement
    lock_recents: Statement
    lift_recents: Statement
    next_generation: Statement
    remove_from_runs: Statement
    note_removals: Statement
    page_of_recents: Statement
    recents_of: Statement
    past_of: Statement
    blank_recents: Statement
    ask_erasure: Statement
    blank_lifted: Statement


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it is stored: `address` where the list keeps it, `hash` where that is longer than the digest."""

    digest: bytes
    channel: ChannelKind
    address: str | None
    hash: bytes | None


class _PastRow(PastEntry, frozen=True, kw_only=True):
    digest: bytes


async def store_of(conn: Connection, held: OptOutList) -> AskedStore | None:
    """The list as one that is asked for what its files hold, also while it is disabled; None when it is gone."""
    row = next(iter(await Sql.store_of.tuples(conn, brand_id=held.brand_id, list_id=held.id)), None)
    if row is None:
        return None
    generation, has_removed, run_ids, run_generations = row
    return AskedStore(
        list_id=held.id,
        number=held.number,
        name=held.name,
        scope="brand",
        scope_ids=[],
        store_id=held.id,
        store_brand_id=held.brand_id,
        hash=held.hash,
        channels=held.channels,
        expiry_days=held.expiry_days,
        generation=generation,
        has_recents=False,
        has_removed=has_removed,
        run_ids=run_ids,
        run_generations=run_generations,
    )


async def hold_list(conn: Connection, brand_id: UUID, list_id: UUID, *, alone: bool) -> str:
    """Keeps the list's files as they are until the transaction ends, `alone` to change them; answers with its state."""
    statement = Sql.own_list if alone else Sql.hold_list
    return await statement.value(conn, brand_id=brand_id, list_id=list_id)


async def insert_recents(
    conn: Connection, brand_id: UUID, list_id: UUID, entries: Sequence[NewEntry], said: Said
) -> int:
    """Adds the entries, also in the place of those that say less; returns how many were added."""
    added = await Sql.insert_recents.run(
        conn,
        brand_id=brand_id,
        list_id=list_id,
        digests=[entry.digest for entry in entries],
        channels=[int(entry.channel) for entry in entries],
        addresses=[entry.address for entry in entries],
        hashes=[entry.hash for entry in entries],
        **msgspec.structs.asdict(said),
    )
    if added < len(entries):
        added += await outweigh(conn, brand_id, list_id, [(entry, said) for entry in entries])
    return added


async def outweigh(conn: Connection, brand_id: UUID, list_id: UUID, entries: Sequence[tuple[NewEntry, Said]]) -> int:
    """Puts entries in the place of those on the list whose cause says less, which are kept as lifted; returns how many."""
    by_weaker: defaultdict[frozenset[Cause], list[tuple[NewEntry, Said]]] = defaultdict(list)
    for entry, said in entries:
        by_weaker[outweighed_by(said.cause)].append((entry, said))
    outweighed = 0
    for weaker, stronger in by_weaker.items():
        if weaker:
            outweighed += await Sql.outweigh.run(
                conn,
                brand_id=brand_id,
                list_id=list_id,
                weaker=sorted(weaker),
                digests=[entry.digest for entry, _ in stronger],
                channels=[int(entry.channel) for entry, _ in stronger],
                addresses=[entry.address for entry, _ in stronger],
                hashes=[entry.hash for entry, _ in stronger],
                causes=[said.cause for _, said in stronger],
                sources=[said.source for _, said in stronger],
                campaigns=[said.campaign for _, said in stronger],
                affiliates=[said.affiliate for _, said in stronger],
                sub_affiliates=[said.sub_affiliate for _, said in stronger],
                ips=[said.ip for _, said in stronger],
            )
    return outweighed


async def end_recents(
    conn: Connection, brand_id: UUID, list_id: UUID, digests: Sequence[bytes], *, expiry_days: int
) -> None:
    """Ends the entries of these digests, keeping what they were."""
    await Sql.end_recents.run(conn, brand_id=brand_id, list_id=list_id, digests=list(digests), expiry_days=expiry_days)


async def lock_recents(conn: Connection, brand_id: UUID, list_id: UUID, digests: Sequence[bytes]) -> dict[bytes, Cause]:
    """Locks the single entries of these digests; answers with the cause of each."""
    rows = await Sql.lock_recents.tuples(conn, brand_id=brand_id, list_id=list_id, digests=list(digests))
    return dict(rows)


async def lift_recents(
    conn: Connection, brand_id: UUID, list_id: UUID, digests: Collection[bytes], *, reason: str, actor: str
) -> int:
    """Takes the single entries of these digests off, and returns how many there were."""
    return await Sql.lift_recents.run(
        conn, brand_id=brand_id, list_id=list_id, digests=list(digests), reason=reason, actor=actor
    )


async def remove_from_runs(
    conn: Connection,
    brand_id: UUID,
    list_id: UUID,
    found: Mapping[bytes, int],
    *,
    channel: ChannelKind,
    reason: str,
    actor: str,
) -> int:
    """Lets these digests, which runs of those generations hold, hold no more; the list's new generation is the answer.

    The list must be locked alone.
    """
    digests = sorted(found)
    generation = await Sql.next_generation.value(conn, brand_id=brand_id, list_id=list_id, what="removal")
    await Sql.remove_from_runs.run(conn, brand_id=brand_id, list_id=list_id, digests=digests, generation=generation)
    await Sql.note_removals.run(
        conn,
        brand_id=brand_id,
        list_id=list_id,
        digests=digests,
        channels=[int(channel)] * len(digests),
        generations=[found[digest] for digest in digests],
        reason=reason,
        actor=actor,
    )
    return generation


async def page_of_recents(
    conn: Connection,
    brand_id: UUID,
    list_id: UUID,
    *,
    after: bytes | None,
    limit: int,
    prefix: str | None,
    cause: Cause | None,
) -> list[ListedEntry]:
    """Single entries in the order of their digests, from behind `after`."""
    rows = await Sql.page_of_recents.rows(
        conn, ListedEntry, brand_id=brand_id, list_id=list_id, after=after, limit=limit, prefix=prefix, cause=cause
    )
    return [_entry(row) for row in rows]


async def recents_of(
    conn: Connection, stores: Sequence[tuple[UUID, UUID]], digests: Collection[bytes]
) -> dict[tuple[UUID, bytes], ListedEntry]:
    """Single entries of these digests on these lists (list, its brand), by list and digest."""
    rows = await Sql.recents_of.rows(
        conn,
        ListedEntry,
        list_ids=[list_id for list_id, _ in stores],
        brand_ids=[brand_id for _, brand_id in stores],
        digests=list(digests),
    )
    return {(row.list_id, row.digest): _entry(row) for row in rows}


async def past_of(
    conn: Connection, brand_id: UUID, list_id: UUID, digests: Sequence[bytes], *, limit: int
) -> list[PastEntry]:
    """All that single entries of these digests were on the list, oldest first."""
    rows = await Sql.past_of.rows(
        conn, _PastRow, brand_id=brand_id, list_id=list_id, digests=list(digests), limit=limit
    )
    return [PastEntry(**{name: getattr(row, name) for name in PastEntry.__struct_fields__}) for row in rows]


async def erase(conn: Connection, brand_id: UUID, text: str, names: Sequence[HashName]) -> None:
    """Forgets the address of single entries of the brand's lists, and asks compaction to do so in their files."""
    await erase_hashes(conn, brand_id, [(name, hash_of(text, name)) for name in names])


async def erase_hashes(conn: Connection, brand_id: UUID, hashes: Sequence[tuple[HashName, bytes]]) -> None:
    """The same of an address of which these hashes are known."""
    said = {"names": [name for name, _ in hashes], "wholes": [whole for _, whole in hashes]}
    await Sql.blank_recents.run(conn, brand_id=brand_id, **said)
    await Sql.blank_lifted.run(conn, brand_id=brand_id, **said)
    await Sql.ask_erasure.run(conn, brand_id=brand_id, **said)


def stored(text: str, whole: bytes | None, channel: ChannelKind, digest: bytes, held: OptOutList) -> NewEntry:
    """An entry that was read as that list stores it."""
    if text and not held.keeps_hashes_only:
        return NewEntry(digest=digest, channel=channel, address=text, hash=None)
    full = whole or hash_of(text, held.hash)
    return NewEntry(digest=digest, channel=channel, address=None, hash=full if len(full) > DIGEST_BYTES else None)


def _entry(row: ListedEntry) -> ListedEntry:
    """A row with its number of a channel made one."""
    return msgspec.structs.replace(row, channel=ChannelKind(row.channel))
