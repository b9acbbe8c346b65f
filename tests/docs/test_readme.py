"""README.md, CONTRIBUTING.md and the documents they lead to: what they tell a newcomer to type works."""

import re
from pathlib import Path

import pytest

from documents import ROOT, Shown, said_by, shown_in
from served import demonstrating, shell_with

PEOPLE = 300
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]


@pytest.mark.timeout(180)
def test_the_call_in_the_readme_reaches_the_demos_people():
    (call,) = [block for block in shown_in("README.md") if "curl" in block.commands]

    with demonstrating(PEOPLE) as told:
        here = call.commands.replace("http://127.0.0.1:8080", told["STENTOR"])
        assert here != call.commands
        for_real, dry = said_by([Shown(here), Shown(here.replace('/run"', '/run?dry_run=true"'))], shell_with(told))

    assert '"status":"queued"' in for_real
    assert f'"audience_size":{PEOPLE}' in dry
    assert dry.count('"message":"From: ') == 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_task_that_is_named_exists(document: Path):
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text(), re.MULTILINE))

    tasks = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert tasks is not None
    assert named - set(tasks[1].split()) == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path):
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []
