"""Running an event generator: one call, and everyone who opted in to its topic hears of it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from msgspec import Meta

from stentor.api.event_generators import event_generators
from stentor.api.idempotency import REPLAYED, check_key, request_hash
from stentor.api.operation import JSON
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Conflict, Invalid, RateLimited, Unprocessable
from stentor.executions.forecasting import Forecast
from stentor.triggers.model import Accepted, Answer, Idempotency, RunCall
from stentor.triggers.service import TOPIC_KEY_CHARS_MAX


class RunInput(msgspec.Struct, frozen=True):
    """What a run is called with."""

    topic_key: Annotated[
        str, Meta(min_length=1, max_length=TOPIC_KEY_CHARS_MAX, description="The key or the id of a topic.")
    ]
    context: Annotated[dict[str, Any], Meta(description="What the templates read as `context.x`; at most 64 KiB.")]


class RunQuery(msgspec.Struct, frozen=True):
    """Whether to run at all."""

    dry_run: Annotated[
        bool, Meta(description="Answer who a run would reach, and why others not, with three samples; run nothing.")
    ] = False


class RunAnswer(msgspec.Struct, frozen=True):
    """The execution, which is on disk."""

    execution_id: UUID
    status: Literal["queued"] = "queued"


@event_generators.post(
    "/event-generators/{event_generator_id:str}/run",
    scope="run",
    status=202,
    also=(200, Forecast),
    idempotent=False,
    takes_key=True,
    problems=[Invalid, Conflict, Unprocessable, RateLimited],
    example={"topic_key": "team-42", "context": {"match_name": "Reds vs Blues", "url": "https://example.org/m/1"}},
)
async def run_event_generator(
    request: ApiRequest, caller: Caller, event_generator_id: str, body: RunInput, query: RunQuery
) -> Response[bytes] | RunAnswer:
    """Run an event generator: everyone who opted in to the topic gets its campaign.

    202 means that the execution is on disk. An unknown topic is found out when it is planned, and fails the execution as
    TOPIC_NOT_FOUND. With `dry_run=true` the answer is a 200, and no execution is made.
    """
    key = request.headers.get("idempotency-key")
    call = RunCall(
        brand_id=caller.brand_id,
        generator_id=event_generator_id,
        topic_key=body.topic_key,
        context=body.context,
        triggered_by=f"key {caller.principal.key_number}",
        is_test=caller.principal.is_test,
        idempotency=None if key is None else await _idempotency(request, key),
    )
    if query.dry_run:
        if key is not None:
            raise Invalid("A dry run changes nothing, so it takes no Idempotency-Key. Leave one of them out.")
        return _response(200, msgspec.json.encode(await request.services.triggers.dry_run(call)))
    outcome = await request.services.triggers.run(call)
    if isinstance(outcome, Accepted):
        return RunAnswer(outcome.execution_id)
    return _response(outcome.answer.status, outcome.answer.body, {REPLAYED: "true"})


async def _idempotency(request: ApiRequest, key: str) -> Idempotency:
    check_key(key)
    scope = request.scope
    asked = request_hash(scope["method"], scope["path"], scope["query_string"], await request.body())
    return Idempotency(key, asked, _answer_of)


def _answer_of(execution_id: UUID) -> Answer:
    return Answer(202, {"Content-Type": JSON}, msgspec.json.encode(RunAnswer(execution_id)))


def _response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(body, status_code=status, media_type=JSON, headers=dict(headers or {}))
