"""Which ids are campaigns of a brand, for whatever names some."""

from collections.abc import Sequence
from uuid import UUID

from stentor.campaigns import campaign_store
from stentor.db.connection import Connection


async def known_campaigns(conn: Connection, brand_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these ids are campaigns of the brand."""
    return set(await campaign_store.campaigns_by_id(conn, brand_id, ids))
