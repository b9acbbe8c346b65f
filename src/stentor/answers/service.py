"""One answer per idempotency key: stored with what was done, given again, and forgotten after seven days."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from stentor.answers import store
from stentor.answers.model import Answer, KeyOfBrand, StoredAnswer
from stentor.db.batches import until_short
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import Conflict, Unprocessable
from stentor.failpoints import failpoint

# A transaction of well under a second.
FORGOTTEN_AT_ONCE_MAX = 10_000

WAIT_S_MAX = 10.0
"""How long a call waits for the answer of an equal one that is being handled."""
_LOOK_EVERY_S = 0.05


def replay(request_hash: bytes, stored: StoredAnswer) -> Answer | Unprocessable:
    """The stored answer, if it was given to an equal request; else why it cannot be given."""
    if stored.request_hash != request_hash:
        return _used_for_another()
    return Answer(stored.status, stored.headers, stored.body)


async def answered_once(
    db: Database, brand_id: UUID, key: str, request_hash: bytes, handle: Callable[[], Awaitable[Answer]]
) -> tuple[Answer, bool]:
    """The answer of `handle`, or the one that an equal call got before, and whether it is that one.

    What `handle` does with the database and its answer are one transaction: after a commit in doubt, or the death of the
    process, an equal call finds both or neither. Raises Unprocessable when the key was used for another request, Conflict
    when a call with it is still being handled after `WAIT_S_MAX`, and what `handle` raises: then nothing is stored.
    """
    give_up_at = time.monotonic() + WAIT_S_MAX
    while True:
        found: tuple[Answer, bool] | None = None
        async with db.as_one() as conn:
            if await store.reserve(conn, brand_id, key):
                found = await _replayed_or_handled(conn, (brand_id, key), request_hash, handle)
                failpoint("answer.before_commit")
        if found is not None:
            failpoint("answer.after_commit")
            return found
        if time.monotonic() > give_up_at:
            raise Conflict("A call with this Idempotency-Key is still being handled. Ask again in a moment.")
        await asyncio.sleep(_LOOK_EVERY_S)


async def answered_request(db: Database, brand_id: UUID, key: str) -> bytes | None:
    """The hash of the request whose answer is stored under this key; None where none is."""
    async with db.read() as conn:
        found = (await store.stored_answers(conn, [(brand_id, key)])).get((brand_id, key))
    return None if found is None else found.request_hash


async def _replayed_or_handled(
    conn: Connection, key: KeyOfBrand, request_hash: bytes, handle: Callable[[], Awaitable[Answer]]
) -> tuple[Answer, bool]:
    for stored in (await store.stored_answers(conn, [key])).values():
        found = replay(request_hash, stored)
        if isinstance(found, Unprocessable):
            raise found
        return found, True
    answer = await handle()
    stored = StoredAnswer(*key, request_hash, answer.status, dict(answer.headers), answer.body)
    if not await store.claim_keys(conn, [stored]):
        # A run, whose calls do not reserve their keys, took it meanwhile.
        raise _used_for_another()
    return answer, False


def _used_for_another() -> Unprocessable:
    return Unprocessable("This Idempotency-Key was used for another request. Take a new key for each new request.")


async def forget_answers(db: Database) -> int:
    """Forgets answers that are older than seven days; the keeper's chore. Returns how many."""

    async def forget() -> int:
        async with db.transaction() as conn:
            return await store.forget_answers(conn, FORGOTTEN_AT_ONCE_MAX)

    return await until_short(forget, FORGOTTEN_AT_ONCE_MAX)
