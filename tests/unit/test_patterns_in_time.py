"""No pattern of ours can be made to take for ever: each is asked about long texts that all but fit it (ReDoS)."""

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import stentor

Pattern: TypeAlias = re.Pattern[str] | re.Pattern[bytes]

# A pattern that goes back over what it took needs a tenth of a second and more for these; one that does not, some milliseconds.
LENGTH = 2_000
AT_MOST_S = 0.05
# Parts of addresses, times, headers, cursors, paths, templates and numbers, again and again, and behind them what fits nothing.
PIECES = (
    "a",
    "0",
    " ",
    "\t",
    "\n",
    "-",
    ".",
    "/",
    "\\",
    '"',
    '\\"',
    "'",
    "[",
    "{",
    "<",
    "a@",
    "a.",
    "0-",
    "a=",
    "%0",
    "&#",
)
PIECES += ("{{", "{%", "é", "a b ", "0:0", '"a",', "$[0]", "=?")
END = "\x00"
TEXTS = [piece * (LENGTH // len(piece)) + END for piece in PIECES]

USES: dict[str, Callable[[Any, Any], object]] = {
    "match": lambda pattern, text: pattern.match(text),
    "fullmatch": lambda pattern, text: pattern.fullmatch(text),
    "search": lambda pattern, text: pattern.search(text),
    "finditer": lambda pattern, text: list(pattern.finditer(text)),
    "findall": lambda pattern, text: pattern.findall(text),
    "split": lambda pattern, text: pattern.split(text),
    "sub": lambda pattern, text: pattern.sub(text[:0], text),
}
USED = re.compile(rf"\b(\w+)\.({'|'.join(USES)})\(")


# Of a tag that never ends these ask anew at each place; render/source.py refuses such a source before they see it.
SEES_NO_OPEN_TAG = {"stentor.render.markup._LIQUID", "stentor.render.markup._LIQUID_OR_NOT_ASCII"}


def patterns() -> Iterator[tuple[str, Pattern, set[str]]]:
    """Every pattern that a module of ours keeps, by the module and its name there, and what is asked of it."""
    folder = Path(stentor.__file__).parent
    anywhere = {use for file in folder.rglob("*.py") for use in USED.findall(file.read_text(encoding="utf-8"))}
    for found in pkgutil.walk_packages(stentor.__path__, "stentor."):
        if found.name.startswith("stentor.testing") or found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        here = set(USED.findall(Path(str(module.__file__)).read_text(encoding="utf-8")))
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                uses = _of(name, here) or _of(name, anywhere) or {"search"}
                yield f"{found.name}.{name}", value, uses


def _of(name: str, uses: set[tuple[str, str]]) -> set[str]:
    return {use for pattern, use in uses if pattern == name}


@pytest.mark.fault("S19")
def test_every_pattern_answers_in_time_whatever_it_is_asked_about():
    slow: dict[str, float] = {}
    asked = 0
    for name, pattern, uses in patterns():
        asked += 1
        begun_s = time.thread_time()
        for text in TEXTS:
            said = text.encode() if isinstance(pattern.pattern, bytes) else text
            for use in uses:
                USES[use](pattern, said)
        if (took_s := time.thread_time() - begun_s) > AT_MOST_S:
            slow[name] = round(took_s, 2)

    assert asked > 100
    assert slow.keys() <= SEES_NO_OPEN_TAG, slow
