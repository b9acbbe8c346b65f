"""Running an event generator, whichever door it is asked at: what a call says, and how it is answered once."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.types import HTTPScope
from msgspec import Meta

from stentor.answers.model import Answer, Idempotency
from stentor.api.idempotency import REPLAYED, check_key, request_hash
from stentor.api.operation import JSON
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Invalid
from stentor.triggers.checking import TOPIC_KEY_CHARS_MAX
from stentor.triggers.model import Deduplicated, Replayed, RunCall, RunOutcome
from stentor.triggers.service import START_AHEAD_DAYS_MAX

DEDUPLICATED = "Stentor-Deduplicated"


class RunInput(msgspec.Struct, frozen=True):
    """What a run is called with. Clients send further keys of their own, which mean nothing here."""

    topic_key: Annotated[
        str, Meta(min_length=1, max_length=TOPIC_KEY_CHARS_MAX, description="The key or the id of a topic.")
    ]
    context: Annotated[dict[str, Any], Meta(description="What the templates read as `context.x`; at most 64 KiB.")]
    start_at: (
        Annotated[
            datetime,
            Meta(
                tz=True,
                description=f"When to start, with an offset, at most {START_AHEAD_DAYS_MAX} days ahead; left out, at once.",
            ),
        ]
        | None
    ) = None


class RunQuery(msgspec.Struct, frozen=True):
    """Whether to run at all."""

    dry_run: Annotated[
        bool, Meta(description="Answer who a run would reach, and why others not, with three samples; run nothing.")
    ] = False


def idempotency_of(
    key: str | None, caller: Caller, scope: HTTPScope, body: bytes, accepted: Callable[[UUID], Answer]
) -> Idempotency | None:
    """The wish to be answered once that a request's `Idempotency-Key` is. Raises Invalid for a key that is none."""
    if key is None:
        return None
    check_key(key)
    asked = request_hash(scope, body, is_test=caller.principal.is_test)
    return Idempotency(key, asked, lambda execution_id, told: _answered(accepted(execution_id), told_before=told))


def run_call(caller: Caller, generator_id: str, asked: RunInput, idempotency: Idempotency | None) -> RunCall:
    """The call that a caller makes."""
    return RunCall(
        brand_id=caller.brand_id,
        generator_id=generator_id,
        topic_key=asked.topic_key,
        context=asked.context,
        triggered_by=f"key {caller.principal.key_number}",
        is_test=caller.principal.is_test,
        start_at=asked.start_at,
        idempotency=idempotency,
    )


def answer_to(outcome: RunOutcome, accepted: Callable[[UUID], Answer]) -> Answer:
    """What the caller is answered; a replay says that it is one, and so does the execution of an earlier call."""
    if isinstance(outcome, Replayed):
        return msgspec.structs.replace(outcome.answer, headers={**outcome.answer.headers, REPLAYED: "true"})
    return _answered(accepted(outcome.execution_id), told_before=isinstance(outcome, Deduplicated))


def _answered(answer: Answer, *, told_before: bool) -> Answer:
    if not told_before:
        return answer
    return msgspec.structs.replace(answer, headers={**answer.headers, DEDUPLICATED: "true"})


async def dry_run(request: ApiRequest, call: RunCall) -> Response[bytes]:
    """Who the call would reach. Raises Invalid for a call that wants to be answered once."""
    if call.idempotency is not None:
        raise Invalid("A dry run changes nothing, so it takes no Idempotency-Key. Leave one of them out.")
    return json_response(msgspec.json.encode(await request.services.triggers.dry_run(call)), 200)


def json_response(body: bytes, status: int, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """A body that is JSON already, as the framework sends it."""
    return Response(body, status_code=status, media_type=JSON, headers=dict(headers or {}))
