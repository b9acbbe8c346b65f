"""Text of one line."""

import pytest

from stentor.domain.text import checked_name
from stentor.errors import Invalid


def test_a_name_is_stored_without_the_blanks_around_it():
    assert checked_name("  Match day ⚽ ", 200) == "Match day ⚽"


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "two\nlines", "nul\x00", "lone\ud800", "two\u2028lines"])
def test_a_name_that_is_not_one_line_of_text_is_refused(name: str):
    with pytest.raises(Invalid):
        checked_name(name, 200)
