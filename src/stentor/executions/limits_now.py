"""What limits an execution at this moment: everything that keeps somebody of it from being written to now, or faster."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from stentor.accounts.model import Brand
from stentor.campaigns.model import Publication
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.deliver.model import PLACE_BITS, RETRY_BITS, SLOTS
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.facts import ExecutionFacts
from stentor.executions.hourly import brand_limit, hour_limits
from stentor.executions.model import OVER, Execution

UNCLAIMED_AFTER = timedelta(seconds=5)
"""How long something may be due before that means that no worker takes it: one that is there looks twenty times a second."""

LimitKind = Literal[
    "copy",
    "paused",
    "scheduled",
    "people_not_fixed",
    "planning",
    "sender_off",
    "sender_paused",
    "partner_pull",
    "no_worker",
    "worker_lost",
    "quiet_hours",
    "retries",
    "spread",
    "sender_pace",
    "campaign_per_hour",
    "execution_per_hour",
    "brand_per_hour",
]


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that limits an execution. `detail` says it in a sentence, with what to do where something can be done.

    `until`: when it ends by itself, where that is known. `per_s`: the pace that it allows, where it is one; it is in force
    (`is_reached`) when nothing was left to take of it just now, and always where it stops somebody altogether.
    """

    kind: LimitKind
    detail: str
    channel: str | None = None
    sender: str | None = None
    until: datetime | None = None
    per_s: float | None = None
    is_reached: bool = True


class Queue(msgspec.Struct, frozen=True):
    """What is left of an execution on one channel by one sender, counted in chunks."""

    channel: int
    sender_id: UUID
    sender: str
    pace_per_s: float | None
    is_paused: bool
    is_enabled: bool
    pulled: int
    held: int
    held_until: datetime | None
    retrying: int
    retry_at: datetime | None
    spread: int
    spread_until: datetime | None
    at_work: int
    left_alone: int
    waiting: int
    waiting_since: datetime | None


class Surroundings(msgspec.Struct, frozen=True):
    """What holds up an execution as a whole, and what time it is."""

    is_copy: bool
    awaits_cast: bool
    slices_left: int
    now: datetime


class Sql(QuerySet, file="limits_now.sql", package=__package__):
    queues: Statement
    surroundings: Statement
    buckets: Statement


class _Ceiling(msgspec.Struct, frozen=True):
    """A pace that may not be passed, and whose bucket says whether it is reached."""

    owner_id: UUID
    limit: Limit


async def limits_now(conn: Connection, brand: Brand, execution: Execution, publication: Publication) -> list[Limit]:
    """What limits the execution now, what stops everybody first; empty where nothing does, or it is over."""
    if execution.state in OVER:
        return []
    found = await Sql.surroundings.first(conn, Surroundings, brand_id=execution.brand_id, execution_id=execution.id)
    if found is None:
        return []
    queues = await Sql.queues.rows(
        conn,
        Queue,
        brand_id=execution.brand_id,
        execution_id=execution.id,
        slot_bits=PLACE_BITS,
        slots=SLOTS,
        round_bits=RETRY_BITS,
    )
    ceilings = list(_ceilings(brand, execution, publication, queues))
    tokens = await _tokens(conn, execution.brand_id, queues, ceilings)
    paces = [msgspec.structs.replace(one.limit, is_reached=tokens.get(one.owner_id, 1.0) < 1) for one in ceilings]
    return [*_of_all(execution, found), *_of_queues(execution, queues, found.now), *paces]


async def _tokens(
    conn: Connection, brand_id: UUID, queues: Sequence[Queue], ceilings: Sequence[_Ceiling]
) -> Mapping[UUID, float]:
    if not ceilings:
        return {}
    paced = {queue.sender_id: queue.pace_per_s for queue in queues if queue.pace_per_s is not None}
    rows = await Sql.buckets.tuples(
        conn,
        brand_id=brand_id,
        sender_ids=list(paced),
        paces=list(paced.values()),
        limit_ids=[one.owner_id for one in ceilings],
    )
    return dict(rows)


def _of_all(execution: Execution, found: Surroundings) -> Iterator[Limit]:
    if found.is_copy:
        yield Limit(
            kind="copy",
            detail="This is a restored copy that nobody has let go: nothing is sent of it. `stentor resume` lets it go.",
        )
    if execution.paused_at is not None:
        yield Limit(kind="paused", detail="It is paused. Resume it, and it goes on where it stopped.")
    if execution.state == "scheduled":
        yield Limit(kind="scheduled", detail="It has not begun yet.", until=execution.start_at)
    elif found.awaits_cast:
        yield Limit(kind="people_not_fixed", detail="Whom it means is being fixed; then its people are planned.")
    elif execution.state in {"queued", "planning"}:
        left = f": {found.slices_left} parts of them are left" if found.slices_left else ""
        yield Limit(kind="planning", detail=f"Its people are being planned{left}.")


def _of_queues(execution: Execution, queues: Sequence[Queue], now: datetime) -> Iterator[Limit]:
    for queue in queues:
        about = {"channel": ChannelKind(queue.channel).label, "sender": queue.sender}
        if not queue.is_enabled:
            yield Limit(kind="sender_off", detail="The sender is switched off, and keeps its people.", **about)
        if queue.is_paused:
            yield Limit(
                kind="sender_paused", detail="The sender is paused. Resume it once its provider is well.", **about
            )
        if queue.pulled:
            yield Limit(
                kind="partner_pull", detail="They wait until the service that sends this channel pulls them.", **about
            )
        is_stopped = queue.is_paused or execution.paused_at is not None
        since = queue.waiting_since
        if since is not None and not is_stopped and not queue.at_work and now - since > UNCLAIMED_AFTER:
            yield Limit(
                kind="no_worker",
                detail="They are due, and no worker takes them. See that workers run, and what they are busy with.",
                **about,
            )
        if queue.left_alone:
            yield Limit(
                kind="worker_lost",
                detail="A worker was lost with some of them. Another one takes over, by what its journal says, or waits for it.",
                **about,
            )
        if queue.held:
            yield Limit(kind="quiet_hours", detail="It is night for some of them.", until=queue.held_until, **about)
        if queue.retrying:
            yield Limit(
                kind="retries",
                detail="The provider put some of them off; they are tried again.",
                until=queue.retry_at,
                **about,
            )
        if queue.spread:
            yield Limit(
                kind="spread",
                detail="The call spread them over time, or each gets it by their own clock.",
                until=queue.spread_until,
                **about,
            )


def _ceilings(
    brand: Brand, execution: Execution, publication: Publication, queues: Sequence[Queue]
) -> Iterator[_Ceiling]:
    facts = ExecutionFacts(
        execution.id,
        publication,
        execution.topic_id,
        execution.context,
        execution.is_test,
        per_hour=execution.per_hour,
    )
    own = {limit.owner_id: limit for limit in hour_limits(facts, None)} if queues else {}
    for limit in own.values():
        is_own = limit.owner_id == execution.id
        whose = "This run's own limit" if is_own else "Its campaign's limit, over all its executions"
        kind: LimitKind = "execution_per_hour" if is_own else "campaign_per_hour"
        detail = f"{whose}: {limit.per_hour:,} messages in any hour."
        yield _Ceiling(limit.owner_id, Limit(kind=kind, detail=detail, per_s=limit.per_s))
    seen: set[UUID] = set()
    for queue in queues:
        kind_of_channel = ChannelKind(queue.channel)
        about = {"channel": kind_of_channel.label, "sender": queue.sender}
        if queue.pace_per_s is not None and queue.sender_id not in seen:
            seen.add(queue.sender_id)
            detail = "The sender's own pace, shared by all that goes out by it."
            yield _Ceiling(queue.sender_id, Limit(kind="sender_pace", detail=detail, per_s=queue.pace_per_s, **about))
        of_brand = brand_limit(execution.brand_id, kind_of_channel, brand.settings.policy)
        if of_brand is None or of_brand.owner_id in seen:
            continue
        seen.add(of_brand.owner_id)
        if of_brand in hour_limits(facts, of_brand):
            detail = f"The brand's limit on this channel: {of_brand.per_hour:,} messages in any hour."
            yield _Ceiling(
                of_brand.owner_id,
                Limit(kind="brand_per_hour", detail=detail, channel=kind_of_channel.label, per_s=of_brand.per_s),
            )
