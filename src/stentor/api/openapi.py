"""The OpenAPI 3.1 document, derived from the operations and the types that they decode and encode."""

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_origin
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.routes import BaseRoute, HTTPRoute
from msgspec import UNSET

from stentor import __version__, errors
from stentor.api.edge import BodyTooSlow
from stentor.api.operation import JSON, Operation
from stentor.api.problems import described, status_of
from stentor.api.request import UnsupportedMedia

_REF = "#/components/schemas/{name}"
_LISTING = re.compile(r"Listing_(\w+)_")
_IN_PATH = re.compile(r"{(\w+)}")
_ABOUT = """One API call reaches everyone who opted in.

Times are RFC 3339 in UTC, phone numbers E.164, languages BCP 47. Lists answer `{data, next_cursor}`; send `next_cursor` back as
`cursor` for the next page. Errors are RFC 9457 problem details; their codes are explained at [/docs/problems](/docs/problems)."""

# What can go wrong with any operation, whoever wrote it.
_WITH_A_BODY = (errors.Invalid, BodyTooSlow, errors.TooLarge, UnsupportedMedia)
_WITH_A_KEY = (errors.Unauthenticated, errors.Forbidden, errors.NotFound)
_ALWAYS = (errors.Unavailable,)

_PATH_NAMES = {
    "pull_id": "Id of a pull.",
    "lease_id": "Id of a lease of a pull's rows.",
    "batch_id": "Id of a batch.",
    "profile": "`uuid` or `external_id` of a profile.",
    "tag_id": "Id of a profile tag.",
    "group_id": "The id of the brand, as `stentor brand create` shows it.",
    "organisation_id": "The id of the organisation, as `GET /v1/organisations` tells it.",
    "user_id": "The user's id.",
    "invitation_id": "The invitation's id.",
    "external_id": "Your own id of the person; a `/` in it is sent as `%2F`.",
    "listener_id": "The listener's id.",
    "client_id": "The hub client's id.",
    "test_recipient_id": "The test recipient's id.",
    "topic": "The topic's key or id.",
    "topic_id": "The topic's id.",
    "event_generator_id": "The id that you gave the event generator.",
    "erasure_id": "The erasure's id, as the answer to it names it.",
    "execution_id": "The execution's id, as the answer to its run names it.",
    "message_id": "The message's id, the same as in its Message-ID.",
    "campaign_id": "The campaign's id.",
    "import_id": "The import's id.",
    "schedule_id": "The schedule's id.",
    "segment_id": "The segment's id.",
    "sender_id": "The sender's id.",
    "optout_list": "The opt-out list's id, code or name.",
    "job_id": "The job's id.",
    "reference": "The `importReference` that the upload was prepared with, in any case.",
    "grantee_id": "The id of the group that the list is granted to.",
    "template_id": "The template's id.",
    "version_number": "The number of a version, from 1.",
    "connector_id": "The connector's id.",
    "run_id": "The id of the hub's campaign, as the connector's runs list it.",
    "channel_number": "The partner channel's number, its `ChannelID`.",
    "template_number": "The service's number of the template, its `TemplateID`.",
    "app_id": "The service's id of the app, its `AppID`; a `/` in it is sent as `%2F`.",
    "key_number": "The key's number, with which its token begins.",
}
_HEADER_NAMES = {
    "x-brand-key": "The brand's key, as `stentor brand list` shows it.",
    "X-Tenant-Id": "The tenant id, as `stentor brand list` shows it.",
}
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "<number>|st_<secret>",
        "description": "A token as `stentor key create` shows it once.",
    },
    "api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same key without its number: `st_…`.",
    },
}
_NO_SCOPES: list[str] = []
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Repeating a request with the same key answers what the first one was answered.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}


def document(routes: Iterable[BaseRoute], groups: Sequence[tuple[str, str]], *, public_url: str = "") -> dict[str, Any]:
    """The document over these routes, in these groups (tag, description); routes without an `Operation` are not in it."""
    found = list(_operations(routes))
    schemas, components = _schemas([operation for _, operation in found])
    paths: dict[str, dict[str, Any]] = {}
    for path, operation in found:
        paths.setdefault(path, {})[operation.method.lower()] = _described(path, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stentor",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url or "/"}],
        "tags": [{"name": tag, "description": about} for tag, about in groups],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": _SECURITY_SCHEMES,
            "parameters": {"IdempotencyKey": _IDEMPOTENCY_KEY},
        },
    }


def _operations(routes: Iterable[BaseRoute]) -> Iterable[tuple[str, Operation]]:
    for route in routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if isinstance(handler, HTTPRouteHandler) and isinstance(
                    found := handler.opt.get("operation"), Operation
                ):
                    yield route.path_format, found


def _schemas(operations: Sequence[Operation]) -> tuple[Mapping[Any, dict[str, Any]], dict[str, Any]]:
    kinds: dict[Any, None] = {UUID: None}
    for operation in operations:
        said = [operation.body, operation.answer, operation.dialect.error_body, *operation.ids.values()]
        kinds.update(dict.fromkeys(said))
        if operation.also:
            kinds[operation.also[1]] = None
        if operation.query is not None:
            kinds.update(dict.fromkeys(field.type for field in msgspec.structs.fields(operation.query)))
    named = [kind for kind in kinds if kind is not None and kind is not type(None) and not _is_raw(kind)]
    out, components = msgspec.json.schema_components(named, ref_template=_REF)
    tidied = dict(zip(named, _tidied(out), strict=True))
    public = {_public_name(name): _tidied(schema) for name, schema in components.items()}
    if len(public) < len(components):
        # One would stand for the other in every client that is made of the document.
        twice = Counter(map(_public_name, components))
        raise ValueError(f"Two types have one name: {', '.join(name for name, times in twice.items() if times > 1)}.")
    return tidied, public


def _public_name(name: str) -> str:
    """What clients generated from the document call a type: `Topic`, `TopicList`."""
    listed = _LISTING.fullmatch(name)
    return f"{_public_name(listed[1])}List" if listed else name.removesuffix("Body")


def _tidied(schema: Any) -> Any:
    """The schema with the public names in its references, and docstrings without their indentation."""
    if isinstance(schema, dict):
        return {key: _tidied_member(key, value) for key, value in schema.items()}
    if isinstance(schema, (list, tuple)):
        return [_tidied(inner) for inner in schema]
    return schema


def _tidied_member(key: str, value: Any) -> Any:
    if key == "$ref":
        return _REF.format(name=_public_name(value.rpartition("/")[2]))
    if key == "description" and isinstance(value, str):
        return inspect.cleandoc(value)
    return _tidied(value)


def _is_raw(kind: Any) -> bool:
    """Whether the handler makes the response itself, so that no JSON type says what is in it."""
    return issubclass(get_origin(kind) or kind, Response) if isinstance(get_origin(kind) or kind, type) else False


def _described(path: str, operation: Operation, schemas: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [*_path_parameters(path, operation, schemas), *_query_parameters(operation, schemas)],
        "responses": {**_success(operation, schemas), **_failures(operation, schemas)},
    }
    if operation.description:
        described["description"] = operation.description
    described["parameters"] += [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": _HEADER_NAMES[name],
            "schema": {"type": "string"},
        }
        for name in operation.headers
    ]
    if operation.takes_key:
        described["parameters"].append({"$ref": "#/components/parameters/IdempotencyKey"})
    if operation.body is not None:
        content: dict[str, Any] = {"schema": schemas[operation.body]}
        if operation.example is not None:
            content["example"] = operation.example
        described["requestBody"] = {"required": True, "content": {JSON: content}}
    if operation.upload:
        described["requestBody"] = {
            "required": True,
            "content": {
                media: {"schema": {"type": "string"}, "example": example} for media, example in operation.upload.items()
            },
        }
    # Any one of the keys will do; what needs none has an empty list.
    keys = operation.dialect.keys if operation.scope else ()
    described["security"] = [dict.fromkeys([scheme], _NO_SCOPES) for scheme in keys]
    return described


def _path_parameters(path: str, operation: Operation, schemas: Mapping[Any, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schemas[operation.ids.get(name, UUID)],
            "description": _PATH_NAMES[name],
        }
        for name in _IN_PATH.findall(path)
    ]


def _query_parameters(operation: Operation, schemas: Mapping[Any, dict[str, Any]]) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    parameters: list[dict[str, Any]] = []
    for field in msgspec.structs.fields(operation.query):
        schema = _without_null(schemas[field.type])
        if field.default not in {msgspec.NODEFAULT, None, UNSET}:
            schema = {**schema, "default": field.default}
        parameter = {"name": field.encode_name, "in": "query", "required": field.required, "schema": schema}
        if description := schema.get("description"):
            parameter["description"] = description
        parameters.append(parameter)
    return parameters


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query cannot say null, it leaves the parameter out."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name not in {"anyOf", "default"}}, **kinds[0]}


def _success(operation: Operation, schemas: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    answers = [(operation.status, operation.answer), *([operation.also] if operation.also else [])]
    return {str(status): _answer(operation, status, kind, schemas) for status, kind in answers}


def _answer(operation: Operation, status: int, kind: Any, schemas: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": _headers(operation)}
    if kind is not type(None):
        response["content"] = {operation.media: {"schema": schemas.get(kind, {"type": "string"})}}
    return response


_HEADERS = {"X-Request-Id": {"description": "The id of this request, in our log too.", "schema": {"type": "string"}}}

_RATE_HEADERS = {
    name: {"description": about, "schema": {"type": kind}}
    for name, kind, about in (
        (
            "X-Ratelimit-Limit",
            "integer",
            "Calls in a window, by the limit with the least left. Not there where all are lifted.",
        ),
        ("X-Ratelimit-Remaining", "integer", "How many of them are left."),
        (
            "X-Ratelimit-Reset",
            "integer",
            "When its window ends and all of them are there again, in seconds since 1970.",
        ),
        ("RateLimit-Policy", "string", "All limits that hold, in the words of the IETF's draft."),
        ("RateLimit", "string", "The one with the least left, in the words of the IETF's draft."),
    )
}


def _headers(operation: Operation) -> dict[str, Any]:
    return {**_HEADERS, **_RATE_HEADERS} if operation.is_counted else _HEADERS


def _failures(operation: Operation, schemas: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    kinds: list[type[errors.Problem]] = [*operation.problems, *_ALWAYS]
    if operation.body is not None or operation.upload:
        kinds += _WITH_A_BODY
    if operation.query is not None or operation.takes_key:
        kinds.append(errors.Invalid)
    if operation.is_idempotent:
        kinds += [errors.Conflict, errors.Unprocessable]
    if operation.scope is not None:
        kinds += _WITH_A_KEY
    if operation.is_counted:
        kinds.append(errors.RateLimited)
    by_status: dict[int, set[str]] = {500: {"internal-error"}}
    for kind in kinds:
        by_status.setdefault(status_of(kind), set()).add(kind.code)
    titles = {row.code: row.title for row in described()}
    return {
        str(status): {
            "description": "; ".join(f"{titles[code]} (`{code}`)" for code in sorted(codes)),
            "headers": _headers(operation),
            "content": {operation.dialect.error_media: {"schema": schemas[operation.dialect.error_body]}},
        }
        for status, codes in sorted(by_status.items())
    }
