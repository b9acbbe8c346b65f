"""Stentor as a reader of the documents starts it: processes of its own, on a free port, in a directory of its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from stentor.cli.premises import temporary_directory

_ENDS_WITHIN_S = 30
_DEMO_IS_READY = "Everything runs until"
_SHOWN_BY_DEMO = {
    "API_KEY": re.compile(r"x-api-key: (\S+?)'"),
    "BRAND_KEY": re.compile(r"x-brand-key: (\S+?)'"),
    "STENTOR": re.compile(r"(http://127\.0\.0\.1:\d+)/docs"),
}


@contextmanager
def serving() -> Iterator[Mapping[str, str]]:
    """A `stentor serve`; yields what docs/start.md has its reader export."""
    with (
        temporary_directory() as data,
        _started("serve", "--json", "--data", str(data), stdout=subprocess.PIPE) as serve,
    ):
        assert serve.stdout is not None
        told = json.loads(serve.stdout.readline())
        yield {
            "STENTOR": told["url"],
            "GROUP": told["group_id"],
            "TOKEN": told["token"],
            "API_KEY": told["api_key"],
            "BRAND_KEY": told["brand_key"],
        }


@contextmanager
def demonstrating(people: int) -> Iterator[Mapping[str, str]]:
    """A `stentor demo` that has reached its people and keeps running; yields what it prints for its visitor."""
    with _started("demo", "--people", str(people), stderr=subprocess.PIPE) as demo:
        assert demo.stderr is not None
        printed = ""
        for line in demo.stderr:
            printed += line
            if line.startswith(_DEMO_IS_READY):
                break
        found = {name: pattern.search(printed) for name, pattern in _SHOWN_BY_DEMO.items()}
        assert all(found.values()), printed
        yield {name: match[1] for name, match in found.items() if match}


def environment(told: Mapping[str, str]) -> dict[str, str]:
    """What a reader's shell knows: nothing of other installations, and what was told."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STENTOR_")}
    return kept | dict(told)


@contextmanager
def _started(
    command: str, *arguments: str, stdout: int | None = None, stderr: int | None = None
) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "stentor", command, "--port", "0", *arguments],
        env=environment({}),
        text=True,
        stdout=stdout,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=_ENDS_WITHIN_S)
