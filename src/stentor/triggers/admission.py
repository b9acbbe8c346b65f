"""One batch of calls, decided and stored in one transaction."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from stentor.answers import store as answers
from stentor.answers.model import Answer, Idempotency, KeyOfBrand, StoredAnswer
from stentor.answers.service import replay
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import Problem, RateLimited, Unavailable
from stentor.failpoints import failpoint
from stentor.triggers import store
from stentor.triggers.events import EventClaim, claim_events, first_executions, release_events
from stentor.triggers.model import Accepted, Deduplicated, QueuedCall, Replayed

Outcome: TypeAlias = Accepted | Replayed | Deduplicated | Problem
"""What becomes of a call; a Problem is raised for its caller."""


class Candidate(msgspec.Struct, frozen=True):
    """A checked call; if its caller gave a key, how it wants to be answered once; if it tells of an event, which."""

    call: QueuedCall
    idempotency: Idempotency | None = None
    event: EventClaim | None = None

    @property
    def key(self) -> KeyOfBrand | None:
        return None if self.idempotency is None else (self.call.brand_id, self.idempotency.key)


class _Decided(NamedTuple):
    """What became of a batch: the calls that run, those told of before with the first one's execution, and used keys."""

    admitted: set[UUID]
    told: Mapping[UUID, UUID] = {}
    used: Mapping[KeyOfBrand, StoredAnswer | None] = {}


async def admit(db: Database, batch: Sequence[Candidate]) -> list[Outcome]:
    """The outcome of each call of the batch, in order; what is Accepted is on disk. No key may come twice.

    Keys are claimed first, then events, then tokens are taken: an equal call that is just being stored is waited for and
    replayed, a call about an event that was told of gets that execution, and neither costs a token, so both are answered
    even while the brand is at its limit.
    """
    claims = [
        StoredAnswer.of(candidate.call.brand_id, idempotency, idempotency.answer_of(candidate.call.id, False))
        for candidate in batch
        if (idempotency := candidate.idempotency) is not None
    ]
    if not claims and all(candidate.event is None for candidate in batch):
        async with db.autocommit() as conn:
            decided = _Decided(await store.admit(conn, [candidate.call for candidate in batch]))
    else:
        async with db.transaction() as conn:
            decided = await _decide(conn, batch, claims)
            failpoint("trigger.before_commit")
    failpoint("trigger.after_commit")
    return [_outcome(candidate, decided) for candidate in batch]


async def _decide(conn: Connection, batch: Sequence[Candidate], claims: Sequence[StoredAnswer]) -> _Decided:
    used = await _claimed_or_used(conn, claims) if claims else {}
    fresh = [candidate for candidate in batch if candidate.key not in used]
    told = await _told_before(conn, fresh)
    running = [candidate for candidate in fresh if candidate.call.id not in told]
    admitted = await store.admit(conn, [candidate.call for candidate in running]) if running else set[UUID]()
    refused = await _take_back(conn, running, admitted)
    # Whoever tells of an event together with a first call that got no token gets none either.
    followers = [candidate for candidate in fresh if told.get(candidate.call.id) in refused]
    await _take_back(conn, followers, set())
    told = {call_id: first for call_id, first in told.items() if first not in refused}
    await _answer_with_the_first(conn, fresh, told)
    return _Decided(admitted, told, used)


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


async def _told_before(conn: Connection, fresh: Sequence[Candidate]) -> dict[UUID, UUID]:
    """The calls about events that somebody told of before, each with the execution of whoever was first."""
    leaders: dict[tuple[UUID, bytes], EventClaim] = {}
    for candidate in fresh:
        if candidate.event is not None:
            leaders.setdefault(candidate.event.event, candidate.event)
    if not leaders:
        return {}
    claimed = await claim_events(conn, list(leaders.values()))
    first = {event: leaders[event].execution_id for event in claimed}
    if others := [event for event in leaders if event not in claimed]:
        first |= await first_executions(conn, others)
    return {
        candidate.call.id: first[candidate.event.event]
        for candidate in fresh
        if candidate.event is not None and first[candidate.event.event] != candidate.call.id
    }


async def _take_back(conn: Connection, running: Sequence[Candidate], admitted: set[UUID]) -> set[UUID]:
    """Lets go of what was claimed for calls that got no token, and answers with those calls."""
    refused = [candidate for candidate in running if candidate.call.id not in admitted]
    if events := [candidate.event.event for candidate in refused if candidate.event is not None]:
        await release_events(conn, events)
    if keys := [key for candidate in refused if (key := candidate.key) is not None]:
        await answers.release_keys(conn, keys)
    return {candidate.call.id for candidate in refused}


async def _answer_with_the_first(conn: Connection, fresh: Sequence[Candidate], told: Mapping[UUID, UUID]) -> None:
    """Under their keys stands what they are answered: not their own execution, which will never be."""
    restated = [
        StoredAnswer.of(candidate.call.brand_id, idempotency, idempotency.answer_of(told[candidate.call.id], True))
        for candidate in fresh
        if candidate.call.id in told and (idempotency := candidate.idempotency) is not None
    ]
    if restated:
        await answers.restate(conn, restated)


def _outcome(candidate: Candidate, decided: _Decided) -> Outcome:
    call, idempotency = candidate.call, candidate.idempotency
    if call.id in decided.admitted:
        return Accepted(call.id)
    if (first := decided.told.get(call.id)) is not None:
        return Deduplicated(first)
    if idempotency is None or (call.brand_id, idempotency.key) not in decided.used:
        return rate_limited(call)
    stored = decided.used[call.brand_id, idempotency.key]
    if stored is None:
        # Claimed by somebody a moment ago, and gone now: its seven days were over in between.
        return Unavailable("The answer to this Idempotency-Key just expired. Try again.")
    return replayed(idempotency, stored)


def rate_limited(call: QueuedCall) -> RateLimited:
    """What a call is told that got no token."""
    return RateLimited(
        f"This brand may run {call.rate_per_s} event generators per second, over all its callers. Come back in a second.",
        retry_after_s=1,
        limit=call.rate_per_s,
    )
