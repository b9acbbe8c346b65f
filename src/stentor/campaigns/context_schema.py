"""The JSON Schema of a generator's `context`: checked when it is saved, asked at each call, read when it is published."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationError, ValidationErrorKind

from stentor.campaigns.guarantees import Guarantees, resolve
from stentor.errors import Invalid, Violation, pointer_to

SCHEMA_BYTES_MAX = 64 * 1024
SCHEMA_DEPTH_MAX = 64
# Two references to the next definition, twenty definitions in a row: a few hundred bytes that cost every call a million
# checks. What a schema becomes with its references written out is therefore what is bounded.
SCHEMA_NODES_MAX = 10_000
VIOLATIONS_NAMED_MAX = 20
VIOLATION_CHARS_MAX = 300

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# An `$id` below the root makes a schema of its own, to which the references inside it then refer.
_FOREIGN_KEYWORDS = ("$dynamicRef", "$recursiveRef", "$id")


class ContextSchema:
    """A compiled schema (JSON Schema, draft 2020-12).

    Raises Invalid, naming the place under `/context_schema`, for what is no such schema or passes a limit, for patterns
    with look-around or back-references (matching those can take for ever), and for references to itself or outside.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        _check_size(schema)
        _check_dialect(schema)
        _Weigher(schema).weigh(schema, "")
        self._validator = _compiled(schema)
        self.schema = schema
        self.guarantees = Guarantees(schema)

    def violations(self, context: Mapping[str, Any], at: str = "/context") -> list[Violation]:
        """What is wrong with a call's context, which stands `at` there: the first 20 violations by field, or none."""
        document = dict(context)
        if self._validator.is_valid(document):
            return []
        errors = islice(self._validator.iter_errors(document), VIOLATIONS_NAMED_MAX)
        return [Violation(f"{at}{pointer_to(*_place(error))}", "schema", _sentence(error)) for error in errors]


def _check_size(schema: Mapping[str, Any]) -> None:
    try:
        encoded = msgspec.json.encode(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused("", f"The schema is not JSON: {error}.") from error
    if len(encoded) > SCHEMA_BYTES_MAX:
        raise _refused("", f"The schema has {len(encoded)} bytes; describe fewer fields, at most {SCHEMA_BYTES_MAX}.")
    if b"\\u0000" in encoded:
        raise _refused("", "The schema has a NUL character; remove it.")


def _check_dialect(schema: Mapping[str, Any]) -> None:
    if schema.get("$schema", DIALECT) not in (DIALECT, f"{DIALECT}#"):
        raise _refused("/$schema", f"Only draft 2020-12 is understood; write {DIALECT} or leave $schema out.")


def _compiled(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            dict(schema), offline=True, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except ValidationError as error:
        raise _refused(pointer_to(*error.instance_path), f"This is not a JSON Schema: {error.message}.") from error
    except ValueError as error:
        raise _refused("", f"This is not a JSON Schema: {error}.") from error


class _Weigher:
    """Counts a schema's nodes with its references written out; each definition is weighed once."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._weights: dict[str, int] = {}
        self._open: set[str] = set()

    def weigh(self, node: Any, place: str, depth: int = 0) -> int:
        if depth > SCHEMA_DEPTH_MAX:
            raise _refused(place, f"The schema is nested deeper than {SCHEMA_DEPTH_MAX} levels; make it flatter.")
        if isinstance(node, Mapping):
            within = (self.weigh(value, place + pointer_to(name), depth + 1) for name, value in node.items())
            weight = 1 + sum(within) + self._referred(node, place, depth)
        elif isinstance(node, list):
            weight = sum(self.weigh(value, f"{place}/{index}", depth + 1) for index, value in enumerate(node))
        else:
            weight = 0
        if weight > SCHEMA_NODES_MAX:
            raise _refused(place, f"Written out without $ref, the schema has more than {SCHEMA_NODES_MAX} parts.")
        return weight

    def _referred(self, node: Mapping[str, Any], place: str, depth: int) -> int:
        for keyword in _FOREIGN_KEYWORDS:
            if isinstance(node.get(keyword), str) and (place or keyword != "$id"):
                raise _refused(f"{place}/{keyword}", f"{keyword} is not supported; refer with $ref to #/$defs/….")
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return 0
        if reference not in self._weights:
            self._weights[reference] = self._followed(reference, f"{place}/$ref", depth)
        return self._weights[reference]

    def _followed(self, reference: str, place: str, depth: int) -> int:
        if reference in self._open:
            raise _refused(place, f"{reference} contains itself; write out the levels that templates use.")
        target = resolve(self._root, reference)
        if target is None:
            raise _refused(place, f"{reference} is not in this schema; refer to #/$defs/… inside it.")
        self._open.add(reference)
        weight = self.weigh(target, reference.removeprefix("#"), depth + 1)
        self._open.discard(reference)
        return weight


def _refused(place: str, message: str) -> Invalid:
    return Invalid.field(f"/context_schema{place}", "invalid-schema", message)


def _place(error: ValidationError) -> list[str | int]:
    """Where the error is; a missing or surplus field is named itself, not the object around it."""
    match error.kind:
        case ValidationErrorKind.Required(property=name):
            return [*error.instance_path, name]
        case ValidationErrorKind.AdditionalProperties(unexpected=[name, *_]):
            return [*error.instance_path, name]
        case _:
            return list(error.instance_path)


def _sentence(error: ValidationError) -> str:
    where = ".".join(map(str, _place(error))) or "context"
    return f"{where}: {error.message}"[:VIOLATION_CHARS_MAX]
