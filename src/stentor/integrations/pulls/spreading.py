"""Limits per hour on a list: from when on each person may be written to, so that no hour has more of them than the limits let.

Whoever is on a list is written to by somebody else, and later. So what the limits allow is promised here and now: some may be
written to at once, and each of the others gets the first minute that has room and lies in no quiet hours of theirs. What was
promised once holds for the next list too, until that minute is over. For whom there is no minute before the execution's deadline is
not on the list, and is skipped at the deadline as others are whom nobody has fetched.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.deliver import hour_promises
from stentor.deliver.hour_buckets import HourLimit
from stentor.deliver.hour_promises import Minutes, PromisedTo, at_minute, minute_of
from stentor.domain.objections import Hold
from stentor.domain.vocabulary import SendState
from stentor.failpoints import failpoint
from stentor.guard.quiet_hours import QuietHours
from stentor.integrations.pulls import people_store
from stentor.integrations.pulls.model import PulledRun
from stentor.integrations.pulls.people_store import Batch, Rows
from stentor.integrations.pulls.store import Sql

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

AHEAD_DAYS_MAX = 31
"""How far ahead somebody may be told to wait, also where the deadline is later."""


class HourSpread:
    """Spreads the people of one list, batch by batch."""

    def __init__(self, db: Database, run: PulledRun, limits: Sequence[HourLimit], quiet: QuietHours | None) -> None:
        self._db = db
        self._run = run
        self._limits = limits
        self._quiet = quiet
        self._to = PromisedTo(run.brand_id, run.execution_id, run.channel_number)
        self._before: UUID | None = None
        self._deadline: datetime | None = None
        self._promised: dict[int, int] = {}
        self._opens: dict[tuple[str, int], int] = {}

    async def begin(self, conn: Connection) -> None:
        """Reads what the list before it was promised."""
        run = self._run
        found = await Sql.spread_before.tuples(
            conn, brand_id=run.brand_id, execution_id=run.execution_id, channel_number=run.channel_number
        )
        self._deadline, self._before = found[0] if found else (None, None)
        self._promised = await hour_promises.promised_to(conn, self._to, self._limits)

    async def spread(self, batch: Batch, rows: Rows) -> Rows:
        """The rows with the times that the limits let; those of people for whom there is none are left out."""
        people = dict(zip(batch.customers, zip(batch.states, batch.places, strict=True), strict=True))
        async with self._db.transaction() as conn:
            before: Mapping[UUID, datetime] = {}
            if self._before is not None:
                before = await people_store.times_on(conn, self._run, self._before, rows.customers)
            minutes = await hour_promises.minutes_of(conn, self._run.brand_id, self._limits)
            last = (
                minute_of(
                    min(
                        self._deadline or datetime.max.replace(tzinfo=minutes.now.tzinfo),
                        minutes.now + timedelta(days=AHEAD_DAYS_MAX),
                    )
                )
                - 1
            )
            times: list[datetime | None] = []
            for customer, at in zip(rows.customers, rows.times, strict=True):
                state, place = people[customer]
                was = before.get(customer)
                if state != SendState.PENDING:
                    # They have it, with the time that was said then.
                    times.append(was or at)
                else:
                    times.append(self._time(minutes, at, was, place or "", last))
            await hour_promises.promise(conn, self._to, self._limits, minutes)
            failpoint("freeze_spread.before_commit")
        failpoint("freeze_spread.after_commit")
        kept = rows.only(at is not None for at in times)
        return kept._replace(times=[at for at in times if at is not None])

    def _time(self, minutes: Minutes, at: datetime, was: datetime | None, place: str, last: int) -> datetime | None:
        if was is not None and was > minutes.now and was >= at and self._holds_still(minute_of(was), place):
            return was
        if at <= minutes.now and minutes.take_now():
            return minutes.now.replace(microsecond=0)
        minute = max(minutes.first, minute_of(at))
        while (minute := minutes.next_free(minute)) <= last:
            opens = self._opening(place, minute, last)
            if opens == minute:
                minutes.take(minute)
                return at_minute(minute)
            minute = opens
        return None

    def _holds_still(self, minute: int, place: str) -> bool:
        """Whether that minute was promised to the list before, and not given to somebody else of it yet."""
        if not self._promised.get(minute) or self._opening(place, minute, minute) != minute:
            return False
        self._promised[minute] -= 1
        return True

    def _opening(self, place: str, minute: int, last: int) -> int:
        """The first minute from that one on, up to behind the last, in which it is not quiet there."""
        if self._quiet is None:
            return minute
        key = place, minute
        if key not in self._opens:
            opens = minute
            while opens <= last and (objection := self._quiet.objection(place, at_minute(opens))) is not None:
                opens = minute_of(objection.until) if isinstance(objection, Hold) else opens + 1
            self._opens[key] = opens
        return self._opens[key]
