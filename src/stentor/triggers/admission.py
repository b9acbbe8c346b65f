"""One batch of calls, decided and stored in one transaction."""

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

import msgspec

from stentor.answers import store as answers
from stentor.answers.model import Answer, Idempotency, KeyOfBrand, StoredAnswer
from stentor.answers.service import replay
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import Problem, RateLimited, Unavailable
from stentor.triggers import store
from stentor.triggers.model import Accepted, QueuedCall, Replayed

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
    claims = [
        StoredAnswer.of(candidate.call.brand_id, idempotency, idempotency.answer_of(candidate.call.id))
        for candidate in batch
        if (idempotency := candidate.idempotency) is not None
    ]
    if not claims:
        async with db.autocommit() as conn:
            return _outcomes(batch, await store.admit(conn, [candidate.call for candidate in batch]), {})
    async with db.transaction() as conn:
        used = await _claimed_or_used(conn, claims)
        fresh = [candidate for candidate in batch if candidate.key not in used]
        admitted = await store.admit(conn, [candidate.call for candidate in fresh]) if fresh else set[UUID]()
        refused = [key for candidate in fresh if (key := candidate.key) and candidate.call.id not in admitted]
        if refused:
            await answers.release_keys(conn, refused)
        return _outcomes(batch, admitted, used)


def replayed(idempotency: Idempotency, stored: StoredAnswer) -> Replayed | Problem:
    """The stored answer, if it was given to an equal request."""
    found = replay(idempotency.request_hash, stored)
    return Replayed(found) if isinstance(found, Answer) else found


async def _claimed_or_used(conn: Connection, claims: Sequence[StoredAnswer]) -> dict[KeyOfBrand, StoredAnswer | None]:
    """What is stored under the keys that were used before; the others are claimed now."""
    claimed = await answers.claim_keys(conn, claims)
    used = [key for claim in claims if (key := (claim.brand_id, claim.key)) not in claimed]
    if not used:
        return {}
    stored = await answers.stored_answers(conn, used)
    return {key: stored.get(key) for key in used}


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
    if stored is None:
        # Claimed by somebody a moment ago, and gone now: its seven days were over in between.
        return Unavailable("The answer to this Idempotency-Key just expired. Try again.")
    return replayed(idempotency, stored)


def _rate_limited(call: QueuedCall) -> RateLimited:
    return RateLimited(
        f"This brand may run {call.rate_per_s} event generators per second, over all its callers. Come back in a second.",
        retry_after_s=1,
        limit=call.rate_per_s,
    )
