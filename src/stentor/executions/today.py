"""How a brand's day goes: what is under way and what comes next, from the counters of executions, never from their sends."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.remembered import Remembered
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import Reason, SendState
from stentor.executions.model import ExecutionState
from stentor.report.funnel import ChannelFunnel, funnels
from stentor.report.tally import AUDIENCE

_UNDER_WAY_MAX = 20
_COMING_MAX = 20
_FAILED_MAX = 5
COMING_HOURS = 24

# The day is counted from all of its executions: once in this time, however many look.
DAY_KEEP_S = 2.0
_DAYS_MAX = 1_000


class Sql(QuerySet, file="today.sql", package=__package__):
    under_way: Statement
    to_start: Statement
    failed_lately: Statement
    hours_of_today: Statement
    has_run: Statement


class Brief(msgspec.Struct, frozen=True):
    """An execution in one line. `name` is that of its event generator or campaign; empty where they are gone."""

    id: UUID
    name: str
    triggered_by: str
    state: ExecutionState
    is_test: bool
    audience_size: int
    created_at: datetime
    start_at: datetime | None
    paused_at: datetime | None
    error_message: str | None


class UnderWay(msgspec.Struct, frozen=True):
    """An execution that goes on, and where its sends stand, of all channels together."""

    execution: Brief
    audience: int
    handed_over: int
    pending: int
    held: int
    failed: int
    unknown: int
    skipped: int

    @property
    def settled(self) -> int:
        """Those for whom it is decided."""
        return self.handed_over + self.failed + self.unknown + self.skipped


class Day(msgspec.Struct, frozen=True):
    """Sends of the executions that started since midnight UTC, tests left out. `handed_over_by_hour` has 24 figures."""

    audience: int
    handed_over: int
    skipped: int
    failed: int
    unknown: int
    waiting: int
    handed_over_by_hour: tuple[int, ...]
    audience_by_hour: tuple[int, ...]
    skipped_by_reason: dict[str, int]
    failed_by_reason: dict[str, int]

    @property
    def attempted(self) -> int:
        """Sends of which a provider said yes or no, or may have."""
        return self.handed_over + self.failed + self.unknown


class TodayService:
    """A brand's day, as of now; the day's sums as they were two seconds ago at most."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._days = Remembered(self._count, keep_s=DAY_KEEP_S, entries_max=_DAYS_MAX)

    async def under_way(self, brand_id: UUID) -> list[UnderWay]:
        """The 20 newest executions that are queued, planned or sent."""
        async with self._db.read() as conn:
            found = await Sql.under_way.rows(conn, Brief, brand_id=brand_id, limit=_UNDER_WAY_MAX)
            counts = await funnels(conn, brand_id, [one.id for one in found])
        return [_under_way(one, counts.get(one.id, [])) for one in found]

    async def coming(self, brand_id: UUID) -> list[Brief]:
        """The next 20 executions that start within 24 hours."""
        async with self._db.read() as conn:
            return await Sql.to_start.rows(conn, Brief, brand_id=brand_id, hours=COMING_HOURS, limit=_COMING_MAX)

    async def failed(self, brand_id: UUID) -> list[Brief]:
        """The five newest executions of the last 24 hours that were never published."""
        async with self._db.read() as conn:
            return await Sql.failed_lately.rows(conn, Brief, brand_id=brand_id, hours=COMING_HOURS, limit=_FAILED_MAX)

    async def day(self, brand_id: UUID) -> Day:
        """What became of the day's sends so far."""
        return await self._days.get(brand_id)

    async def has_run(self, brand_id: UUID) -> bool:
        """Whether anything was ever started for the brand, or is to start, of which the history is kept."""
        async with self._db.read() as conn:
            return bool(await Sql.has_run.value(conn, brand_id=brand_id))

    async def _count(self, brand_id: UUID) -> Day:
        async with self._db.read() as conn:
            return _day(await _counted(conn, brand_id))


async def _counted(conn: Connection, brand_id: UUID) -> Sequence[tuple[int, int, int, int]]:
    return await Sql.hours_of_today.tuples(conn, brand_id=brand_id)


def _day(counted: Sequence[tuple[int, int, int, int]]) -> Day:
    states: Counter[int] = Counter()
    hours: Counter[tuple[int, int]] = Counter()
    reasons: dict[int, Counter[str]] = {SendState.SKIPPED: Counter(), SendState.FAILED: Counter()}
    for hour, state, reason, sends in counted:
        states[state] += sends
        hours[state, hour] += sends
        if state in reasons and sends:
            reasons[state][Reason(reason).label] += sends
    return Day(
        audience=states[AUDIENCE],
        handed_over=states[SendState.HANDED_OVER],
        skipped=states[SendState.SKIPPED],
        failed=states[SendState.FAILED],
        unknown=states[SendState.UNKNOWN],
        waiting=states[SendState.PENDING] + states[SendState.HELD],
        handed_over_by_hour=tuple(hours[SendState.HANDED_OVER, hour] for hour in range(24)),
        audience_by_hour=tuple(hours[AUDIENCE, hour] for hour in range(24)),
        skipped_by_reason=dict(reasons[SendState.SKIPPED].most_common()),
        failed_by_reason=dict(reasons[SendState.FAILED].most_common()),
    )


def _under_way(execution: Brief, channels: Sequence[ChannelFunnel]) -> UnderWay:
    return UnderWay(
        execution,
        audience=sum(one.audience for one in channels),
        handed_over=sum(one.handed_over for one in channels),
        pending=sum(one.pending for one in channels),
        held=sum(one.held for one in channels),
        failed=sum(one.failed for one in channels),
        unknown=sum(one.unknown for one in channels),
        skipped=sum(one.skipped for one in channels),
    )
