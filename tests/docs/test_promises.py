"""docs/promises.md names tests that exist."""

import re

from documents import ROOT

NAMED = re.compile(r"^- `(tests/[\w/]+\.py)`: ((?:`\w+`[,\s]*)+)", re.MULTILINE)


def test_every_test_that_a_promise_names_exists():
    named = [
        (file, name)
        for file, names in NAMED.findall((ROOT / "docs" / "promises.md").read_text())
        for name in re.findall(r"`(\w+)`", names)
    ]

    missing = [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
    assert named
    assert missing == []


def test_every_promise_names_its_tests():
    _, *promises, outlook = re.split(r"^## ", (ROOT / "docs" / "promises.md").read_text(), flags=re.MULTILINE)

    assert [promise.splitlines()[0] for promise in promises if not NAMED.search(promise)] == []
    assert outlook.startswith("Not promised yet")
