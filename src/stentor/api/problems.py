"""How errors look on the wire; the only place that knows their HTTP status codes.

An error becomes a `Failure`, and the envelope of the door it happened at writes that down: RFC 9457 problem details for
our own paths, whatever its clients expect for a wire family. No envelope ever shows a stack trace.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import structlog
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException

from stentor import errors
from stentor.api.edge import BodyIncomplete, BodyTooSlow
from stentor.api.request import ApiRequest, UnsupportedMedia
from stentor.errors import Problem, Violation, steps_of

log = structlog.get_logger()


class Described(msgspec.Struct, frozen=True):
    """What a problem code means to a caller: its HTTP status and its title."""

    code: str
    status: int
    title: str


STATUS: dict[type[Problem], int] = {
    errors.Invalid: 400,
    BodyIncomplete: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    BodyTooSlow: 408,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    UnsupportedMedia: 415,
    errors.Unprocessable: 422,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.NoRoom: 507,
}

METHOD_NOT_ALLOWED = Described("method-not-allowed", 405, "This path does not take that method")
INTERNAL = Described("internal-error", 500, "Something broke on our side")

# What the framework itself refuses, before any handler runs.
_FRAMEWORK: dict[int, Described] = {
    400: Described(errors.Invalid.code, 400, errors.Invalid.title),
    404: Described(errors.NotFound.code, 404, errors.NotFound.title),
    405: METHOD_NOT_ALLOWED,
    413: Described(errors.TooLarge.code, 413, errors.TooLarge.title),
}

# Clients of the older groups API read these exact sentences in `message`.
_MESSAGES = {
    401: "Unauthenticated.",
    403: "This action is unauthorized.",
    404: "Not Found.",
    429: "Too Many Attempts.",
    500: "Server Error",
    503: "Service Unavailable",
}

# What is missing and what belongs to another brand must not differ in one byte, so a 404 never says what was asked for,
# and its request id stands in the header alone.
NOT_FOUND_DETAIL = "There is nothing at this path that your key can see. Check the ids in it."


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error, ready to be written down by an envelope."""

    status: int
    code: str
    title: str
    detail: str
    violations: tuple[Violation, ...] = ()
    headers: Mapping[str, str] = {}
    problem: Problem | None = None


Envelope: TypeAlias = Callable[[ApiRequest, Failure], Response[Any]]


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457, with the members that clients of the older groups API read (`message`, `errors`) beside it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    message: str
    errors: dict[str, list[str]] = msgspec.field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    request_id: str = ""


def problem_details(request: ApiRequest, failure: Failure) -> Response[Any]:
    """The envelope of our own paths."""
    body = ProblemDetails(
        type=f"{request.base_url_text}/docs/problems#{failure.code}",
        title=failure.title,
        status=failure.status,
        detail=failure.detail,
        code=failure.code,
        message=_MESSAGES.get(failure.status) or _first_message(failure),
        errors=_by_dotted_key(failure.violations),
        violations=failure.violations,
        request_id="" if isinstance(failure.problem, errors.NotFound) else request.request_id,
    )
    return Response(
        msgspec.json.encode(body),
        status_code=failure.status,
        media_type="application/problem+json",
        headers=dict(failure.headers),
    )


def failure_of(error: Exception) -> Failure:
    """What an error means to the caller. An error that is nobody's fault but ours says only that."""
    if isinstance(error, errors.NotFound):
        return Failure(status=404, code=error.code, title=error.title, detail=NOT_FOUND_DETAIL, problem=error)
    if isinstance(error, Problem):
        return Failure(
            status=status_of(type(error)),
            code=error.code,
            title=error.title,
            detail=error.detail,
            violations=error.violations,
            headers=_headers(error),
            problem=error,
        )
    if isinstance(error, HTTPException) and error.status_code in _FRAMEWORK:
        return _refused_by_framework(error)
    return Failure(
        status=INTERNAL.status,
        code=INTERNAL.code,
        title=INTERNAL.title,
        detail="This is our fault, not yours, and it is in our log under the request id. Trying again may help.",
    )


def described() -> list[Described]:
    """Every problem code that an answer can carry, by status and code: the table on the documentation's page."""
    own = {
        kind.code: Described(kind.code, status_of(kind), kind.title)
        for root in STATUS
        for kind in [root, *_below(root)]
    }
    rows = {**own, METHOD_NOT_ALLOWED.code: METHOD_NOT_ALLOWED, INTERNAL.code: INTERNAL}
    return sorted(rows.values(), key=lambda row: (row.status, row.code))


class Errors:
    """Answers every error of the app in the envelope of the door whose path it happened under; itself raises none.

    Doors are told by the prefix of their paths; `others` say themselves which are theirs, where no prefix does.
    """

    def __init__(
        self,
        envelopes: Sequence[tuple[str, Envelope]],
        others: Sequence[tuple[Callable[[str], bool], Envelope]] = (),
    ) -> None:
        self._envelopes = sorted(envelopes, key=lambda pair: len(pair[0]), reverse=True)
        self._others = others

    def answer(self, request: ApiRequest, error: Exception) -> Response[Any]:
        failure = failure_of(error)
        if failure.status >= 500:
            log.error(
                "request.failed",
                request_id=request.request_id,
                method=request.scope["method"],
                route=request.scope.get("path_template", ""),
                code=failure.code,
                exc_info=error if failure.status == INTERNAL.status else None,
                detail=str(failure.problem or failure.detail),
            )
        envelope = self._envelope(request.scope["path"])
        try:
            return envelope(request, failure)
        except Exception as broken:
            # Past here the server would answer, with a bare 500 that no log tells of.
            log.exception("request.answer_failed", request_id=request.request_id, code=failure.code)
            return problem_details(request, failure_of(broken))

    def _envelope(self, path: str) -> Envelope:
        for owns, own in self._others:
            if owns(path):
                return own
        return next((own for prefix, own in self._envelopes if path.startswith(prefix)), problem_details)


def _refused_by_framework(error: HTTPException) -> Failure:
    row = _FRAMEWORK[error.status_code]
    violations = _parameter_violations(error) if isinstance(error, ValidationException) else ()
    detail = error.detail
    if row.status == 404:
        detail = NOT_FOUND_DETAIL
    elif row.status == 413:
        detail = "The body is larger than this path takes. Send less at once, or use an import for bulk data."
    elif row.status == 405:
        detail = f"This path takes {(error.headers or {}).get('allow', 'other methods')}."
    elif violations:
        detail = violations[0].message
    return Failure(
        status=row.status,
        code=row.code,
        title=row.title,
        detail=detail,
        violations=violations,
        headers=error.headers or {},
    )


def _parameter_violations(error: ValidationException) -> tuple[Violation, ...]:
    found = error.extra if isinstance(error.extra, list) else []
    return tuple(
        Violation(f"/{item.get('key', '')}", "invalid", f"The parameter `{item.get('key', '')}`: {item['message']}.")
        for item in found
    )


def status_of(kind: type[Problem]) -> int:
    """The HTTP status of a kind of problem; 500 for one that no request should ever meet."""
    return next((STATUS[base] for base in kind.__mro__ if base in STATUS), INTERNAL.status)


def _headers(problem: Problem) -> dict[str, str]:
    if isinstance(problem, errors.Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="stentor"'}
    if isinstance(problem, errors.Unavailable):
        return {"Retry-After": str(problem.retry_after_s)}
    if isinstance(problem, errors.RateLimited):
        own = {
            "Retry-After": str(problem.retry_after_s),
            "X-RateLimit-Remaining": str(problem.remaining),
            "X-RateLimit-Reset": str(math.ceil(time.time()) + problem.retry_after_s),
        }
        return own if problem.limit is None else {**own, "X-RateLimit-Limit": str(problem.limit)}
    return {}


def _first_message(failure: Failure) -> str:
    more = len(failure.violations) - 1
    if more < 0:
        return failure.detail
    first = failure.violations[0].message
    return f"{first} (and {more} more error{'s' if more > 1 else ''})" if more else first


def _by_dotted_key(violations: Sequence[Violation]) -> dict[str, list[str]]:
    keyed: dict[str, list[str]] = {}
    for violation in violations:
        keyed.setdefault(".".join(steps_of(violation.pointer)), []).append(violation.message)
    return keyed


def _below(root: type[Problem]) -> list[type[Problem]]:
    found = list(root.__subclasses__())
    return found + [deeper for kind in found for deeper in _below(kind)]
