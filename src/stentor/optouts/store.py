"""The built-in list of a brand in the database."""

from collections.abc import Sequence
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.optouts import entry_store
from stentor.optouts.entry_store import NewEntry
from stentor.optouts.model import OptOut, Said, outweighed_by


class Sql(QuerySet, file="queries.sql", package=__package__):
    insert_builtin: Statement
    insert_entries: Statement
    builtin_id: Statement
    delete_entries: Statement


async def insert_builtin(conn: Connection, brand_id: UUID, *, list_id: UUID, name: str) -> None:
    """Makes the brand's built-in list where there is none."""
    await Sql.insert_builtin.run(conn, id=list_id, brand_id=brand_id, name=name)


async def insert_entries(conn: Connection, brand_id: UUID, entries: Sequence[OptOut]) -> int:
    """Adds the entries, also in the place of those that say less; returns how many were not listed before."""
    strongest: dict[bytes, OptOut] = {}
    for entry in entries:
        other = strongest.get(entry.digest)
        if other is None or other.cause in outweighed_by(entry.cause):
            strongest[entry.digest] = entry
    entries = list(strongest.values())
    added = await Sql.insert_entries.run(
        conn,
        brand_id=brand_id,
        digests=[entry.digest for entry in entries],
        channels=[int(entry.channel) for entry in entries],
        causes=[entry.cause for entry in entries],
        sources=[entry.source for entry in entries],
        addresses=[entry.address for entry in entries],
        campaigns=[entry.campaign for entry in entries],
        ips=[entry.ip for entry in entries],
    )
    if added < len(entries):
        list_id = await Sql.builtin_id.value(conn, brand_id=brand_id)
        await entry_store.outweigh(conn, brand_id, list_id, [_as_entry(entry) for entry in entries])
    return added


async def delete_entries(conn: Connection, brand_id: UUID, digests: Sequence[bytes]) -> int:
    """Takes the digests off the list and returns how many were on it."""
    return await Sql.delete_entries.run(conn, brand_id=brand_id, digests=list(digests))


def _as_entry(opt_out: OptOut) -> tuple[NewEntry, Said]:
    entry = NewEntry(digest=opt_out.digest, channel=opt_out.channel, address=opt_out.address, hash=None)
    return entry, Said(cause=opt_out.cause, source=opt_out.source, campaign=opt_out.campaign, ip=opt_out.ip)
