"""Event 11: listeners are told of each person who met a trigger, and that is how the person is handed over.

The whole guard is asked first, as for any list; whose quiet hours it is, is told of when these are over. Where nobody listens, the
run waits to be pulled as any other.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of
from stentor.errors import Conflict, NotFound
from stentor.failpoints import failpoint
from stentor.integrations.listeners import bodies
from stentor.integrations.listeners.enqueueing import enqueue
from stentor.integrations.listeners.model import Event
from stentor.integrations.pulls.model import PAGE_ROWS_MAX, Puller, PullRow
from stentor.integrations.pulls.service import Lease, PullService

_AT_ONCE = 20
_LEASE_S = 60
_PULLER = Puller(UUID(int=11), "notices of event 11")


class Sql(QuerySet, file="meeting.sql", package=__package__):
    untold: Statement
    lock_untold: Statement
    note_told: Statement
    notes: Statement


class Met(msgspec.Struct, frozen=True):
    """A run that events started, of which nobody was told yet."""

    id: UUID
    brand_id: UUID
    execution_id: UUID
    number: int
    channels: list[int]
    promo_codes: list[str]


class _Taken(msgspec.Struct, frozen=True):
    """People of a run on one of its channels whom nobody else tells of meanwhile."""

    channel: int
    pull_id: UUID
    lease: Lease


class MeetingTeller:
    """Makes notices of people who met triggers."""

    def __init__(self, db: Database, pulls: PullService) -> None:
        self._db = db
        self._pulls = pulls

    async def tell(self) -> bool:
        """Tells of up to 20 runs; whether there was one that could be told of."""
        async with self._db.read() as conn:
            untold = await Sql.untold.rows(conn, Met, limit=_AT_ONCE)
        return any([await self._tell(met) for met in untold])

    async def _tell(self, met: Met) -> bool:
        taken: list[_Taken] = []
        for channel in met.channels:
            try:
                pull = await self._pulls.freeze(
                    met.brand_id, _PULLER, campaign=None, execution_id=met.execution_id, channel_number=channel
                )
            except (Conflict, NotFound):
                # Cancelled, or over: there is nobody to be told of.
                continue
            if not pull.rows:
                continue
            lease = await self._pulls.lease(
                met.brand_id, pull.id, rows=PAGE_ROWS_MAX, lease_s=_LEASE_S, attributes=(), asked_by=_PULLER.label
            )
            if lease is None:
                return False
            taken.append(_Taken(channel, pull.id, lease))
        # Told and handed over in one: of whoever is killed in between nothing is true, and the lease ends.
        async with self._db.as_one() as conn:
            if await Sql.lock_untold.value(conn, id=met.id, brand_id=met.brand_id) is None:
                return False
            for one in taken:
                if await self._enqueue(conn, met, one.channel, one.lease.rows):
                    await self._pulls.acknowledge(met.brand_id, one.pull_id, one.lease.page.id)
                else:
                    await self._pulls.release(met.brand_id, one.pull_id, one.lease.page.id)
            await Sql.note_told.run(conn, id=met.id, brand_id=met.brand_id)
            failpoint("meeting.before_commit")
        failpoint("meeting.after_commit")
        return True

    async def _enqueue(self, conn: Connection, met: Met, channel: int, rows: Sequence[PullRow]) -> int:
        customers = [row.customer_id for row in rows]
        notes = dict(
            await Sql.notes.tuples(
                conn,
                brand_id=met.brand_id,
                execution_id=met.execution_id,
                parts=[part_of(customer) for customer in customers],
                customer_ids=customers,
            )
        )
        made = 0
        for row in rows:
            if row.external_id is None:
                continue
            body = bodies.met(
                customer=row.external_id,
                campaign=met.number,
                channel=channel,
                template=row.template,
                promo_codes=met.promo_codes,
                notes=notes.get(row.customer_id) or "",
            )
            made += await enqueue(
                conn,
                met.brand_id,
                Event.TRIGGER_MET,
                body,
                channels=[channel],
                execution_id=met.execution_id,
                customer_id=row.customer_id,
                due_at=row.scheduled_at,
            )
        return made
