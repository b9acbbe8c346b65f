"""What an examination found."""

from typing import Literal

import msgspec

State = Literal["ok", "warn", "bad"]


class Finding(msgspec.Struct, frozen=True):
    """One line of the doctor's: what was looked at, how it is, and, unless it is well, what to do."""

    check: str
    state: State
    found: str
    advice: str = ""


def ok(check: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(check, "ok", found)


def warn(check: str, found: str, advice: str) -> Finding:
    """It works, and may not be what you want."""
    return Finding(check, "warn", found, advice)


def bad(check: str, found: str, advice: str) -> Finding:
    """It does not work, or is dangerous."""
    return Finding(check, "bad", found, advice)
