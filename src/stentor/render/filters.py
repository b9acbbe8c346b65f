"""Filters beyond standard Liquid, and the standard ones that need a bound or a clock that we hand in.

A timely filter is given the moment of rendering and the person besides its arguments; the compiled form and the
interpreter call the same functions.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from liquid import Environment, RenderContext, is_undefined
from liquid.builtin.filters import array, math
from liquid.exceptions import FilterArgumentError
from liquid.filter import string_filter, with_context, with_environment
from markupsafe import Markup, soft_str

from stentor.render.errors import RenderError
from stentor.render.limits import NUMBER_BITS_MAX, VALUE_CHARS_MAX
from stentor.render.timestamps import local_text, minutes_between, parse_timestamp

Filter: TypeAlias = Callable[..., Any]

PATTERN_CHARS_MAX = 64

_UNIQUE_MAX = 1_000
_NOT_A_WORD = re.compile(r"[\W_]+")


class NotYetKnown(Exception):
    """Asked of a filter before there is a moment of rendering: whatever it is part of is rendered per person."""


# --- timely filters: (value, arguments …, at=moment of rendering, customer=the person) -----------------------------------


def local(value: object, style: object = "medium", *, at: datetime | None, customer: Mapping[str, Any]) -> object:
    """The timestamp in the person's zone and language; what is no timestamp is returned as it is."""
    if is_undefined(value) or value is None:
        return ""
    pattern = _pattern(style)
    zone, language = customer.get("time_zone"), customer.get("locale")
    moment = parse_timestamp(value, default=at)
    return value if moment is None else local_text(moment, pattern, str(zone or "UTC"), str(language or "en"))


def minutes_until(value: object, *, at: datetime | None, customer: Mapping[str, Any]) -> object:
    """Whole minutes from the moment of rendering to the timestamp, negative once it has passed; nothing for nothing."""
    del customer
    if at is None:
        raise NotYetKnown
    moment = parse_timestamp(value, default=at)
    return "" if moment is None else minutes_between(at, moment)


PERSONAL_FILTERS = frozenset({"local", "minutes_until"})
"""Those that answer one person or moment differently than another; `date` does so only for what leaves something open."""


@with_environment
def date(
    value: object, pattern: object, *, at: datetime | None, customer: Mapping[str, Any], environment: Environment
) -> object:
    """The standard filter, with the moment of rendering as its "now" and numbers read as seconds in UTC."""
    del customer
    if is_undefined(value):
        return ""
    if is_undefined(pattern):
        return str(value)
    moment = at if value in ("now", "today") else parse_timestamp(value, default=at)
    if moment is None:
        if at is None and isinstance(value, str):
            raise NotYetKnown
        return str(value)
    text = moment.strftime(_pattern(pattern))
    safe = environment.autoescape and isinstance(pattern, Markup)
    return Markup(text) if safe else text  # noqa: S704  digits, and what a safe pattern has between them


TIMELY_FILTERS: dict[str, Filter] = {"local": local, "minutes_until": minutes_until, "date": date}


# --- bounded filters: the standard ones, refusing what would grow without end --------------------------------------------


def slug(value: object) -> str:
    """Lower-case words joined by hyphens, accents removed: `FC Köln – Bayern` becomes `fc-koln-bayern`."""
    text = "" if value is None else str(value)
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return _NOT_A_WORD.sub("-", unicodedata.normalize("NFC", plain).lower()).strip("-")


def times(number: object, other: object) -> object:
    """The standard filter; a product of more than 1,024 bits is refused, because products of products never end."""
    product = math.times(number, other)
    if isinstance(product, int) and product.bit_length() > NUMBER_BITS_MAX:
        raise RenderError(f"times: the product has more than {NUMBER_BITS_MAX} bits", limit="number_bits")
    return product


@string_filter
def replace(value: str, search: object, substitute: object = "") -> str:
    """The standard filter, its result at most a million characters."""
    searched, put = soft_str(search), soft_str(substitute)
    _check_size("replace", len(value) + value.count(searched) * len(put))
    return value.replace(searched, put)


@with_environment
def join(value: object, separator: object = " ", *, environment: Environment) -> str:
    """The standard filter, its separators together at most a million characters."""
    count = len(value) if isinstance(value, Sequence) and not isinstance(value, str) else 1
    _check_size("join", count * len(str(separator)))
    return array.join(value, separator, environment=environment)


def uniq(value: object, key: object = None) -> object:
    """The standard filter, of at most 1,000 items: it compares each with each."""
    if isinstance(value, Sequence) and len(value) > _UNIQUE_MAX:
        raise RenderError(f"uniq: {len(value)} items; at most {_UNIQUE_MAX} can be compared", limit="filter_work")
    return array.uniq(value, key)


def _pattern(value: object) -> str:
    pattern = str(value)
    if len(pattern) > PATTERN_CHARS_MAX:
        raise FilterArgumentError(f"a pattern has at most {PATTERN_CHARS_MAX} characters", token=None)
    return pattern


def _check_size(name: str, size: int) -> None:
    if size > VALUE_CHARS_MAX:
        raise RenderError(f"{name}: the result would have {size} characters", limit="value_chars")


BOUNDED_FILTERS: dict[str, Filter] = {"slug": slug, "times": times, "replace": replace, "join": join, "uniq": uniq}


# --- the interpreter's way to them ---------------------------------------------------------------------------------------


def register(environment: Environment) -> None:
    """Puts all of them into an environment, in place of the standard ones of the same name."""
    for name, bounded in BOUNDED_FILTERS.items():
        environment.add_filter(name, bounded)
    for name, timely in TIMELY_FILTERS.items():
        needs_environment = getattr(timely, "with_environment", False)
        environment.add_filter(
            name, _interpreted(partial(timely, environment=environment) if needs_environment else timely)
        )


def _interpreted(function: Filter) -> Filter:
    @with_context
    def called(value: object, *args: object, context: RenderContext) -> object:
        return function(value, *args, at=context.globals["now"], customer=context.globals["customer"])

    return called
