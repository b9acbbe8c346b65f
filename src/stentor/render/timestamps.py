"""Timestamps as triggers and profiles spell them, and how people read them: in their zone and language."""

import functools
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import babel
from babel.dates import format_date, format_datetime, format_time
from dateutil import parser

from stentor.domain.locale import normal_time_zone

TIMESTAMP_CHARS_MAX = 64
_EPOCH_DIGITS_MAX = 12
_STYLES = frozenset({"short", "medium", "long", "full"})


def parse_timestamp(value: object, *, default: datetime | None = None) -> datetime | None:
    """The moment that a value names, or None when it names none.

    Read are ISO 8601, seconds since 1970 (as a number or its digits), and whatever else `dateutil` understands; what
    such a text leaves open comes from `default`, so without one it is not read.
    """
    match value:
        case datetime():
            return value
        case date():
            return datetime.combine(value, time.min)
        case bool():
            return None
        case int() | float():
            return _from_epoch(value)
        case str() if len(value) <= TIMESTAMP_CHARS_MAX:
            return _from_text(str(value), default)
        case _:
            return None


def local_text(value: object, style: str, zone: str, locale: str) -> str | None:
    """The moment as people of that zone and language write it, or None when `value` names none.

    `style` is short, medium, long or full (date and time), date, time, or a CLDR pattern such as `EEE d MMM, HH:mm`.
    A moment without an offset is UTC. An unknown zone is UTC, an unknown language English.
    """
    moment = parse_timestamp(value)
    return None if moment is None else _formatted(_aware(moment), style, zone, locale)


def minutes_between(earlier: datetime, later: datetime) -> int:
    """Whole minutes from one moment to the other, rounded towards zero; negative when it has passed."""
    return int((_aware(later) - _aware(earlier)).total_seconds() / 60)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _from_epoch(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


# A wave's people share their trigger's timestamps.
@functools.lru_cache(maxsize=1024)
def _from_text(text: str, default: datetime | None) -> datetime | None:
    if text.isdecimal() and len(text) <= _EPOCH_DIGITS_MAX:
        return _from_epoch(int(text))
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    if default is None:
        return None
    try:
        return parser.parse(text, default=default.replace(hour=0, minute=0, second=0, microsecond=0))
    except (parser.ParserError, OverflowError):
        return None


# 20 µs to format, and a wave's people share a few zones, languages and moments.
@functools.lru_cache(maxsize=4096)
def _formatted(moment: datetime, style: str, zone: str, locale: str) -> str:
    local, language = moment.astimezone(_zone(zone)), _language(locale)
    if style in _STYLES:
        return format_datetime(local, style, locale=language)
    if style == "date":
        return format_date(local.date(), "medium", locale=language)
    if style == "time":
        return format_time(local, "short", locale=language)
    return format_datetime(local, style, locale=language)


@functools.lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(normal_time_zone(name) or "UTC")


@functools.lru_cache(maxsize=1024)
def _language(tag: str) -> babel.Locale:
    """The nearest language that CLDR knows: `pt-BR`, else `pt`, else English."""
    subtags = tag.replace("_", "-").split("-")
    for length in range(len(subtags), 0, -1):
        try:
            return babel.Locale.parse("-".join(subtags[:length]), sep="-")
        except (ValueError, babel.UnknownLocaleError):
            continue
    return babel.Locale("en")
