"""What came of all checks: a table for people, one JSON object for programs, and how the command ends."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import NoReturn, Self, TypeVar

import msgspec

from stentor.cli.conformance.checks import Check, NotTried, Outcome, Unmet
from stentor.cli.output import Exit, print_json, table

S = TypeVar("S")

_WORDS = {"passed": "passed", "failed": "FAILED", "not_tried": "not tried"}


class Report(msgspec.Struct, frozen=True):
    """What came of all checks of what is at `url`."""

    url: str
    passed: int
    failed: int
    not_tried: int
    checks: Sequence[Outcome]

    @classmethod
    def of(cls, url: str, outcomes: Sequence[Outcome]) -> Self:
        """The report of these outcomes."""
        counts = Counter(one.result for one in outcomes)
        return cls(url, counts["passed"], counts["failed"], counts["not_tried"], outcomes)

    def end(self, *, what_is_tried: str, as_json: bool) -> NoReturn:
        """Prints it and ends the command: with 1 where a check failed."""
        if as_json:
            print_json(self)
        else:
            sys.stdout.write(f"{table(self._rows(what_is_tried))}\n\n")
            sys.stdout.write(f"{self.passed} passed, {self.failed} failed, {self.not_tried} not tried.\n")
        raise SystemExit(int(Exit.FAILED if self.failed else Exit.DONE))

    def _rows(self, what_is_tried: str) -> list[tuple[str, str, str]]:
        rows = [("row", "result", f"what {what_is_tried} is to do")]
        for one in self.checks:
            rows.append((one.fact, _WORDS[one.result], one.says))
            if one.result == "failed":
                rows += [("", "", f"  expected: {one.expected}"), ("", "", f"  came:     {one.came}")]
            elif one.result == "not_tried":
                rows.append(("", "", f"  because {one.came}"))
        return rows


async def outcome_of(check: Check[S], tried: S) -> Outcome:
    """Tries one check."""
    try:
        await check.trial(tried)
    except NotTried as missing:
        return Outcome(check.fact, check.says, "not_tried", came=str(missing))
    except Unmet as unmet:
        return Outcome(check.fact, check.says, "failed", unmet.expected, unmet.came)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # An answer of quite another shape: a name that is not there, a text where an object was to be.
        return Outcome(
            check.fact, check.says, "failed", "an answer of the documented shape", f"{type(error).__name__} {error}"
        )
    return Outcome(check.fact, check.says, "passed")
