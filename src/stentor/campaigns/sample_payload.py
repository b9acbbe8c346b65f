"""A payload that a generator's schema takes: for people to begin with, made from the schema's own examples where it has them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from stentor.campaigns.guarantees import resolve

PARTS_MAX = 500
"""Of one sample; 64 bytes of an example count as a part. What is optional beyond that is left out, and the rest is null."""

_BYTES_OF_PART = 64
_ELEMENTS_MAX = 10
_TEXTS = {
    "date-time": "2026-12-24T17:00:00Z",
    "date": "2026-12-24",
    "time": "17:00:00Z",
    "duration": "PT90M",
    "email": "fan@example.org",
    "uri": "https://example.org/",
    "uri-reference": "/",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "019ab000-0000-7000-8000-000000000001",
}


def sample_payload(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """A context to try a generator with: a value for each field, by its examples, default, choices or type.

    The schema is one that ContextSchema takes. Patterns and conditions are not solved: ask the schema whether the sample passes.
    """
    if schema is None:
        return {}
    value = _Sampler(schema).value(schema)
    return value if isinstance(value, dict) else {}


class _Sampler:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = PARTS_MAX

    def value(self, said: Any) -> Any:
        node = self._whole(said)
        self._left -= 1
        if self._left < 0:
            return None
        if given := _given(node):
            return self._counted(given[0])
        return self._made(node)

    def _made(self, node: Mapping[str, Any]) -> Any:
        match _type(node):
            case "object":
                return self._object(node)
            case "array":
                return self._array(node)
            case "integer" | "number" as kind:
                return _number(node, is_whole=kind == "integer")
            case "boolean" | "null" as kind:
                return True if kind == "boolean" else None
        return _text(node)

    def _whole(self, said: Any) -> dict[str, Any]:
        """The node with what it refers to, all that it is made of, and the first of its choices."""
        node: dict[str, Any] = dict(said) if isinstance(said, Mapping) else {}
        parts: list[Any] = []
        if isinstance(reference := node.pop("$ref", None), str):
            parts.append(resolve(self._root, reference))
        parts += node.pop("allOf", [])
        for choice in ("anyOf", "oneOf"):
            parts += node.pop(choice, [])[:1]
        for part in parts:
            self._left -= 1
            inner = self._whole(part) if self._left > 0 else {}
            properties = {**inner.get("properties", {}), **node.get("properties", {})}
            required = [*inner.get("required", []), *node.get("required", [])]
            node = {**inner, **node}
            if properties:
                node["properties"] = properties
            if required:
                node["required"] = list(dict.fromkeys(required))
        return node

    def _counted(self, value: Any) -> Any:
        self._left -= len(msgspec.json.encode(value)) // _BYTES_OF_PART
        return value if self._left >= 0 else None

    def _object(self, node: Mapping[str, Any]) -> dict[str, Any]:
        properties, required = node.get("properties", {}), node.get("required", [])
        made: dict[str, Any] = {name: self.value(properties.get(name, True)) for name in required}
        for name, inner in properties.items():
            if name not in made and self._left > 0 and inner is not False:
                made[name] = self.value(inner)
        return {name: made[name] for name in dict.fromkeys([*properties, *required]) if name in made}

    def _array(self, node: Mapping[str, Any]) -> list[Any]:
        first = [self.value(each) for each in node.get("prefixItems", [])[:_ELEMENTS_MAX]]
        if node.get("items") is False:
            return first
        wanted = min(max(node.get("minItems", 1), 1), _ELEMENTS_MAX)
        return first + [self.value(node.get("items", True)) for _ in range(wanted - len(first))]


def _given(node: Mapping[str, Any]) -> list[Any]:
    """What the schema itself says a value may be, the best first."""
    said = [node.get("examples"), [node["default"]] if "default" in node else None]
    said += [[node["const"]] if "const" in node else None, node.get("enum")]
    return next((found for found in said if isinstance(found, list) and found), [])


def _type(node: Mapping[str, Any]) -> str:
    said = node.get("type")
    if isinstance(said, list):
        said = next((each for each in said if each != "null"), "null")
    if isinstance(said, str):
        return said
    return "object" if "properties" in node or "required" in node else "array" if "items" in node else "string"


def _text(node: Mapping[str, Any]) -> str:
    text = _TEXTS.get(node.get("format", ""), "text")
    shortest, longest = min(int(node.get("minLength", 0)), 200), int(node.get("maxLength", 200))
    return text.ljust(shortest, "x")[:longest]


def _number(node: Mapping[str, Any], *, is_whole: bool) -> int | float:
    step = node.get("multipleOf", 1)
    low, high = node.get("minimum"), node.get("maximum")
    if low is None and (above := node.get("exclusiveMinimum")) is not None:
        low = above + step
    if high is None and (below := node.get("exclusiveMaximum")) is not None:
        high = below - step
    value = step if low is None else -(-low // step) * step
    if high is not None and value > high:
        value = high
    return int(value) if is_whole else value
