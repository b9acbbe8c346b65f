"""Minutes ahead that limits per hour have promised: whoever sends for us is told when, and keeps to it without asking again.

A promise is of sends at a whole minute. Each limit gives a minute its share of the hour, so that no sixty minutes have more than
the hour has; and a minute before they are due the bucket pays for them, so that what workers send meanwhile makes room for them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.deliver import hour_buckets
from stentor.deliver.hour_buckets import HourLimit

_HOUR_MINUTES = 60


class Sql(QuerySet, file="hour_promises.sql", package=__package__):
    promised: Statement
    promise: Statement
    moment: Statement


class PromisedTo(msgspec.Struct, frozen=True):
    """Whom sends are promised to: what an execution sends by a partner channel."""

    brand_id: UUID
    execution_id: UUID
    channel_number: int


class Minutes:
    """The minutes of some limits that a send falls under together, while their buckets are locked by this transaction."""

    def __init__(
        self, limits: Sequence[HourLimit], *, at_once: int, now: datetime, taken: Mapping[UUID, dict[int, int]]
    ) -> None:
        self._limits = limits
        self._at_once = at_once
        self._taken = taken
        self._beyond: dict[int, int] = {}
        self.now = now
        self.first = int(now.timestamp()) // 60 + 2
        """The first minute that can be promised: the buckets have not paid for it yet."""
        self.spent = 0
        """Sends that were given out to leave now."""
        self.promised: defaultdict[int, int] = defaultdict(int)
        """Sends that were given out to each minute."""

    def take_now(self) -> bool:
        """Takes a send that leaves now, where all limits have room for it."""
        if self.spent >= self._at_once:
            return False
        self.spent += 1
        return True

    def next_free(self, minute: int) -> int:
        """The first minute from that one on in which all limits have room."""
        passed: list[int] = []
        while (further := self._beyond.get(minute)) is not None or not self._has_room(minute):
            passed.append(minute)
            minute = minute + 1 if further is None else further
        # Whoever comes this way next goes on from here at once.
        self._beyond.update(dict.fromkeys(passed, minute))
        return minute

    def take(self, minute: int) -> None:
        """Takes a send of a minute that is free."""
        for limit in self._limits:
            taken = self._taken[limit.owner_id]
            taken[minute] = taken.get(minute, 0) + 1
        self.promised[minute] += 1

    def _has_room(self, minute: int) -> bool:
        return all(self._taken[limit.owner_id].get(minute, 0) < share_of(limit, minute) for limit in self._limits)


def share_of(limit: HourLimit, minute: int) -> int:
    """How many sends of a minute the limit promises: evenly, and in any sixty together what its bucket is filled with in an hour."""
    of_hour = max(1, int(limit.per_s * 3600))
    return (minute + 1) * of_hour // _HOUR_MINUTES - minute * of_hour // _HOUR_MINUTES


async def minutes_of(conn: Connection, brand_id: UUID, limits: Sequence[HourLimit]) -> Minutes:
    """The minutes as they are now. The limits' buckets stay locked until the transaction ends."""
    rooms = await hour_buckets.rooms(conn, brand_id, limits)
    # Asked behind the locks: not before whoever had them.
    now: datetime = await Sql.moment.value(conn)
    taken: dict[UUID, dict[int, int]] = {limit.owner_id: {} for limit in limits}
    for owner_id, due_at, sends in await Sql.promised.tuples(
        conn, brand_id=brand_id, owner_ids=list(taken), since=now, execution_id=None, channel_number=None
    ):
        taken[owner_id][minute_of(due_at)] = sends
    return Minutes(limits, at_once=max(0, min(rooms.values())), now=now, taken=taken)


async def promised_to(conn: Connection, to: PromisedTo, limits: Iterable[HourLimit]) -> dict[int, int]:
    """How many sends of each minute from now on all of these limits have promised to it before."""
    owners = [limit.owner_id for limit in limits]
    by_minute: defaultdict[int, list[int]] = defaultdict(list)
    now: datetime = await Sql.moment.value(conn)
    for _, due_at, sends in await Sql.promised.tuples(
        conn,
        brand_id=to.brand_id,
        owner_ids=owners,
        since=now,
        execution_id=to.execution_id,
        channel_number=to.channel_number,
    ):
        by_minute[minute_of(due_at)].append(sends)
    return {minute: min(found) for minute, found in by_minute.items() if len(found) == len(owners)}


async def promise(conn: Connection, to: PromisedTo, limits: Sequence[HourLimit], minutes: Minutes) -> None:
    """Writes down what was given out of `minutes`, in the transaction that locked their buckets."""
    if minutes.spent:
        spent = {limit.owner_id: minutes.spent for limit in limits}
        await hour_buckets.spend(conn, to.brand_id, spent)
    if minutes.promised:
        each = [(limit.owner_id, minute, sends) for limit in limits for minute, sends in minutes.promised.items()]
        await Sql.promise.run(
            conn,
            brand_id=to.brand_id,
            execution_id=to.execution_id,
            channel_number=to.channel_number,
            owner_ids=[owner_id for owner_id, _, _ in each],
            due_ats=[at_minute(minute) for _, minute, _ in each],
            sends=[sends for _, _, sends in each],
        )


def minute_of(at: datetime) -> int:
    """The number of the first whole minute that is not before `at`, since 1970."""
    return -int(-at.timestamp() // 60)


def at_minute(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)
