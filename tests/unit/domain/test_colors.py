"""Pages in a brand's colour can be read, whatever colour that is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.domain.colors import CONTRAST_MIN, contrast, is_color, palette_of

COLORS = st.from_regex(r"\A#[0-9a-f]{6}\Z")


def parts(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


@given(COLORS)
def test_text_in_and_on_any_colour_is_readable(color: str):
    palette = palette_of(color)

    assert palette.ground == color
    assert contrast(parts(palette.ground), parts(palette.on_ground)) >= CONTRAST_MIN
    assert contrast(parts(palette.on_paper), (255, 255, 255)) >= CONTRAST_MIN
    assert contrast(parts(palette.on_ink), (21, 26, 25)) >= CONTRAST_MIN


def test_a_readable_colour_stays_as_it_is():
    assert palette_of("#1b3a6b").on_paper == "#1b3a6b"


@pytest.mark.parametrize("text", ["", "1b3a6b", "#1B3A6B", "#1b3a6", "#1b3a6b\n", "red", "#1b3a6b;}"])
def test_what_is_no_colour_is_refused(text: str):
    assert not is_color(text)
    with pytest.raises(ValueError, match="no colour"):
        palette_of(text)
