"""Which fields a template uses, and for each use whether the template itself copes with a field that is missing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec
from liquid import BoundTemplate, Expression, Node, RenderContext
from liquid.ast import BlockNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.decrement_tag import DecrementNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.increment_tag import IncrementNode
from liquid.builtin.tags.tablerow_tag import TablerowNode
from liquid.builtin.tags.unless_tag import UnlessNode

from stentor.domain.vocabulary import ChannelKind
from stentor.render.environment import parse, walk
from stentor.render.guards import guards
from stentor.render.scope import RESERVED_NAMES
from stentor.render.source import line_of

Step: TypeAlias = str | int | None
"""A field's name, an element's index (from the end when negative), None for every element in turn."""

FieldPath: TypeAlias = tuple[Step, ...]
"""A name (`context`, `customer`, `brand`, or a bare one) and the steps from there."""


class Usage(msgspec.Struct, frozen=True):
    """One use of a field."""

    part: str
    line: int
    path: FieldPath
    printed: bool
    """Whether the text would have a gap without it; conditions only ask."""
    has_default: bool
    """Whether it has a `default` filter, or its loop an `else`."""
    given: frozenset[FieldPath]
    """The fields that are certain to be there at this place: an `if` or a loop around it says so."""

    @property
    def bare_name(self) -> str | None:
        """The name where it is a bare one, which a binding explains."""
        name = self.path[0]
        return name if isinstance(name, str) and name not in RESERVED_NAMES else None


def usages(kind: ChannelKind, parts: Mapping[str, str]) -> list[Usage]:
    """The uses of fields in a published template's parts, in the order of their text.

    A loop's item counts as an element of what it loops through, and a local name as the field that it was assigned.
    Raises TemplateInvalid for a part that is no template.
    """
    found: list[Usage] = []
    for part, source in parts.items():
        escaped = kind is ChannelKind.EMAIL and part in {"html", "preheader"}
        found += _Reader(part, parse(part, source, autoescape=escaped)).read()
    return found


_Names: TypeAlias = Mapping[str, FieldPath | None]


class _View(msgspec.Struct, frozen=True):
    """What holds at a place: the names that loops and assignments made (None: a value of its own), and what is given."""

    names: _Names = {}
    given: frozenset[FieldPath] = frozenset()

    def with_names(self, names: _Names) -> "_View":
        return _View({**self.names, **names}, self.given)

    def with_given(self, paths: Iterable[FieldPath]) -> "_View":
        return _View(self.names, self.given.union(paths))


class _Reader:
    def __init__(self, part: str, template: BoundTemplate) -> None:
        self._part = part
        self._template = template
        self._context = RenderContext(template)
        self._found: list[Usage] = []
        self._locals = _assigned_fields(template)

    def read(self) -> list[Usage]:
        view = _View()
        own = {name: None for name, path in self._locals.items() if path is None}
        view = view.with_names(own)
        for name, path in self._locals.items():
            if path is not None:
                view = view.with_names({name: _resolved(path, view)})
        self._nodes(self._template.nodes, view)
        return self._found

    # --- nodes -------------------------------------------------------------------------------------------------------------

    def _nodes(self, nodes: Sequence[Node], view: _View) -> None:
        for node in nodes:
            self._node(node, view)

    def _node(self, node: Node, view: _View) -> None:
        match node:
            case IfNode() | UnlessNode():
                self._if(node, view)
            case CaseNode():
                self._case(node, view)
            case ForNode() | TablerowNode():
                self._loop(node, view)
            case AssignNode() if self._locals.get(str(node.name)) is not None:
                self._expression(node.expression, view, printed=False)
            case _:
                for expression in node.expressions():
                    self._expression(expression, view, printed=True)
                self._nodes(list(node.children(self._context)), view)

    def _if(self, node: IfNode | UnlessNode, view: _View) -> None:
        known = guards(node.condition, lambda path: _resolved(path, view))
        self._expression(node.condition, view, printed=False)
        when, otherwise = (known.when_true, known.when_false)
        if isinstance(node, UnlessNode):
            when, otherwise = otherwise, when
        self._block(node.consequence, view.with_given(when))
        view = view.with_given(otherwise)
        for alternative in node.alternatives:
            known = guards(alternative.expression, lambda path, view=view: _resolved(path, view))
            self._expression(alternative.expression, view, printed=False)
            self._block(alternative.block, view.with_given(known.when_true))
            view = view.with_given(known.when_false)
        self._block(node.default, view)

    def _case(self, node: CaseNode, view: _View) -> None:
        self._expression(node.expression, view, printed=False)
        path = _resolved(node.expression, view) if isinstance(node.expression, Path) else None
        for block in node.blocks:
            if isinstance(block, MultiExpressionBlockNode):
                for expression in block.expression.expressions:
                    self._expression(expression, view, printed=False)
                self._block(block.block, view.with_given([path] if path else []))
            else:
                self._block(block, view)

    def _loop(self, node: ForNode | TablerowNode, view: _View) -> None:
        expression = node.expression
        default = node.default if isinstance(node, ForNode) else None
        self._expression(expression.iterable, view, printed=True, has_default=default is not None)
        for option in (expression.limit, expression.offset, expression.cols):
            if option is not None:
                self._expression(option, view, printed=True)
        path = _resolved(expression.iterable, view) if isinstance(expression.iterable, Path) else None
        item = None if path is None else (*path, None)
        inside = view.with_names({"forloop": None, "tablerowloop": None, expression.identifier: item})
        self._block(node.block, inside.with_given([path] if path else []))
        self._block(default, view)

    def _block(self, block: BlockNode | None, view: _View) -> None:
        if block is not None:
            self._nodes(block.nodes, view)

    # --- expressions ---------------------------------------------------------------------------------------------------------

    def _expression(self, expression: Expression, view: _View, *, printed: bool, has_default: bool = False) -> None:
        if isinstance(expression, FilteredExpression):
            filters = expression.filters or []
            has_default = has_default or any(node.name == "default" for node in filters)
            self._expression(expression.left, view, printed=printed, has_default=has_default)
            for node in filters:
                for argument in node.args:
                    self._expression(argument.value, view, printed=printed)
            return
        if isinstance(expression, Path):
            self._path(expression, view, printed=printed, has_default=has_default)
        for inner in expression.children():
            self._expression(inner, view, printed=printed)

    def _path(self, expression: Path, view: _View, *, printed: bool, has_default: bool) -> None:
        path = _resolved(expression, view)
        if path is not None:
            line = line_of(expression.token.source, expression.token.start_index)
            self._found.append(Usage(self._part, line, path, printed, has_default, view.given))


def _resolved(expression: Path, view: _View) -> FieldPath | None:
    """The field that a path means, or None for a value that the template made itself."""
    root, *steps = expression.path
    if not isinstance(root, str):
        return None
    base = view.names.get(root, (root,))
    return None if base is None else (*base, *(None if isinstance(step, Path) else step for step in steps))


def _assigned_fields(template: BoundTemplate) -> dict[str, Path | None]:
    """The names that the template makes; with the path of those that only ever stand for one field."""
    made: dict[str, Path | None] = {}
    for node in walk(template):
        match node:
            case AssignNode() if str(node.name) not in made:
                made[str(node.name)] = _plain_path(node.expression)
            case AssignNode() | CaptureNode() | IncrementNode() | DecrementNode():
                made[str(node.name)] = None
            case _:
                pass
    return made


def _plain_path(expression: Expression) -> Path | None:
    if isinstance(expression, FilteredExpression) and not expression.filters and isinstance(expression.left, Path):
        return expression.left
    return None


def bare_names(found: Iterable[Usage]) -> Iterator[str]:
    """The bare names among the uses, each once, in order."""
    return iter(dict.fromkeys(name for usage in found if (name := usage.bare_name)))
