"""Clearing a campaign person by person: who it is for is told before it is executed, and only who is cleared by then gets it.

A campaign with `clearance` in its policy is held for so long after its publication. Until then nobody pulls anything of it; then
whoever was not cleared is skipped, and listeners are told that it was processed.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
import structlog

from stentor.channels.partners.model import HubCaller
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.deliver import store as deliver
from stentor.deliver.model import Change, Chunk, Claim, PendingSend
from stentor.domain.ids import customer_id, part_of
from stentor.domain.objections import Skip
from stentor.domain.vocabulary import ChannelKind, Lane, Reason
from stentor.errors import Invalid, TooLarge, Unavailable
from stentor.executions.ending import end_finished
from stentor.failpoints import failpoint
from stentor.guard.store import release_addresses
from stentor.integrations.listeners.telling import tell_published
from stentor.report.tally import Moves

TOLD_MAX = 10_000
"""People whom one call clears, or does not."""
CANCELLED_FOR = timedelta(hours=2)
"""How long after a cancellation it is told whom the campaign was for."""
KEPT_DAYS_MAX = 31
"""How long it is kept who was cleared."""

_RELEASED_AT_ONCE = 10
_CHUNKS_AT_ONCE = 5
_ROWS_AT_ONCE = 5_000
_EXPORT_TIMEOUT = timedelta(minutes=10)

log = structlog.get_logger(__name__)


class Sql(QuerySet, file="queries.sql", package=__package__):
    hold_open: Statement
    close: Statement
    held_run: Statement
    cancelled_run: Statement
    people_of_run: Statement
    chunks_of: Statement
    tell: Statement
    to_release: Statement
    held_chunks: Statement
    channel_numbers: Statement
    uncleared: Statement
    anybody_waits: Statement
    finish_chunks: Statement
    keep_going: Statement
    release: Statement
    over_runs: Statement
    forget: Statement


class HeldRun(msgspec.Struct, frozen=True):
    """A run that has to be cleared. `is_open`: until `required_by`, while it is not cancelled."""

    execution_id: UUID
    number: int
    required_by: datetime
    held_channels: list[int]
    is_open: bool


class _Meant(NamedTuple):
    """People of a run, on these partner channels, those included who were skipped for one of the reasons."""

    brand_id: UUID
    execution_id: UUID
    channels: list[int]
    reasons: tuple[int, ...] = ()


class ClearanceService:
    """What clients ask about runs that they clear, and tell of their people."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def processed(
        self, client: HubCaller, number: int, *, after: str | None = None
    ) -> AsyncGenerator[list[str], None]:
        """Whom the run is for, by external id and in their order from behind `after`, some thousand at a time.

        Nobody where it is not to be cleared.
        """
        async with self._db.read(statement_timeout=_EXPORT_TIMEOUT) as conn:
            run = await _held(conn, client, number)
            if run is None:
                return
            meant = _Meant(client.brand_id, run.execution_id, list(client.channels))
            async with aclosing(_people(conn, meant, after)) as pages:
                async for page in pages:
                    yield page

    async def cancelled(
        self, client: HubCaller, number: int, *, after: str | None = None
    ) -> AsyncGenerator[list[str], None]:
        """Whom the run was for, for two hours after it was cancelled; nobody later, or where it was not."""
        channels = list(client.channels)
        async with self._db.read(statement_timeout=_EXPORT_TIMEOUT) as conn:
            found = await Sql.cancelled_run.column(
                conn, brand_id=client.brand_id, number=number, channels=channels, window=CANCELLED_FOR
            )
            for execution_id in found:
                meant = _Meant(client.brand_id, execution_id, channels, (int(Reason.EXECUTION_CANCELLED),))
                async with aclosing(_people(conn, meant, after)) as pages:
                    async for page in pages:
                        yield page

    async def tell(self, client: HubCaller, number: int, cleared: Mapping[str, bool]) -> int:
        """Notes by external id who is cleared for the run and who is not; what is told last counts. Returns of how many.

        It holds on the client's own channels. Whom the run is not for on one of them is passed over. Raises TooLarge for more than 10,000 people, and Invalid for a run that the client does not
        clear, or whose time for that is over.
        """
        if len(cleared) > TOLD_MAX:
            raise TooLarge(f"{len(cleared):,} customers in one call; at most {TOLD_MAX:,}. Send several calls.")
        people: dict[UUID, bool] = {}
        for external_id, is_cleared in cleared.items():
            try:
                people[customer_id(client.brand_id, external_id)] = is_cleared
            except ValueError as error:
                raise Invalid.field(
                    "/PromosUpdated", "customer", f"{external_id!r} is no CustomerID: {error}"
                ) from None
        async with self._db.transaction() as conn:
            # Before it is asked whether it is in time: what is answered as told was told before the release looks.
            await Sql.hold_open.run(conn, brand_id=client.brand_id, number=number)
            run = await _held(conn, client, number)
            if run is None:
                text = f"This client has no campaign {number} that has to be cleared."
                raise Invalid.field("/CampaignID", "unknown-campaign", text)
            if not run.is_open:
                text = f"Campaign {number} could be cleared until {run.required_by:%Y-%m-%d %H:%M} UTC, and no longer."
                raise Invalid.field("/CampaignID", "too-late", text)
            chunks = await Sql.chunks_of.tuples(
                conn, brand_id=client.brand_id, execution_id=run.execution_id, channels=list(client.channels)
            )
            await go_by_keys(conn)
            told = await Sql.tell.column(
                conn,
                brand_id=client.brand_id,
                execution_id=run.execution_id,
                chunks=[number for number, _ in chunks],
                channel_numbers=[channel for _, channel in chunks],
                parts=[part_of(one) for one in people],
                customer_ids=list(people),
                cleared=list(people.values()),
            )
            failpoint("clearance.before_commit")
        failpoint("clearance.after_commit")
        # Somebody may be meant on several channels.
        return len(set(told))


class Releaser:
    """Lets runs go whose time to be cleared is over."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def release_due(self) -> bool:
        """Skips who was not cleared, and tells listeners; whether a run was released. Killed, it is begun again.

        One that cannot be released keeps no other waiting.
        """
        released = False
        after: tuple[datetime, UUID] | None = None
        while due := await self._due(after):
            for _, brand_id, execution_id in due:
                try:
                    released = await self.release_one(brand_id, execution_id) or released
                except Unavailable:
                    raise
                except Exception:
                    log.exception("clearance.not_released", execution_id=str(execution_id))
            after = due[-1][0], due[-1][2]
        return released

    async def _due(self, after: tuple[datetime, UUID] | None) -> list[tuple[datetime, UUID, UUID]]:
        """Some runs whose time is over, after that one: when it was, the brand and the execution."""
        required_by, execution_id = after or (None, None)
        async with self._db.read() as conn:
            return await Sql.to_release.tuples(
                conn, required_by=required_by, execution_id=execution_id, limit=_RELEASED_AT_ONCE
            )

    async def release_one(self, brand_id: UUID, execution_id: UUID) -> bool:
        """Releases a run whose time is over; False for one that was cancelled, paused or released meanwhile."""
        await self._close(brand_id, execution_id)
        after = -1
        while (last := await self._skip_uncleared(brand_id, execution_id, after)) is not None:
            after = last
        released = await self._release(brand_id, execution_id)
        await end_finished(self._db, [execution_id])
        return released

    async def _close(self, brand_id: UUID, execution_id: UUID) -> None:
        """Returns when all that was told in time is there, and nobody can tell any more."""
        async with self._db.transaction() as conn:
            await Sql.close.run(conn, brand_id=brand_id, execution_id=execution_id)

    async def _skip_uncleared(self, brand_id: UUID, execution_id: UUID, after: int) -> int | None:
        """The number of the last chunk that was looked at, from behind `after` on; None where there was none."""
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            chunks = await Sql.held_chunks.rows(
                conn, Chunk, brand_id=brand_id, execution_id=execution_id, after=after, limit=_CHUNKS_AT_ONCE
            )
            numbers = dict(
                await Sql.channel_numbers.tuples(
                    conn, brand_id=brand_id, execution_id=execution_id, numbers=[chunk.number for chunk in chunks]
                )
            )
            for chunk in chunks:
                await _skip_in(conn, chunk, numbers.get(chunk.number, 0))
            failpoint("clearance_skipped.before_commit")
        failpoint("clearance_skipped.after_commit")
        return chunks[-1].number if chunks else None

    async def _release(self, brand_id: UUID, execution_id: UUID) -> bool:
        """False for one that was cancelled or paused meanwhile: nobody is told of it."""
        async with self._db.transaction() as conn:
            if await Sql.keep_going.value(conn, brand_id=brand_id, execution_id=execution_id) is None:
                return False
            released = await Sql.release.tuples(conn, brand_id=brand_id, execution_id=execution_id)
            for number, channels, at in released:
                await tell_published(conn, brand_id, execution_id, at=at, number=number, channels=channels)
            failpoint("clearance_released.before_commit")
        failpoint("clearance_released.after_commit")
        return bool(released)


async def forget_clearances(db: Database) -> int:
    """Forgets who was cleared for runs of more than a month ago; the keeper's chore. Returns of how many people."""
    forgotten = 0
    async with db.read() as conn:
        over = await Sql.over_runs.tuples(conn, days=KEPT_DAYS_MAX)
    for brand_id, execution_id in over:
        async with db.transaction() as conn:
            forgotten += await Sql.forget.run(conn, brand_id=brand_id, execution_id=execution_id)
    return forgotten


async def _held(conn: Connection, client: HubCaller, number: int) -> HeldRun | None:
    return await Sql.held_run.first(
        conn, HeldRun, brand_id=client.brand_id, number=number, channels=list(client.channels)
    )


async def _people(conn: Connection, meant: _Meant, after: str | None) -> AsyncGenerator[list[str], None]:
    rows = Sql.people_of_run.batches(
        conn,
        _ROWS_AT_ONCE,
        brand_id=meant.brand_id,
        execution_id=meant.execution_id,
        channels=meant.channels,
        reasons=list(meant.reasons),
        after=after,
    )
    async with aclosing(rows):
        async for page in rows:
            yield [external_id for (external_id,) in page]


async def _skip_in(conn: Connection, chunk: Chunk, channel_number: int) -> None:
    """Skips who was not cleared in a chunk that goes out by that partner channel."""
    place = {
        "brand_id": chunk.brand_id,
        "execution_id": chunk.execution_id,
        "number": chunk.number,
        "channel": chunk.channel,
        "part_from": part_of(chunk.key_from),
        "key_from": chunk.key_from,
        "part_to": part_of(chunk.key_to),
        "key_to": chunk.key_to,
    }
    sends = [
        PendingSend(0, chunk.execution_id, chunk.number, customer, variant, tries, doubts)
        for customer, variant, tries, doubts in await Sql.uncleared.tuples(conn, **place, channel_number=channel_number)
    ]
    if sends:
        channel = ChannelKind(chunk.channel)
        changes = [Change.objected(send, Skip(Reason.NOT_CLEARED)) for send in sends]
        claim = Claim(chunk.brand_id, chunk.sender_id, channel, Lane(chunk.lane), [chunk])
        await deliver.settle_each(conn, claim, changes)
        await release_addresses(
            conn, chunk.brand_id, channel, [(chunk.execution_id, send.customer_id) for send in sends]
        )
        moves = Moves(chunk.brand_id)
        for change in changes:
            moves.settled(chunk.execution_id, channel, change.state, change.reason)
        await moves.write(conn)
    if not await Sql.anybody_waits.value(conn, **place):
        await Sql.finish_chunks.run(
            conn, brand_id=chunk.brand_id, execution_id=chunk.execution_id, numbers=[chunk.number]
        )
