"""Cutting waves off a claim, and the guard's verdict on each send in them."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

import msgspec

from stentor.audience.reach import Recipient
from stentor.channels.contract import Wave
from stentor.db.connection import Connection
from stentor.deliver.model import Attempt, Change, Chunk, Claim, PendingSend
from stentor.deliver.store import ranges_as_arrays
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.executions.facts import ExecutionFacts
from stentor.executions.quieting import BrandQuiet, hold_quiet
from stentor.executions.store import PlanSql
from stentor.guard.store import AddressClaim, claim_addresses
from stentor.guard.wave import wave_objection
from stentor.optouts.service import suppressed

_KEY_MAX = (1 << 128) - 1
_EXTERNAL_ID = Recipient._fields.index("external_id") - 1


class GuardedWave(msgspec.Struct, frozen=True):
    """People who may be written to now, under attempts that are committed. `last`: the claim holds nobody after them."""

    wave: Wave
    attempts: list[Attempt]
    cleared: list[tuple[PendingSend, Recipient]]
    facts: Mapping[UUID, ExecutionFacts]
    last: bool


class Verdicts(msgspec.Struct, frozen=True):
    """The guard's answers for one wave: who may be written to, and what the others become (skipped, or held)."""

    cleared: list[tuple[PendingSend, Recipient]]
    objected: list[Change]


async def load_sends(
    conn: Connection, claim: Claim, facts: Mapping[UUID, ExecutionFacts], limit: int
) -> list[tuple[PendingSend, Recipient | None]]:
    """The next pending sends of the claim with their people as they are now, in the order of the chunks' keys."""
    chunks = claim.chunks
    rows = await PlanSql.wave.tuples(
        conn,
        brand_id=claim.brand_id,
        channel=int(claim.channel),
        limit=limit,
        with_tokens=claim.channel in {ChannelKind.PUSH, ChannelKind.WEB_PUSH},
        topic_ids=[facts[chunk.execution_id].topic_id for chunk in chunks],
        **ranges_as_arrays([chunk.rest for chunk in chunks]),
    )
    loaded: list[tuple[PendingSend, Recipient | None]] = []
    for place, customer_id, variant, tries, *person in rows:
        chunk = chunks[place]
        send = PendingSend(place, chunk.execution_id, chunk.number, customer_id, variant, tries)
        loaded.append((send, Recipient(customer_id, *person) if person[_EXTERNAL_ID] is not None else None))
    return loaded


async def guard_sends(
    conn: Connection,
    claim: Claim,
    loaded: Sequence[tuple[PendingSend, Recipient | None]],
    facts: Mapping[UUID, ExecutionFacts],
    cancelled: AbstractSet[UUID],
    *,
    quiet: BrandQuiet,
) -> Verdicts:
    """Asks the whole guard about these sends, with what is true now. The claims on shared addresses come last."""
    channel = claim.channel
    digests = [digest for _, person in loaded if person and (digest := person.digest_on(channel)) is not None]
    listed = await suppressed(conn, claim.brand_id, digests)
    bases = [facts[chunk.execution_id].basis for chunk in claim.chunks]
    gone = [chunk.execution_id in cancelled for chunk in claim.chunks]
    cleared: list[tuple[PendingSend, Recipient]] = []
    objected: list[Change] = []
    for send, person in loaded:
        if gone[send.chunk]:
            objected.append(_skip(send, Reason.EXECUTION_CANCELLED))
        elif person is None:
            objected.append(_skip(send, Reason.NO_ADDRESS))
        elif reason := wave_objection(person, channel, bases[send.chunk], listed):
            objected.append(_skip(send, reason))
        else:
            cleared.append((send, person))
    cleared, held = await hold_quiet(conn, claim, cleared, facts, quiet)
    objected += held
    if sharing := _sharing(claim, cleared):
        late = await claim_addresses(conn, claim.brand_id, channel, sharing)
        objected += [_skip(send, Reason.DUPLICATE_ADDRESS) for send, _ in cleared if _key(send) in late]
        cleared = [(send, person) for send, person in cleared if _key(send) not in late]
    return Verdicts(cleared, objected)


def _sharing(claim: Claim, cleared: Sequence[tuple[PendingSend, Recipient]]) -> list[AddressClaim]:
    return [
        AddressClaim(send.execution_id, send.customer_id, digest)
        for send, person in cleared
        if person.shared_address and (digest := person.digest_on(claim.channel)) is not None
    ]


def _skip(send: PendingSend, reason: Reason) -> Change:
    return Change(send, SendState.SKIPPED, reason, tried=False)


def _key(send: PendingSend) -> tuple[UUID, UUID]:
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
