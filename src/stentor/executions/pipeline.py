"""The flow from a claimed chunk to settled sends: guard as late as can be, hand over, write down what happened.

Read `Deliverer.deliver` first: it is the table of contents.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec
import structlog

from stentor.audience import reach
from stentor.channels.at_work import OpenChannels, SenderSource
from stentor.channels.contract import Accepted, Channel, InDoubt, Message, Outcome, Recorder, Wave
from stentor.channels.model import Sender
from stentor.clock import Clock, boottime_s
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.deliver import store as deliver
from stentor.deliver.model import Answer, Batch, Change, PendingSend
from stentor.deliver.pacing import Pace
from stentor.deliver.settling import Settlement, settle
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.errors import Unavailable
from stentor.executions import store
from stentor.executions.composing import Composed, Composer
from stentor.executions.facts import FactsSource, resends_in_doubt
from stentor.executions.recovery import recover
from stentor.executions.waves import GuardedWave, cut_waves, guard_sends, load_sends
from stentor.guard.store import release_addresses
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from stentor.render.errors import RenderError
from stentor.report.tally import Moves

log = structlog.get_logger(__name__)

GUARD_AGE_S_MAX = 2.0
"""A send whose guard is older than this when its first byte is due is guarded again."""

SENDER_REST_S = 15.0
"""How long a sender that could not be used at all is left alone."""

SETTLE_PATIENCE_S = 60.0
"""How long a worker waits for a database that is away before what it sent becomes in doubt."""

_SETTLE_RETRY_S = 0.5
_UNFINISHED_REST_S = 1.0


class _Answered(msgspec.Struct, frozen=True):
    """A wave's messages and what the channel answered to those that could be rendered."""

    channel: Channel
    composed: Sequence[Composed]
    outcomes: Sequence[Outcome]

    @property
    def sends(self) -> list[PendingSend]:
        return [one.send for one in self.composed if not isinstance(one.message, RenderError)]

    @property
    def accepted(self) -> list[Message]:
        messages = [one.message for one in self.composed if not isinstance(one.message, RenderError)]
        return [
            message for message, outcome in zip(messages, self.outcomes, strict=True) if isinstance(outcome, Accepted)
        ]


class Deliverer:
    """Delivers chunks, batch by batch. Any number of deliverers work side by side, in one process or many."""

    def __init__(
        self,
        db: Database,
        *,
        senders: SenderSource,
        channels: OpenChannels,
        facts: FactsSource,
        composer: Composer,
        clock: Clock,
        worker: str,
    ) -> None:
        self._db = db
        self._senders = senders
        self._channels = channels
        self._facts = facts
        self._composer = composer
        self._clock = clock
        self._worker = worker
        self._pace = Pace()
        self._at_hand: list[Batch] = []
        self._jitter = random.Random()

    async def claim(self) -> Batch | None:
        """What is due first, leased to this worker for 20 s at a time; None when nothing is due."""
        async with self._db.transaction() as conn:
            return await deliver.claim(conn, self._worker)

    async def keep_leases(self) -> None:
        """Extends the leases of all batches at hand; called every 5 s."""
        chunks = [chunk for batch in self._at_hand for chunk in batch.chunks]
        async with self._db.transaction() as conn:
            await deliver.extend_leases(conn, chunks)

    async def deliver(self, batch: Batch, *, stop: asyncio.Event) -> None:
        """Takes a claimed batch as far as it goes; after `stop` the wave at hand is the last."""
        self._at_hand.append(batch)
        try:
            sender = await self._senders.load(batch.brand_id, batch.sender_id)
            async with self._channels.open_channel(sender) as channel:
                await self._recover(batch, sender, channel)
                while batch.chunks and not stop.is_set():
                    wave = await self._open(batch, sender)
                    if wave is not None:
                        composed = self._composer.compose(batch.channel, wave.facts, wave.cleared, self._clock.now())
                        outcomes = await self._hand_over(channel, wave, composed)
                        await self._settle_surely(batch, sender, wave, _Answered(channel, composed, outcomes))
        finally:
            self._at_hand.remove(batch)
            await self._release(batch)
        await self._end_finished(batch)

    async def _recover(self, batch: Batch, sender: Sender, channel: Channel) -> None:
        if not any(chunk.has_open_waves for chunk in batch.chunks):
            return
        async with self._db.transaction() as conn:
            # What was never stored was certainly not accepted: a lost wave of the sandbox is simply sent again.
            facts = await self._facts.load(conn, batch.brand_id, batch.execution_ids)
            resend = isinstance(channel, Recorder) or resends_in_doubt(sender, facts)
            await recover(conn, batch, resend=resend)

    async def _open(self, batch: Batch, sender: Sender) -> GuardedWave | None:
        """The next wave, guarded and committed; None when there is nobody to send to right now."""
        guarded_at_s = boottime_s()
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            cancelled = await self._drop_unfit(conn, batch)
            limit = await self._allowed(conn, batch, sender)
            if not batch.chunks:
                return None
            facts = await self._facts.load(conn, batch.brand_id, batch.execution_ids)
            loaded = await load_sends(conn, batch, facts, limit)
            last = len(loaded) < limit
            verdicts = await guard_sends(conn, batch, loaded, facts, cancelled)
            await self._skip(conn, batch, verdicts.skipped)
            waves = cut_waves(batch.chunks, loaded, verdicts.cleared)
            if waves:
                await deliver.open_waves(conn, batch, waves, self._worker)
            elif last:
                await deliver.finish(conn, batch)
        if not waves:
            return None
        expires_at_s = guarded_at_s + GUARD_AGE_S_MAX
        return GuardedWave(
            Wave(
                brand_id=batch.brand_id,
                sender_id=batch.sender_id,
                kind=batch.channel,
                may_start=lambda: boottime_s() < expires_at_s,
            ),
            waves,
            verdicts.cleared,
            facts,
            last,
        )

    async def _allowed(self, conn: Connection, batch: Batch, sender: Sender) -> int:
        """How many sends the next wave may have; a sender whose pace allows none now lets go of the batch."""
        limit = self._pace.limit(batch.sender_id, sender.pace_per_s)
        if sender.pace_per_s is None or not batch.chunks:
            return limit
        limit = await deliver.take_tokens(conn, batch, sender.pace_per_s, limit)
        if limit == 0:
            await deliver.release(conn, batch, batch.chunks, delay_s=1 / sender.pace_per_s)
        return limit

    async def _skip(self, conn: Connection, batch: Batch, skipped: Sequence[Change]) -> None:
        await deliver.settle_each(conn, batch, skipped)
        moves = Moves(batch.brand_id)
        for change in skipped:
            moves.settled(change.send.execution_id, batch.channel, change.state, change.reason)
        await moves.write(conn)

    async def _drop_unfit(self, conn: Connection, batch: Batch) -> set[UUID]:
        """Lets go of chunks that are not ours any more or must wait; returns the executions that were cancelled."""
        standing = await deliver.standing(conn, batch)
        waiting = []
        for chunk in list(batch.chunks):
            state = standing.get((chunk.execution_id, chunk.number))
            if state is None:
                log.warning("chunk.fenced", execution_id=str(chunk.execution_id), chunk=chunk.number)
                batch.chunks.remove(chunk)
            elif state.paused or state.sender_paused:
                waiting.append(chunk)
        await deliver.release(conn, batch, waiting, delay_s=0.0)
        return {key[0] for key, state in standing.items() if state.state in {"cancelled", "failed"}}

    async def _hand_over(self, channel: Channel, wave: GuardedWave, composed: Sequence[Composed]) -> list[Outcome]:
        """The channel's answers to those that have a message, in their order."""
        messages = [one.message for one in composed if not isinstance(one.message, RenderError)]
        started_at_s = boottime_s()
        try:
            outcomes = list(await channel.hand_over(wave.attempt, messages))
        except Exception:
            # A bug in a channel must not lose the wave: whether anything was accepted is not known, so it is in doubt.
            log.exception("channel.failed", sender_id=str(wave.attempt.sender_id))
            return [InDoubt("The sender failed; whether the message was accepted is not known.")] * len(messages)
        self._pace.observe(wave.attempt.sender_id, len(messages), boottime_s() - started_at_s)
        return outcomes

    async def _settle_surely(self, batch: Batch, sender: Sender, wave: GuardedWave, answered: _Answered) -> None:
        """Settles as soon as the database answers again: what was accepted is known here and nowhere else.

        A first try whose commit was not heard of finds its waves closed and settles nothing twice.
        """
        give_up_at_s = boottime_s() + SETTLE_PATIENCE_S
        while True:
            try:
                return await self._settle(batch, sender, wave, answered)
            except Unavailable:
                if boottime_s() > give_up_at_s:
                    raise
                await asyncio.sleep(_SETTLE_RETRY_S)

    async def _settle(self, batch: Batch, sender: Sender, wave: GuardedWave, answered: _Answered) -> None:
        """Writes down what became of the wave, unless another worker has taken the batch over."""
        settlement = settle(
            zip(answered.sends, answered.outcomes, strict=True),
            resend_in_doubt=resends_in_doubt(sender, wave.facts),
            jitter=self._jitter,
        )
        for one in answered.composed:
            if isinstance(one.message, RenderError):
                settlement.changes.append(Change(one.send, SendState.SKIPPED, one.message.reason))
                settlement.answers.append(Answer(one.send, "template_error", str(one.message)))
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            if not await deliver.close_waves(conn, batch, wave.waves):
                log.warning("wave.fenced", sender_id=str(batch.sender_id), sends=len(wave.cleared))
                batch.chunks.clear()
                return
            await deliver.apply(conn, batch, wave.waves, settlement)
            if isinstance(answered.channel, Recorder):
                await answered.channel.record(conn, wave.attempt, answered.accepted)
            await self._after_refusals(conn, batch, wave, settlement)
            await _count(batch, settlement).write(conn)
            if settlement.sender_answer is not None:
                log.warning("sender.unusable", sender_id=str(sender.id), answer=settlement.sender_answer.answer)
                await deliver.release(conn, batch, batch.chunks, delay_s=SENDER_REST_S)
            elif wave.last:
                await deliver.finish(conn, batch)
        log.debug("wave.settled", sender_id=str(sender.id), handed_over=len(settlement.handed_over))

    async def _after_refusals(self, conn: Connection, batch: Batch, wave: GuardedWave, settlement: Settlement) -> None:
        """Frees shared addresses that were definitely refused, and remembers the dead ones."""
        refused = [
            (change.send.execution_id, change.send.customer_id)
            for change in settlement.changes
            if change.state in {SendState.FAILED, SendState.SKIPPED}
        ]
        await release_addresses(conn, batch.brand_id, batch.channel, refused)
        dead = _dead_addresses(batch.channel, wave, settlement)
        if dead:
            await reach.mark_bounced(conn, batch.brand_id, batch.channel, dead)
            list_channel = ChannelKind.EMAIL if batch.channel is ChannelKind.EMAIL else ChannelKind.SMS
            await add_to_builtin(conn, batch.brand_id, [OptOut(list_channel, digest, "bounce") for _, digest in dead])

    async def _release(self, batch: Batch) -> None:
        """Lets go of what an error or a stop left unfinished, so that nobody has to wait for the lease."""
        if batch.chunks:
            async with self._db.transaction() as conn:
                await deliver.release(conn, batch, batch.chunks, delay_s=_UNFINISHED_REST_S)

    async def _end_finished(self, batch: Batch) -> None:
        if batch.finished:
            async with self._db.transaction() as conn:
                await store.end_finished(conn, batch.finished)


def _dead_addresses(channel: ChannelKind, wave: GuardedWave, settlement: Settlement) -> list[tuple[UUID, bytes]]:
    if not settlement.dead:
        return []
    dead = {(send.execution_id, send.customer_id) for send in settlement.dead}
    return [
        (send.customer_id, digest)
        for send, person in wave.cleared
        if (send.execution_id, send.customer_id) in dead and (digest := person.digest_on(channel)) is not None
    ]


def _count(batch: Batch, settlement: Settlement) -> Moves:
    moves = Moves(batch.brand_id)
    for place, sends in Counter(send.chunk for send in settlement.handed_over).items():
        moves.settled(batch.chunks[place].execution_id, batch.channel, SendState.HANDED_OVER, Reason.NONE, sends)
    for change in settlement.changes:
        if change.state is not SendState.PENDING:
            moves.settled(change.send.execution_id, batch.channel, change.state, change.reason)
    return moves
