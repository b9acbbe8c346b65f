"""One answer per idempotency key: claimed, stored, given again, and forgotten after seven days."""

from datetime import datetime
from uuid import UUID

from stentor.answers import store
from stentor.answers.model import Answer, StoredAnswer
from stentor.db.batches import until_short
from stentor.db.pool import Database
from stentor.errors import Conflict, Unprocessable

# A transaction of well under a second.
FORGOTTEN_AT_ONCE_MAX = 10_000


def replay(request_hash: bytes, stored: StoredAnswer) -> Answer | Unprocessable | Conflict:
    """The stored answer, if it was given to an equal request; else why it cannot be given."""
    if stored.request_hash != request_hash:
        return Unprocessable("This Idempotency-Key was used for another request. Take a new key for each new request.")
    if not stored.status:
        return Conflict("An equal request with this Idempotency-Key is still being handled. Ask again in a moment.")
    return Answer(stored.status, stored.headers, stored.body)


async def begin(db: Database, brand_id: UUID, key: str, request_hash: bytes) -> datetime | StoredAnswer | None:
    """Claims the key for a call that is handled now and returns when, or what the key was used for before.

    A call whose process died is taken over after a minute by an equal one. None: the key has just become free.
    """
    async with db.transaction() as conn:
        claimed_at = await store.begin(conn, brand_id, key, request_hash)
        if claimed_at is not None:
            return claimed_at
        return (await store.stored_answers(conn, [(brand_id, key)])).get((brand_id, key))


async def finish(db: Database, brand_id: UUID, key: str, answer: Answer, *, claimed_at: datetime) -> None:
    """Stores what a call that was begun is answered."""
    async with db.transaction() as conn:
        await store.finish(conn, brand_id, key, answer, claimed_at=claimed_at)


async def abandon(db: Database, brand_id: UUID, key: str, *, claimed_at: datetime) -> None:
    """Frees the key of a call that was begun and failed."""
    async with db.transaction() as conn:
        await store.abandon(conn, brand_id, key, claimed_at=claimed_at)


async def forget_answers(db: Database) -> int:
    """Forgets answers that are older than seven days; the keeper's chore. Returns how many."""

    async def forget() -> int:
        async with db.transaction() as conn:
            return await store.forget_answers(conn, FORGOTTEN_AT_ONCE_MAX)

    return await until_short(forget, FORGOTTEN_AT_ONCE_MAX)
