"""Which opt-out lists the people of a run were asked about: when that changes, they are asked anew."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.asking import AskedStore
from stentor.optouts.look_up import LookUp


async def lists_mark(conn: Connection, look_up: LookUp, brand_id: UUID, channel: ChannelKind) -> str:
    """A mark of the lists that hold for messages on that channel, and of the states of their files."""
    return mark_of(await look_up.stores(conn, brand_id, channel=channel))


def mark_of(stores: Sequence[AskedStore]) -> str:
    """The same of these lists: it changes with each upload, and when a list is made, enabled, scoped or linked anew."""
    said = sorted(
        f"{each.list_id} {each.scope} {sorted(map(str, each.scope_ids))} {each.store_id} {each.generation}"
        for each in stores
    )
    return hashlib.blake2b("\n".join(said).encode(), digest_size=16).hexdigest() if said else ""
