"""What a JSON Schema promises: whether every valid context has a value, and not null, at a path.

Read are `type`, `properties`, `required`, `additionalProperties`, `items`, `prefixItems`, `minItems`, `enum`, `const`,
`allOf`, `anyOf`, `oneOf` and `$ref`; what other keywords may promise besides is not counted, so a "yes" is always true.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from stentor.errors import steps_of
from stentor.render.analysis import Step

Node: TypeAlias = Mapping[str, Any]
Path: TypeAlias = Sequence[Step]

# Choices inside choices multiply; past this many steps a proof is given up, which refuses rather than hangs.
_STEPS_MAX = 10_000

_CHOICES = ("anyOf", "oneOf")
_COMPOSED = frozenset({*_CHOICES, "allOf", "$ref"})
_OBJECT: Node = {"type": "object"}


class Guarantees:
    """Answers for one schema whose references have been checked: inside it, and none to itself."""

    def __init__(self, schema: Node) -> None:
        self._root = schema
        self._steps_left = 0

    def fields(self) -> frozenset[str]:
        """The top-level fields that the schema names, in whichever branch."""
        return frozenset(self._named([self._root]))

    def gap(self, path: Path) -> str | None:
        """Why a valid context may have nothing, or null, at `path`; None when it always has a value there."""
        self._steps_left = _STEPS_MAX
        return self._gap([_OBJECT, self._root], path, "context")

    def _named(self, schemas: Sequence[Any]) -> set[str]:
        nodes = self._conjuncts(schemas)
        names = {name for node in nodes for name in (*node.get("properties", ()), *node.get("required", ()))}
        branches = [branch for node in nodes for choice in _CHOICES for branch in node.get(choice, ())]
        return names | self._named(branches) if branches else names

    def _gap(self, schemas: Sequence[Any], path: Path, place: str) -> str | None:
        self._steps_left -= 1
        if self._steps_left < 0:
            return f"the schema has too many nested choices to tell whether {place} is always there"
        nodes = self._conjuncts(schemas)
        gap = self._step(nodes, path, place)
        if gap is None:
            return None
        # A choice promises what each of its branches promises, together with what stands around it.
        around = [{name: value for name, value in node.items() if name not in _COMPOSED} for node in nodes]
        for branches in (node[choice] for node in nodes for choice in _CHOICES if node.get(choice)):
            if all(self._gap([*around, branch], path, place) is None for branch in branches):
                return None
        return gap

    def _step(self, nodes: Sequence[Node], path: Path, place: str) -> str | None:
        if not path:
            return None if any(map(_never_null, nodes)) else f"{place} may be null"
        step, rest = path[0], path[1:]
        if isinstance(step, str):
            return self._field(nodes, step, rest, place)
        return self._element(nodes, step, rest, place)

    def _field(self, nodes: Sequence[Node], name: str, rest: Path, place: str) -> str | None:
        if not _is_always(nodes, "object"):
            return f"{place} may be something else than an object"
        within = f"{place}.{name}"
        declared = [schema for node in nodes if (schema := _of_field(node, name)) is not None]
        if any(name in node.get("required", ()) for node in nodes):
            return self._gap(declared, rest, within)
        return f"{within} is not required" if declared else f"the schema has no {within}"

    def _element(self, nodes: Sequence[Node], index: int | None, rest: Path, place: str) -> str | None:
        if not _is_always(nodes, "array"):
            return f"{place} may be something else than a list"
        within = f"{place}[{'' if index is None else index}]"
        if index is not None:
            least = max(int(node.get("minItems", 0)) for node in nodes)
            if least < (index + 1 if index >= 0 else -index):
                return f"{within} is missing from a shorter list (the schema has no fitting minItems)"
        gaps = (self._gap(schemas, rest, within) for schemas in _of_elements(nodes, index))
        return next(filter(None, gaps), None)

    def _conjuncts(self, schemas: Sequence[Any]) -> list[Node]:
        """All schemas that hold at once: with what they refer to and what their `allOf` adds."""
        nodes: list[Node] = []
        waiting = list(schemas)
        while waiting:
            node = waiting.pop()
            if isinstance(node, Mapping):
                nodes.append(node)
                waiting.extend(node.get("allOf", ()))
                if "$ref" in node:
                    waiting.append(resolve(self._root, node["$ref"]))
        return nodes


def resolve(root: Node, reference: str) -> Node | bool | None:
    """The schema that a reference like `#/$defs/match` stands for; None when it is not inside `root`."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    node: Any = root
    for name in steps_of(reference[1:]):
        if isinstance(node, Mapping) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        else:
            return None
    return node if isinstance(node, (Mapping, bool)) else None


def _never_null(node: Node) -> bool:
    if "type" in node:
        return "null" not in _types(node)
    if "const" in node:
        return node["const"] is not None
    if "enum" in node:
        return None not in node["enum"]
    return node.get("not") == {"type": "null"}


def _is_always(nodes: Sequence[Node], kind: str) -> bool:
    return any(_types(node) == [kind] for node in nodes)


def _types(node: Node) -> list[str]:
    declared = node.get("type", ())
    return [declared] if isinstance(declared, str) else list(declared)


def _of_field(node: Node, name: str) -> Any:
    if name in node.get("properties", ()):
        return node["properties"][name]
    rest = node.get("additionalProperties")
    return rest if isinstance(rest, Mapping) else None


def _of_elements(nodes: Sequence[Node], index: int | None) -> list[list[Any]]:
    """For each element that is meant, the schemas it obeys."""
    longest = max((len(node.get("prefixItems", ())) for node in nodes), default=0)
    meant = range(longest + 1) if index is None or index < 0 else [min(index, longest)]
    return [[schema for node in nodes if (schema := _of_element(node, position)) is not None] for position in meant]


def _of_element(node: Node, position: int) -> Any:
    prefix = node.get("prefixItems", ())
    return prefix[position] if position < len(prefix) else node.get("items")
