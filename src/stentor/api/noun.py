"""The way from a request to a service's answer, the same for every operation that is described by its handler.

A handler is a plain function of the request, the caller, the ids in its path, its `body` and its `query`:

    @topics.post("/topics", scope="write", status=201, problems=[Conflict], example={"key": "team-42"})
    async def create_topic(request: ApiRequest, caller: Caller, body: TopicInput) -> TopicBody:
        \"\"\"Create a topic.\"\"\"

The annotations are the contract: body and query are decoded strictly into them, an id that is no UUID is nothing that
exists, and the OpenAPI document is derived from the same types.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from stentor.accounts.model import Scope
from stentor.api.edge import unescaped
from stentor.api.idempotency import answered_once
from stentor.api.operation import JSON, NATIVE, Dialect, Method, Operation, Reply
from stentor.api.request import ApiRequest
from stentor.errors import NotFound, Problem

EVENTS = "text/event-stream"

Access: TypeAlias = Callable[[ApiRequest, Scope], Awaitable[Any]]
Pace: TypeAlias = Callable[[ApiRequest, Operation, str, Any], Awaitable[None]]
Admission: TypeAlias = Callable[[ApiRequest], Awaitable[Any]]
Handler: TypeAlias = Callable[..., Awaitable[Any]]


class Noun:
    """The operations of one thing, which the reference shows together.

    `access` finds out who calls and for which brand, and raises Unauthenticated, NotFound or Forbidden; without it the
    operations are open to everyone, and `admission` turns away, before anything of a body is looked at, who may not come
    in: what it answers is the handlers' `admitted`. `pace` counts the call of whoever may make it, and raises RateLimited; an answer
    that is given again costs nothing. `query` is what either reads of the query, where it does.
    """

    def __init__(
        self,
        tag: str,
        about: str,
        *,
        prefix: str = "",
        access: Access | None = None,
        pace: Pace | None = None,
        admission: Admission | None = None,
        query: type[msgspec.Struct] | None = None,
        dialect: Dialect = NATIVE,
    ) -> None:
        self.tag = tag
        self.about = about
        self.handlers: list[HTTPRouteHandler] = []
        self._prefix = prefix
        self._access = access
        self._pace = pace
        self._admission = admission
        self._query = query
        self._dialect = dialect
        self.get = functools.partial(self._operation, "GET")
        self.post = functools.partial(self._operation, "POST")
        self.put = functools.partial(self._operation, "PUT")
        self.patch = functools.partial(self._operation, "PATCH")
        self.delete = functools.partial(self._operation, "DELETE")

    def _operation(
        self,
        method: Method,
        path: str,
        *,
        scope: Scope | None = None,
        status: int = 200,
        also: tuple[int, Any] | None = None,
        media: str = JSON,
        problems: Sequence[type[Problem]] = (),
        example: Any = None,
        idempotent: bool | None = None,
        takes_key: bool = False,
        headers: Sequence[str] = (),
        upload: Mapping[str, str] | None = None,
        reads: Any = None,
        bytes_max: int | None = None,
    ) -> Callable[[Handler], Handler]:
        """Registers a handler. `bytes_max` lifts the limit of the body's size, for uploads.

        `reads` is the type of a JSON body that the handler reads and checks itself, because its mistakes are told otherwise.
        """
        is_idempotent = method == "POST" and not upload if idempotent is None else idempotent

        def register(handler: Handler) -> Handler:
            hints = get_type_hints(handler, include_extras=True)
            summary, _, description = " ".join((handler.__doc__ or "").split()).partition(". ")
            answer = hints.pop("return")
            operation = Operation(
                id=_camel(handler.__name__),
                tag=self.tag,
                method=method,
                summary=summary.removesuffix("."),
                description=description,
                status=status,
                also=also,
                scope=scope,
                ids={name: kind for name, kind in hints.items() if f"{{{name}:str}}" in self._prefix + path},
                body=hints.get("body", reads),
                query=hints.get("query", self._query),
                answer=_body_of(answer),
                media=media,
                problems=tuple(problems),
                example=example,
                is_idempotent=is_idempotent,
                takes_key=is_idempotent or takes_key,
                # A stream is no call that could be made less often, and a run is counted by the bucket of its brand.
                is_counted=self._pace is not None and media != EVENTS and scope not in {None, "run"},
                headers=tuple(headers),
                dialect=self._dialect,
                upload=upload or {},
            )
            # The handler's responses carry their status; the framework would refuse a 204 that may turn out to be an error.
            limit: dict[str, Any] = {} if bytes_max is None else {"request_max_body_size": bytes_max}
            route = HTTPRouteHandler(
                self._prefix + path, http_method=method, status_code=200, opt={"operation": operation}, **limit
            )
            way_in = _WayIn(self._access, self._pace, self._admission, path)
            self.handlers.append(route(_answering(operation, handler, way_in)))
            return handler

        return register


class _WayIn(msgspec.Struct, frozen=True):
    """What a request passes before its handler; `path` is the operation's, below the noun's prefix."""

    access: Access | None
    pace: Pace | None
    admission: Admission | None
    path: str


def _answering(operation: Operation, handler: Handler, way_in: _WayIn) -> Callable[..., Awaitable[Response[Any]]]:
    takes_body = "body" in inspect.signature(handler).parameters
    body = msgspec.json.Decoder(operation.body) if takes_body else None
    query = operation.query if "query" in inspect.signature(handler).parameters else None

    async def answer(request: ApiRequest) -> Response[Any]:
        arguments: dict[str, Any] = {"request": request}
        if way_in.access is not None and operation.scope is not None:
            caller = arguments["caller"] = await way_in.access(request, operation.scope)
            if way_in.pace is not None and operation.is_counted:
                await way_in.pace(request, operation, way_in.path, caller)
        if way_in.admission is not None:
            arguments["admitted"] = await way_in.admission(request)
        for name, kind in operation.ids.items():
            arguments[name] = _read_id(request.path_params[name], kind)
        if query is not None:
            # Whoever narrows a list by a misspelt parameter must not take the whole list for the answer.
            arguments["query"] = request.decoded_query(query, known_alone=operation.dialect is NATIVE)

        async def handle() -> Response[Any]:
            if body is not None:
                arguments["body"] = await request.decoded(body)
            return _encoded(operation, await handler(**arguments))

        key = request.headers.get("idempotency-key") if operation.is_idempotent else None
        if key is None or way_in.access is None:
            return await handle()
        return await answered_once(request, arguments["caller"], key, handle)

    answer.__name__ = handler.__name__
    return answer


def _encoded(operation: Operation, value: Any) -> Response[Any]:
    if isinstance(value, Response):
        return value
    status, headers = operation.status, dict[str, str]()
    if isinstance(value, Reply):
        status, headers, value = value.status or status, dict(value.headers), value.value
    if value is None:
        return Response(b"", status_code=status, headers=headers, media_type="text/plain")
    return Response(msgspec.json.encode(value), status_code=status, media_type=operation.media, headers=headers)


def _body_of(answer: Any) -> Any:
    """The type that is encoded: what a Reply carries, and what a handler gives that sometimes makes its own response."""
    if get_origin(answer) is Reply:
        return get_args(answer)[0]
    if get_origin(answer) in {Union, UnionType}:
        return next(kind for kind in get_args(answer) if get_origin(kind) is not Response)
    return answer


def _read_id(text: str, kind: Any) -> Any:
    if kind is not UUID:
        return unescaped(text)
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("This is not the id of anything.") from None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
