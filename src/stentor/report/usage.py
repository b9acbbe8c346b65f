"""How much a brand uses: sends by day and channel, and what its opt-out lists hold."""

import csv
import io
from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

import msgspec

from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind, SendState
from stentor.errors import Invalid

USAGE_DAYS_MAX = 366
"""Days of one question."""
DAYS_USUAL = 30

_AUDIENCE = -1
_WITHIN = timedelta(seconds=20)
_STATES = {_AUDIENCE: "audience", **{int(state): state.label for state in SendState}}


class Sql(QuerySet, file="usage.sql", package=__package__):
    by_day: Statement
    lists: Statement
    today: Statement


class UsageDay(msgspec.Struct, frozen=True, kw_only=True):
    """The sends of a brand's executions that started on that day (UTC), on one channel, by what became of them until now."""

    day: date
    channel: str
    audience: int = 0
    handed_over: int = 0
    pending: int = 0
    held: int = 0
    skipped: int = 0
    failed: int = 0
    unknown: int = 0


class ListStorage(msgspec.Struct, frozen=True):
    """A brand's opt-out lists: how many, what came in files and holds, and the bytes of the indexes of that."""

    lists: int
    entries: int
    bytes: int


class Usage(msgspec.Struct, frozen=True):
    """Use from one day to another, both included."""

    first_day: date
    last_day: date
    days: list[UsageDay]
    optout_lists: ListStorage

    @property
    def handed_over(self) -> int:
        """Sends that were handed over in all these days."""
        return sum(one.handed_over for one in self.days)


class UsageService:
    """Sums what brands use, whether its history is kept or only its totals are."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, brand_id: UUID, first_day: date | None = None, last_day: date | None = None) -> Usage:
        """The use of the brand between these days; of the last 30 until today, where they are not said.

        Raises Invalid for days in another order and for more than 366 of them, Unavailable where summing takes longer than 20 s.
        """
        async with self._db.read(statement_timeout=_WITHIN) as conn:
            last = last_day or await Sql.today.value(conn)
            first = first_day or last - timedelta(days=min(DAYS_USUAL - 1, last.toordinal() - 1))
            if first > last:
                raise Invalid.field("/first_day", "order", "The first day is after the last one; exchange them.")
            if (last - first).days >= USAGE_DAYS_MAX:
                raise Invalid.field("/first_day", "range", f"Ask for at most {USAGE_DAYS_MAX} days at once.")
            rows = await Sql.by_day.tuples(conn, brand_id=brand_id, first_day=first, last_day=last)
            (storage,) = await Sql.lists.rows(conn, ListStorage, brand_id=brand_id)
        found: dict[tuple[date, int], dict[str, int]] = {}
        for day, channel, state, sends in rows:
            found.setdefault((day, channel), {})[_STATES[state]] = sends
        days = [
            UsageDay(day=day, channel=ChannelKind(channel).label, **counts) for (day, channel), counts in found.items()
        ]
        return Usage(first, last, days, storage)


def as_csv(days: Sequence[UsageDay]) -> bytes:
    """The days as CSV, with the API's names as its header."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(UsageDay.__struct_fields__)
    writer.writerows([msgspec.to_builtins(value) for value in msgspec.structs.astuple(one)] for one in days)
    return written.getvalue().encode()
