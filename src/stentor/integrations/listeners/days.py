"""A brand's day, by its own clock: told once when the last of it was published, and once when it is over.

All of a day's campaigns are processed (event 2) when something was published on it that listeners were told of, nothing of
the brand waits to be published, and no schedule of it rings before midnight any more. Where more comes after all, an API call
or a new schedule, it is told again after that. The daily close (event 3) is the midnight that ends the day.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.errors import Unavailable
from stentor.failpoints import failpoint
from stentor.integrations.listeners import bodies
from stentor.integrations.listeners.enqueueing import enqueue
from stentor.integrations.listeners.model import NOTICE_DAYS_MAX, Event

_AT_ONCE = 50
_LATE_DAYS_MAX = 2
"""A day whose close was missed for so long, because nothing ran, is not told any more."""

log = structlog.get_logger(__name__)


class Sql(QuerySet, file="days.sql", package=__package__):
    zone: Statement
    now: Statement
    note_published: Statement
    unprocessed: Statement
    lock_unprocessed: Statement
    more_to_come: Statement
    note_processed: Statement
    brands_to_close: Statement
    close_day: Statement
    forget_days: Statement


async def note_published(conn: Connection, brand_id: UUID) -> None:
    """Something of the brand was published today that its listeners were told of."""
    now, zone = await Sql.now.value(conn), await _zone(conn, brand_id)
    await Sql.note_published.run(conn, brand_id=brand_id, day=now.astimezone(zone).date())


class DayTeller:
    """Tells listeners that a day's campaigns were all processed, and that it is over."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def tell_processed(self) -> int:
        """Event 2, for days on which nothing more is to come; the keeper's chore. Returns for how many."""
        told = 0
        after: tuple[date, UUID] = (date.min, UUID(int=0))
        async with self._db.read() as conn:
            since = (await Sql.now.value(conn) - timedelta(days=_LATE_DAYS_MAX)).date()
        while True:
            async with self._db.read() as conn:
                days = await Sql.unprocessed.tuples(
                    conn, since=since, after_day=after[0], after_brand_id=after[1], limit=_AT_ONCE
                )
            if not days:
                return told
            for day, brand_id in days:
                with _kept_to_itself(brand_id):
                    told += await self._tell_processed(brand_id, day)
            after = days[-1]

    async def _tell_processed(self, brand_id: UUID, day: date) -> bool:
        async with self._db.transaction() as conn:
            if await Sql.lock_unprocessed.value(conn, brand_id=brand_id, day=day) is None:
                return False
            until = _midnight_after(day, await _zone(conn, brand_id))
            if await Sql.more_to_come.value(conn, brand_id=brand_id, until=until):
                return False
            body = bodies.told(Event.DAY_PROCESSED, await Sql.now.value(conn))
            await enqueue(conn, brand_id, Event.DAY_PROCESSED, body)
            await Sql.note_processed.run(conn, brand_id=brand_id, day=day)
            failpoint("days.before_processed")
        failpoint("days.after_processed")
        return True

    async def close_days(self) -> int:
        """Event 3, for days that are over since a listener for it was registered; the keeper's chore. Returns how many."""
        closed = 0
        async with self._db.read() as conn:
            now: datetime = await Sql.now.value(conn)
            brands = await Sql.brands_to_close.tuples(conn)
        for brand_id, zone_name, since in brands:
            with _kept_to_itself(brand_id):
                zone = _zone_of(zone_name)
                yesterday = now.astimezone(zone).date() - timedelta(days=1)
                if since < _midnight_after(yesterday, zone):
                    closed += await self._close(brand_id, yesterday, now)
        async with self._db.autocommit() as conn:
            await Sql.forget_days.run(conn, until=(now - timedelta(days=NOTICE_DAYS_MAX)).date())
        return closed

    async def _close(self, brand_id: UUID, day: date, now: datetime) -> bool:
        """False where it was closed."""
        async with self._db.transaction() as conn:
            if not await Sql.close_day.run(conn, brand_id=brand_id, day=day):
                return False
            await enqueue(conn, brand_id, Event.DAY_CLOSED, bodies.told(Event.DAY_CLOSED, now))
            failpoint("days.before_close")
        failpoint("days.after_close")
        return True


@contextmanager
def _kept_to_itself(brand_id: UUID) -> Iterator[None]:
    """What goes wrong with one brand's day is logged, and keeps no other brand's waiting."""
    try:
        yield
    except Unavailable:
        raise
    except Exception:
        log.exception("day.not_told", brand_id=str(brand_id))


async def _zone(conn: Connection, brand_id: UUID) -> ZoneInfo:
    return _zone_of(await Sql.zone.value(conn, brand_id=brand_id) or "UTC")


def _zone_of(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _midnight_after(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
