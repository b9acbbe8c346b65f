"""A brand's built-in opt-out list: effective the moment that the caller's transaction commits."""

from collections.abc import Sequence
from uuid import UUID

from stentor.db.connection import Connection
from stentor.domain.ids import new_id
from stentor.optouts import store
from stentor.optouts.model import Entry, OptOut

BUILTIN_NAME = "built-in"


async def ensure_builtin(conn: Connection, brand_id: UUID) -> None:
    """Makes the brand's built-in list; part of making a brand. Does nothing when it is there."""
    await store.insert_builtin(conn, brand_id, list_id=new_id(), name=BUILTIN_NAME)


async def add_to_builtin(conn: Connection, brand_id: UUID, entries: Sequence[OptOut]) -> int:
    """Adds the addresses and returns how many are new; one that is listed already keeps its first cause and time."""
    return await store.insert_entries(conn, brand_id, entries) if entries else 0


async def remove_from_builtin(conn: Connection, brand_id: UUID, digests: Sequence[bytes]) -> int:
    """Lifts the opt-outs and returns how many there were. Only the person's own act may lead here."""
    return await store.delete_entries(conn, brand_id, digests) if digests else 0


async def entries_of(conn: Connection, brand_id: UUID, digest: bytes | None) -> list[Entry]:
    """All that was ever said of that address, lifted opt-outs too, oldest first; nothing where there is no digest of it."""
    return await store.entries_of(conn, brand_id, digest) if digest is not None else []


async def suppressed(conn: Connection, brand_id: UUID, digests: Sequence[bytes]) -> set[bytes]:
    """Which of these addresses must not be written to: one look-up for a whole wave."""
    return await store.entries_among(conn, brand_id, digests) if digests else set()
