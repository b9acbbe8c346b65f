"""Whom a dry run must leave out because opt-out lists hold them.

Single entries by md5 are found by the statement that counts. Files, other hashes, domains and what lapses are asked here, of
everybody who would be written to otherwise, some thousand at a time.
"""

from collections.abc import Collection, Sequence
from contextlib import aclosing
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

import msgspec

from stentor.campaigns.model import PublishedContent
from stentor.db.connection import Connection
from stentor.domain.address import EMAIL_CHANNELS, PHONE_CHANNELS
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.facts import ExecutionFacts
from stentor.executions.model import AudienceTable
from stentor.executions.store import PlanSql, heeded_flags
from stentor.guard.holdout import holdout_threshold
from stentor.optouts.asking import AskedStore, may_have_domains
from stentor.optouts.look_up import LookUp

# A millisecond or two of hashing before others have their turn.
_BATCH = 2_000


class TriedAudience(msgspec.Struct, frozen=True):
    """Where a run that is tried finds its people: those of its topic, or a cast that is taken back afterwards."""

    table: AudienceTable
    audience_id: UUID

    def masks(self, content: PublishedContent) -> list[int]:
        """For each route, what its people have in the mask of what is meant for them."""
        return [
            1 << ordinal if self.table == "cast" else route.channel.bit for ordinal, route in enumerate(content.routes)
        ]

    def mask(self, content: PublishedContent, kinds: Collection[ChannelKind]) -> int:
        """The same for all routes on these channels together."""
        masks = zip(self.masks(content), content.routes, strict=True)
        return reduce(or_, (mask for mask, route in masks if route.channel in kinds), 0)


class ListedPeople(msgspec.Struct, frozen=True):
    """The lists whose single entries the counting statement asks by md5, and who is known to be on others, by channel."""

    list_ids: set[UUID]
    channels: list[int]
    people: list[UUID]

    def as_arrays(self) -> dict[str, Sequence[Any]]:
        """As statements take them."""
        return {"list_ids": list(self.list_ids), "listed_channels": self.channels, "listed": self.people}


async def listed_people(
    conn: Connection, look_up: LookUp, facts: ExecutionFacts, audience: TriedAudience
) -> ListedPeople:
    """Who of the run's audience is on lists that it goes by. Raises as `LookUp.found`."""
    found = ListedPeople(set(), [], [])
    content = facts.publication.content
    for kind in dict.fromkeys(route.channel for route in content.routes):
        if not kind.bit & (EMAIL_CHANNELS | PHONE_CHANNELS):
            continue
        asked = await look_up.stores(conn, facts.publication.brand_id, channel=kind)
        stores = [store for store in asked if store.covers(content.campaign_id, facts.topic_id)]
        if await _are_plain(conn, facts.publication.brand_id, stores):
            found.list_ids.update(store.store_id for store in stores)
            continue
        candidates = PlanSql.forecast_addresses[audience.table].batches(
            conn, _BATCH, **_candidates(facts, audience, kind)
        )
        async with aclosing(candidates) as batches:
            async for rows in batches:
                people = [(customer, address, md5) for customer, address, md5 in rows if md5 is not None]
                listings = await look_up.listings(conn, stores, kind, [(address, md5) for _, address, md5 in people])
                for customer, address, md5 in people:
                    if listings.objecting(address, md5, campaign_id=content.campaign_id, topic_id=facts.topic_id):
                        found.channels.append(int(kind))
                        found.people.append(customer)
    return found


async def _are_plain(conn: Connection, brand_id: UUID, stores: Sequence[AskedStore]) -> bool:
    return all(
        store.store_brand_id == brand_id and store.hash == "md5" and not store.run_ids and store.expiry_days is None
        for store in stores
    ) and not await may_have_domains(conn, brand_id, [store.store_id for store in stores])


def _candidates(facts: ExecutionFacts, audience: TriedAudience, kind: ChannelKind) -> dict[str, Any]:
    content = facts.publication.content
    return {
        "brand_id": facts.publication.brand_id,
        "audience_id": audience.audience_id,
        "mask": audience.mask(content, {kind}),
        "campaign_id": content.campaign_id,
        "holdout": holdout_threshold(content.policy.holdout),
        "heeded": heeded_flags(content),
        "bit": kind.bit,
        "by_email": bool(kind.bit & EMAIL_CHANNELS),
    }
