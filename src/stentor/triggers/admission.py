"""One batch of calls, decided and stored in one transaction."""

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import Problem, RateLimited, Unavailable, Unprocessable
from stentor.triggers import store
from stentor.triggers.model import Accepted, Answer, Idempotency, KeyOfBrand, QueuedCall, Replayed, StoredAnswer

Outcome: TypeAlias = Accepted | Replayed | Problem
"""What becomes of a call; a Problem is raised for its caller."""


class Candidate(msgspec.Struct, frozen=True):
    """A checked call and, if its caller gave a key, how it wants to be answered once."""

    call: QueuedCall
    idempotency: Idempotency | None

    @property
    def key(self) -> KeyOfBrand | None:
        return None if self.idempotency is None else (self.call.brand_id, self.idempotency.key)


async def admit(db: Database, batch: Sequence[Candidate]) -> list[Outcome]:
    """The outcome of each call of the batch, in order; what is Accepted is on disk. No key may come twice.

    Keys are claimed before tokens are taken: an equal call that is just being stored is waited for and replayed, and a
    replay costs no token, so it is answered even while the brand is at its limit.
    """
    keyed = {key: candidate for candidate in batch if (key := candidate.key) is not None}
    if not keyed:
        async with db.autocommit() as conn:
            return _outcomes(batch, await store.admit(conn, [candidate.call for candidate in batch]), {})
    async with db.transaction() as conn:
        used = await _claimed_or_used(conn, keyed)
        fresh = [candidate for candidate in batch if candidate.key not in used]
        admitted = await store.admit(conn, [candidate.call for candidate in fresh]) if fresh else set[UUID]()
        refused = [key for candidate in fresh if (key := candidate.key) and candidate.call.id not in admitted]
        if refused:
            await store.release_keys(conn, refused)
        return _outcomes(batch, admitted, used)


def replay(idempotency: Idempotency, stored: StoredAnswer) -> Replayed | Unprocessable:
    """The stored answer, if it was given to an equal request."""
    if stored.request_hash != idempotency.request_hash or not stored.status:
        return Unprocessable("This Idempotency-Key was used for another request. Take a new key for each new request.")
    return Replayed(Answer(stored.status, stored.headers, stored.body))


async def _claimed_or_used(
    conn: Connection, keyed: dict[KeyOfBrand, Candidate]
) -> dict[KeyOfBrand, StoredAnswer | None]:
    """What is stored under the keys that were used before; the others are claimed now."""
    claimed = await store.claim_keys(conn, [_claim(candidate) for candidate in keyed.values()])
    used = [key for key in keyed if key not in claimed]
    if not used:
        return {}
    stored = await store.stored_answers(conn, used)
    return {key: stored.get(key) for key in used}


def _claim(candidate: Candidate) -> StoredAnswer:
    idempotency, call = candidate.idempotency, candidate.call
    assert idempotency is not None  # noqa: S101  only calls with a key come here
    answer = idempotency.answer_of(call.id)
    return StoredAnswer(
        call.brand_id,
        idempotency.key,
        idempotency.request_hash,
        answer.status,
        dict(answer.headers),
        answer.body,
    )


def _outcomes(
    batch: Sequence[Candidate], admitted: set[UUID], used: dict[KeyOfBrand, StoredAnswer | None]
) -> list[Outcome]:
    return [_outcome(candidate, admitted, used) for candidate in batch]


def _outcome(candidate: Candidate, admitted: set[UUID], used: dict[KeyOfBrand, StoredAnswer | None]) -> Outcome:
    call, idempotency = candidate.call, candidate.idempotency
    if call.id in admitted:
        return Accepted(call.id)
    if idempotency is None or (call.brand_id, idempotency.key) not in used:
        return _rate_limited(call)
    stored = used[call.brand_id, idempotency.key]
    # Claimed by somebody a moment ago, and gone now: its seven days were over in between.
    return (
        Unavailable("The answer to this Idempotency-Key just expired. Try again.")
        if stored is None
        else (replay(idempotency, stored))
    )


def _rate_limited(call: QueuedCall) -> RateLimited:
    return RateLimited(
        f"This brand may run {call.rate_per_s} event generators per second, over all its callers. Come back in a second.",
        retry_after_s=1,
        limit=call.rate_per_s,
    )
