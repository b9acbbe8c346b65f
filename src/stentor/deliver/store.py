"""Chunks, waves and the sends in them, in the database. Every function works on a whole claim."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.deliver.model import (
    ANSWER_CHARS_MAX,
    CHUNKS_LOOK_AHEAD,
    CLAIM_SENDS_MAX,
    LEASE,
    LOOKS_MAX,
    NOBODY_BUSY,
    UNPARKED_MAX,
    Answer,
    Attempt,
    Busy,
    Change,
    Chunk,
    ChunkStanding,
    Claim,
    KeyRange,
    LostWave,
    PendingSend,
    released_at,
)
from stentor.deliver.settling import Settlement
from stentor.domain.ids import new_id, part_of
from stentor.domain.vocabulary import ChannelKind, Lane, SendState
from stentor.queue.floors import Floors


class Sql(QuerySet, file="queries.sql", package=__package__):
    anything_due: Statement
    floors: Statement
    claim_chunks: Statement
    unpark_chunks: Statement
    extend_leases: Statement
    standing: Statement
    open_waves: Statement
    close_waves: Statement
    close_own_waves: Statement
    settle_each: Statement
    settle_handed_over: Statement
    settle_accepted: Statement
    left_by_lost: Statement
    left_pending: Statement
    suspect: Statement
    lost_waves: Statement
    close_lost: Statement
    workers_with_open_waves: Statement
    lock_chunks: Statement
    add_to_chunks: Statement
    wake_held: Statement
    still_pending: Statement
    finish_chunks: Statement
    release_chunks: Statement
    fill_bucket: Statement
    spend_tokens: Statement
    record_answers: Statement


async def raise_floors(conn: Connection, floors: Floors) -> None:
    """Finds out from where on there may be something to claim, unless that was done a moment ago."""
    await floors.raised(lambda lanes: Sql.floors.column(conn, **lanes))


async def anything_due(conn: Connection, floors: Floors, last_lane: Lane = Lane.BULK, busy: Busy = NOBODY_BUSY) -> bool:
    """Whether there may be something to claim in the lanes up to the last."""
    return await Sql.anything_due.value(conn, **floors.up_to(last_lane), **busy.as_arrays())


async def claim_due(
    conn: Connection,
    worker: str,
    floors: Floors,
    last_lane: Lane = Lane.BULK,
    busy: Busy = NOBODY_BUSY,
    *,
    with_suspects: bool = True,
) -> Claim | None:
    """The chunks that are due first in the lanes up to the last, of senders who are not busy, leased to this worker.

    A chunk that a worker was lost with is claimed alone, and only `with_suspects`. None when nothing is due there, or nothing
    but what a pause holds up.
    """
    for _ in range(LOOKS_MAX):
        rows = await Sql.claim_chunks.tuples(
            conn,
            worker=worker,
            lease=LEASE,
            **floors.up_to(last_lane),
            look_ahead=CHUNKS_LOOK_AHEAD,
            sends_max=CLAIM_SENDS_MAX,
            with_suspects=with_suspects,
            **busy.as_arrays(),
        )
        chunks = [Chunk(*row) for parked, *row in rows if not parked]
        if chunks:
            chunks.sort(key=lambda chunk: (chunk.execution_id, chunk.number))
            first = chunks[0]
            return Claim(first.brand_id, first.sender_id, ChannelKind(first.channel), Lane(first.lane), chunks)
        if not rows:
            break
    return None


async def unpark(conn: Connection) -> int:
    """Makes chunks claimable whose pause is over, 20,000 at most, and answers how many they were."""
    return await Sql.unpark_chunks.run(conn, at_most=UNPARKED_MAX)


async def extend_leases(conn: Connection, chunks: Sequence[Chunk]) -> None:
    """Keeps the chunks for another lease, as far as they are still their worker's."""
    if chunks:
        await Sql.extend_leases.run(conn, lease=LEASE, **_numbers(chunks), epochs=[chunk.epoch for chunk in chunks])


async def standing(conn: Connection, claim: Claim) -> dict[tuple[UUID, int], ChunkStanding]:
    """How the claim's chunks stand, locked until the transaction ends; chunks that are no longer ours are absent."""
    rows = await Sql.standing.tuples(
        conn,
        brand_id=claim.brand_id,
        execution_ids=[chunk.execution_id for chunk in claim.chunks],
        numbers=[chunk.number for chunk in claim.chunks],
        epochs=[chunk.epoch for chunk in claim.chunks],
    )
    return {(row[0], row[1]): ChunkStanding(*row) for row in rows}


async def open_attempts(conn: Connection, claim: Claim, attempts: Sequence[Attempt], worker: str) -> None:
    """Writes the attempts down: after the commit of this transaction their sends may leave."""
    await Sql.open_waves.run(
        conn,
        brand_id=claim.brand_id,
        sender_id=claim.sender_id,
        worker=worker,
        keys_from=[attempt.key_from for attempt in attempts],
        keys_to=[attempt.key_to for attempt in attempts],
        sends=[attempt.sends for attempt in attempts],
        **_attempt_keys(attempts),
    )


async def close_attempts(conn: Connection, claim: Claim, attempts: Sequence[Attempt]) -> bool:
    """Closes them if their chunks are still this worker's.

    False: some are not, nothing may be settled, and the transaction has to be rolled back, because others may be closed by now.
    """
    # Before their sends, as whoever takes them over does.
    await Sql.lock_chunks.run(conn, brand_id=claim.brand_id, **_numbers([attempt.chunk for attempt in attempts]))
    closed = await Sql.close_waves.run(conn, brand_id=claim.brand_id, **_attempt_keys(attempts))
    return closed == len(attempts)


async def close_own_waves(conn: Connection, claim: Claim, chunks: Sequence[Chunk]) -> list[KeyRange]:
    """Closes every open attempt that the present owner of the chunks has made; their sends, in these ranges, stay pending."""
    return await Sql.close_own_waves.rows(
        conn, KeyRange, brand_id=claim.brand_id, **_numbers(chunks), epochs=[chunk.epoch for chunk in chunks]
    )


async def settle_each(conn: Connection, claim: Claim, changes: Sequence[Change]) -> None:
    """Applies changes send by send; one with a `retry_after_s` or a `held_until` moves to the chunk of that time."""
    if not changes:
        return
    chunks = {(chunk.execution_id, chunk.number): chunk for chunk in claim.chunks}
    numbers_to: list[int] = []
    moved: dict[tuple[UUID, int], _Moved] = {}
    for change in changes:
        number = change.send.number
        if change.retry_after_s is not None or change.held_until is not None:
            chunk = chunks[change.send.execution_id, number]
            if change.held_until is None:
                number = chunk.retry_number(change.send.tries + 1)
            else:
                number = chunk.held_number(change.held_until)
            moved.setdefault((chunk.execution_id, number), _Moved(chunk)).add(change)
        numbers_to.append(number)
    # The chunks that they move to are locked before the sends arrive, so that nobody calls one done in between.
    await _add_to_chunks(conn, claim, moved)
    settled = await Sql.settle_each.run(
        conn,
        brand_id=claim.brand_id,
        channel=int(claim.channel),
        execution_ids=[change.send.execution_id for change in changes],
        parts=[part_of(change.send.customer_id) for change in changes],
        customer_ids=[change.send.customer_id for change in changes],
        chunks=[change.send.number for change in changes],
        states=[int(change.state) for change in changes],
        reasons=[int(change.reason) for change in changes],
        rules=[change.rule for change in changes],
        evidences=[change.evidence for change in changes],
        tried=[int(change.tried) for change in changes],
        doubted=[int(change.doubted) for change in changes],
        chunks_to=numbers_to,
    )
    _expect(settled, len(changes))


async def write_settlement(conn: Connection, claim: Claim, attempts: Sequence[Attempt], settlement: Settlement) -> None:
    """Writes what became of the attempts' sends, under their fence."""
    await settle_each(conn, claim, settlement.changes)
    if settlement.staying or any(attempt.chunk.is_retry for attempt in attempts):
        # Some stay pending in the same range, or were moved into it while the attempt was on the wire: another pass over the
        # chunk that they come from may defer somebody at any time. So those who were handed over are named one by one.
        await settle_each(conn, claim, [Change(send, SendState.HANDED_OVER) for send in settlement.handed_over])
    else:
        ranges = ranges_as_arrays([attempt.range for attempt in attempts])
        settled = await Sql.settle_handed_over.run(conn, brand_id=claim.brand_id, channel=int(claim.channel), **ranges)
        _expect(settled, len(settlement.handed_over))
    await record_answers(conn, claim, settlement.answers)


def _expect(settled: int, expected: int) -> None:
    # Only the owner of an open wave settles its sends, so another count is a bug; raising keeps the counters true, and
    # the wave, never settled, will be named as in doubt.
    if settled != expected:
        raise RuntimeError(f"A wave of {expected} sends settled {settled}.")


async def lost_waves(conn: Connection, claim: Claim, chunks: Sequence[Chunk]) -> list[LostWave]:
    """The waves that earlier owners of the chunks opened and never settled."""
    return await Sql.lost_waves.rows(conn, LostWave, brand_id=claim.brand_id, **_numbers(chunks))


async def left_by_lost(
    conn: Connection, claim: Claim, chunks: Sequence[Chunk], lost: Sequence[LostWave]
) -> list[list[PendingSend]]:
    """What each lost wave left pending. `chunks`: those that the waves' places are of."""
    left: list[list[PendingSend]] = [[] for _ in lost]
    places = {(chunk.execution_id, chunk.number): place for place, chunk in enumerate(claim.chunks)}
    rows = await Sql.left_by_lost.tuples(
        conn,
        brand_id=claim.brand_id,
        channel=int(claim.channel),
        **ranges_as_arrays([wave.range for wave in lost]),
    )
    for wave, customer_id, variant, tries, doubts in rows:
        chunk = chunks[lost[wave].place]
        place = places[chunk.execution_id, chunk.number]
        left[wave].append(PendingSend(place, chunk.execution_id, chunk.number, customer_id, variant, tries, doubts))
    return left


async def close_lost(
    conn: Connection, claim: Claim, lost: Sequence[LostWave], *, journals_lost: Sequence[bool]
) -> None:
    """Closes lost waves, each with whether nothing is known of it."""
    await Sql.close_lost.run(
        conn,
        brand_id=claim.brand_id,
        execution_ids=[wave.execution_id for wave in lost],
        chunks=[wave.chunk for wave in lost],
        numbers=[wave.number for wave in lost],
        lost=list(journals_lost),
    )


async def suspect(conn: Connection, claim: Claim, chunks: Sequence[Chunk]) -> None:
    """Keeps what these chunks say of the sends that a worker was lost with."""
    await Sql.suspect.run(
        conn,
        brand_id=claim.brand_id,
        **_numbers(chunks),
        epochs=[chunk.epoch for chunk in chunks],
        suspects=[chunk.suspects for chunk in chunks],
        suspects_to=[chunk.suspect_to for chunk in chunks],
        times_lost=[chunk.times_lost for chunk in chunks],
    )


async def settle_accepted(conn: Connection, claim: Claim, accepted: Sequence[tuple[PendingSend, float]]) -> None:
    """Settles sends that were accepted so many seconds ago."""
    if not accepted:
        return
    settled = await Sql.settle_accepted.run(
        conn,
        brand_id=claim.brand_id,
        channel=int(claim.channel),
        execution_ids=[send.execution_id for send, _ in accepted],
        parts=[part_of(send.customer_id) for send, _ in accepted],
        customer_ids=[send.customer_id for send, _ in accepted],
        chunks=[send.number for send, _ in accepted],
        ages_s=[age_s for _, age_s in accepted],
    )
    _expect(settled, len(accepted))


async def workers_with_open_waves(conn: Connection, workers: Sequence[str]) -> set[str]:
    """Those of the workers that waves are open of."""
    return set(await Sql.workers_with_open_waves.column(conn, workers=list(workers)))


async def left_pending(conn: Connection, chunk: Chunk, left: KeyRange) -> list[UUID]:
    """The customers whose sends a wave left pending."""
    return await Sql.left_pending.column(
        conn,
        brand_id=chunk.brand_id,
        execution_id=chunk.execution_id,
        chunk=chunk.number,
        channel=chunk.channel,
        part_from=left.part_from,
        key_from=left.key_from,
        part_to=left.part_to,
        key_to=left.key_to,
    )


class _Moved(msgspec.Struct):
    """Sends on their way to another chunk of the same keys: how many, and when the last of them may go."""

    source: Chunk
    sends: int = 0
    delay_s: float | None = None
    due_at: datetime | None = None

    def add(self, change: Change) -> None:
        self.sends += 1
        if change.held_until is not None:
            due_at = released_at(change.held_until, self.source.key_from)
            self.due_at = due_at if self.due_at is None else max(self.due_at, due_at)
        elif change.retry_after_s is not None:
            self.delay_s = max(self.delay_s or 0.0, change.retry_after_s)


async def _add_to_chunks(conn: Connection, claim: Claim, moved: Mapping[tuple[UUID, int], _Moved]) -> None:
    if not moved:
        return
    keys = sorted(moved)
    groups = [moved[key] for key in keys]
    await Sql.add_to_chunks.run(
        conn,
        brand_id=claim.brand_id,
        sender_id=claim.sender_id,
        channel=int(claim.channel),
        execution_ids=[execution_id for execution_id, _ in keys],
        numbers=[number for _, number in keys],
        lanes=[group.source.lane for group in groups],
        # The whole range of the chunk, not of the wave: its later waves send theirs to the same one.
        keys_from=[group.source.key_from for group in groups],
        keys_to=[group.source.key_to for group in groups],
        sends=[group.sends for group in groups],
        delays_s=[group.delay_s for group in groups],
        due_at=[group.due_at for group in groups],
    )


async def wake_held(conn: Connection, claim: Claim, chunks: Sequence[Chunk]) -> Counter[UUID]:
    """Makes what was held in these chunks pending; returns how many of each execution."""
    ranges = ranges_as_arrays([chunk.whole for chunk in chunks])
    woken = await Sql.wake_held.column(conn, brand_id=claim.brand_id, channel=int(claim.channel), **ranges)
    return Counter(woken)


async def finish(conn: Connection, claim: Claim) -> None:
    """Ends this pass over the claim's chunks.

    A chunk that still has somebody (a retry that arrived meanwhile, a send that was not started or was held anew) is released
    for another pass instead. Locks the chunks, so that a retry that is being added to one is seen, or waits and reopens it.
    """
    await Sql.lock_chunks.run(conn, brand_id=claim.brand_id, **_numbers(claim.chunks))
    left = set(
        await Sql.still_pending.column(
            conn,
            brand_id=claim.brand_id,
            channel=int(claim.channel),
            **ranges_as_arrays([chunk.whole for chunk in claim.chunks]),
        )
    )
    done = [chunk for index, chunk in enumerate(claim.chunks) if index not in left]
    again = [chunk for index, chunk in enumerate(claim.chunks) if index in left]
    await release(conn, claim, again, delay_s=0.0)
    if done:
        await Sql.finish_chunks.run(conn, brand_id=claim.brand_id, **_numbers(done), epochs=[c.epoch for c in done])
        claim.finished.extend(chunk.execution_id for chunk in done)
        claim.chunks.clear()


async def release(conn: Connection, claim: Claim, chunks: Sequence[Chunk], *, delay_s: float) -> None:
    """Lets chunks go unfinished; anyone may claim them after the delay."""
    if chunks:
        released = list(chunks)
        await Sql.release_chunks.run(
            conn,
            brand_id=claim.brand_id,
            delay_s=delay_s,
            **_numbers(released),
            epochs=[chunk.epoch for chunk in released],
        )
        claim.chunks[:] = [chunk for chunk in claim.chunks if chunk not in released]


async def take_tokens(conn: Connection, claim: Claim, pace_per_s: float, wanted: int) -> int:
    """How many of `wanted` sends the sender's pace allows now, taken from the bucket that all workers share.

    The bucket holds one second's worth. It stays locked until the transaction ends.
    """
    burst = max(1.0, pace_per_s)
    there = await Sql.fill_bucket.value(
        conn, sender_id=claim.sender_id, brand_id=claim.brand_id, burst=burst, pace_per_s=pace_per_s
    )
    taken = min(wanted, there)
    if taken > 0:
        await Sql.spend_tokens.run(conn, sender_id=claim.sender_id, brand_id=claim.brand_id, spent=taken)
    return max(0, taken)


async def record_answers(conn: Connection, claim: Claim, answers: Sequence[Answer]) -> None:
    """Keeps what was answered about single sends, for their timelines."""
    if answers:
        await Sql.record_answers.run(
            conn,
            brand_id=claim.brand_id,
            channel=int(claim.channel),
            sender_id=claim.sender_id,
            execution_ids=[answer.send.execution_id for answer in answers],
            parts=[part_of(answer.send.customer_id) for answer in answers],
            customer_ids=[answer.send.customer_id for answer in answers],
            event_ids=[new_id() for _ in answers],
            kinds=[answer.kind for answer in answers],
            answers=[answer.text.replace("\x00", "")[:ANSWER_CHARS_MAX] for answer in answers],
        )


def _numbers(chunks: Sequence[Chunk]) -> dict[str, Any]:
    return {
        "execution_ids": [chunk.execution_id for chunk in chunks],
        "numbers": [chunk.number for chunk in chunks],
    }


def ranges_as_arrays(ranges: Sequence[KeyRange]) -> dict[str, Any]:
    """Ranges as statements over several of them take them."""
    return {
        "execution_ids": [piece.execution_id for piece in ranges],
        "numbers": [piece.number for piece in ranges],
        "parts_from": [piece.part_from for piece in ranges],
        "keys_from": [piece.key_from for piece in ranges],
        "parts_to": [piece.part_to for piece in ranges],
        "keys_to": [piece.key_to for piece in ranges],
    }


def _attempt_keys(attempts: Sequence[Attempt]) -> dict[str, Any]:
    return {
        "execution_ids": [attempt.chunk.execution_id for attempt in attempts],
        "chunks": [attempt.chunk.number for attempt in attempts],
        "numbers": [attempt.number for attempt in attempts],
        "epochs": [attempt.chunk.epoch for attempt in attempts],
    }
