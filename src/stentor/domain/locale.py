"""A person's language and time zone, in the one spelling that is stored."""

import functools
import re
from importlib import resources

from babel.core import get_global

LOCALE_CHARS_MAX = 35
TIME_ZONE_CHARS_MAX = 64

_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})"
    r"(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?P<extensions>(?:-[a-wyz0-9](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?)\Z"
)
# Names in the time zone database that are no place: a placeholder, and the machine's own settings.
_NO_ZONES = frozenset({"Factory", "localtime", "posixrules"})


@functools.lru_cache(maxsize=4096)
def normal_locale(text: str) -> str | None:
    """The language tag in BCP 47's canonical form (`en_us` → `en-US`, `iw` → `he`), or None for what is no tag.

    Well-formed is enough: whether anybody writes templates in that language is not asked. At most 35 characters.
    """
    tag = text.strip().replace("_", "-").lower()
    match = _TAG.match(tag) if len(tag) <= LOCALE_CHARS_MAX else None
    if match is None:
        return None
    language, script, region, variants, extensions = match.group(
        "language", "script", "region", "variants", "extensions"
    )
    alias = get_global("language_aliases").get(language, language)
    subtags = [alias if "_" not in alias else language]
    if script:
        subtags.append(script.title())
    if region:
        subtags.append(region.upper())
    return "-".join(subtags) + variants + extensions


@functools.lru_cache(maxsize=4096)
def normal_time_zone(text: str) -> str | None:
    """The IANA name of the time zone (`europe/berlin` → `Europe/Berlin`), or None when the database has none such."""
    return _zones().get(text.strip().lower()) if len(text) <= TIME_ZONE_CHARS_MAX else None


def time_zones() -> list[str]:
    """The IANA names of all time zones, in their order."""
    return sorted(_zones().values())


@functools.cache
def _zones() -> dict[str, str]:
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return {name.lower(): name for name in names if name not in _NO_ZONES}
