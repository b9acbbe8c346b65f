"""What commands print: a line or a table for people, one JSON object for programs; and how they end."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

import msgspec

from stentor.errors import Problem, Unavailable

T = TypeVar("T")


class Exit(IntEnum):
    """Exit codes, as the documentation lists them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3


def print_json(value: Any) -> None:
    """One JSON object on one line of standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def say(sentence: str) -> None:
    """A line for a person, on standard error, so that standard output stays parseable."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def fail(sentence: str, code: Exit = Exit.FAILED) -> NoReturn:
    """Ends the command with a sentence that says what to do next."""
    say(f"stentor: {sentence}")
    raise SystemExit(int(code))


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs the command's coroutine; what a caller can act on ends it with a sentence instead of a traceback."""
    from stentor.accounts.installation import SecretProblem

    try:
        return asyncio.run(main())
    except Unavailable as outage:
        fail(outage.detail, Exit.UNAVAILABLE)
    except (Problem, SecretProblem) as problem:
        details = [f"  {violation.pointer}: {violation.message}" for violation in getattr(problem, "violations", ())]
        fail("\n".join([str(problem), *details]))
