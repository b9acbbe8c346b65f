"""Events of customers: what happened to somebody, as the brand's own systems tell it, for conditions to count."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias
from uuid import UUID, uuid5

import msgspec
import psycopg
import structlog

from stentor.clock import Clock
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import customer_id, new_id, part_of
from stentor.errors import Invalid, TooLarge, Violation
from stentor.failpoints import failpoint

EVENTS_MAX = 1000
EVENT_NAME_CHARS_MAX = 255
EVENT_ID_CHARS_MAX = 255
PROPERTIES_BYTES_MAX = 8 * 1024
AHEAD_HOURS_MAX = 24
MONTHS_AHEAD = 2

STRAYS_AT_ONCE_MAX = 5_000
"""Events whose month had no partition, dropped in one transaction."""

GivingWay: TypeAlias = Callable[[Database, Callable[[Connection], Awaitable[int]]], Awaitable[int]]
"""Changes partitions in a transaction of its own, and returns how many; none where somebody is in its way."""

log = structlog.get_logger(__name__)


class Sql(QuerySet, file="customer_events.sql", package=__package__):
    add_events: Statement
    lock_people: Statement
    missing_event_months: Statement
    make_event_month: Statement
    drop_event_month: Statement
    drop_event_strays: Statement


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a caller tells it. `id` makes telling it again harmless: the same person, name, time and id are one event."""

    external_id: str
    name: str
    at: datetime
    id: str | None = None
    properties: dict[str, Any] = {}


class EventTimes:
    """Which times events may have: no longer ago than they are kept, and no more than a day ahead."""

    def __init__(self, clock: Clock, days: int) -> None:
        """`days`: how long events are kept."""
        self._clock = clock
        self._days = days

    def objection(self, at: datetime) -> Violation | None:
        """Why an event of that time is not taken; None where it is."""
        now = self._clock.now()
        if at > now + timedelta(hours=AHEAD_HOURS_MAX):
            text = f"An event lies at most {AHEAD_HOURS_MAX} hours ahead; tell it when it has happened."
        elif at < now - timedelta(days=self._days):
            text = f"Events are kept for {self._days} days, and this one is older; leave it out."
        else:
            return None
        return Violation("/at", "out-of-range", text)


class EventRow(NamedTuple):
    """An event as it is stored; `place` is where it was told, `properties` are JSON."""

    place: int
    customer_id: UUID
    at: datetime
    event_id: UUID
    name: str
    properties: str


class Met(Protocol):
    """What events of some names set off."""

    async def run(self, conn: Connection, events: Sequence[EventRow], *, is_test: bool) -> None:
        """Does so, for events that are new, in the transaction that stores them."""
        ...


class CustomerEventService:
    """Takes events in. They are kept for `days`, in partitions of a month.

    `triggers` answers what events of these names set off; None for nothing.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        days: int,
        triggers: Callable[[UUID, Collection[str]], Awaitable[Met | None]] | None = None,
    ) -> None:
        self._db = db
        self._triggers = triggers
        self._times = EventTimes(clock, days)

    async def tell(self, brand_id: UUID, events: Sequence[Told], *, is_test: bool = False) -> int:
        """Stores the events, all of them or none, and returns how many were new.

        What is new may set a campaign off, for real unless it `is_test`. Raises TooLarge for more than 1,000, RateLimited for more of these than may be, and Invalid with pointers such as `/3/external_id` for people whom the brand does
        not know, for properties of more than 8 KiB, and for times older than history is kept or more than a day ahead.
        """
        if len(events) > EVENTS_MAX:
            raise TooLarge(f"{len(events)} events in one request; at most {EVENTS_MAX}. Send several.")
        violations: list[Violation] = []
        people: list[UUID | None] = []
        properties: list[str] = []
        for place, event in enumerate(events):
            people.append(_person(brand_id, event, place, violations))
            properties.append(_properties(event, place, violations))
            if objection := self._times.objection(event.at):
                violations.append(_at(place, objection))
        _refuse(violations)
        known = [person for person in people if person is not None]
        rows = [
            EventRow(place, person, event.at, event_id(brand_id, event), event.name, written)
            for place, (person, event, written) in enumerate(zip(known, events, properties, strict=True))
        ]
        met = None if self._triggers is None else await self._triggers(brand_id, {row.name for row in rows})
        async with self._db.transaction() as conn:
            there = await lock_people(conn, brand_id, known)
            text = "This brand has no such customer; make the customer first."
            _refuse(
                [
                    Violation(f"/{row.place}/external_id", "unknown-customer", text)
                    for row in rows
                    if row.customer_id not in there
                ]
            )
            added = await add_events(conn, brand_id, rows)
            if met is not None and added:
                await met.run(conn, added, is_test=is_test)
            failpoint("customer_events.before_commit")
        failpoint("customer_events.after_commit")
        return len(added)


async def lock_people(conn: Connection, brand_id: UUID, people: Sequence[UUID]) -> set[UUID]:
    """Those of these people who are there; they stay until the transaction ends."""
    parts = [part_of(person) for person in people]
    return set(await Sql.lock_people.column(conn, brand_id=brand_id, parts=parts, customer_ids=list(people)))


async def add_events(conn: Connection, brand_id: UUID, rows: Sequence[EventRow]) -> list[EventRow]:
    """Stores events of people who are locked, and returns those that were new."""
    added = await Sql.add_events.tuples(
        conn,
        brand_id=brand_id,
        parts=[part_of(row.customer_id) for row in rows],
        customer_ids=[row.customer_id for row in rows],
        times=[row.at for row in rows],
        event_ids=[row.event_id for row in rows],
        names=[row.name for row in rows],
        properties=[row.properties for row in rows],
    )
    told = {(row.customer_id, row.name, row.at, row.event_id): row for row in rows}
    return [told[key] for key in added]


def event_id(brand_id: UUID, event: Told) -> UUID:
    """What the event is stored under: the same for the same id of the caller's, a new one where they say none."""
    return new_id() if event.id is None else uuid5(brand_id, f"event {event.id}")


def properties_of(event: Told) -> str | Violation:
    """The properties as they are stored, or that there are too many."""
    text = msgspec.json.encode(event.properties).decode()
    if (size := len(text.encode())) > PROPERTIES_BYTES_MAX:
        message = f"The properties have {size} bytes as JSON; at most {PROPERTIES_BYTES_MAX} are kept of an event."
        return Violation("/properties", "too-large", message)
    return text


async def make_event_months(db: Database, giving_way: GivingWay, *, days: int) -> int:
    """Makes the partitions of the months of which events are taken, from `days` ago to two months ahead, where they are missing.

    The keeper's chore. Returns how many. Where one is missing an event is taken all the same, in the catch-all.
    """
    async with db.read() as conn:
        missing = await Sql.missing_event_months.column(conn, days=days, ahead=MONTHS_AHEAD)
    made = 0
    for month in missing:
        try:
            made += await giving_way(db, partial(Sql.make_event_month.value, month=month))
        except psycopg.errors.CheckViolation as error:
            log.warning("event_months.blocked", month=f"{month:%Y-%m}", why=str(error).partition("\n")[0])
    return made


async def drop_old_events(db: Database, giving_way: GivingWay, *, days: int) -> int:
    """Drops the oldest month that lies more than so many days back altogether, and such events of the catch-all, some at a time.

    The keeper's chore. Returns how many tables and events that were.
    """
    months = await giving_way(db, partial(Sql.drop_event_month.value, days=days))
    async with db.transaction() as conn:
        return months + await Sql.drop_event_strays.value(conn, days=days, limit=STRAYS_AT_ONCE_MAX)


def _person(brand_id: UUID, event: Told, place: int, violations: list[Violation]) -> UUID | None:
    try:
        return customer_id(brand_id, event.external_id)
    except ValueError as error:
        violations.append(Violation(f"/{place}/external_id", "invalid-external-id", str(error)))
        return None


def _properties(event: Told, place: int, violations: list[Violation]) -> str:
    written = properties_of(event)
    if isinstance(written, str):
        return written
    violations.append(_at(place, written))
    return ""


def _at(place: int, violation: Violation) -> Violation:
    return Violation(f"/{place}{violation.pointer}", violation.code, violation.message)


def _refuse(violations: Sequence[Violation]) -> None:
    if violations:
        raise Invalid(violations[0].message, violations=violations)
