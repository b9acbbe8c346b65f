"""The flow from a claimed chunk to settled sends: guard as late as can be, hand over, write down what happened.

Read `Deliverer.deliver` first: it is the table of contents.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

import structlog

from stentor.accounts.directory import BrandDirectory
from stentor.channels.at_work import OpenChannels, SenderSource
from stentor.channels.contract import Channel, InDoubt, Message, Noting, NotSent, Outcome, Recorder, Wave
from stentor.channels.model import Sender
from stentor.clock import Clock, boottime_s
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.deliver import store as deliver
from stentor.deliver.answer_times import AnswerTimes
from stentor.deliver.journal import NOTHING_NOTED, Journal, WaveNotes
from stentor.deliver.journals import Journals
from stentor.deliver.model import NOBODY_BUSY, WAVE_SENDS_MAX, Busy, Change, ChunkStanding, Claim
from stentor.deliver.pacing import Pace
from stentor.domain.policy import BrandPolicy
from stentor.domain.vocabulary import Lane, Reason
from stentor.errors import Unavailable
from stentor.executions.capping import capping_of
from stentor.executions.composing import TURN_PEOPLE, Composer
from stentor.executions.ending import end_finished
from stentor.executions.facts import FactsSource, resends_in_doubt
from stentor.executions.hourly import hour_room
from stentor.executions.named import own_contexts, shown_fields
from stentor.executions.quieting import QuietSource, wake_held
from stentor.executions.recovery import recover
from stentor.executions.revoked import revoked_among
from stentor.executions.waves import GuardedWave, cut_attempts, guard_sends, load_sends
from stentor.executions.writing_down import Answered, close_unstarted, write_down_surely
from stentor.failpoints import failpoint
from stentor.guard.meter import GuardMeter
from stentor.optouts.look_up import LookUp
from stentor.queue.floors import Floors
from stentor.report.tally import Moves

log = structlog.get_logger(__name__)

GUARD_AGE_S_MAX = 2.0
"""A send whose guard is older than this when its first byte is due is guarded again."""

UNPARK_EVERY_S = 0.5
"""How long a busy worker leaves chunks unlooked at whose pause is over; an idle one looks at once."""

_UNFINISHED_REST_S = 1.0
# What kills a worker does so while it is guarded, rendered or written, not while its provider thinks about it.
_EYED_S = 10.0


class Deliverer:
    """Delivers chunks, claim by claim. Any number of deliverers work side by side, in one process or many."""

    def __init__(
        self,
        db: Database,
        *,
        brands: BrandDirectory,
        senders: SenderSource,
        channels: OpenChannels,
        facts: FactsSource,
        composer: Composer,
        quiet: QuietSource,
        look_up: LookUp,
        clock: Clock,
        worker: str,
        journals: Journals | None = None,
        journal: Journal | None = None,
    ) -> None:
        """`journals`: where to look for what lost workers noted; `journal`: this worker's own. Without, waves are lost whole."""
        self._db = db
        self._brands = brands
        self._senders = senders
        self._channels = channels
        self._facts = facts
        self._composer = composer
        self._quiet = quiet
        self._look_up = look_up
        self._clock = clock
        self.guard_meter = GuardMeter()
        self._worker = worker
        self._journals = journals
        self._journal = journal
        self._pace = Pace()
        self._at_hand: list[Claim] = []
        self._floors = Floors()
        self._unpark_due_s = 0.0
        self._eyed_until_s = 0.0
        self._jitter = random.Random()

    async def claim(self, last_lane: Lane = Lane.BULK, busy: Busy = NOBODY_BUSY) -> Claim | None:
        """What is due first in the lanes up to the last, leased to this worker for 20 s at a time; None when nothing is due.

        Nothing of a sender who is busy. Of what workers were lost with, one chunk at a time, so that another one is not suspected
        again for it; what has been outlived for ten seconds waits for its provider, and others need not wait for that.
        """
        async with self._db.read() as conn:
            await deliver.raise_floors(conn, self._floors)
            if not await deliver.anything_due(conn, self._floors, last_lane, busy):
                return None
        async with self._db.transaction() as conn:
            claim = await self._claim(conn, last_lane, busy)
            failpoint("claim.before_commit")
        failpoint("claim.after_commit")
        if claim is not None:
            self._at_hand.append(claim)
        return claim

    async def _claim(self, conn: Connection, last_lane: Lane, busy: Busy) -> Claim | None:
        if boottime_s() >= self._unpark_due_s:
            self._unpark_due_s = boottime_s() + UNPARK_EVERY_S
            await deliver.unpark(conn)
        with_suspects = boottime_s() >= self._eyed_until_s or not self._has_suspects
        take = partial(
            deliver.claim_due, conn, self._worker, self._floors, last_lane, busy, with_suspects=with_suspects
        )
        claim = await take()
        if claim is None and await deliver.unpark(conn):
            claim = await take()
        if claim is not None and claim.has_suspects:
            self._eyed_until_s = boottime_s() + _EYED_S
        return claim

    @property
    def _has_suspects(self) -> bool:
        return any(claim.has_suspects for claim in self._at_hand)

    async def keep_leases(self) -> None:
        """Extends the leases of all claims at hand; called every 5 s."""
        chunks = [chunk for claim in self._at_hand for chunk in claim.chunks]
        async with self._db.transaction() as conn:
            await deliver.extend_leases(conn, chunks)

    async def deliver(self, claim: Claim, *, stop: asyncio.Event) -> None:
        """Takes one of its own claims as far as it goes; after `stop` the wave at hand is the last."""
        try:
            sender = await self._senders.load(claim.brand_id, claim.sender_id)
            async with self._channels.open_channel(sender) as channel:
                await self._recover(claim, sender, channel)
                while claim.chunks and not stop.is_set():
                    guarded = await self._open_surely(claim, sender, channel)
                    if guarded is not None:
                        await self._deliver_wave(claim, sender, channel, guarded)
        finally:
            self._at_hand.remove(claim)
            await self._release(claim)
        if claim.finished:
            await end_finished(self._db, claim.finished)

    async def _deliver_wave(self, claim: Claim, sender: Sender, channel: Channel, guarded: GuardedWave) -> None:
        try:
            composed = await self._composer.compose_in_turns(
                claim.channel,
                guarded.facts,
                guarded.cleared,
                self._clock.now(),
                contexts=guarded.contexts,
                shown=guarded.shown,
                # Only bulk gives way.
                turn_people=TURN_PEOPLE if claim.lane is Lane.BULK else WAVE_SENDS_MAX,
            )
            guarded.notes.list(composed.sends, composed.messages)
            outcomes = await self._hand_over(channel, guarded.wave, composed.messages)
            if guarded.times:
                guarded.times.end()
            answered = Answered(sender, channel, guarded, composed, outcomes)
            await write_down_surely(self._db, claim, answered, self._jitter)
        finally:
            guarded.notes.leave()

    async def _recover(self, claim: Claim, sender: Sender, channel: Channel) -> None:
        if not any(chunk.has_open_waves for chunk in claim.chunks):
            return
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            # What was never stored was certainly not accepted: a lost wave of the sandbox is simply sent again.
            facts = await self._facts.load(conn, claim.brand_id, claim.execution_ids)
            resend = isinstance(channel, Recorder) or resends_in_doubt(sender, facts)
            await recover(
                conn,
                claim,
                resend=resend,
                perhaps_accepted=not isinstance(channel, Recorder),
                journals=self._journals,
                jitter=self._jitter,
            )
            failpoint("recover.before_commit")
        failpoint("recover.after_commit")

    async def _open_surely(self, claim: Claim, sender: Sender, channel: Channel) -> GuardedWave | None:
        """As `_open`. A wave whose commit was not heard of is closed before the outage is raised: nothing of it has left."""
        chunks = list(claim.chunks)
        notes = self._journal.take() if self._journal and isinstance(channel, Noting) else NOTHING_NOTED

        async def begin() -> GuardedWave | None:
            # What a transaction let go of that came to nothing is ours still.
            claim.chunks[:] = chunks
            return await self._open(claim, sender, notes)

        try:
            guarded = await self._look_up.surely(begin)
        except Unavailable:
            try:
                await close_unstarted(self._db, claim, chunks)
                notes.close()
            finally:
                notes.leave()
            raise
        except BaseException:
            notes.leave()
            raise
        if guarded is None:
            notes.close()
        return guarded

    async def _open(self, claim: Claim, sender: Sender, notes: WaveNotes) -> GuardedWave | None:
        """The next wave, guarded and committed; None when there is nobody to send to right now."""
        guarded_at_s = boottime_s()
        quiet = await self._quiet.load(claim.brand_id)
        policy = await self._policy(claim.brand_id)
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            standing = await self._drop_unfit(conn, claim)
            over = {execution_id: reason for (execution_id, _), state in standing.items() if (reason := state.over)}
            facts = await self._facts.load(conn, claim.brand_id, claim.execution_ids)
            room = await hour_room(conn, claim, facts, over, policy)
            limit = await self._allowed(conn, claim, sender, over, room.sends)
            if not claim.chunks:
                return None
            moves = Moves(claim.brand_id)
            await wake_held(conn, claim, moves)
            loaded = await load_sends(conn, claim, facts, limit)
            last = len(loaded) < limit
            capping = capping_of(claim.channel, facts, policy)
            began_s = boottime_s()
            verdicts = await guard_sends(
                conn,
                claim,
                loaded,
                look_up=self._look_up,
                facts=facts,
                over=over,
                quiet=quiet,
                capping=capping,
                revoked=await revoked_among(conn, claim.brand_id, standing, loaded),
            )
            self.guard_meter.guarded(len(loaded), boottime_s() - began_s)
            await room.spend(conn, claim.brand_id, verdicts.cleared)
            await self._settle_objected(conn, claim, verdicts.objected, moves)
            contexts = await own_contexts(conn, claim.brand_id, facts, verdicts.cleared)
            shown = await shown_fields(conn, claim.brand_id, facts, verdicts.cleared)
            attempts = cut_attempts(claim.chunks, loaded, verdicts.cleared)
            if attempts:
                notes.open(claim, attempts)
                await deliver.open_attempts(conn, claim, attempts, self._worker)
            elif last:
                await deliver.finish(conn, claim)
            failpoint("wave.before_commit")
        failpoint("wave.after_commit")
        if not attempts:
            return None
        left_s = [state.left_s for state in standing.values() if state.left_s is not None and not state.over]
        expires_at_s = guarded_at_s + min([GUARD_AGE_S_MAX, *left_s])
        times = AnswerTimes(notes.channel_notes) if capping else None
        wave = Wave(
            brand_id=claim.brand_id,
            sender_id=claim.sender_id,
            kind=claim.channel,
            lane=claim.lane,
            may_start=lambda: boottime_s() < expires_at_s and not notes.revoked,
            notes=times or notes.channel_notes,
        )
        reserved = capping.executions.keys() if capping else ()
        return GuardedWave(wave, attempts, verdicts.cleared, reserved, times, facts, last, contexts, shown, notes)

    async def _policy(self, brand_id: UUID) -> BrandPolicy:
        """The brand's policy as it was less than a second ago; asked outside of any transaction, which would hold two connections."""
        brand = await self._brands.by_id(brand_id)
        return brand.settings.policy if brand else BrandPolicy()

    async def _allowed(
        self, conn: Connection, claim: Claim, sender: Sender, over: Mapping[UUID, Reason], room: int
    ) -> int:
        """How many sends the next wave may have, at most `room`; a sender whose pace allows none now lets go of the claim.

        To skip the people of executions that are over takes none of its pace.
        """
        if over.keys() >= set(claim.execution_ids):
            return WAVE_SENDS_MAX
        limit = min(
            [room, self._pace.limit(claim.sender_id, sender.pace_per_s), *(chunk.wave_max for chunk in claim.chunks)]
        )
        if sender.pace_per_s is None or not claim.chunks:
            return limit
        limit = await deliver.take_tokens(conn, claim, sender.pace_per_s, limit)
        if limit == 0:
            await deliver.release(conn, claim, claim.chunks, delay_s=1 / sender.pace_per_s)
        return limit

    async def _settle_objected(self, conn: Connection, claim: Claim, objected: Sequence[Change], moves: Moves) -> None:
        await deliver.settle_each(conn, claim, objected)
        for change in objected:
            moves.settled(change.send.execution_id, claim.channel, change.state, change.reason)
        await moves.write(conn)

    async def _drop_unfit(self, conn: Connection, claim: Claim) -> dict[tuple[UUID, int], ChunkStanding]:
        """Lets go of chunks that are not ours any more or must wait; returns how the claim's chunks stand."""
        standing = await deliver.standing(conn, claim)
        waiting = []
        for chunk in list(claim.chunks):
            state = standing.get((chunk.execution_id, chunk.number))
            if state is None:
                log.warning("chunk.fenced", execution_id=str(chunk.execution_id), chunk=chunk.number)
                claim.chunks.remove(chunk)
            elif (state.paused or state.sender_paused) and not state.over:
                waiting.append(chunk)
        await deliver.release(conn, claim, waiting, delay_s=0.0)
        return standing

    async def _hand_over(self, channel: Channel, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        """The channel's answers to the messages, in their order."""
        started_at_s = boottime_s()
        try:
            failpoint("hand_over.before")
            outcomes = await channel.hand_over(wave, messages)
            failpoint("hand_over.after")
        except Exception:
            # A bug in a channel must not lose the wave: whether anything was accepted is not known, so it is in doubt.
            log.exception("channel.failed", sender_id=str(wave.sender_id))
            return [InDoubt("The sender failed; whether the message was accepted is not known.")] * len(messages)
        is_late = any(isinstance(outcome, NotSent) for outcome in outcomes)
        self._pace.observe(wave.sender_id, len(messages), boottime_s() - started_at_s, is_late=is_late)
        return outcomes

    async def _release(self, claim: Claim) -> None:
        """Lets go of what an error or a stop left unfinished, so that nobody has to wait for the lease."""
        if claim.chunks:
            async with self._db.transaction() as conn:
                await deliver.release(conn, claim, claim.chunks, delay_s=_UNFINISHED_REST_S)
                failpoint("release.before_commit")
            failpoint("release.after_commit")
