"""API-triggered campaigns as their clients know them: run an event generator, ask what became of it.

Paths, headers, bodies and status codes are those of the public contract; what it leaves open is decided here. Either key
missing is a 401, and so is an unknown `x-api-key`; an `x-brand-key` that is unknown, or a brand that the key may not act
for, is one and the same 403, decided before anything is looked up; what another brand owns is a 404 with the very bytes of
what does not exist.
"""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.types import HTTPScope

from stentor.accounts.model import Scope
from stentor.answers.model import Answer
from stentor.api import calling
from stentor.api.calling import RunInput, RunQuery, dry_run, idempotency_of, json_response, run_call
from stentor.api.edge import unescaped
from stentor.api.operation import JSON, Dialect, Operation
from stentor.api.problems import Failure
from stentor.api.request import ApiRequest, Caller
from stentor.api.services import Services
from stentor.api.strict_json import decode
from stentor.errors import Conflict, Forbidden, NotFound, RateLimited, Unauthenticated, Unprocessable, steps_of
from stentor.executions.forecasting import Forecast
from stentor.executions.model import OVER, ErrorCode, Execution
from stentor.triggers.model import RunCall, RunOutcome

PREFIX = "/smart-campaigns/v1"

_BRAND_KEY = re.compile(r"br_[0-9A-Za-z]{22}")
_EXECUTION_ID = re.compile(r"exec-([0-9a-f]{32})")

_CODES = {
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    422: "UNPROCESSABLE_ENTITY",
    429: "RATE_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}


class ExecutionStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client polls. A key whose value is not known yet is absent."""

    execution_id: str
    status: str
    created_at: str
    updated_at: str
    event_generator_id: str
    topic_key: str
    audience_size: int | None = None
    error_code: ErrorCode | None = None
    error_message: str | None = None


class ErrorFacts(msgspec.Struct, frozen=True, rename="camel"):
    """The inside of the error envelope. `request_id` is null in a 404, which says nothing that could differ."""

    code: str
    message: str
    details: dict[str, Any] | None
    request_id: str | None


class ErrorBody(msgspec.Struct, frozen=True):
    """The error envelope of this API family."""

    error: ErrorFacts


class RunAccepted(msgspec.Struct, frozen=True):
    """The execution, which is on disk."""

    execution_id: str
    status: str


_RUN_INPUT = msgspec.json.Decoder(RunInput)

TAG = "smart-campaigns"
ABOUT = (
    "API-triggered campaigns in the words of their clients: one call, and everyone who opted in to the topic hears of it. "
    "`x-brand-key` names the brand, `x-api-key` opens it."
)
_DIALECT = Dialect(JSON, ErrorBody, ("api_key",))
_REFUSALS = (Unauthenticated, Forbidden, NotFound)

_RUN = Operation(
    id="runSmartCampaign",
    tag=TAG,
    method="POST",
    summary="Run an event generator",
    description="202 means that its execution is on disk. Poll its status. With `dry_run=true` nothing is run.",
    status=202,
    also=(200, Forecast),
    scope="run",
    ids={"event_generator_id": str},
    body=RunInput,
    query=RunQuery,
    answer=RunAccepted,
    problems=(*_REFUSALS, Conflict, Unprocessable, RateLimited),
    example={"topic_key": "team-42", "context": {"match_name": "Reds vs Blues", "url": "https://example.org/m/1"}},
    takes_key=True,
    headers=("x-brand-key",),
    dialect=_DIALECT,
)
_STATUS = Operation(
    id="getSmartCampaignStatus",
    tag=TAG,
    method="GET",
    summary="Ask for the status of an execution",
    description="Keys whose values are not known yet are absent.",
    scope="run",
    ids={"execution_id": str},
    answer=ExecutionStatus,
    problems=_REFUSALS,
    headers=("x-brand-key",),
    dialect=_DIALECT,
)


@post(f"{PREFIX}/event-generators/{{event_generator_id:str}}/run", status_code=202, opt={"operation": _RUN})
async def run(request: ApiRequest) -> Response[bytes]:
    """Accepts a call: 202 means that its execution is on disk."""
    caller = await authorised(request.services, *_keys(request), "run")
    key = request.headers.get("idempotency-key")
    dry = request.decoded_query(RunQuery).dry_run
    body = await request.body()
    call = call_of(caller, unescaped(request.path_params["event_generator_id"]), key, request.scope, body)
    if dry:
        return await dry_run(request, call)
    answer = answer_to(await request.services.triggers.run(call))
    return json_response(answer.body, answer.status, answer.headers)


@get(f"{PREFIX}/executions/{{execution_id:str}}/status", opt={"operation": _STATUS})
async def status(request: ApiRequest) -> Response[bytes]:
    """What became of a call."""
    caller = await authorised(request.services, *_keys(request), "run", "read")
    named = _EXECUTION_ID.fullmatch(request.path_params["execution_id"])
    if named is None:
        raise NotFound("This brand has no such execution.")
    execution = await request.services.executions.find(caller.brand_id, UUID(named[1]))
    return json_response(msgspec.json.encode(status_of(execution)), 200)


handlers = (run, status)


def envelope(request: ApiRequest, failure: Failure) -> Response[bytes]:
    """An error as clients of this family expect it."""
    facts = ErrorFacts(
        code=_CODES.get(failure.status) or ("VALIDATION_ERROR" if _fields(failure) else "INVALID_REQUEST"),
        message=failure.detail,
        details=_details(failure),
        request_id=None if failure.status == 404 else request.request_id,
    )
    return json_response(msgspec.json.encode(ErrorBody(facts)), failure.status, failure.headers)


async def authorised(services: Services, api_key: str, brand_key: str, *scopes: Scope) -> Caller:
    """The holder of `x-api-key`, acting for the brand in `x-brand-key` with one of the scopes.

    Raises Unauthenticated when a key is missing or the first one is unknown, Forbidden when there is no such brand for it.
    """
    if not api_key or not brand_key:
        raise Unauthenticated("Two keys are needed. Send both headers, `x-api-key` and `x-brand-key`.")
    principal = await services.keys.principal(api_key)
    if principal is None:
        raise Unauthenticated("The x-api-key is unknown or revoked. Make a new one with `stentor key create`.")
    brand = await services.brands.by_key(brand_key) if _BRAND_KEY.fullmatch(brand_key) else None
    if brand is None or not principal.may_act_for(brand):
        raise Forbidden("The x-api-key may not act for the brand in x-brand-key. Check that both are of one brand.")
    if not any(principal.may(scope) for scope in scopes):
        raise Forbidden(f"This needs an x-api-key with the scope `{scopes[0]}`. Make one with `stentor key create`.")
    return Caller(principal, brand)


def call_of(caller: Caller, generator_id: str, key: str | None, scope: HTTPScope, body: bytes) -> RunCall:
    """The call that a request makes. Raises Invalid for a body, or an idempotency key, that is none."""
    asked = decode(body, _RUN_INPUT)
    return run_call(caller, generator_id, asked, idempotency_of(key, caller, scope, body, accepted_answer))


def accepted_answer(execution_id: UUID) -> Answer:
    """What an accepted call is answered."""
    body = b'{"execution_id":"exec-%b","status":"queued"}' % execution_id.hex.encode()
    return Answer(202, {"Content-Type": JSON}, body)


def answer_to(outcome: RunOutcome) -> Answer:
    """What the caller is answered; a replay says that it is one."""
    return calling.answer_to(outcome, accepted_answer)


def status_of(execution: Execution) -> ExecutionStatus:
    """The execution in this family's words: published once everybody is planned, and for ever."""
    published = execution.published_at is not None
    failed = not published and execution.state in OVER
    if failed:
        word = "failed"
    elif published:
        word = "published"
    else:
        word = "processing" if execution.state == "planning" else "queued"
    return ExecutionStatus(
        execution_id=f"exec-{execution.id.hex}",
        status=word,
        created_at=_to_the_second(execution.created_at),
        updated_at=_to_the_second(execution.status_at),
        event_generator_id=execution.generator_id,
        topic_key=execution.topic_key,
        audience_size=execution.audience_size if published else None,
        error_code=(execution.error_code or "INTERNAL") if failed else None,
        error_message=execution.error_message if failed else None,
    )


def _to_the_second(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _keys(request: ApiRequest) -> tuple[str, str]:
    return request.headers.get("x-api-key", ""), request.headers.get("x-brand-key", "")


def _details(failure: Failure) -> dict[str, Any] | None:
    if fields := _fields(failure):
        return {"fields": fields}
    if failure.status == 429:
        return {"retryAfter": int(failure.headers["Retry-After"])}
    return None


def _fields(failure: Failure) -> list[dict[str, str]]:
    return [
        {"field": ".".join(steps_of(violation.pointer)), "message": violation.message}
        for violation in failure.violations
        if violation.pointer
    ]
