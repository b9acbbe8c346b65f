"""Cutting waves off a batch, and the guard's verdict on each send in them."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

import msgspec

from stentor.audience.reach import Recipient, recipients
from stentor.channels.contract import Wave
from stentor.db.connection import Connection
from stentor.deliver.model import Batch, Change, Chunk, OpenWave, PendingSend
from stentor.domain.vocabulary import Reason, SendState
from stentor.executions.facts import ExecutionFacts
from stentor.guard.store import AddressClaim, claim_addresses
from stentor.guard.wave import wave_objection
from stentor.optouts.service import suppressed

_KEY_MAX = (1 << 128) - 1


class GuardedWave(msgspec.Struct, frozen=True):
    """People who may be written to now, under attempts that are committed. `last`: the batch holds nobody after them."""

    attempt: Wave
    waves: list[OpenWave]
    cleared: list[tuple[PendingSend, Recipient]]
    facts: Mapping[UUID, ExecutionFacts]
    last: bool


class Verdicts(msgspec.Struct, frozen=True):
    """The guard's answers for one wave: who may be written to, and what the others become."""

    cleared: list[tuple[PendingSend, Recipient]]
    skipped: list[Change]


async def guard_sends(
    conn: Connection,
    batch: Batch,
    sends: Sequence[PendingSend],
    facts: Mapping[UUID, ExecutionFacts],
    cancelled: AbstractSet[UUID],
) -> Verdicts:
    """Asks the whole guard about these sends, with what is true now. The claims on shared addresses come last."""
    people = await recipients(
        conn, batch.brand_id, [(send.customer_id, facts[send.execution_id].topic_id) for send in sends]
    )
    digests = [digest for person in people if person and (digest := person.digest_on(batch.channel)) is not None]
    listed = await suppressed(conn, batch.brand_id, digests)
    cleared: list[tuple[PendingSend, Recipient]] = []
    skipped: list[Change] = []
    for send, person in zip(sends, people, strict=True):
        if send.execution_id in cancelled:
            skipped.append(_skip(send, Reason.EXECUTION_CANCELLED))
        elif person is None:
            skipped.append(_skip(send, Reason.NO_ADDRESS))
        elif objection := wave_objection(person, batch.channel, facts[send.execution_id].basis, listed):
            skipped.append(_skip(send, objection.reason))
        else:
            cleared.append((send, person))
    if sharing := _sharing(batch, cleared):
        late = await claim_addresses(conn, batch.brand_id, batch.channel, sharing)
        skipped += [_skip(send, Reason.DUPLICATE_ADDRESS) for send, _ in cleared if _key(send) in late]
        cleared = [(send, person) for send, person in cleared if _key(send) not in late]
    return Verdicts(cleared, skipped)


def _sharing(batch: Batch, cleared: Sequence[tuple[PendingSend, Recipient]]) -> list[AddressClaim]:
    return [
        AddressClaim(send.execution_id, send.customer_id, digest)
        for send, person in cleared
        if person.shared_address and (digest := person.digest_on(batch.channel)) is not None
    ]


def _skip(send: PendingSend, reason: Reason) -> Change:
    return Change(send, SendState.SKIPPED, reason, tried=False)


def _key(send: PendingSend) -> tuple[UUID, UUID]:
    return send.execution_id, send.customer_id


def cut_waves(
    chunks: Sequence[Chunk], looked_at: Sequence[PendingSend], cleared: Sequence[tuple[PendingSend, Recipient]]
) -> list[OpenWave]:
    """One wave for each chunk that somebody was cleared in; moves the chunks' cursors past everybody looked at."""
    for send in looked_at:
        chunks[send.chunk].cursor = UUID(int=min(send.customer_id.int + 1, _KEY_MAX))
    in_chunk: dict[int, list[UUID]] = {}
    for send, _ in cleared:
        in_chunk.setdefault(send.chunk, []).append(send.customer_id)
    waves: list[OpenWave] = []
    for index, customers in in_chunk.items():
        chunk = chunks[index]
        waves.append(OpenWave(chunk, chunk.next_wave, customers[0], customers[-1], len(customers)))
        chunk.next_wave += 1
    return waves
