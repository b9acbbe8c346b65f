"""May the people of a list be written to: asked of most by one statement, and of the others as every wave asks.

Quiet hours hold nobody back from a list: they become the time from when on somebody may be written to.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from stentor.accounts.directory import BrandDirectory
from stentor.audience.reach import Recipient, has_digests
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.deliver import store as deliver
from stentor.deliver.hour_buckets import HourLimit
from stentor.deliver.model import WAVE_SENDS_MAX, Change, Chunk, PendingSend
from stentor.domain.objections import Hold, Skip
from stentor.domain.policy import BrandPolicy
from stentor.domain.vocabulary import Reason, SendState
from stentor.executions.capping import Capping, capping_of
from stentor.executions.hourly import brand_limit, hour_limits
from stentor.executions.quieting import QuietSource
from stentor.executions.waves import guard_sends
from stentor.failpoints import failpoint
from stentor.guard import store as guard_store
from stentor.guard.quiet_hours import QuietHours
from stentor.guard.wave import wave_objection
from stentor.integrations.pulls import people_store, store
from stentor.integrations.pulls.model import PulledRun
from stentor.integrations.pulls.people_store import Batch
from stentor.integrations.pulls.revoking import Revoked, let_go, revoke
from stentor.optouts.look_up import LookUp
from stentor.report.tally import Moves

if TYPE_CHECKING:
    from stentor.domain.objections import Objection


class GuardedBy(msgspec.Struct, frozen=True):
    """What a list's people are asked, as it was when its freezing began.

    `asks_lists`: whether any opt-out list holds anybody at all; `capping` and `hour_limits`: what they fall under.
    """

    capping: Capping | None
    quiet: QuietHours | None
    asks_lists: bool
    hour_limits: Sequence[HourLimit]
    now: datetime


class Cleared(msgspec.Struct, frozen=True):
    """Who of a batch is not on the list, and from when on people of these places may be written to, where that is not at once."""

    left_out: frozenset[UUID]
    open_from: Mapping[str, datetime]


class ListGuard:
    """Guards the people of lists, batch by batch."""

    def __init__(self, db: Database, *, brands: BrandDirectory, quiet: QuietSource, look_up: LookUp) -> None:
        self._db = db
        self._brands = brands
        self._quiet = quiet
        self._look_up = look_up

    async def begin(self, conn: Connection, run: PulledRun) -> GuardedBy:
        """What the run's people are to be asked."""
        brand = await self._brands.by_id(run.brand_id)
        policy = brand.settings.policy if brand else BrandPolicy()
        quiet = await self._quiet.load(run.brand_id)
        stores = await self._look_up.stores(conn, run.brand_id, channel=run.channel) if has_digests(run.channel) else []
        return GuardedBy(
            capping_of(run.channel, {run.execution_id: run.facts}, policy),
            quiet.on(run.facts.publication.content, run.channel),
            any(each.has_recents or each.run_ids for each in stores),
            hour_limits(run.facts, brand_limit(run.brand_id, run.channel, policy)),
            await guard_store.present(conn),
        )

    async def clear(
        self,
        run: PulledRun,
        by: GuardedBy,
        chunks: Mapping[int, Chunk],
        batch: Batch,
        *,
        before_wave: Callable[[], Awaitable[None]],
    ) -> Cleared:
        """Who of the batch is left out: whoever waits is skipped then, and whoever was handed over is revoked.

        `before_wave` is called before each wave of those of whom more is asked, in no transaction of this.
        """
        listed = await self._listed(run, batch) if by.asks_lists else frozenset()
        skipped: dict[UUID, Skip] = {}
        open_from: dict[str, datetime] = {}
        if by.quiet is not None:
            skipped = _quiet(by.quiet, by.now, batch, open_from)
        special = _special(batch, listed, skipped, asks_all=by.capping is not None)
        left_out = set(special)
        for start in range(0, len(special), WAVE_SENDS_MAX):
            wave = special[start : start + WAVE_SENDS_MAX]
            await before_wave()
            left_out -= await self._look_up.surely(lambda wave=wave: self._clear_wave(run, by, chunks, wave, skipped))
        return Cleared(frozenset(left_out), open_from)

    async def _listed(self, run: PulledRun, batch: Batch) -> frozenset[UUID]:
        """Those whose address is on a list that the campaign goes by."""
        people = zip(batch.customers, batch.addresses, batch.digests, strict=True)
        asked = [(customer, address, digest) for customer, address, digest in people if address and digest is not None]

        async def ask() -> frozenset[UUID]:
            async with self._db.read() as conn:
                addresses = [(address, digest) for _, address, digest in asked]
                listings = await self._look_up.wave(conn, run.brand_id, run.channel, addresses)
            if listings.hold_nobody:
                return frozenset()
            campaign_id, topic_id = run.facts.publication.content.campaign_id, run.facts.topic_id
            return frozenset(
                customer
                for customer, address, digest in asked
                if listings.objecting(address, digest, campaign_id=campaign_id, topic_id=topic_id)
            )

        return await self._look_up.surely(ask) if asked else frozenset()

    async def _clear_wave(
        self,
        run: PulledRun,
        by: GuardedBy,
        chunks: Mapping[int, Chunk],
        customers: Sequence[UUID],
        skipped: Mapping[UUID, Skip],
    ) -> set[UUID]:
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            found = await people_store.named(conn, run, customers)
            held = await store.hold_pulled(conn, run, sorted({send.number for send, _, _ in found}))
            if held:
                # What was settled while these locks were waited for is not pending any more.
                found = await people_store.named(conn, run, customers)
            cleared = await self._guard(
                conn,
                run,
                by,
                chunks=[chunks[number] for number in held if number in chunks],
                found=found,
                skipped=skipped,
            )
            cleared |= await self._check_again(conn, run, found, held)
            failpoint("pull_wave.before_commit")
        failpoint("pull_wave.after_commit")
        return cleared

    async def _guard(
        self,
        conn: Connection,
        run: PulledRun,
        by: GuardedBy,
        *,
        chunks: list[Chunk],
        found: Sequence[tuple[PendingSend, SendState, Recipient | None]],
        skipped: Mapping[UUID, Skip],
    ) -> set[UUID]:
        """Of those who wait in these chunks, who may be written to; the others are skipped."""
        places = {chunk.number: place for place, chunk in enumerate(chunks)}
        pending = [
            (msgspec.structs.replace(send, chunk=places[send.number], execution_id=run.execution_id), person)
            for send, state, person in found
            if state is SendState.PENDING and send.number in places
        ]
        if not pending:
            return set()
        claim = run.claim(chunks)
        objected = [
            Change.objected(send, skipped[send.customer_id]) for send, _ in pending if send.customer_id in skipped
        ]
        verdicts = await guard_sends(
            conn,
            claim,
            [(send, person) for send, person in pending if send.customer_id not in skipped],
            look_up=self._look_up,
            facts={run.execution_id: run.facts},
            over={},
            quiet=None,
            capping=by.capping,
        )
        if by.capping is not None:
            await store.note_reserved(conn, run)
        objected += verdicts.objected
        await deliver.settle_each(conn, claim, objected)
        # What a list before this one reserved for them, also one that was frozen when there was a cap.
        await let_go(conn, run, [change.send.customer_id for change in objected])
        moves = Moves(run.brand_id)
        for change in objected:
            moves.settled(run.execution_id, run.channel, change.state, change.reason)
        await moves.write(conn)
        return {send.customer_id for send, _ in verdicts.cleared}

    async def _check_again(
        self,
        conn: Connection,
        run: PulledRun,
        found: Sequence[tuple[PendingSend, SendState, Recipient | None]],
        held: Sequence[int],
    ) -> set[UUID]:
        """Of those who were handed over, who may still be written to; the others are revoked."""
        people = [(send.customer_id, person) for send, state, person in found if state is SendState.HANDED_OVER]
        objections = await objections_to(conn, run, people, self._look_up)
        await revoke(conn, run, [Revoked(customer, reason) for customer, reason in objections.items()], held=held)
        return {customer for customer, _ in people} - objections.keys()


async def objections_to(
    conn: Connection, run: PulledRun, people: Sequence[tuple[UUID, Recipient | None]], look_up: LookUp | None
) -> dict[UUID, Reason]:
    """Who of these people must not be written to by this run, as they and the opt-out lists are now, and why.

    No cap, quiet hour or shared address is asked about: these are no words of theirs. Without a look-up no list is asked either.
    Raises as `LookUp.found`.
    """
    facts = run.facts
    found: dict[UUID, Reason] = {}
    asked: list[tuple[UUID, str, bytes]] = []
    for customer, person in people:
        if person is None:
            found[customer] = Reason.NO_ADDRESS
        elif reason := wave_objection(person, run.channel, facts.basis, heeds_topic=facts.heeds_topic):
            found[customer] = reason
        elif (digest := person.digest_on(run.channel)) is not None:
            asked.append((customer, person.address_on(run.channel), digest))
    if look_up is None:
        return found
    listings = await look_up.wave(conn, run.brand_id, run.channel, [(address, digest) for _, address, digest in asked])
    if not listings.hold_nobody:
        campaign_id = facts.publication.content.campaign_id
        for customer, address, digest in asked:
            if listings.objecting(address, digest, campaign_id=campaign_id, topic_id=facts.topic_id):
                found[customer] = Reason.SUPPRESSED
    return found


def _special(batch: Batch, listed: Collection[UUID], skipped: Collection[UUID], *, asks_all: bool) -> list[UUID]:
    """Of whom more has to be asked. A million people come by here, so nothing is looked at of batches that are plain."""
    if not (asks_all or listed or skipped) and all(batch.are_plain):
        return []
    return [
        customer
        for customer, is_plain, state in zip(batch.customers, batch.are_plain, batch.states, strict=True)
        if not is_plain or customer in listed or (state == SendState.PENDING and (asks_all or customer in skipped))
    ]


def _quiet(hours: QuietHours, now: datetime, batch: Batch, open_from: dict[str, datetime]) -> dict[UUID, Skip]:
    """Fills in from when on each place is open, and says who is left out because its quiet hours say so."""
    objections: dict[str, Objection | None] = {}
    skipped: dict[UUID, Skip] = {}
    for customer, where in zip(batch.customers, batch.places, strict=True):
        place = where or ""
        if place not in objections:
            objections[place] = hours.objection(place, now)
        match objections[place]:
            case Hold(until=until):
                open_from[place] = until
            case Skip() as skip:
                skipped[customer] = skip
            case None:
                pass
    return skipped
