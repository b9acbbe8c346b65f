"""Event 11: listeners are told of each person who met a trigger, and that is how the person is handed over.

The whole guard is asked first, as for any list. Whose time is later, because it is night there, waits as before until it has come,
and may say no meanwhile; so do all while the run is paused, or while the listener is switched off or has too many waiting. Each is told
of to one listener alone, because to be told of somebody is to send to them. Where nobody has registered one, the run waits to be
pulled as any other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of
from stentor.errors import Conflict, NotFound, Unavailable
from stentor.failpoints import failpoint
from stentor.integrations.listeners import bodies
from stentor.integrations.listeners.enqueueing import Meant, enqueue_for_one, one_hearer
from stentor.integrations.listeners.model import Event
from stentor.integrations.pulls.model import PAGE_ROWS_MAX, Pull, Puller, PullRow
from stentor.integrations.pulls.service import PullService

LOOKED_AGAIN_AFTER = timedelta(seconds=30)
"""How long a run is left alone of which nobody can be told now."""

_AT_ONCE = 20
_PULLER = Puller(UUID(int=11), "notices of event 11")

log = structlog.get_logger(__name__)


class Sql(QuerySet, file="meeting.sql", package=__package__):
    untold: Statement
    lock_untold: Statement
    note_told: Statement
    put_off: Statement
    who_waits: Statement


class Met(msgspec.Struct, frozen=True):
    """A run that events started, of whose people not all were told of yet."""

    id: UUID
    brand_id: UUID
    execution_id: UUID
    number: int
    channels: list[int]
    is_over: bool
    promo_codes: list[str]


class _Listed(msgspec.Struct, frozen=True):
    """Who is on the list of one of a run's channels."""

    channel: int
    pull: Pull
    rows: list[PullRow]


class _Waiting(msgspec.Struct, frozen=True):
    """Somebody of a list who waits until `at`."""

    row: PullRow
    is_due: bool
    at: datetime
    notes: str


class _Left(msgspec.Struct):
    """What is left of a run: people who are due at `until`, and whether there is something that may pass at any time."""

    until: datetime | None = None
    is_held: bool = False


class MeetingTeller:
    """Makes notices of people who met triggers."""

    def __init__(self, db: Database, pulls: PullService) -> None:
        self._db = db
        self._pulls = pulls

    async def tell(self) -> bool:
        """Tells of up to 20 runs that are new and 20 that were put off; whether there was one. None keeps another waiting."""
        async with self._db.read() as conn:
            untold = await Sql.untold.rows(conn, Met, limit=_AT_ONCE)
        for met in untold:
            try:
                await self._tell(met)
            except Unavailable:
                raise
            except Exception:
                log.exception("meeting.failed", execution_id=str(met.execution_id))
                await self._put_off(met)
        return bool(untold)

    async def _tell(self, met: Met) -> None:
        listed: list[_Listed] = []
        left = _Left()
        for channel in met.channels if not met.is_over else ():
            async with self._db.read() as conn:
                hearer = await one_hearer(conn, met.brand_id, Event.TRIGGER_MET, channel)
            if hearer is None:
                continue
            if not hearer.room:
                left.is_held = True
                continue
            try:
                listed.append(await self._list(met, channel))
            except (Conflict, NotFound):
                # Cancelled, or over: there is nobody to be told of.
                continue
            except Unavailable:
                # It is paused, or being frozen by another process.
                left.is_held = True
        # Told and handed over in one: of whoever is killed in between nothing is true.
        async with self._db.as_one() as conn:
            if await Sql.lock_untold.value(conn, id=met.id, brand_id=met.brand_id) is None:
                return
            for one in listed:
                await self._tell_of(conn, met, one, left)
            if left.is_held or left.until is not None:
                await _put_off(conn, met, left)
            else:
                await Sql.note_told.run(conn, id=met.id, brand_id=met.brand_id)
            failpoint("meeting.before_commit")
        failpoint("meeting.after_commit")

    async def _list(self, met: Met, channel: int) -> _Listed:
        pull = await self._pulls.freeze(
            met.brand_id, _PULLER, campaign=None, execution_id=met.execution_id, channel_number=channel
        )
        page = await self._pulls.rows(
            met.brand_id, pull.id, after=None, limit=PAGE_ROWS_MAX, attributes=(), asked_by=_PULLER.label
        )
        return _Listed(channel, pull, page.rows)

    async def _tell_of(self, conn: Connection, met: Met, listed: _Listed, left: _Left) -> None:
        """Tells of whom it is time for, as many as the listener has room for, and notes what is left."""
        waiting = await _who_waits(conn, met, listed)
        due = [one for one in waiting if one.is_due]
        hearer = await one_hearer(conn, met.brand_id, Event.TRIGGER_MET, listed.channel) if due else None
        told = due[: hearer.room] if hearer else []
        if hearer and told:
            people = [
                Meant(one.row.customer_id, _body(met, listed.channel, one.row.external_id or "", one)) for one in told
            ]
            await enqueue_for_one(conn, met.brand_id, hearer, Event.TRIGGER_MET, people, execution_id=met.execution_id)
            places = _ranges([one.row.position for one in told])
            await self._pulls.hand_over(met.brand_id, listed.pull.id, places, asked_by=_PULLER.label)
        left.is_held |= len(told) < len(due)
        later = [one.at for one in waiting if not one.is_due]
        left.until = min([*later, *([left.until] if left.until else [])], default=None)

    async def _put_off(self, met: Met) -> None:
        async with self._db.autocommit() as conn:
            await _put_off(conn, met, _Left(is_held=True))


async def _put_off(conn: Connection, met: Met, left: _Left) -> None:
    await Sql.put_off.run(
        conn,
        id=met.id,
        brand_id=met.brand_id,
        until=left.until,
        is_held=left.is_held,
        wait=LOOKED_AGAIN_AFTER,
    )


async def _who_waits(conn: Connection, met: Met, listed: _Listed) -> list[_Waiting]:
    rows = {row.position: row for row in listed.rows if row.external_id is not None}
    found = await Sql.who_waits.tuples(
        conn,
        brand_id=met.brand_id,
        execution_id=met.execution_id,
        channel=listed.channel,
        positions=list(rows),
        parts=[part_of(row.customer_id) for row in rows.values()],
        customer_ids=[row.customer_id for row in rows.values()],
        ats=[row.scheduled_at for row in rows.values()],
    )
    return [_Waiting(rows[position], is_due, at, notes or "") for position, is_due, at, notes in found]


def _body(met: Met, channel: int, customer: str, one: _Waiting) -> bytes:
    return bodies.met(
        customer=customer,
        campaign=met.number,
        channel=channel,
        template=one.row.template,
        promo_codes=met.promo_codes,
        notes=one.notes,
    )


def _ranges(positions: Sequence[int]) -> list[tuple[int, int]]:
    """These positions, which rise, as ranges from one to before another."""
    ranges: list[tuple[int, int]] = []
    for position in positions:
        if ranges and ranges[-1][1] == position:
            ranges[-1] = ranges[-1][0], position + 1
        else:
            ranges.append((position, position + 1))
    return ranges
