"""What names and ids may look like."""

from uuid import UUID

import pytest

from stentor.campaigns.naming import checked_id, checked_name
from stentor.errors import Invalid


def test_a_name_is_stored_without_the_blanks_around_it():
    assert checked_name("  Match day ⚽ ") == "Match day ⚽"


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "two\nlines", "nul\x00", "lone\ud800"])
def test_a_name_that_is_not_one_line_of_text_is_refused(name: str):
    with pytest.raises(Invalid):
        checked_name(name)


@pytest.mark.parametrize("given", ["11111111-xyz-abcd", "event_reminders+NFL", "7", "goal!", "a b", "ñ", "x" * 200])
def test_an_id_has_whatever_shape_it_was_given(given: str):
    assert checked_id(given) == given


def test_an_id_that_was_not_given_is_a_uuid():
    assert UUID(checked_id(None)).version == 7


@pytest.mark.parametrize("given", ["", "x" * 201, "a/b", "..", "a\x00", "line\n", "\ud800"])
def test_an_id_that_no_url_can_carry_is_refused(given: str):
    with pytest.raises(Invalid):
        checked_id(given)
