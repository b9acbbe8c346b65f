"""What a condition says about fields: which ones are certain to have a value where it is true, and where it is false."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from liquid import Expression
from liquid.builtin.expressions import BooleanExpression, Nil, Path
from liquid.builtin.expressions.logical import (
    EqExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Blank, Empty, FalseLiteral

Field: TypeAlias = tuple[Any, ...]
Resolve: TypeAlias = Callable[[Path], Field | None]


class Guards(NamedTuple):
    """The fields that have a value in the one branch and in the other."""

    when_true: frozenset[Field] = frozenset()
    when_false: frozenset[Field] = frozenset()


def guards(condition: Expression, resolve: Resolve) -> Guards:
    """What the condition says. `or` is read with good will: whoever asks for either has thought of both."""
    match condition:
        case BooleanExpression():
            return guards(condition.expression, resolve)
        case LogicalAndExpression() | LogicalOrExpression():
            left, right = guards(condition.left, resolve), guards(condition.right, resolve)
            both_false = isinstance(condition, LogicalOrExpression)
            return Guards(
                left.when_true | right.when_true, left.when_false | right.when_false if both_false else frozenset()
            )
        case EqExpression():
            return _equality(condition.left, condition.right, resolve)
        case NeExpression():
            equal = _equality(condition.left, condition.right, resolve)
            return Guards(equal.when_false, equal.when_true)
        case Path():
            return Guards(_fields(resolve, condition))
        case _:
            return Guards(_fields(resolve, *condition.children()))  # an order or `contains` is true of values only


def _equality(left: Expression, right: Expression, resolve: Resolve) -> Guards:
    """Equal to nothing: there is a value where that is false. Equal to something: where it is true."""
    fields = _fields(resolve, left, right)
    if isinstance(left, _NOTHING) or isinstance(right, _NOTHING):
        return Guards(when_false=fields)
    return Guards(when_true=fields)


_NOTHING = Nil | Empty | Blank | FalseLiteral


def _fields(resolve: Resolve, *expressions: Expression) -> frozenset[Field]:
    paths = (resolve(expression) for expression in expressions if isinstance(expression, Path))
    return frozenset(path for path in paths if path is not None)
