"""A POST with an `Idempotency-Key` is handled once, and its answer is replayed to whoever asks the same again.

Calls that are one transaction of their own (running an event generator) store their answer in it and do not come here.
The others are claimed first, handled, and stored: a second call with the same key waits for the first one's answer. What
they did is committed before their answer is stored. When the process is killed in between, an equal call is handled again
after a minute: things that carry a name or an id of the caller's are then found to exist, others are made a second time.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from litestar import Response
from litestar.types import HTTPScope

from stentor.answers import service as answers
from stentor.answers.model import Answer
from stentor.api.request import ApiRequest, Caller
from stentor.db.pool import Database
from stentor.errors import Invalid, Unprocessable

KEY_CHARS_MAX = 255
# How long a call waits for the answer of an equal one that is being handled.
WAIT_S_MAX = 10.0
_LOOK_EVERY_S = 0.05

REPLAYED = "Idempotency-Replayed"


async def answered_once(
    request: ApiRequest, caller: Caller, key: str, handle: Callable[[], Awaitable[Response[Any]]]
) -> Response[Any]:
    """The answer of `handle`, or the stored one of an equal request before.

    Only a success is stored; what failed may be tried again under the same key. Raises Invalid for a key that is none,
    Unprocessable when the key was used for another request, and Conflict when an equal one is still being handled.
    """
    check_key(key)
    db, brand_id = request.services.database, caller.brand_id
    wanted = request_hash(request.scope, await request.body(), is_test=caller.principal.is_test)
    claimed_at = await _claim_or_answer(db, brand_id, key, wanted)
    if isinstance(claimed_at, Response):
        return claimed_at
    try:
        response = await handle()
    except BaseException:
        await asyncio.shield(answers.abandon(db, brand_id, key, claimed_at=claimed_at))
        raise
    answer = Answer(response.status_code or 200, _stored_headers(response), response.content or b"")
    await answers.finish(db, brand_id, key, answer, claimed_at=claimed_at)
    return response


def check_key(key: str) -> None:
    """Raises Invalid for an Idempotency-Key that is empty, longer than 255 characters, or not printable ASCII."""
    if not 1 <= len(key) <= KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
        raise Invalid(
            f"The Idempotency-Key has to be 1 to {KEY_CHARS_MAX} printable ASCII characters. A UUID is a good one."
        )


def request_hash(scope: HTTPScope, body: bytes, *, is_test: bool) -> bytes:
    """32 bytes that are the same for the same request: method, path, query and body, and whether its key is a test's.

    What a test was told is never told to others: their call would be answered as accepted, and reach nobody.
    """
    digest = hashlib.sha256(f"{scope['method']} {scope['path']}?".encode())
    digest.update(scope["query_string"])
    digest.update(b"\ntest\n" if is_test else b"\n")
    digest.update(body)
    return digest.digest()


async def _claim_or_answer(db: Database, brand_id: UUID, key: str, wanted: bytes) -> datetime | Response[Any]:
    give_up_at = time.monotonic() + WAIT_S_MAX
    while True:
        found = await answers.begin(db, brand_id, key, wanted)
        if isinstance(found, datetime):
            return found
        if found is not None:
            answer = answers.replay(wanted, found)
            if isinstance(answer, Answer):
                return _replayed(answer)
            if isinstance(answer, Unprocessable) or time.monotonic() > give_up_at:
                raise answer
        await asyncio.sleep(_LOOK_EVERY_S)


def _replayed(answer: Answer) -> Response[Any]:
    headers = {**answer.headers, REPLAYED: "true"}
    return Response(
        answer.body or None,
        status_code=answer.status,
        headers=headers,
        media_type=headers.pop("Content-Type", None),
    )


def _stored_headers(response: Response[Any]) -> dict[str, str]:
    stored = {name: value for name, value in response.headers.items() if name.lower() == "location"}
    if response.media_type is not None:
        stored["Content-Type"] = str(response.media_type)
    return stored
