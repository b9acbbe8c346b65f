"""Reads what a document shows: shell blocks, and the answers below them."""

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "=== end of block ==="


@dataclass
class Shown:
    """One shell block of a document and the answer, in JSON, that is shown below it, if one is."""

    commands: str
    answer: str = ""


def shown_in(document: str) -> list[Shown]:
    """The shell blocks of a document under ROOT, in order."""
    found: list[Shown] = []
    for language, text in _BLOCK.findall((ROOT / document).read_text(encoding="utf-8")):
        if language == "sh":
            found.append(Shown(text))
        elif language == "json":
            found[-1].answer = text
    return found


def said_by(blocks: list[Shown], environment: Mapping[str, str]) -> list[str]:
    """What each block prints, run one after the other in one shell that stops at the first command that fails."""
    script = "".join(f"{block.commands}echo; echo '{_MARK}'\n" for block in blocks)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout.split(f"{_MARK}\n")
    assert done.returncode == 0, f"{blocks[len(said) - 1].commands}{done.stderr}{said[-1]}"
    return said[:-1]


def is_shown(block: Shown, said: str) -> bool:
    """Whether the block's last line of output is the answer that the document shows, which may leave out members."""
    return not block.answer or _holds(json.loads(said.strip().splitlines()[-1]), json.loads(block.answer))


def _holds(value: Any, shown: Any) -> bool:
    if isinstance(shown, dict):
        return isinstance(value, dict) and all(name in value and _holds(value[name], shown[name]) for name in shown)
    if isinstance(shown, list):
        return (
            isinstance(value, list)
            and len(value) == len(shown)
            and all(_holds(one, other) for one, other in zip(value, shown, strict=True))
        )
    return value == shown
