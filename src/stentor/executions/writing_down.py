"""What a wave's answers make of its sends, in one transaction: states, retries, counters, dead addresses, the chunk's end."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import structlog

from stentor.audience.reach import Recipient
from stentor.channels.contract import Accepted, Channel, Message, Outcome, Recorder
from stentor.channels.model import Sender
from stentor.clock import boottime_s
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.deliver import store as deliver
from stentor.deliver.model import Answer, Change, Chunk, Claim
from stentor.deliver.settling import Settlement, settle
from stentor.domain.vocabulary import Reason, SendState
from stentor.errors import Unavailable
from stentor.executions.barring import Barred, bar
from stentor.executions.capping import settle_contacts
from stentor.executions.composing import Composed
from stentor.executions.facts import resends_in_doubt
from stentor.executions.waves import GuardedWave
from stentor.failpoints import failpoint
from stentor.guard import contacts
from stentor.guard.contacts import SendKey
from stentor.guard.store import release_addresses
from stentor.log import without_addresses
from stentor.report.tally import Moves

log = structlog.get_logger(__name__)

SENDER_REST_S = 15.0
"""How long a sender that could not be used at all is left alone, unless its provider asks for longer."""

SETTLE_PATIENCE_S = 60.0
"""How long a worker waits for a database that is away before what it sent becomes in doubt."""

_SETTLE_RETRY_S = 0.5


class _Fenced(Exception):
    """A chunk of the wave is another worker's by now. What is known of the others is settled from the notes, by their heirs."""


class Answered(msgspec.Struct, frozen=True):
    """A wave that was handed over: its messages, and what the channel answered to each."""

    sender: Sender
    channel: Channel
    guarded: GuardedWave
    composed: Composed
    outcomes: Sequence[Outcome]

    @property
    def accepted(self) -> list[Message]:
        """The messages that the channel took."""
        answered = zip(self.composed.messages, self.outcomes, strict=True)
        return [message for message, outcome in answered if isinstance(outcome, Accepted)]

    def ages_s(self) -> dict[SendKey, float]:
        """How many seconds ago each send was answered that a cap may count; what is accepted by being stored is so now."""
        if self.guarded.times is None or isinstance(self.channel, Recorder):
            return {}
        sends = self.composed.sends
        ages_s = self.guarded.times.ages_s(len(sends))
        return {(send.execution_id, send.customer_id): age_s for send, age_s in zip(sends, ages_s, strict=True)}


async def write_down_surely(db: Database, claim: Claim, answered: Answered, jitter: random.Random) -> None:
    """Writes it down as soon as the database answers again: what was accepted is known here and nowhere else.

    A first try whose commit was not heard of finds its attempts closed and settles nothing twice. Raises Unavailable when
    the database stays away for a minute.
    """
    settlement = _settlement(answered, jitter)
    chunks, finished = list(claim.chunks), len(claim.finished)

    async def write_down() -> None:
        # A try that came to nothing may have let go of the chunks already.
        claim.chunks[:] = chunks
        del claim.finished[finished:]
        await _write_down(db, claim, answered, settlement)

    try:
        await _when_it_answers(write_down)
    except _Fenced:
        log.warning("wave.fenced", sender_id=str(claim.sender_id), sends=len(answered.guarded.cleared))
        claim.chunks.clear()


async def close_unstarted(db: Database, claim: Claim, chunks: Sequence[Chunk]) -> None:
    """Closes what this owner of the chunks opened and, not knowing that it was committed, never started.

    Its sends are pending still; left open, they would be taken for lost on the wire, and what they reserved of caps would
    count for ever. Raises Unavailable when the database stays away for a minute.
    """
    owned = msgspec.structs.replace(claim, chunks=list(chunks))
    by_key = {(chunk.execution_id, chunk.number): chunk for chunk in chunks}

    async def close() -> None:
        async with db.transaction() as conn:
            # Locks the chunks: who claims them next reserves anew, after this was given back.
            await deliver.standing(conn, owned)
            for unstarted in await deliver.close_own_waves(conn, owned, chunks):
                chunk = by_key[unstarted.execution_id, unstarted.number]
                people = await deliver.left_pending(conn, chunk, unstarted)
                await contacts.settle(
                    conn, claim.brand_id, claim.channel, refused=[(chunk.execution_id, customer) for customer in people]
                )
            failpoint("unstarted.before_commit")
        failpoint("unstarted.after_commit")

    await _when_it_answers(close)


async def _when_it_answers(write: Callable[[], Awaitable[None]]) -> None:
    give_up_at_s = boottime_s() + SETTLE_PATIENCE_S
    while True:
        try:
            return await write()
        except Unavailable:
            if boottime_s() > give_up_at_s:
                raise
            await asyncio.sleep(_SETTLE_RETRY_S)


def _settlement(answered: Answered, jitter: random.Random) -> Settlement:
    settlement = settle(
        zip(answered.composed.sends, answered.outcomes, strict=True),
        resend_in_doubt=resends_in_doubt(answered.sender, answered.guarded.facts),
        jitter=jitter,
    )
    for send, error in answered.composed.failures:
        settlement.changes.append(Change.final(send, SendState.SKIPPED, error.reason))
        settlement.answers.append(Answer(send, "template_error", str(error)))
    return settlement


async def _write_down(db: Database, claim: Claim, answered: Answered, settlement: Settlement) -> None:
    """Once. Raises _Fenced when another worker has taken a part of it over: then nothing is settled here, of no part.

    Only when it is committed its notes are of no more use.
    """
    guarded, sender_id = answered.guarded, str(claim.sender_id)
    async with db.transaction() as conn:
        await go_by_keys(conn)
        if not await deliver.close_attempts(conn, claim, guarded.attempts):
            raise _Fenced
        await deliver.write_settlement(conn, claim, guarded.attempts, settlement)
        await _trust(conn, claim, guarded)
        if isinstance(answered.channel, Recorder):
            await answered.channel.record(conn, guarded.wave, answered.accepted)
        await settle_contacts(conn, claim, guarded.reserved, settlement, answered.ages_s())
        await after_refusals(conn, claim, settlement, lambda: _people(guarded))
        moves = moves_of(claim, settlement)
        if settlement.sender_answer is not None:
            log.warning(
                "sender.unusable", sender_id=sender_id, answer=without_addresses(settlement.sender_answer.answer)
            )
            rest_s = max(SENDER_REST_S, settlement.sender_answer.retry_after_s or 0.0)
            await deliver.release(conn, claim, claim.chunks, delay_s=rest_s)
        elif guarded.last:
            await deliver.finish(conn, claim)
        # Last, because every worker of the execution writes these rows.
        await moves.write(conn)
        failpoint("settle.before_commit")
    failpoint("settle.after_commit")
    guarded.notes.close()
    log.debug("wave.settled", sender_id=sender_id, handed_over=len(settlement.handed_over))


async def _trust(conn: Connection, claim: Claim, guarded: GuardedWave) -> None:
    """What earlier workers were lost with, and this one was not, is no longer suspected."""
    passed = [
        chunk
        for chunk in claim.chunks
        if chunk.suspect_to is not None and (guarded.last or chunk.cursor > chunk.suspect_to)
    ]
    for chunk in passed:
        chunk.trust()
    if passed:
        await deliver.suspect(conn, claim, passed)


async def after_refusals(
    conn: Connection, claim: Claim, settlement: Settlement, people: Callable[[], Mapping[SendKey, Recipient]]
) -> None:
    """Frees shared addresses that were definitely refused, and bars the dead ones. `people`: asked only if some are dead."""
    refused = [
        (change.send.execution_id, change.send.customer_id)
        for change in settlement.changes
        if change.state in {SendState.FAILED, SendState.SKIPPED}
    ]
    await release_addresses(conn, claim.brand_id, claim.channel, refused)
    if settlement.dead:
        found = people()
        dead = [
            Barred(
                execution_id=send.execution_id,
                customer_id=send.customer_id,
                digest=found[send.execution_id, send.customer_id].digest_on(claim.channel),
                cause="bounce",
            )
            for send in settlement.dead
        ]
        await bar(conn, claim.brand_id, claim.channel, dead)


def _people(guarded: GuardedWave) -> dict[SendKey, Recipient]:
    return {(send.execution_id, send.customer_id): person for send, person in guarded.cleared}


def moves_of(claim: Claim, settlement: Settlement) -> Moves:
    """What the counters are told of it."""
    moves = Moves(claim.brand_id)
    for place, sends in Counter(send.chunk for send in settlement.handed_over).items():
        moves.settled(claim.chunks[place].execution_id, claim.channel, SendState.HANDED_OVER, Reason.NONE, sends)
    for change in settlement.changes:
        if change.state is not SendState.PENDING:
            moves.settled(change.send.execution_id, claim.channel, change.state, change.reason)
    return moves
