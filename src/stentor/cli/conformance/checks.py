"""What a check is: one small function, the row of tests/conformance/classic/facts.toml that it tries, and what became of it."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, NoReturn, TypeAlias, TypeVar

import msgspec

SHOWN_CHARS = 160

S = TypeVar("S")
"""What the checks of one kit look at."""

Trial: TypeAlias = Callable[[S], Awaitable[None]]
Result: TypeAlias = Literal["passed", "failed", "not_tried"]


class Unmet(Exception):
    """Something else came than was expected."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(expected, came)
        self.expected = expected
        self.came = came


class NotTried(Exception):
    """What the check needs is not there; its text says why."""


class Check(msgspec.Struct, Generic[S], frozen=True):
    """One check: the row that it tries, what is to be, and the function that finds out."""

    fact: str
    says: str
    trial: Trial[S]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a check. `expected` and `came` are of a failed one; `came` of one that was not tried says why."""

    fact: str
    says: str
    result: Result
    expected: str = ""
    came: str = ""


class Checks(Generic[S]):
    """The checks of one theme, in the order in which they are written."""

    def __init__(self) -> None:
        self.all: list[Check[S]] = []

    def check(self, fact: str, says: str) -> Callable[[Trial[S]], Trial[S]]:
        """Registers a function that raises Unmet or NotTried, or returns."""

        def register(trial: Trial[S]) -> Trial[S]:
            self.all.append(Check(fact, says, trial))
            return trial

        return register


def expect(holds: bool, expected: str, came: Any) -> None:
    """Raises Unmet unless it holds."""
    if not holds:
        unmet(expected, came)


def unmet(expected: str, came: Any) -> NoReturn:
    """Raises Unmet; what came is cut to what fits a line."""
    text = came if isinstance(came, str) else repr(came)
    raise Unmet(expected, text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…")
