"""What commands print: a line or a table for people, one JSON object for programs; and how they end."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NoReturn

import msgspec

from stentor.errors import Problem, Unavailable


class Exit(IntEnum):
    """Exit codes, as the documentation lists them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    INTERRUPTED = 130


def print_json(value: Any) -> None:
    """One JSON object on one line of standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def say(sentence: str) -> None:
    """A line for a person, on standard error, so that standard output stays parseable."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows, each column as wide as its longest cell; the first one is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def fail(sentence: str, code: Exit = Exit.FAILED) -> NoReturn:
    """Ends the command with a sentence that says what to do next; in a terminal it is broken between words."""
    lines = f"stentor: {sentence}".splitlines()
    say("\n".join(map(_wrapped, lines) if sys.stderr.isatty() else lines))
    raise SystemExit(int(code))


def end_with(error: Exception) -> NoReturn:
    """Ends the command because of an error: with a sentence for what a caller can act on, else with its traceback."""
    from pydantic import ValidationError

    match error:
        case Unavailable():
            fail(str(error), Exit.UNAVAILABLE)
        case Problem():
            details = [f"  {one.pointer}: {one.message}" for one in error.violations if one.message != error.detail]
            fail("\n".join([error.detail, *details]))
        case ValidationError():
            settings = [
                f"  STENTOR_{'_'.join(map(str, one['loc'])).upper()}: {one['msg'].removeprefix('Value error, ')}"
                for one in error.errors()
            ]
            fail("\n".join(["These settings cannot be used:", *settings]), Exit.USAGE)
        case _:
            raise error


def _wrapped(line: str) -> str:
    """The line as the terminal is wide. Paths and addresses stay whole, so that they can be copied."""
    columns = shutil.get_terminal_size().columns
    return textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False)
