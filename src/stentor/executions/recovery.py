"""What happens to waves whose worker was never heard of again, or took too long."""

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeAlias
from uuid import UUID

import msgspec
import structlog

from stentor.audience import reach
from stentor.audience.reach import Recipient
from stentor.channels.contract import InDoubt, NotSent
from stentor.db.connection import Connection
from stentor.deliver import store as deliver
from stentor.deliver.journal_file import address_sum
from stentor.deliver.journals import Journals, Noted, TakenOver
from stentor.deliver.model import Answer, Change, Chunk, Claim, LostWave, PendingSend
from stentor.deliver.settling import Settlement, settle
from stentor.domain.vocabulary import SendState
from stentor.executions.capping import settle_contacts
from stentor.executions.writing_down import after_refusals, moves_of
from stentor.failpoints import failpoint
from stentor.guard.contacts import SendKey

log = structlog.get_logger(__name__)

ChunkKey: TypeAlias = tuple[UUID, int]
"""An execution and a number."""

GIVEN_UP_AFTER = 3
"""How many owners in a row a chunk must have lost, with nothing answered, for the one send that was open to be given up."""

_NOT_LISTED = Noted(NotSent("its worker had not begun with it"))
_UNKNOWN = Noted(InDoubt("Its wave was never settled, and nothing more is known of it."))
_GIVEN_UP = Noted(
    InDoubt("One worker after the other was lost with it, the last one with it alone: perhaps it is what they died of.")
)


class _Found(msgspec.Struct, frozen=True):
    """What is known of a lost wave's sends. `journal_lost`: nothing."""

    wave: LostWave
    told: list[tuple[PendingSend, Noted]]
    journal_lost: bool


async def recover(
    conn: Connection,
    claim: Claim,
    *,
    resend: bool,
    perhaps_accepted: bool,
    journals: Journals | None = None,
    jitter: random.Random,
) -> None:
    """Closes the waves that an earlier owner left open, and lets go of the claim.

    What that worker's journal says was answered is settled so, with the time at which it was; what it had not started is
    pending still. What it had on the wire, and everything of a wave whose journal is not here, is in doubt: named and
    counted as `unknown`, unless the sender is one whose sends are repeated; then it is pending too. Frequency caps count
    what was perhaps accepted either way.

    What is pending still is suspected of what its worker died of. From then on its chunk is claimed by itself, one such chunk
    at a time, and in waves of half as many sends as were open: so what kills workers is soon alone. Then it is repeated by
    nobody, and everybody else was reached.
    """
    standing = await deliver.standing(conn, claim)
    chunks = [
        chunk for chunk in claim.chunks if chunk.has_open_waves and (chunk.execution_id, chunk.number) in standing
    ]
    lost = await deliver.lost_waves(conn, claim, chunks)
    taken = journals.take_over(lost) if journals and perhaps_accepted else [None] * len(lost)
    failpoint("recover.revoked")
    # The round trip that a revocation takes to be seen before the notes are read.
    left = await deliver.left_by_lost(conn, claim, chunks, lost)
    waves = [
        _found(wave, notes, sends, perhaps_accepted=perhaps_accepted)
        for wave, notes, sends in zip(lost, taken, left, strict=True)
    ]
    told = _told(waves)
    given_up = _suspect(chunks, waves, told.values(), resend=resend)
    for key, (send, noted) in told.items():
        if (send.execution_id, send.number) in given_up and _is_open(noted):
            told[key] = send, _GIVEN_UP
    settlement = _settlement(told.values(), resend=resend, given_up=given_up, jitter=jitter)
    await _write_down(conn, claim, settlement, told)
    await deliver.close_lost(conn, claim, lost, journals_lost=[wave.journal_lost for wave in waves])
    await deliver.suspect(conn, claim, chunks)
    log.warning(
        "claim.recovered",
        waves=len(waves),
        journals_lost=sum(wave.journal_lost for wave in waves),
        handed_over=len(settlement.handed_over),
        in_doubt=len(settlement.in_doubt),
        resend=resend,
        given_up=len(given_up),
    )
    moves = moves_of(claim, settlement)
    await deliver.release(conn, claim, claim.chunks, delay_s=0.0)
    # Last, because every worker of the execution writes these rows.
    await moves.write(conn)


def _found(wave: LostWave, notes: TakenOver | None, sends: Sequence[PendingSend], *, perhaps_accepted: bool) -> _Found:
    noted = notes.read() if notes else None
    if noted is None and perhaps_accepted:
        return _Found(wave, [(send, _UNKNOWN) for send in sends], journal_lost=True)
    noted = noted or {}
    return _Found(wave, [(send, noted.get(send.customer_id, _NOT_LISTED)) for send in sends], journal_lost=False)


def _told(waves: Sequence[_Found]) -> dict[SendKey, tuple[PendingSend, Noted]]:
    """What is known of each send; a send that was not started in one wave may have been in another."""
    told: dict[SendKey, tuple[PendingSend, Noted]] = {}
    for send, noted in chain.from_iterable(one.told for one in waves):
        key = send.execution_id, send.customer_id
        if key not in told or isinstance(told[key][1].outcome, NotSent):
            told[key] = send, noted
    return told


def _suspect(
    chunks: Sequence[Chunk], waves: Sequence[_Found], told: Iterable[tuple[PendingSend, Noted]], *, resend: bool
) -> set[ChunkKey]:
    """Notes in the chunks what their owner was lost with; returns those whose one open send has been lost with too many."""
    by_chunk: defaultdict[ChunkKey, list[Noted]] = defaultdict(list)
    for send, noted in told:
        by_chunk[send.execution_id, send.number].append(noted)
    given_up: set[ChunkKey] = set()
    for chunk in chunks:
        key = chunk.execution_id, chunk.number
        still_open = [noted for noted in by_chunk[key] if _is_open(noted)]
        times_lost = chunk.times_lost + 1 if len(still_open) == len(by_chunk[key]) else 0
        pending = sum(resend or isinstance(noted.outcome, NotSent) for noted in still_open)
        if len(still_open) == 1 and times_lost >= GIVEN_UP_AFTER:
            given_up.add(key)
            pending = 0
        chunk.trust()
        if pending:
            chunk.suspects, chunk.times_lost = pending, times_lost
            chunk.suspect_to = max(one.wave.key_to for one in waves if (one.wave.execution_id, one.wave.chunk) == key)
    return given_up


def _is_open(noted: Noted) -> bool:
    """Whether nothing was answered."""
    return isinstance(noted.outcome, NotSent | InDoubt)


def _settlement(
    told: Iterable[tuple[PendingSend, Noted]], *, resend: bool, given_up: Collection[ChunkKey], jitter: random.Random
) -> Settlement:
    known = [(send, noted.outcome) for send, noted in told]
    definite = [(send, outcome) for send, outcome in known if not isinstance(outcome, InDoubt)]
    doubtful = [(send, outcome.answer) for send, outcome in known if isinstance(outcome, InDoubt)]
    settlement = settle(definite, resend_in_doubt=resend, jitter=jitter)
    for send, words in doubtful:
        again = resend and (send.execution_id, send.number) not in given_up
        # Sent again at once, not after a pause as the provider's own "not now" is: it lasted as long as a lease already.
        settlement.changes.append(Change(send, SendState.PENDING if again else SendState.UNKNOWN, doubted=True))
        settlement.in_doubt.append(send)
        settlement.answers.append(Answer(send, "in_doubt", words))
    return settlement


async def _write_down(
    conn: Connection, claim: Claim, settlement: Settlement, found: Mapping[SendKey, tuple[PendingSend, Noted]]
) -> None:
    ages_s = [found[send.execution_id, send.customer_id][1].age_s for send in settlement.handed_over]
    await deliver.settle_accepted(conn, claim, list(zip(settlement.handed_over, ages_s, strict=True)))
    await deliver.settle_each(conn, claim, settlement.changes)
    await deliver.record_answers(conn, claim, settlement.answers)
    ages_by_key = {key: noted.age_s for key, (_, noted) in found.items()}
    await settle_contacts(conn, claim, claim.execution_ids, settlement, ages_by_key)
    people = await _dead_people(conn, claim, settlement, found)
    await after_refusals(conn, claim, settlement, lambda: people)


async def _dead_people(
    conn: Connection, claim: Claim, settlement: Settlement, found: Mapping[SendKey, tuple[PendingSend, Noted]]
) -> dict[SendKey, Recipient]:
    """Who is to be barred; leaves out of the dead who has another address by now, or is erased."""
    if not settlement.dead:
        return {}
    keys = [(send.execution_id, send.customer_id) for send in settlement.dead]
    people = await reach.recipients(conn, claim.brand_id, [(customer, None) for _, customer in keys])
    same = {
        key: person
        for key, person in zip(keys, people, strict=True)
        if person is not None and address_sum(person.address_on(claim.channel)) == found[key][1].address_sum
    }
    settlement.dead[:] = [send for send in settlement.dead if (send.execution_id, send.customer_id) in same]
    return same
