"""The HTML of a mail, in a frame of its own beside its editor, in a light and a dark reader.

It is somebody's HTML, perhaps with what a customer wrote in it: as in the sandbox inbox it runs no script, belongs to no origin,
sends no form, and loads nothing from outside unless asked to.
"""

import re
from typing import Any

from litestar import Response

_CSP = (
    "sandbox; default-src 'none'; img-src {images}; style-src 'unsafe-inline'; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
_SCHEME = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
_ALWAYS, _NEVER = "(min-width: 0)", "(max-width: 0)"

# As mail programs do that darken what knows nothing of the dark: all colours turned round, pictures turned back.
_DARKENED = (
    "<style>html{background:#fff;filter:invert(1) hue-rotate(180deg)}"
    "img,video,svg,[background]{filter:invert(1) hue-rotate(180deg)}</style>"
)
_OWN_DARK = "<style>:root{color-scheme:dark}</style>"
_NONE = (
    '<!doctype html><meta name="color-scheme" content="light dark"><title>Nothing to show</title>'
    "<p>Nothing can be shown: see the checks."
)


def framed(html: str | None, *, dark: bool, pictures: bool) -> Response[str]:
    """The answer that a frame shows: the mail, or a word that there is none."""
    headers: dict[str, Any] = {
        "Content-Security-Policy": _CSP.format(images="data: https: http:" if pictures else "data:")
    }
    body = _NONE if html is None else seen_in(html, dark=dark)
    return Response(body, media_type="text/html", headers=headers)


def seen_in(html: str, *, dark: bool) -> str:
    """The mail as a reader of that theme shows it, whatever the theme of the browser.

    Dark, one with rules of its own for the dark follows them; of any other the colours are turned round.
    """
    knows_dark = has_dark_rules(html)
    wanted = "dark" if dark else "light"
    html = _SCHEME.sub(lambda found: _ALWAYS if found[1].lower() == wanted else _NEVER, html)
    if not dark:
        return html
    # Behind all of it, where it wins over what stands before; browsers take a style there, too.
    return html + (_OWN_DARK if knows_dark else _DARKENED)


def has_dark_rules(html: str) -> bool:
    """Whether the mail says how it looks in the dark."""
    return any(found[1].lower() == "dark" for found in _SCHEME.finditer(html))
