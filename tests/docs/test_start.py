"""docs/start.md, and the pages that go on from it: every command is run against a real `stentor serve`, every answer compared."""

import re
from dataclasses import replace

import pytest

from documents import Shown, is_shown, said_by, shown_in
from served import serving, shell_with
from stentor.cli.premises import temporary_directory

PAGES = [
    "docs/start.md",
    "docs/templates.md",
    "docs/schedules.md",
    "docs/batches.md",
    "docs/messages.md",
    "docs/campaigns.md",
]
# What the test does in its own way: it has packages and a Stentor already, and is told the keys.
ELSEWHERE = re.compile(r"^(?:apt-get install .*|make serve|export (\w+)=.*)\n", re.MULTILINE)


@pytest.mark.timeout(180)
def test_every_command_works_and_answers_as_shown():
    blocks = [block for page in PAGES for block in shown_in(page)]
    here = [replace(block, commands=ELSEWHERE.sub("", block.commands)) for block in blocks]

    with temporary_directory() as data, serving(data) as served:
        said = said_by(here, shell_with(served.exports))

    assert [wrong(block, answer) for block, answer in zip(here, said, strict=True) if not is_shown(block, answer)] == []
    assert {name for block in blocks for name in ELSEWHERE.findall(block.commands) if name} == set(served.exports)


def wrong(block: Shown, said: str) -> str:
    return f"{block.commands}is shown to answer\n{block.answer}but answers\n{said}"
