"""Running an event generator: one call, and everyone who opted in to its topic hears of it."""

from collections.abc import Callable
from typing import Literal
from uuid import UUID

import msgspec
from litestar import Response

from stentor.answers.model import Answer
from stentor.api.calling import RunInput, RunQuery, answer_to, dry_run, idempotency_of, json_response, run_call
from stentor.api.event_generators import event_generators
from stentor.api.operation import JSON
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Conflict, Invalid, RateLimited, Unprocessable
from stentor.executions.forecasting import Forecast


class RunAnswer(msgspec.Struct, frozen=True):
    """The execution, which is on disk."""

    execution_id: UUID
    status: Literal["queued", "scheduled"]


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
    TOPIC_NOT_FOUND. A call about an event that was told of before is answered with that call's execution and the header
    `Stentor-Deduplicated: true`, where the event generator says which calls are about the same event. With `start_at` the
    execution is `scheduled` until then, may be paused or cancelled like any other, and takes its audience when it starts. With `dry_run=true` the answer is a 200, and no execution is made.
    """
    key = request.headers.get("idempotency-key")
    accepted = _answers(body)
    idempotency = idempotency_of(key, caller, request.scope, await request.body(), accepted)
    call = run_call(caller, event_generator_id, body, idempotency)
    if query.dry_run:
        return await dry_run(request, call)
    answer = answer_to(await request.services.triggers.run(call), accepted)
    return json_response(answer.body, answer.status, answer.headers)


def _answers(asked: RunInput) -> Callable[[UUID], Answer]:
    status: Literal["queued", "scheduled"] = "queued" if asked.start_at is None else "scheduled"

    def accepted(execution_id: UUID) -> Answer:
        return Answer(202, {"Content-Type": JSON}, msgspec.json.encode(RunAnswer(execution_id, status)))

    return accepted
