"""Compiles Liquid's expressions into closures over a frame: paths, literals, comparisons and filter chains."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from liquid import Environment, Expression, Undefined
from liquid.builtin.expressions import (
    BooleanExpression,
    FilteredExpression,
    KeywordArgument,
    Literal,
    Nil,
    Path,
    PositionalArgument,
    StringLiteral,
)
from liquid.builtin.expressions import Filter as FilterNode
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Blank, Empty, RangeLiteral
from markupsafe import Markup

from stentor.render import filters
from stentor.render.comparisons import contains, equal, item, less, less_or_equal, truthy
from stentor.render.errors import RenderError
from stentor.render.frame import AT, CUSTOMER, Expr, Frame, Getter, Stage
from stentor.render.limits import Limits
from stentor.render.scope import Scope, field_of

# Shorter values cost a filter nothing worth counting.
_LONG = 1_000
_COUNTED = frozenset({str, Markup, list})
_PROPERTIES = frozenset({"size", "first", "last"})


class NotCompiled(Exception):
    """A template uses what is left to the interpreter."""


class ExpressionCompiler:
    """Compiles the expressions of one part; `work` is the place of its count of filter work."""

    def __init__(self, scope: Scope, environment: Environment, limits: Limits, work: int) -> None:
        self._scope = scope
        self._environment = environment
        self._limits = limits
        self._work = work

    def value(self, expression: Expression) -> Expr:
        """The expression's value. Raises TemplateInvalid for what never works, NotCompiled for the interpreter's part."""
        match expression:
            case Path():
                return self._path(expression)
            case FilteredExpression():
                return self._filtered(expression)
            case Literal() | Nil() | Empty() | Blank():
                return _constant(self._literal(expression))
            case RangeLiteral():
                return _combined(_range, self.value(expression.start), self.value(expression.stop))
            case BooleanExpression() | LogicalAndExpression() | LogicalOrExpression():
                return self._logical(expression)
            case _:
                return self._comparison(expression)

    def condition(self, expression: Expression) -> Expr:
        """Whether the expression is true, as a Python bool."""
        inner = expression.expression if isinstance(expression, BooleanExpression) else expression
        compiled = self.value(inner)
        if isinstance(inner, _LOGICAL) or type(inner) in _COMPARISONS:
            return compiled
        get = compiled.get
        return Expr(lambda frame: truthy(get(frame)), compiled.stage, compiled.loops)

    def _literal(self, expression: Expression) -> object:
        match expression:
            case StringLiteral():
                text = expression.value
                return Markup(text) if self._environment.autoescape else text  # noqa: S704  the author's own text
            case Literal():
                return expression.value
            case Nil():
                return None
            case _:
                return expression

    def _logical(self, expression: BooleanExpression | LogicalAndExpression | LogicalOrExpression) -> Expr:
        if isinstance(expression, BooleanExpression):
            return self.condition(expression)
        left, right = self.condition(expression.left), self.condition(expression.right)
        one, other = left.get, right.get
        stage, loops = max(left.stage, right.stage), left.loops | right.loops
        if isinstance(expression, LogicalAndExpression):
            return Expr(lambda frame: one(frame) and other(frame), stage, loops)
        return Expr(lambda frame: one(frame) or other(frame), stage, loops)

    def _comparison(self, expression: Expression) -> Expr:
        if type(expression) not in _COMPARISONS:
            raise NotCompiled(type(expression).__name__)
        compare, is_reversed = _COMPARISONS[type(expression)]
        left, right = (self.value(side) for side in expression.children())
        return _combined(compare, right, left) if is_reversed else _combined(compare, left, right)

    # --- paths -----------------------------------------------------------------------------------------------------------

    def _path(self, path: Path) -> Expr:
        root, *segments = path.path
        if not isinstance(root, str):
            raise NotCompiled("a name that is itself a value")
        undefined = Undefined(root)
        found = self._scope.resolve(root)
        for segment in segments:
            found = self._segment(found, segment, undefined)
        return found

    def _segment(self, base: Expr, segment: str | int | Path, undefined: Undefined) -> Expr:
        if isinstance(segment, Path):
            return _combined(partial(_item_or, undefined), base, self.value(segment))
        if isinstance(segment, str):
            if segment.startswith("__"):
                raise self._scope.refused(
                    f"{segment} is no field: names that begin with two underscores are not available."
                )
            if segment not in _PROPERTIES:
                if base.place is not None:
                    return field_of(base.place, segment, undefined, base.stage, base.loops)
                return Expr(_field_or(undefined, base.get, segment), base.stage, base.loops)
        get = base.get
        return Expr(lambda frame: _item_or(undefined, get(frame), segment), base.stage, base.loops)

    # --- filters ---------------------------------------------------------------------------------------------------------

    def _filtered(self, expression: FilteredExpression) -> Expr:
        value = self.value(expression.left)
        for node in expression.filters or ():
            value = self._filter(value, node)
        return value

    def _filter(self, value: Expr, node: FilterNode) -> Expr:
        positional = [self.value(argument.value) for argument in node.args if isinstance(argument, PositionalArgument)]
        named = {
            argument.name: self.value(argument.value) for argument in node.args if isinstance(argument, KeywordArgument)
        }
        arguments = [*positional, *named.values()]
        stage = max([value.stage, *(argument.stage for argument in arguments)])
        loops = value.loops
        for argument in arguments:
            loops |= argument.loops
        function = self._function(node, positional, named)
        if node.name in filters.TIMELY_FILTERS:
            # A literal "now" is a text like any other until there is a moment of rendering.
            late = node.name in filters.PERSONAL_FILTERS or value.stage is Stage.TEMPLATE
            return Expr(_timely(function, value.get, positional), Stage.PERSON if late else stage, loops)
        if node.name == "default" and len(positional) == 1 and not named and positional[0].stage is Stage.TEMPLATE:
            return Expr(_default(function, value.get, _constant_of(positional[0])), stage, loops)
        return Expr(self._standard(function, value.get, positional, named), stage, loops)

    def _function(self, node: FilterNode, positional: Sequence[Expr], named: dict[str, Expr]) -> Callable[..., Any]:
        """The filter's function. Raises TemplateInvalid for one that does not exist, or not with these arguments."""
        timely = filters.TIMELY_FILTERS.get(node.name)
        function = timely or self._environment.filters.get(node.name)
        if function is None:
            raise self._scope.refused(f"There is no filter {node.name}; docs/templates.md lists those that there are.")
        if getattr(function, "with_environment", False):
            function = partial(function, environment=self._environment)
        handed = ("at", "customer") if timely else ()
        try:
            inspect.signature(function).bind(None, *positional, **named, **dict.fromkeys(handed))
        except TypeError as error:
            raise self._scope.refused(f"The filter {node.name} does not take these arguments: {error}.") from error
        return function

    def _standard(
        self, function: Callable[..., Any], get: Getter, positional: Sequence[Expr], named: dict[str, Expr]
    ) -> Getter:
        charge = self._charge
        if all(argument.stage is Stage.TEMPLATE for argument in (*positional, *named.values())):
            constants = [_constant_of(argument) for argument in positional]
            named_constants = {name: _constant_of(argument) for name, argument in named.items()}

            def apply(frame: Frame) -> object:
                left = get(frame)
                if left.__class__ in _COUNTED and len(left) > _LONG:
                    charge(frame, len(left))
                return function(left, *constants, **named_constants)

            return apply
        getters = [argument.get for argument in positional]
        named_getters = {name: argument.get for name, argument in named.items()}

        def apply_varying(frame: Frame) -> object:
            left = get(frame)
            if left.__class__ in _COUNTED and len(left) > _LONG:
                charge(frame, len(left))
            given = [argument(frame) for argument in getters]
            return function(left, *given, **{name: argument(frame) for name, argument in named_getters.items()})

        return apply_varying

    def _charge(self, frame: Frame, size: int) -> None:
        frame[self._work] += size
        if frame[self._work] > self._limits.filter_work:
            raise RenderError("its filters read too much text", limit="filter_work")


def _unequal(left: object, right: object) -> bool:
    return not equal(left, right)


_LOGICAL = LogicalAndExpression | LogicalOrExpression
# Each with its function, and whether that takes the right side first.
_COMPARISONS: dict[type[Expression], tuple[Callable[[Any, Any], bool], bool]] = {
    EqExpression: (equal, False),
    NeExpression: (_unequal, False),
    LtExpression: (less, False),
    GtExpression: (less, True),
    LeExpression: (less_or_equal, False),
    GeExpression: (less_or_equal, True),
    ContainsExpression: (contains, False),
}


def _constant(value: object) -> Expr:
    return Expr(lambda _: value, Stage.TEMPLATE)


def _constant_of(expr: Expr) -> Any:
    return expr.get([])


def _combined(function: Callable[[Any, Any], Any], left: Expr, right: Expr) -> Expr:
    stage, loops = max(left.stage, right.stage), left.loops | right.loops
    get_left, get_right = left.get, right.get
    if right.stage is Stage.TEMPLATE:
        constant = _constant_of(right)
        return Expr(lambda frame: function(get_left(frame), constant), stage, loops)
    return Expr(lambda frame: function(get_left(frame), get_right(frame)), stage, loops)


def _timely(function: Callable[..., Any], get: Getter, arguments: Sequence[Expr]) -> Getter:
    getters = [argument.get for argument in arguments]

    def apply(frame: Frame) -> object:
        given = [argument(frame) for argument in getters]
        return function(get(frame), *given, at=frame[AT], customer=frame[CUSTOMER])

    return apply


def _default(function: Callable[..., Any], get: Getter, otherwise: object) -> Getter:
    def value(frame: Frame) -> object:
        found = get(frame)
        return found if found.__class__ is str and found else function(found, otherwise)

    return value


def _item_or(undefined: Undefined, value: object, key: object) -> object:
    try:
        return item(value, key)
    except (KeyError, IndexError, TypeError):
        return undefined


def _field_or(undefined: Undefined, get: Getter, name: str) -> Getter:
    def field(frame: Frame) -> object:
        try:
            return get(frame)[name]
        except (KeyError, IndexError, TypeError):
            return undefined

    return field


def _range(start: object, stop: object) -> range:
    first, last = _bound(start), _bound(stop)
    return range(0) if first > last else range(first, last + 1)


def _bound(value: Any) -> int:
    try:
        return int(value)
    except (ValueError, TypeError):
        return 0
