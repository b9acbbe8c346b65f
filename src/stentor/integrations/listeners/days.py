"""A brand's day, by its own clock: told once when the last of it was published, and once when it is over.

All of a day's campaigns are processed (event 2) when something was published on it that listeners were told of, nothing of
the brand waits to be published, and no schedule of it rings before midnight any more. Where more comes after all, an API call
or a new schedule, it is told again after that. The daily close (event 3) is the midnight that ends the day.
"""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.failpoints import failpoint
from stentor.integrations.listeners import bodies
from stentor.integrations.listeners.enqueueing import enqueue
from stentor.integrations.listeners.model import NOTICE_DAYS_MAX, Event

_AT_ONCE = 50
_LATE_DAYS_MAX = 2
"""A day whose close was missed for so long, because nothing ran, is not told any more."""


class Sql(QuerySet, file="days.sql", package=__package__):
    zone: Statement
    now: Statement
    note_published: Statement
    unprocessed: Statement
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
        async with self._db.transaction() as conn:
            now = await Sql.now.value(conn)
            since = (now - timedelta(days=_LATE_DAYS_MAX)).date()
            for brand_id, day in await Sql.unprocessed.tuples(conn, since=since, limit=_AT_ONCE):
                until = _midnight_after(day, await _zone(conn, brand_id))
                if await Sql.more_to_come.value(conn, brand_id=brand_id, until=until):
                    continue
                await enqueue(conn, brand_id, Event.DAY_PROCESSED, bodies.told(Event.DAY_PROCESSED, now))
                await Sql.note_processed.run(conn, brand_id=brand_id, day=day)
                told += 1
            failpoint("days.before_processed")
        failpoint("days.after_processed")
        return told

    async def close_days(self) -> int:
        """Event 3, for days that are over since a listener for it was registered; the keeper's chore. Returns how many."""
        closed = 0
        async with self._db.transaction() as conn:
            now = await Sql.now.value(conn)
            for brand_id, zone_name, since in await Sql.brands_to_close.tuples(conn):
                zone = _zone_of(zone_name)
                yesterday = now.astimezone(zone).date() - timedelta(days=1)
                if since >= _midnight_after(yesterday, zone):
                    continue
                if await Sql.close_day.run(conn, brand_id=brand_id, day=yesterday):
                    await enqueue(conn, brand_id, Event.DAY_CLOSED, bodies.told(Event.DAY_CLOSED, now))
                    closed += 1
            await Sql.forget_days.run(conn, until=(now - timedelta(days=NOTICE_DAYS_MAX)).date())
            failpoint("days.before_close")
        failpoint("days.after_close")
        return closed


async def _zone(conn: Connection, brand_id: UUID) -> ZoneInfo:
    return _zone_of(await Sql.zone.value(conn, brand_id=brand_id) or "UTC")


def _zone_of(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _midnight_after(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
