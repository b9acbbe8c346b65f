"""Running an event generator: one call, and everyone who opted in to its topic hears of it."""

from datetime import timedelta
from typing import Literal
from uuid import UUID

import msgspec
from litestar import Response

from stentor.answers.model import Answer
from stentor.api.calling import RunInput, RunQuery, answer_to, dry_run, idempotency_of, json_response, run_call
from stentor.api.event_generators import event_generators
from stentor.api.operation import JSON
from stentor.api.request import ApiRequest, Caller
from stentor.clock import Clock
from stentor.domain.ids import was_made_before
from stentor.errors import Conflict, Invalid, RateLimited, Unprocessable
from stentor.executions.forecasting import Forecast

# Ids are in the order of their making, and so a little ahead of the clock when many are made.
_AT_ONCE = timedelta(seconds=1)


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
    idempotency = idempotency_of(key, caller, request.scope, await request.body(), _accepted)
    call = run_call(caller, event_generator_id, body, idempotency)
    if query.dry_run:
        return await dry_run(request, call)
    answer = answer_to(await request.services.triggers.run(call), _accepted)
    return json_response(answer.body, answer.status, answer.headers)


def _accepted(execution_id: UUID) -> Answer:
    # Of an earlier call about the same event, too, the id alone says when it is to start.
    starts_now = was_made_before(execution_id, Clock().now() + _AT_ONCE)
    return Answer(
        202,
        {"Content-Type": JSON},
        msgspec.json.encode(RunAnswer(execution_id, "queued" if starts_now else "scheduled")),
    )
