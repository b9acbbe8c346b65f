"""A brand's built-in opt-out list: effective the moment that the caller's transaction commits."""

from collections.abc import Sequence
from uuid import UUID

from stentor.db.connection import Connection
from stentor.domain.ids import new_id
from stentor.optouts import store
from stentor.optouts.model import OptOut

BUILTIN_NAME = "built-in"


async def ensure_builtin(conn: Connection, brand_id: UUID) -> None:
    """Makes the brand's built-in list; part of making a brand. Does nothing when it is there."""
    await store.insert_builtin(conn, brand_id, list_id=new_id(), name=BUILTIN_NAME)


async def add_to_builtin(conn: Connection, brand_id: UUID, entries: Sequence[OptOut]) -> int:
    """Adds the addresses and returns how many are new.

    Of one that is listed already the first cause and time stay, unless the new cause says more (`outweighed_by`).
    """
    return await store.insert_entries(conn, brand_id, entries) if entries else 0


async def remove_from_builtin(conn: Connection, brand_id: UUID, digests: Sequence[bytes]) -> int:
    """Lifts the opt-outs and returns how many there were. Only the person's own act may lead here."""
    return await store.delete_entries(conn, brand_id, digests) if digests else 0
