"""What limits per hour allow a claim: its brand's on the channel, its campaigns', and those of single executions."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID, uuid5

import msgspec

from stentor.audience.reach import Recipient
from stentor.db.connection import Connection
from stentor.deliver import hour_buckets
from stentor.deliver import store as deliver
from stentor.deliver.hour_buckets import HourLimit
from stentor.deliver.model import WAVE_SENDS_MAX, Claim, PendingSend
from stentor.domain.policy import BrandPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.facts import ExecutionFacts


class HourRoom(msgspec.Struct, frozen=True):
    """How many sends the next wave may have, and the limits that each execution's sends are taken from."""

    sends: int = WAVE_SENDS_MAX
    limits: Mapping[UUID, Sequence[HourLimit]] = {}

    async def spend(self, conn: Connection, brand_id: UUID, cleared: Sequence[tuple[PendingSend, Recipient]]) -> None:
        """Takes from the limits what is handed over now; whom the guard keeps back takes nothing."""
        spent: Counter[UUID] = Counter()
        if self.limits:
            for send, _ in cleared:
                spent.update(limit.owner_id for limit in self.limits.get(send.execution_id, ()))
        if spent:
            await hour_buckets.spend(conn, brand_id, spent)


async def hour_room(
    conn: Connection,
    claim: Claim,
    facts: Mapping[UUID, ExecutionFacts],
    over: Collection[UUID],
    brand: BrandPolicy,
) -> HourRoom:
    """What the claim's limits allow now; chunks whose limits allow nothing leave the claim until it is their turn.

    `over`: executions that send nothing any more, so that no limit keeps their people. Asks nothing where there are no limits.
    """
    of_brand = brand_limit(claim.brand_id, claim.channel, brand)
    limits = {
        execution_id: limits
        for execution_id, execution in facts.items()
        if execution_id not in over and (limits := hour_limits(execution, of_brand))
    }
    if not limits:
        return HourRoom()
    owners = {limit.owner_id: limit for found in limits.values() for limit in found}
    rooms = await hour_buckets.rooms(conn, claim.brand_id, list(owners.values()))
    full = {owner_id for owner_id, room in rooms.items() if room < 1}
    if full:
        await _let_go(conn, claim, limits, {owner_id: owners[owner_id] for owner_id in full})
    left = {limit.owner_id for execution_id in claim.execution_ids for limit in limits.get(execution_id, ())}
    return HourRoom(min((rooms[owner_id] for owner_id in left), default=WAVE_SENDS_MAX), limits)


def hour_limits(execution: ExecutionFacts, of_brand: HourLimit | None) -> list[HourLimit]:
    """The limits that an execution's sends fall under.

    Tests reach nobody, and fall under none. What is transactional does not fall under its brand's, as under none of its policy.
    """
    if execution.is_test:
        return []
    content = execution.publication.content
    own = ((content.campaign_id, content.policy.per_hour), (execution.execution_id, execution.per_hour))
    limits = [HourLimit(owner_id, per_hour) for owner_id, per_hour in own if per_hour is not None]
    if of_brand is not None and content.lane != "transactional":
        limits.append(of_brand)
    return limits


def brand_limit(brand_id: UUID, channel: ChannelKind, brand: BrandPolicy) -> HourLimit | None:
    """The brand's limit on a channel; its owner is the brand and the channel."""
    per_hour = brand.per_hour.get(channel.label)
    return None if per_hour is None else HourLimit(uuid5(brand_id, f"per hour {channel.label}"), per_hour)


async def _let_go(
    conn: Connection, claim: Claim, limits: Mapping[UUID, Sequence[HourLimit]], full: Mapping[UUID, HourLimit]
) -> None:
    kept_by = {
        execution_id: by
        for execution_id, found in limits.items()
        if (by := tuple(limit.owner_id for limit in found if limit.owner_id in full))
    }
    wanted: Counter[UUID] = Counter()
    for chunk in claim.chunks:
        wanted.update(dict.fromkeys(kept_by.get(chunk.execution_id, ()), max(1, chunk.sends)))
    # A turn is for no more than the bucket holds.
    turns = await hour_buckets.turns(
        conn, claim.brand_id, {owner_id: min(sends, full[owner_id].burst) for owner_id, sends in wanted.items()}
    )
    for by in sorted(set(kept_by.values())):
        chunks = [chunk for chunk in claim.chunks if kept_by.get(chunk.execution_id) == by]
        await deliver.release(conn, claim, chunks, delay_s=max(turns[owner_id] for owner_id in by))
