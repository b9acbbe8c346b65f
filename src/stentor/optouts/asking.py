"""What a look-up reads of the database: which lists are asked, single entries, and what was taken off."""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.equal_bytes import EqualBytes
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.hashing import DIGEST_BYTES, HashName
from stentor.optouts.model import LIST_CHANNELS, listed_as


class Sql(QuerySet, file="asking.sql", package=__package__):
    own: Statement
    asked: Statement
    recents_among: Statement
    removed_among: Statement
    may_have_domains: Statement


class AskedStore(NamedTuple):
    """A list that is asked, and one list where its entries lie: itself, a member of the group, or what it links to.

    `number`, `name` and scope are the asked list's; `hash`, `expiry_days` and `generation` those of the store. `channels`: bits
    of EMAIL and SMS. `run_ids` and `run_generations` are in the same order.
    """

    list_id: UUID
    number: int
    name: str
    scope: str
    scope_ids: list[UUID]
    store_id: UUID
    store_brand_id: UUID
    hash: HashName
    channels: int
    expiry_days: int | None
    generation: int
    has_recents: bool
    has_removed: bool
    run_ids: list[UUID]
    run_generations: list[int]
    recents: bytes | None = None
    """Its single entries among the digests that were asked along, one after the other; None where they were not asked of it."""

    def covers(self, campaign_id: UUID | None, topic_id: UUID | None) -> bool:
        """Whether messages of that campaign about that topic go by the list."""
        if self.scope == "brand":
            return True
        return (campaign_id if self.scope == "campaigns" else topic_id) in self.scope_ids


class Along(NamedTuple):
    """Digests that are asked along, made with that hash."""

    hash: HashName
    digests: Sequence[bytes]


async def asked_stores(
    conn: Connection,
    brand_id: UUID,
    *,
    channel: ChannelKind | None,
    list_ids: Collection[UUID] | None,
    along: Along | None = None,
) -> list[AskedStore]:
    """The enabled lists, or those of them that are named, by number; for one channel, if one is named."""
    asked = {
        "brand_id": brand_id,
        "channels": LIST_CHANNELS if channel is None else listed_as(channel).bit,
        "list_ids": None if list_ids is None else list(list_ids),
    }
    name, digests = along or (None, ())
    own = await Sql.own.tuples(conn, **asked, hash=name, digests=EqualBytes(digests))
    if any(leads_elsewhere for leads_elsewhere, *_ in own):
        return [AskedStore(*row) for row in await Sql.asked.tuples(conn, **asked)]
    return [AskedStore(*row) for _, *row in own]


async def recents_among(
    conn: Connection, stores: Collection[AskedStore], digests: Sequence[bytes]
) -> dict[UUID, list[bytes]]:
    """Which of the digests are single entries of which of these stores."""
    rows = await Sql.recents_among.tuples(
        conn,
        list_ids=[store.store_id for store in stores],
        brand_ids=[store.store_brand_id for store in stores],
        expiry_days=[store.expiry_days for store in stores],
        digests=EqualBytes(digests),
    )
    return {store_id: parted(found) for store_id, found in rows}


def parted(digests: bytes) -> list[bytes]:
    """What stands one after the other as a list."""
    return [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]


class Removals(NamedTuple):
    """What was taken off: for (store, digest) the generation up to which runs hold it no more. `generations`: the stores' now."""

    generations: dict[UUID, int]
    until: dict[tuple[UUID, bytes], int]


async def removed_among(conn: Connection, stores: Collection[AskedStore], digests: Collection[bytes]) -> Removals:
    """Which of the digests were taken off these stores."""
    rows = await Sql.removed_among.tuples(
        conn,
        list_ids=[store.store_id for store in stores],
        brand_ids=[store.store_brand_id for store in stores],
        digests=EqualBytes(list(digests)),
    )
    return Removals(
        {store_id: generation for store_id, generation, _, _ in rows},
        {(store_id, digest): until for store_id, _, digest, until in rows if digest is not None},
    )


async def may_have_domains(conn: Connection, brand_id: UUID, list_ids: Collection[UUID]) -> bool:
    """Whether whole domains may be among the single entries of these lists of the brand; reads all of these."""
    return await Sql.may_have_domains.value(conn, brand_id=brand_id, list_ids=list(list_ids))
