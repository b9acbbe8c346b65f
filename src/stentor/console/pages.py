"""What all pages of the console share: templates, style sheets, scripts, and how a time is written."""

import gzip
import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import PurePath
from typing import Any

import msgspec
from litestar import Request, Response, Router, get
from markupsafe import Markup

from stentor.console.words import outcome_tone, reason_words, tone
from stentor.errors import NotFound
from stentor.html import templates_of

_MEDIA_OF = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_STATIC = resources.files("stentor.console").joinpath("static")
# What pages may load, by name; a name that is not here is no file of ours.
_FILES = {one.name: one.read_bytes() for one in _STATIC.iterdir() if PurePath(one.name).suffix in _MEDIA_OF}
_VERSIONS = {name: hashlib.blake2b(content, digest_size=6).hexdigest() for name, content in _FILES.items()}
_KEPT_FOREVER = "public, max-age=31536000, immutable"

THEMES = ("light", "dark")

_NONCE_BYTES = 16
# Scripts run by the nonce of the page alone: what somebody else managed to write into it has none. Whatever such a script
# imports comes with its leave, so a module is named in the import map, which has the nonce too.
_CSP = (
    "default-src 'self'; script-src 'nonce-{nonce}'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# The default of every answer is `no-referrer`, under which browsers send forms with `Origin: null`.
_REFERRERS = "same-origin"


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


def compact(value: int) -> str:
    """`412`, `12k`, `1.3M`: for axes and cells of a calendar alone, where the full figure stands nearby."""
    for unit, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if value >= unit:
            tenths = value * 10 // unit
            return f"{tenths // 10}{letter}" if tenths >= 100 or not tenths % 10 else f"{tenths / 10:.1f}{letter}"
    return str(value)


def share(part: int, whole: int) -> str:
    """`97.4%`; below a tenth `<0.1%`, and `–` of nobody."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    return "0" if not part else "<0.1%" if percent < 0.05 else f"{percent:.1f}%"


def initials(name: str) -> str:
    """The two letters that stand for a name: of its first two words, or of the one that it has."""
    words = [word for word in name.split() if word[0].isalnum()] or [name.strip() or "?"]
    return (words[0][0] + words[1][0] if len(words) > 1 else words[0][:2]).upper()


def rate(per_s: float) -> str:
    """`241`, `0.4`; what is less is `0`."""
    return f"{per_s:,.0f}" if per_s >= 10 or round(per_s, 1) == round(per_s) else f"{per_s:.1f}"


def duration(seconds: float) -> str:
    """`11 s`, `16 min`, `2 h 5 min`, `3 days`."""
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{round(hours / 24)} days"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def spark(values: Sequence[int]) -> str:
    """The path of a small line through these figures, in a box of 200 by 28; empty of fewer than two."""
    if len(values) < 2:
        return ""
    step, most = 200 / (len(values) - 1), max(*values, 1)
    return "M" + " ".join(f"{place * step:.1f} {26 - 24 * value / most:.1f}" for place, value in enumerate(values))


class Stretch(msgspec.Struct, frozen=True):
    """A piece of a bar of 1,000: where it begins, how long it is."""

    outcome: str
    begins: float
    width: float


def stretches(parts: Iterable[tuple[str, int]], whole: int) -> list[Stretch]:
    """The pieces of a bar: whatever is not nothing can be seen, and together they are no longer than the bar."""
    there = [(outcome, count) for outcome, count in parts if count > 0]
    if not there or whole <= 0:
        return []
    room = 1000 - _GAP * (len(there) - 1)
    widths = [max(_STRETCH_MIN, room * count / whole) for _, count in there]
    if (over := sum(widths) - room) > 0:
        widths[widths.index(max(widths))] -= over
    found: list[Stretch] = []
    begins = 0.0
    for (outcome, _), width in zip(there, widths, strict=True):
        found.append(Stretch(outcome, round(begins, 1), round(width, 1)))
        begins += width + _GAP
    return found


_GAP, _STRETCH_MIN = 2, 4


def pretty(value: Any) -> str:
    """JSON with a line for each field."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def channel_name(label: str) -> str:
    """`web_push` as people say it."""
    return _CHANNEL_NAMES.get(label) or label.replace("_", " ").capitalize()


_CHANNEL_NAMES = {"sms": "SMS", "whatsapp": "WhatsApp", "in_app": "In-app"}
_PAGES = templates_of("stentor.console")
_FILTERS: dict[str, Callable[..., Any]] = {
    "channel": channel_name,
    "clock_time": clock_time,
    "compact": compact,
    "day": day,
    "duration": duration,
    "initials": initials,
    "number": number,
    "pretty": pretty,
    "outcome_tone": outcome_tone,
    "rate": rate,
    "reason": reason_words,
    "share": share,
    "spark": spark,
    "stretches": stretches,
    "tone": tone,
}
_PAGES.filters.update(_FILTERS)


def import_map() -> str:
    """What scripts call each other: `import … from "live"` is `live.js` of this version, `htmx.min.js` is `htmx`."""
    modules = {name.partition(".")[0]: static(name) for name in sorted(_FILES) if name.endswith(".js")}
    return msgspec.json.encode({"imports": modules}).decode()


_IMPORT_MAP = Markup(import_map())  # noqa: S704  names and addresses of our own files


def page(template: str, *, status: int = 200, theme: str = "", **facts: Any) -> Response[str]:
    """The template with these facts, as HTML under a policy of its own. `theme` is what the reader chose, or empty."""
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    html = _PAGES.get_template(template).render(
        facts, static=static, import_map=_IMPORT_MAP, nonce=nonce, theme=theme if theme in THEMES else ""
    )
    headers = {"Referrer-Policy": _REFERRERS, "Content-Security-Policy": _CSP.format(nonce=nonce)}
    return Response(html, status_code=status, media_type="text/html", headers=headers)


def fragment(template: str, **facts: Any) -> str:
    """The template with these facts, for a page that is there already."""
    return _PAGES.get_template(template).render(facts)


def static_routes() -> Router:
    """`/console/static/…`: style sheets and scripts, in the package, nobody else's."""

    @get("/{version:str}/{name:str}", include_in_schema=False)
    async def file(request: Request[Any, Any, Any]) -> Response[bytes]:
        version, name = request.path_params["version"], request.path_params["name"]
        if version != _VERSIONS.get(name):
            raise NotFound("There is no such file, or no longer in this version.")
        headers = {"Cache-Control": _KEPT_FOREVER, "Vary": "Accept-Encoding"}
        content = _FILES[name]
        if _takes_gzip(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            content = _compressed(name)
        return Response(content, media_type=_MEDIA_OF[PurePath(name).suffix], headers=headers)

    return Router("/console/static", route_handlers=[file])


def _takes_gzip(said: str) -> bool:
    return any(one.replace(" ", "").lower() in {"gzip", "gzip;q=1.0", "gzip;q=1"} for one in said.split(","))


@cache
def _compressed(name: str) -> bytes:
    # What is the same for everybody and secret to nobody. Pages are not: a token in one could be guessed by its length.
    return gzip.compress(_FILES[name], 9, mtime=0)
