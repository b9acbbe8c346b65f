"""Which clock somebody lives by: their own time zone, or what their phone number and their brand make plausible.

A place is all that is known of it as one text, by which people are grouped: the name of a time zone, or the first digits
of a phone number (`+1415`), or nothing. The view `person` has it as a column; `place_of` is its twin.
"""

import functools
from importlib import resources
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE
from phonenumbers.tzdata import TIMEZONE_DATA

Zones: TypeAlias = tuple[str, ...]
"""Names of time zones, sorted; several where nobody can tell which of them it is."""

PLACE_PHONE_CHARS = 5
"""Plus and four digits: every country code, and in North America the area code."""

_NORTH_AMERICA = "1"
_COUNTRY_DIGITS_MAX = 3


def place_of(time_zone: str | None, phone: str | None) -> str:
    """What is known of where somebody is."""
    return time_zone or (phone or "")[:PLACE_PHONE_CHARS]


@functools.lru_cache(maxsize=65_536)
def zones_of(place: str, fallback: Zones) -> Zones:
    """The time zones that somebody of that place may be in, never none; `fallback` where the place says nothing."""
    if place.startswith("+"):
        return _phone_zones(place[1:]) or fallback
    return (place,) if place and is_zone(place) else fallback


@functools.lru_cache(maxsize=65_536)
def brand_zones(default_time_zone: str, default_country: str | None) -> Zones:
    """Where a brand's people are as long as nothing else is known: its zone, or all zones of its country.

    UTC is the default of every brand, so beside a country it says nothing.
    """
    if default_time_zone == "UTC" and default_country is not None:
        return _country_zones().get(default_country) or (default_time_zone,)
    return (default_time_zone,)


@functools.lru_cache(maxsize=4096)
def is_zone(name: str) -> bool:
    """Whether this machine's time zone database knows it: it may be older than the one that it was checked with."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True


def _phone_zones(digits: str) -> Zones:
    """The zones of the whole country: mobile numbers keep their prefix wherever their owner moves to.

    In North America, where mobile numbers have area codes too, those of the area code.
    """
    if digits.startswith(_NORTH_AMERICA):
        return _area_zones().get(digits) or _known(TIMEZONE_DATA[_NORTH_AMERICA])
    for length in range(1, _COUNTRY_DIGITS_MAX + 1):
        if digits[:length].isdecimal() and int(digits[:length]) in COUNTRY_CODE_TO_REGION_CODE:
            return _known(TIMEZONE_DATA.get(digits[:length], ()))
    return ()


@functools.cache
def _area_zones() -> dict[str, Zones]:
    """The zones of each North American area code (`1415`), some of which lie across a border between zones."""
    names: dict[str, set[str]] = {}
    for prefix, zones in TIMEZONE_DATA.items():
        if prefix.startswith(_NORTH_AMERICA) and len(prefix) >= PLACE_PHONE_CHARS - 1:
            names.setdefault(prefix[: PLACE_PHONE_CHARS - 1], set()).update(zones)
    return {area: _known(tuple(found)) for area, found in names.items()}


def _known(names: tuple[str, ...]) -> Zones:
    return tuple(sorted(name for name in names if name != "Etc/Unknown" and is_zone(name)))


@functools.cache
def _country_zones() -> dict[str, Zones]:
    """The zones of each country (`US`), by the table that the time zone database brings along."""
    zones: dict[str, list[str]] = {}
    text = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            country, _, name = line.split("\t")[:3]
            zones.setdefault(country, []).append(name)
    return {country: _known(tuple(names)) for country, names in zones.items()}
