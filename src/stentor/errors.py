"""Errors that a caller can act on.

Problem
├── Invalid          the request breaks a rule; `violations` name the fields
├── Unauthenticated  no key, or not one of ours
├── Forbidden        a key that may not do this
├── NotFound         no such thing, or not in this brand
├── Conflict         the thing exists, or is in a state that does not allow this
│   └── QuotaExceeded  the brand has as many of these as it may have
├── Unprocessable    understood, but refused as a whole (wrong type of generator, a reused idempotency key)
├── TooLarge         a limit of size was passed
├── RateLimited      too many calls; `retry_after_s` says when to come back
└── Unavailable      a part we need does not answer now; nothing was half done
    └── NoRoom       the disk is nearly full

Which HTTP status each becomes is the business of `stentor.api.problems` alone.
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec


class Violation(msgspec.Struct, frozen=True):
    """One broken rule: where (a JSON pointer into the request), which (a stable code) and what to do (a sentence)."""

    pointer: str
    code: str
    message: str


def pointer_to(*steps: str | int) -> str:
    """The JSON pointer (RFC 6901) to what these names and indices lead to."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def steps_of(pointer: str) -> list[str]:
    """The names and indices that a JSON pointer leads along."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def pointer_of_path(path: str) -> str:
    """The JSON pointer to a place as msgspec's errors name it, without their `$`: `.rules[0].days` is `/rules/0/days`."""
    return pointer_to(*(name or index for name, index in _PATH_STEP.findall(path)))


_PATH_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


class Problem(Exception):
    """What went wrong, in a sentence that says what to do next, with a stable `code` and data as attributes."""

    code: ClassVar[str] = "problem"
    title: ClassVar[str] = "The request could not be served"

    def __init__(self, detail: str, *, violations: Sequence[Violation] = (), **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.violations = tuple(violations)
        self.facts = facts


class Invalid(Problem):
    code = "invalid-request"
    title = "The request breaks a rule"

    @classmethod
    def field(cls, pointer: str, code: str, message: str) -> "Invalid":
        """One violation, its message repeated as the detail."""
        return cls(message, violations=[Violation(pointer, code, message)])


class Unauthenticated(Problem):
    code = "unauthenticated"
    title = "A valid key is needed"


class Forbidden(Problem):
    code = "forbidden"
    title = "This key may not do that"


class NotFound(Problem):
    code = "not-found"
    title = "Not found"


class Conflict(Problem):
    code = "conflict"
    title = "The state of the thing does not allow this"


class QuotaExceeded(Conflict):
    code = "quota-exceeded"
    title = "There are as many as there may be"


class Unprocessable(Problem):
    code = "unprocessable"
    title = "Understood, but refused"


class TooLarge(Problem):
    code = "too-large"
    title = "A limit of size was passed"


class RateLimited(Problem):
    code = "rate-limited"
    title = "Too many calls"

    def __init__(self, detail: str, *, retry_after_s: int, limit: int | None = None, remaining: int = 0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s
        self.limit = limit
        self.remaining = remaining


class Unavailable(Problem):
    code = "unavailable"
    title = "Not available right now"

    def __init__(self, detail: str, *, retry_after_s: int = 1, reason: str = "") -> None:
        """`reason` is for logs and terminals: what the database says of itself is no business of a caller."""
        super().__init__(detail, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.detail} ({self.reason})" if self.reason else self.detail


class NoRoom(Unavailable):
    code = "no-room"
    title = "The disk is nearly full"
