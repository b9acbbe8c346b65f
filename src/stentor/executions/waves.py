"""Cutting waves off a claim, and the guard's verdict on each send in them."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import msgspec

from stentor.audience.reach import Recipient
from stentor.channels.contract import Wave
from stentor.db.connection import Connection
from stentor.deliver.answer_times import AnswerTimes
from stentor.deliver.journal import WaveNotes
from stentor.deliver.model import Attempt, Change, Chunk, Claim, PendingSend
from stentor.deliver.store import ranges_as_arrays
from stentor.domain.objections import Skip
from stentor.domain.vocabulary import ChannelKind, Reason
from stentor.executions.capping import Capping
from stentor.executions.facts import ExecutionFacts
from stentor.executions.named import OwnContexts, ShownFields
from stentor.executions.quieting import BrandQuiet, hold_quiet
from stentor.executions.store import WaveSql
from stentor.guard.contacts import SendKey
from stentor.guard.store import AddressClaim, claim_addresses
from stentor.guard.wave import wave_objection
from stentor.optouts.look_up import Listing, LookUp, WaveListings

_KEY_MAX = (1 << 128) - 1
_EXTERNAL_ID = Recipient._fields.index("external_id") - 1


class GuardedWave(msgspec.Struct, frozen=True):
    """People who may be written to now, under attempts that are committed. `last`: the claim holds nobody after them.

    `reserved`: the executions whose sends a frequency cap counts. `times`: kept where there are such. `contexts`: of whoever
    has one of their own. `shown`: of whose message is made of other fields. `notes`: the wave's in this process's journal, where its channel keeps them.
    """

    wave: Wave
    attempts: list[Attempt]
    cleared: list[tuple[PendingSend, Recipient]]
    reserved: Collection[UUID]
    times: AnswerTimes | None
    facts: Mapping[UUID, ExecutionFacts]
    last: bool
    contexts: OwnContexts
    shown: ShownFields
    notes: WaveNotes


class Verdicts(msgspec.Struct, frozen=True):
    """The guard's answers for one wave: who may be written to, and what the others become (skipped, or held)."""

    cleared: list[tuple[PendingSend, Recipient]]
    objected: list[Change]


async def load_sends(
    conn: Connection, claim: Claim, facts: Mapping[UUID, ExecutionFacts], limit: int
) -> list[tuple[PendingSend, Recipient | None]]:
    """The next pending sends of the claim with their people as they are now, in the order of the chunks' keys."""
    chunks = claim.chunks
    rows = await WaveSql.wave.tuples(
        conn,
        brand_id=claim.brand_id,
        channel=int(claim.channel),
        limit=limit,
        with_tokens=claim.channel in {ChannelKind.PUSH, ChannelKind.WEB_PUSH},
        topic_ids=[facts[chunk.execution_id].topic_id for chunk in chunks],
        meant_ats=[facts[chunk.execution_id].meant_at for chunk in chunks],
        **ranges_as_arrays([chunk.rest for chunk in chunks]),
    )
    loaded: list[tuple[PendingSend, Recipient | None]] = []
    for place, customer_id, variant, tries, doubts, *person in rows:
        chunk = chunks[place]
        send = PendingSend(place, chunk.execution_id, chunk.number, customer_id, variant, tries, doubts)
        loaded.append((send, Recipient(customer_id, *person) if person[_EXTERNAL_ID] is not None else None))
    return loaded


async def guard_sends(
    conn: Connection,
    claim: Claim,
    loaded: Sequence[tuple[PendingSend, Recipient | None]],
    *,
    look_up: LookUp,
    facts: Mapping[UUID, ExecutionFacts],
    over: Mapping[UUID, Reason],
    quiet: BrandQuiet | None,
    capping: Capping | None,
    revoked: Collection[SendKey] = (),
) -> Verdicts:
    """Asks the whole guard about these sends, with what is true now. What is reserved comes last: caps and shared addresses.

    `over`: why executions send nothing any more. `quiet`: None where quiet hours hold nobody, because the time from when on somebody may
    be written to is said elsewhere. `capping`: the rules that they fall under. `revoked`: whom the hub that named them revoked.
    """
    channel = claim.channel
    loaded, objected = _parted(loaded, revoked)
    listings = await _listings(conn, claim, loaded, look_up)
    is_anybody_listed = not listings.hold_nobody
    consents = [(one.basis, one.heeds_topic) for one in (facts[chunk.execution_id] for chunk in claim.chunks)]
    ends = [over.get(chunk.execution_id, Reason.NONE) for chunk in claim.chunks]
    cleared: list[tuple[PendingSend, Recipient]] = []
    for send, person in loaded:
        if person is None or ends[send.chunk] is Reason.EXECUTION_CANCELLED:
            objected.append(_skip(send, ends[send.chunk] or Reason.NO_ADDRESS))
            continue
        basis, heeds_topic = consents[send.chunk]
        if reason := wave_objection(person, channel, basis, heeds_topic=heeds_topic):
            objected.append(_skip(send, reason))
        elif is_anybody_listed and (listing := _listing(listings, person, channel, facts[send.execution_id])):
            objected.append(Change.objected(send, Skip(Reason.SUPPRESSED, int(listing.form), listing.store.number)))
        elif reason := ends[send.chunk]:
            objected.append(_skip(send, reason))
        else:
            cleared.append((send, person))
    # Before anything is reserved: who is held uses up nobody's messages and takes nobody's address.
    if quiet is not None:
        cleared, held = await hold_quiet(conn, claim, cleared, facts, quiet)
        objected += held
    if capping:
        capped = await capping.judge(conn, claim, cleared)
        objected += capped
        cleared = _without(cleared, {_key(change.send) for change in capped})
    if sharing := _sharing(claim, cleared):
        late = await claim_addresses(conn, claim.brand_id, channel, sharing)
        objected += [_skip(send, Reason.DUPLICATE_ADDRESS) for send, _ in cleared if _key(send) in late]
        cleared = _without(cleared, late)
    if capping:
        await capping.reserve(conn, claim, cleared)
    return Verdicts(cleared, objected)


def _parted(
    loaded: Sequence[tuple[PendingSend, Recipient | None]], revoked: Collection[SendKey]
) -> tuple[Sequence[tuple[PendingSend, Recipient | None]], list[Change]]:
    """Those of whom more is asked, and what becomes of those who were revoked."""
    if not revoked:
        return loaded, []
    rest = [(send, person) for send, person in loaded if _key(send) not in revoked]
    return rest, [_skip(send, Reason.REVOKED) for send, _ in loaded if _key(send) in revoked]


async def _listings(
    conn: Connection, claim: Claim, loaded: Sequence[tuple[PendingSend, Recipient | None]], look_up: LookUp
) -> WaveListings:
    """The opt-out lists that hold people of the wave, all asked at once."""
    people = [
        (person.address_on(claim.channel), digest)
        for _, person in loaded
        if person and (digest := person.digest_on(claim.channel)) is not None
    ]
    return await look_up.wave(conn, claim.brand_id, claim.channel, people)


def _listing(listings: WaveListings, person: Recipient, channel: ChannelKind, facts: ExecutionFacts) -> Listing | None:
    digest = person.digest_on(channel)
    if digest is None:
        return None
    campaign_id = facts.publication.content.campaign_id
    return listings.objecting(person.address_on(channel), digest, campaign_id=campaign_id, topic_id=facts.topic_id)


def _without(
    cleared: list[tuple[PendingSend, Recipient]], keys: Collection[SendKey]
) -> list[tuple[PendingSend, Recipient]]:
    return [(send, person) for send, person in cleared if _key(send) not in keys] if keys else cleared


def _sharing(claim: Claim, cleared: Sequence[tuple[PendingSend, Recipient]]) -> list[AddressClaim]:
    return [
        AddressClaim(send.execution_id, send.customer_id, digest)
        for send, person in cleared
        if person.shared_address and (digest := person.digest_on(claim.channel)) is not None
    ]


def _skip(send: PendingSend, reason: Reason) -> Change:
    return Change.objected(send, Skip(reason))


def _key(send: PendingSend) -> SendKey:
    return send.execution_id, send.customer_id


def cut_attempts(
    chunks: Sequence[Chunk],
    loaded: Sequence[tuple[PendingSend, Recipient | None]],
    cleared: Sequence[tuple[PendingSend, Recipient]],
) -> list[Attempt]:
    """One attempt for each chunk that somebody was cleared in; moves the chunks' cursors past everybody looked at."""
    for place, last in {send.chunk: send.customer_id for send, _ in loaded}.items():
        chunks[place].cursor = UUID(int=min(last.int + 1, _KEY_MAX))
    in_chunk: dict[int, list[UUID]] = {}
    for send, _ in cleared:
        in_chunk.setdefault(send.chunk, []).append(send.customer_id)
    attempts: list[Attempt] = []
    for place, customers in in_chunk.items():
        chunk = chunks[place]
        attempts.append(Attempt(chunk, chunk.next_wave, customers[0], customers[-1], len(customers)))
        chunk.next_wave += 1
    return attempts
