"""One documented operation: what it takes and answers, from which the reference and the OpenAPI document are made."""

from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from stentor.accounts.model import Scope
from stentor.api.problems import ProblemDetails
from stentor.errors import Problem

T = TypeVar("T")

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
KeyScheme: TypeAlias = Literal["bearer", "api_key"]

JSON = "application/json"


class Reply(msgspec.Struct, Generic[T], frozen=True):
    """An answer with more than a body: another status, headers of its own."""

    value: T
    status: int | None = None
    headers: Mapping[str, str] = {}


class Dialect(msgspec.Struct, frozen=True):
    """How a family of operations writes its errors down, and which keys open it, either of them alone."""

    error_media: str
    error_body: Any
    keys: tuple[KeyScheme, ...] = ()


NATIVE = Dialect("application/problem+json", ProblemDetails, ("bearer", "api_key"))
PLAIN_SENTENCES = Dialect("text/plain", str)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation takes and answers, as the reference tells it."""

    id: str
    tag: str
    method: Method
    summary: str
    answer: Any
    description: str = ""
    status: int = 200
    also: tuple[int, Any] | None = None
    """Another status of success, and the type of its body."""
    scope: Scope | None = None
    """What the key must be allowed; None for what needs no key."""
    ids: Mapping[str, Any] = {}
    body: Any = None
    query: Any = None
    media: str = JSON
    problems: tuple[type[Problem], ...] = ()
    example: Any = None
    is_idempotent: bool = False
    """Whether we see to it that it is handled once under an `Idempotency-Key`."""
    takes_key: bool = False
    """Whether an `Idempotency-Key` is read: by us, or by the handler, whose transaction then stores the answer."""
    is_counted: bool = False
    """Whether calls are counted by the limits of user, group or key, of which its answers then tell."""
    headers: tuple[str, ...] = ()
    """Request headers that are needed beside those that all need."""
    dialect: Dialect = NATIVE
    upload: Mapping[str, str] = {}
    """Media types of a body that is streamed, with an example each; empty for JSON."""
