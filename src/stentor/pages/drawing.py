"""How pages for the people who get messages are drawn: in their language, with the brand's name and colour."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from litestar import Request, Response

from stentor.accounts.model import Brand
from stentor.domain.colors import is_color, palette_of
from stentor.html import templates_of
from stentor.pages.languages import LANGUAGES, Language, language_for

AnyRequest: TypeAlias = Request[Any, Any, Any]

_KEPT_MAX = 10
_PAGES = templates_of("stentor.pages")


class Look(msgspec.Struct, frozen=True):
    """What a page is drawn with: `color` has no `#`, and is empty for ours."""

    say: Language
    brand: str = ""
    color: str = ""
    kept: tuple[tuple[str, str], ...] = ()
    """What the address says beside the language, so that choosing another one loses none of it."""
    languages: tuple[Language, ...] = tuple(LANGUAGES.values())


def look_of(request: AnyRequest, brand: Brand | None = None, *, locale: str | None = None) -> Look:
    """The look for whoever asks: `?lang=de`, their browser's languages, or at last what the brand knows of them."""
    chosen = request.query_params.get("lang", "")
    language = language_for(chosen, request.headers.get("accept-language", ""), locale)
    if brand is None:
        return Look(language)
    kept = tuple((name, value) for name, value in request.query_params.items() if name != "lang")[:_KEPT_MAX]
    return Look(language, brand.name, brand.settings.color.removeprefix("#"), kept)


def drawn(
    name: str, look: Look, *, status: int = 200, headers: Mapping[str, str] | None = None, **facts: Any
) -> Response[str]:
    """The page of that template. It is kept by nobody on the way: what it says is about one person."""
    own = {"Cache-Control": "no-store", "Vary": "Accept-Language", **(headers or {})}
    html = _PAGES.get_template(name).render(look=look, say=look.say, **facts)
    return Response(html, status_code=status, media_type="text/html", headers=own)


def color_sheet(color: str) -> str | None:
    """The style sheet of a brand's colour, written without its `#`; None for what is none."""
    if not is_color(f"#{color}"):
        return None
    palette = palette_of(f"#{color}")
    return (
        f":root {{ --brand: {palette.ground}; --on-brand: {palette.on_ground}; "
        f"--accent: light-dark({palette.on_paper}, {palette.on_ink}); --on-accent: light-dark(#ffffff, #151a19); }}\n"
    )
