"""A brand's colour on pages that have to stay readable: what stands on it, and what it becomes as text on paper and on ink."""

import re

import msgspec

_HEX = re.compile(r"#[0-9a-f]{6}\Z")
_PAPER, _INK = (255, 255, 255), (21, 26, 25)
CONTRAST_MIN = 4.5
"""Of text against its ground (WCAG 2.2 AA)."""


class Palette(msgspec.Struct, frozen=True):
    """The colour, what is readable on it, and the colour as text on a light and on a dark page; each `#rrggbb`."""

    ground: str
    on_ground: str
    on_paper: str
    on_ink: str


def is_color(text: str) -> bool:
    """Whether it is written `#1b3a6b`."""
    return _HEX.match(text) is not None


def palette_of(color: str) -> Palette:
    """What a page is drawn with for that colour. As text it is darkened or lightened for as long as nobody could read it."""
    given = _rgb(color)
    white = contrast(given, (255, 255, 255)) >= contrast(given, (0, 0, 0))
    return Palette(
        color, "#ffffff" if white else "#000000", _hex(_until(given, _PAPER, 0)), _hex(_until(given, _INK, 255))
    )


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """How far two colours are from each other, 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _until(color: tuple[int, int, int], ground: tuple[int, int, int], towards: int) -> tuple[int, int, int]:
    for step in range(21):
        red, green, blue = (round(part + (towards - part) * step / 20) for part in color)
        if contrast((red, green, blue), ground) >= CONTRAST_MIN:
            return red, green, blue
    raise AssertionError  # Black on paper and white on ink are readable.


def _luminance(color: tuple[int, int, int]) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (each / 255 for each in color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _rgb(color: str) -> tuple[int, int, int]:
    if not is_color(color):
        raise ValueError(f"{color!r} is no colour like #1b3a6b.")
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _hex(color: tuple[int, int, int]) -> str:
    red, green, blue = color
    return f"#{red:02x}{green:02x}{blue:02x}"
