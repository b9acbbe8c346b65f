"""A POST with an `Idempotency-Key` is handled once, and its answer is replayed to whoever asks the same again."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Response
from litestar.types import HTTPScope

from stentor.answers import service as answers
from stentor.answers.model import Answer
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Invalid

KEY_CHARS_MAX = 255

REPLAYED = "Idempotency-Replayed"


async def answered_once(
    request: ApiRequest, caller: Caller, key: str, handle: Callable[[], Awaitable[Response[Any]]]
) -> Response[Any]:
    """The answer of `handle`, or the stored one of an equal request before. What `handle` stores is stored with its answer.

    Only a success is stored; what failed may be tried again under the same key. Raises Invalid for a key that is none,
    Unprocessable when the key was used for another request, and Conflict when an equal one is still being handled.
    """
    check_key(key)
    wanted = request_hash(request.scope, await request.body(), is_test=caller.principal.is_test)

    async def handled() -> Answer:
        response = await handle()
        return Answer(response.status_code or 200, _stored_headers(response), response.content or b"")

    answer, is_replayed = await answers.answered_once(request.services.database, caller.brand_id, key, wanted, handled)
    return _response(answer, {REPLAYED: "true"} if is_replayed else {})


async def is_replay(request: ApiRequest, caller: Caller) -> bool:
    """Whether an equal request was answered under this one's `Idempotency-Key`, so that it gets that answer."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return False
    answered = await answers.answered_request(request.services.database, caller.brand_id, key)
    # The body is waited for only where it matters.
    return answered is not None and answered == request_hash(
        request.scope, await request.body(), is_test=caller.principal.is_test
    )


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


def _response(answer: Answer, more: dict[str, str]) -> Response[Any]:
    headers = {**answer.headers, **more}
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
