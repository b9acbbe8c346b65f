"""docs/classic.md has every function that is answered, in its category."""

import re

from documents import ROOT
from stentor.api.wire.classic.functions import CATEGORIES


def test_every_function_is_on_the_page_and_no_other() -> None:
    page = (ROOT / "docs" / "classic.md").read_text(encoding="utf-8")

    listed = {
        (category, name)
        for category, names in re.findall(r"^\| (\w+) \| ([^|]*) \|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }

    answered = {(each.name, one.name) for each in CATEGORIES.values() for one in each.functions}
    assert answered - listed == set(), "these are not on the page"
    assert listed - answered == set(), "these are answered by nobody"
