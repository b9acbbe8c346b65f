"""What all pages of the console share: templates, style sheets, scripts, and how a time is written."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from importlib import resources
from typing import Any

import msgspec
from litestar import Request, Response, Router, get

from stentor.console.words import reason_words, tone
from stentor.errors import NotFound
from stentor.html import templates_of

# What pages may load, by name; a name that is not here is no file of ours.
_MEDIA = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "inbox.js": "text/javascript",
}
_FILES = {name: resources.files("stentor.console").joinpath("static", name).read_bytes() for name in _MEDIA}
_VERSIONS = {name: hashlib.blake2b(content, digest_size=6).hexdigest() for name, content in _FILES.items()}

BRAND_TABS = {
    "segments": "Segments",
    "campaigns": "Campaigns",
    "schedules": "Schedules",
    "executions": "Executions",
    "partners": "Partners",
}
"""The pages of a brand: the last part of their address, and what a reader calls them."""

# The default of every answer is `no-referrer`, under which browsers send forms with `Origin: null`.
_HEADERS = {"Referrer-Policy": "same-origin"}


def static(name: str) -> str:
    """The address of a file of ours; it changes with the file, so that browsers may keep it."""
    return f"/console/static/{_VERSIONS[name]}/{name}"


def clock_time(at: datetime) -> str:
    """`17:48:31`; pages say once that times are UTC."""
    return at.strftime("%H:%M:%S")


def day(at: datetime) -> str:
    """`22 November 2026`."""
    return f"{at.day} {at:%B %Y}"


def number(value: int) -> str:
    """`127,450`."""
    return f"{value:,}"


def share(part: int, whole: int) -> str:
    """`97.4%`; below a tenth `<0.1%`, and `–` of nobody."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    return "0" if not part else "<0.1%" if percent < 0.05 else f"{percent:.1f}%"


def pretty(value: Any) -> str:
    """JSON with a line for each field."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def channel_name(label: str) -> str:
    """`web_push` as people say it."""
    return _CHANNEL_NAMES.get(label) or label.replace("_", " ").capitalize()


_CHANNEL_NAMES = {"sms": "SMS", "whatsapp": "WhatsApp", "in_app": "In-app"}
_PAGES = templates_of("stentor.console")
_FILTERS: dict[str, Callable[..., str]] = {
    "channel": channel_name,
    "clock_time": clock_time,
    "day": day,
    "number": number,
    "pretty": pretty,
    "reason": reason_words,
    "share": share,
    "tone": tone,
}
_PAGES.filters.update(_FILTERS)


def page(template: str, *, status: int = 200, **facts: Any) -> Response[str]:
    """The template with these facts, as HTML."""
    html = _PAGES.get_template(template).render(facts, static=static)
    return Response(html, status_code=status, media_type="text/html", headers=_HEADERS)


def static_routes() -> Router:
    """`/console/static/…`: style sheets and scripts, in the package, nobody else's."""

    @get("/{version:str}/{name:str}", include_in_schema=False)
    async def file(request: Request[Any, Any, Any]) -> Response[bytes]:
        version, name = request.path_params["version"], request.path_params["name"]
        if version != _VERSIONS.get(name):
            raise NotFound("There is no such file, or no longer in this version.")
        return Response(
            _FILES[name], media_type=_MEDIA[name], headers={"Cache-Control": "public, max-age=31536000, immutable"}
        )

    return Router("/console/static", route_handlers=[file])
