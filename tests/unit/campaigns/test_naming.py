"""What ids that people choose may look like."""

from uuid import UUID

import pytest

from stentor.campaigns.naming import checked_id
from stentor.errors import Invalid


@pytest.mark.parametrize("given", ["11111111-xyz-abcd", "event_reminders+NFL", "7", "goal!", "a b", "ñ", "x" * 200])
def test_an_id_has_whatever_shape_it_was_given(given: str):
    assert checked_id(given) == given


def test_an_id_that_was_not_given_is_a_uuid():
    assert UUID(checked_id(None)).version == 7


@pytest.mark.parametrize("given", ["", "x" * 201, "a/b", "..", "a\x00", "line\n", "\ud800"])
def test_an_id_that_no_url_can_carry_is_refused(given: str):
    with pytest.raises(Invalid):
        checked_id(given)
