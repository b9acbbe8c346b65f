"""How fast an execution went, and goes: messages by time, from the waves in which they were tried."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind

POINTS_MAX = 120
"""How many points a series has at most; its steps are as long as that needs."""

_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)


class Sql(QuerySet, file="rates.sql", package=__package__):
    tried: Statement


class RatePoint(msgspec.Struct, frozen=True):
    """How many messages were tried in the `step_s` seconds from `at` on, by channel; channels without any are absent."""

    at: datetime
    sends: dict[str, int]


class RateSeries(msgspec.Struct, frozen=True):
    """Messages tried by time, without a gap, oldest first: `sends / step_s` is a rate per second.

    A message counts when its wave was answered, each try anew; one that an outside service sends when its page was fetched.
    """

    step_s: int
    points: list[RatePoint]

    @property
    def peak_per_s(self) -> float:
        """The highest rate of a step."""
        return max((sum(point.sends.values()) / self.step_s for point in self.points), default=0.0)


async def series(conn: Connection, brand_id: UUID, execution_id: UUID, since: datetime, until: datetime) -> RateSeries:
    """The series from `since` to `until`; what lies outside of that by a moment widens it. Empty where nothing was tried."""
    step_s = step_of(until - since)
    rows = await Sql.tried.tuples(conn, brand_id=brand_id, execution_id=execution_id, step_s=step_s)
    if not rows:
        return RateSeries(step_s, [])
    by_slot: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for channel, slot, sends in rows:
        by_slot[slot][ChannelKind(channel).label] = sends
    last = max(*by_slot, int(until.timestamp()) // step_s)
    # A run that was ordered again long after its end would be mostly gap: its last steps are shown.
    first = max(min(by_slot), last - POINTS_MAX + 1)
    return RateSeries(
        step_s,
        [
            RatePoint(datetime.fromtimestamp(slot * step_s, UTC), by_slot.get(slot, {}))
            for slot in range(first, last + 1)
        ],
    )


def step_of(span: timedelta) -> int:
    """How many seconds a step has, so that the span has about `POINTS_MAX` at most."""
    seconds = max(span.total_seconds(), 1.0)
    return next((step for step in _STEPS_S if seconds / step < POINTS_MAX - 2), _STEPS_S[-1])


def end_of(series: RateSeries) -> datetime:
    """When the last step of a series that has any ends."""
    return series.points[-1].at + timedelta(seconds=series.step_s)
