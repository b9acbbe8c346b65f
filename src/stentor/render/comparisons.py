"""Liquid's ideas of true, equal, less and containing, value by value as python-liquid has them."""

import itertools
from collections.abc import Collection, Mapping, Sequence, Sized
from typing import Any

from liquid import Undefined
from liquid.builtin.expressions.primitive import Blank, Empty

from stentor.render.errors import RenderError


def truthy(value: object) -> bool:
    """Everything is true but nil, false and what is not defined; so are 0 and the empty text."""
    return value is not None and value is not False and not isinstance(value, Undefined)


def equal(left: object, right: object) -> bool:
    if isinstance(left, Undefined):
        return right is None or isinstance(right, Undefined)
    if isinstance(right, Undefined):
        return left is None
    if isinstance(right, Empty | Blank):
        left, right = right, left
    # In Python 1 == True and 0 == False; in Liquid a boolean equals booleans only.
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left is right
    return left == right


def less(left: object, right: object) -> bool:
    left, right = _plain(left), _plain(right)
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left < right
    if left is None or right is None:
        return False
    raise RenderError(f"'<' and '>' cannot compare {_kind(left)} and {_kind(right)}")


def less_or_equal(left: object, right: object) -> bool:
    left, right = _plain(left), _plain(right)
    if isinstance(left, str) and isinstance(right, str):
        return left <= right
    if isinstance(left, bool) or isinstance(right, bool):
        return False
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left <= right
    if left is None or right is None:
        return False
    return equal(left, right)


def contains(left: object, right: object) -> bool:
    if not truthy(left) or not truthy(right):
        return False
    if isinstance(left, str):
        return str(right) in left
    if isinstance(left, Collection):
        return right in left
    raise RenderError(f"'contains' cannot look for {_kind(right)} in {_kind(left)}")


def item(value: Any, key: Any) -> Any:
    """What a path's next segment finds in a value; raises KeyError, IndexError or TypeError when it finds nothing."""
    match key:
        case Undefined():
            return value[None]
        case "size":
            return _property(value, "size", _size)
        case "first":
            return _property(value, "first", _first)
        case "last":
            return _property(value, "last", _last)
        case int() if isinstance(value, str):
            raise TypeError("characters of a text have no index")
        case _:
            return value[key]


def _property(value: Any, key: str, otherwise: Any) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        return otherwise(value)


def _size(value: Any) -> int:
    if isinstance(value, Sized):
        return len(value)
    raise TypeError("no size")


def _first(value: Any) -> Any:
    if isinstance(value, Mapping) and value:
        return next(itertools.islice(value.items(), 1))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value[0]
    raise TypeError("no first item")


def _last(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value[-1]
    raise TypeError("no last item")


def _plain(value: object) -> object:
    return None if isinstance(value, Undefined) else value


def _kind(value: object) -> str:
    return type(value).__name__
