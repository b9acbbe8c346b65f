"""The schema of a payload as rows of a form: a field each, and whatever a row cannot say kept as it is.

Rows refer to the schema that the form was drawn from, which travels with the form: what a row leaves as it was shown is taken over
from there letter by letter, so no schema is changed by being looked at.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Invalid, Violation

ROWS_MAX = 100
"""Fields that a form shows; a schema with more is edited as JSON."""
NAME_CHARS_MAX = 200
LINE_CHARS_MAX = 1_000
"""Of a field's description and of its example, in the form."""

TYPES: Mapping[str, str] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "yes or no",
    "date-time": "instant",
    "date": "day",
    "uri": "link",
}
AS_IT_IS = "kept"
"""The type of a field that no row can say: an object, a list, or one of several types."""

_ROW = re.compile(r"f-(\d{1,3})-(name|type|required|description|example|was)", re.ASCII)
_FORMATS = ("date-time", "date", "uri")
_SAID_TYPES = ("string", "integer", "number", "boolean")
_NUMBERS = {"integer": int, "number": int | float}


class FieldRow(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the payload. `was`: its name in the schema that the form was drawn from; `kept`: what else that says of it."""

    name: str = ""
    type: str = "string"
    required: bool = False
    description: str = ""
    example: str = ""
    was: str = ""
    kept: str = ""


def has_rows(schema: Mapping[str, Any]) -> bool:
    """Whether rows can say the schema's fields: an object whose fields are named, and all that are required among them."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    return (
        schema.get("type", "object") == "object"
        and isinstance(properties, dict)
        and len(properties) <= ROWS_MAX
        and all(isinstance(node, dict) and _is_line(name) for name, node in properties.items())
        and isinstance(required, list)
        and all(isinstance(name, str) and name in properties for name in required)
    )


def rows_of(schema: Mapping[str, Any]) -> list[FieldRow]:
    """A row for each field that the schema names."""
    required = schema.get("required", [])
    return [_row(name, node, name in required) for name, node in schema.get("properties", {}).items()]


def posted_rows(form: Mapping[str, str], base: Mapping[str, Any]) -> list[FieldRow]:
    """The rows of a form that was drawn from `base`, changed as its button asks for. Fields have no order of their own."""
    found: dict[int, dict[str, str]] = {}
    for name, text in form.items():
        if match := _ROW.fullmatch(name):
            found.setdefault(int(match[1]), {})[match[2]] = text
    nodes = base.get("properties", {})
    rows: list[FieldRow] = []
    for _, said in sorted(found.items())[:ROWS_MAX]:
        was = said.get("was", "")
        old = _row(was, nodes[was], is_required=False) if was in nodes else FieldRow()
        chosen = said.get("type", "")
        known = chosen in TYPES or (chosen == AS_IT_IS and old.type == AS_IT_IS)
        rows.append(
            FieldRow(
                name=said.get("name", ""),
                type=chosen if known else old.type,
                required=said.get("required") == "yes",
                description=said.get("description", ""),
                example=said.get("example", ""),
                was=old.was,
                kept=old.kept,
            )
        )
    what, _, place = form.get("do", "").partition(" ")
    index = int(place) if place.isdecimal() and len(place) < 4 else -1
    if what == "add" and len(rows) < ROWS_MAX:
        rows.append(FieldRow(required=True))
    elif what == "remove" and 0 <= index < len(rows):
        rows.pop(index)
    return rows


def schema_of(rows: Sequence[FieldRow], base: Mapping[str, Any]) -> dict[str, Any]:
    """The schema that the rows say; what they do not say stays as it is in `base`. Raises Invalid for what cannot be read."""
    wrong: list[Violation] = []
    old = base.get("properties", {})
    properties: dict[str, Any] = {}
    now_called: dict[str, str] = {}
    for place, row in enumerate(rows):
        name = row.was if _line(row.was) == _line(row.name) else row.name.strip()
        if not name or name in properties or not _is_line(name):
            text = f"Give each field a name of its own, of at most {NAME_CHARS_MAX} characters."
            wrong.append(Violation(f"/fields/{place}/name", "field-name", text))
            continue
        try:
            properties[name] = _node(old.get(row.was), row)
        except ValueError as error:
            wrong.append(Violation(f"/fields/{place}/example", "unreadable", str(error)))
            continue
        if row.was:
            now_called[row.was] = name
    if wrong:
        raise Invalid(wrong[0].message, violations=wrong)
    wanted = {row.was if _line(row.was) == _line(row.name) else row.name.strip() for row in rows if row.required}
    kept = [now_called[name] for name in base.get("required", []) if now_called.get(name) in wanted]
    required = [*kept, *(name for name in properties if name in wanted and name not in kept)]
    schema = {"type": "object", **base}
    if properties or "properties" in base:
        schema["properties"] = properties
    if required or "required" in base:
        schema["required"] = required
    return schema


def _row(name: str, node: Mapping[str, Any], is_required: bool) -> FieldRow:
    said = _type(node)
    told = {"description", "examples", *(() if said == AS_IT_IS else ("type",))}
    if node.get("format") == said:
        told.add("format")
    rest = {key: value for key, value in node.items() if key not in told}
    return FieldRow(
        name=_line(name),
        type=said,
        required=is_required,
        description=_description(node),
        example=_example(node),
        was=name,
        kept=msgspec.json.encode(rest).decode() if rest else "",
    )


def _node(old: Mapping[str, Any] | None, row: FieldRow) -> dict[str, Any]:
    """The schema of a field. Raises ValueError for an example that is none of its type."""
    node: dict[str, Any]
    if old is not None and _type(old) == row.type:
        node = dict(old)
    else:
        # What was said of another type, as the least of a number, would be nonsense of this one.
        node = {"type": "string", "format": row.type} if row.type in _FORMATS else {"type": row.type}
        node |= {key: old[key] for key in ("title", "description") if old is not None and key in old}
    if _line(row.description) != _description(node):
        node.pop("description", None)
        if row.description.strip():
            node["description"] = row.description.strip()[:LINE_CHARS_MAX]
    if _line(row.example) != _example(node):
        others = node.pop("examples", [])[1:]
        if row.example.strip():
            node["examples"] = [_read_example(row), *others]
    return node


def _read_example(row: FieldRow) -> Any:
    text = row.example.strip()
    if row.type in _NUMBERS:
        try:
            return msgspec.json.decode(text, type=_NUMBERS[row.type])
        except msgspec.DecodeError:
            raise ValueError(f"Write a {TYPES[row.type]} with digits, as 12, or nothing.") from None
    if row.type == "boolean":
        if text not in {"yes", "no"}:
            raise ValueError("Write yes or no, or nothing.")
        return text == "yes"
    if row.type == AS_IT_IS:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            raise ValueError('Write the example as JSON, as {"id": 7} or "text".') from None
    return text


def _example(node: Mapping[str, Any]) -> str:
    examples = node.get("examples")
    if not isinstance(examples, list) or not examples:
        return ""
    first, said = examples[0], _type(node)
    if isinstance(first, bool) and said == "boolean":
        return "yes" if first else "no"
    if isinstance(first, str) and said in {"string", *_FORMATS}:
        return _line(first)
    return _line(msgspec.json.encode(first).decode())


def _description(node: Mapping[str, Any]) -> str:
    said = node.get("description")
    return _line(said) if isinstance(said, str) else ""


def _type(node: Mapping[str, Any]) -> str:
    said = node.get("type")
    if said == "string" and node.get("format") in _FORMATS:
        return str(node["format"])
    return said if isinstance(said, str) and said in _SAID_TYPES else AS_IT_IS


def _line(text: str) -> str:
    """A text as a field of one line shows it."""
    return " ".join(text.split())[:LINE_CHARS_MAX]


def _is_line(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= NAME_CHARS_MAX and not NOT_IN_A_LINE.search(name)
