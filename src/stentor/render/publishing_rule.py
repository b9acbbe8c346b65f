"""The publishing rule: no message has a gap because a field that its template prints need not be there."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from stentor.domain.vocabulary import ChannelKind
from stentor.render.analysis import FieldPath, Step, Usage, bare_names

SYSTEM_FIELDS = ("external_id", "email", "phone", "locale", "time_zone")
"""The fields of `customer` that every person has, although perhaps without a value; all others are attributes."""

Schema: TypeAlias = Mapping[str, Any]


class Promises(Protocol):
    """What a JSON Schema promises."""

    def gap(self, path: Sequence[Step]) -> str | None:
        """Why a valid context may have nothing at this path; None when it always has a value there."""
        ...


class Finding(msgspec.Struct, frozen=True):
    """Something about a template: an error stops its publication, a warning does not."""

    level: Literal["error", "warning"]
    part: str
    line: int
    field: str
    """As the author wrote it, or as `context.players[].name` for a loop's item."""
    message: str


def bind_names(
    found: Iterable[Usage], *, context_fields: Collection[str] | None, attributes: Collection[str] = ()
) -> dict[str, str]:
    """What each bare `{{ name }}` means: a field of the context, else a system field, else an attribute of the person.

    `context_fields` are those that the schema names, None where there is no schema: then a name that is neither a
    system field nor one of the known `attributes` is taken from the context. Answers `context.x`, `customer.x` or
    `customer.attributes.x` by name.
    """
    return {name: _binding(name, context_fields, attributes) for name in bare_names(found)}


def _binding(name: str, context_fields: Collection[str] | None, attributes: Collection[str]) -> str:
    if context_fields is not None and name in context_fields:
        return f"context.{name}"
    if name in SYSTEM_FIELDS:
        return f"customer.{name}"
    if context_fields is None and name not in attributes:
        return f"context.{name}"
    return f"customer.attributes.{name}"


def check_against_schema(
    kind: ChannelKind,
    found: Iterable[Usage],
    *,
    bindings: Mapping[str, str],
    schema: Schema | None,
    promises: Callable[[Schema], Promises],
) -> list[Finding]:
    """What speaks against publishing a template with these uses of fields.

    An error: it prints a context field that the schema does not make required and never null, without a `default` and
    outside an `if` on it. A warning: it prints a person's field likewise. Without a schema the context is not checked.
    `promises` reads a schema; it is asked of the schema together with what the template itself makes certain.
    """
    findings: dict[tuple[str, str, str], Finding] = {}
    for usage in found:
        if not usage.printed or usage.has_default:
            continue
        path = _meant(usage.path, bindings)
        given = {_meant(certain, bindings) for certain in usage.given}
        finding = None
        if path[0] == "context" and schema is not None:
            finding = _context_finding(usage, path, given, schema, promises)
        elif path[0] == "customer" and path not in given and path[1:2] not in {("external_id",), _ADDRESSES.get(kind)}:
            finding = _customer_finding(usage, path)
        if finding is not None:
            findings.setdefault((finding.level, finding.part, finding.field), finding)
    return list(findings.values())


_ADDRESSES = {
    ChannelKind.EMAIL: ("email",),
    ChannelKind.SMS: ("phone",),
    ChannelKind.WHATSAPP: ("phone",),
    ChannelKind.VOICE: ("phone",),
}


def _meant(path: FieldPath, bindings: Mapping[str, str]) -> FieldPath:
    """The path with a bare name replaced by what it is bound to."""
    name, *steps = path
    target = bindings.get(str(name))
    return path if target is None else (target.partition(".")[0], name, *steps)


def _context_finding(
    usage: Usage,
    path: FieldPath,
    given: Collection[FieldPath],
    schema: Schema,
    promises: Callable[[Schema], Promises],
) -> Finding | None:
    certain = [_certainty(known[1:]) for known in given if known[0] == "context" and len(known) > 1]
    reader = promises({**schema, "allOf": [*schema.get("allOf", ()), *certain]})
    gaps = [reader.gap(reading) for reading in _readings(path[1:])]
    if not all(gaps):
        return None
    field = _written(path)
    message = (
        f"{gaps[0]}; make it required and never null in the schema, give {field} a default, or ask for it with if."
    )
    return Finding("error", usage.part, usage.line, field, message)


def _customer_finding(usage: Usage, path: FieldPath) -> Finding:
    field = _written(path)
    message = f"Not every person has {field}; give it a default, or ask for it with if."
    return Finding("warning", usage.part, usage.line, field, message)


def _certainty(path: FieldPath) -> dict[str, Any]:
    """A schema that says: there is a value at this path."""
    if not path:
        return {"not": {"type": "null"}}
    step, inner = path[0], _certainty(path[1:])
    if isinstance(step, str):
        return {"type": "object", "required": [step], "properties": {step: inner}}
    if step is None or step < 0:
        return {"type": "array", "items": inner}
    return {"type": "array", "minItems": step + 1, "prefixItems": [{}] * step + [inner]}


def _readings(path: FieldPath) -> list[FieldPath]:
    """The path as it is, and with `first`, `last` and a final `size` read as properties of a list or text."""
    places: dict[Step, Step] = {"first": 0, "last": -1}
    placed = tuple(places.get(step, step) for step in path)
    return [path, placed, placed[:-1]] if placed[-1:] == ("size",) else [path, placed]


def _written(path: FieldPath) -> str:
    name, *steps = path
    return str(name) + "".join(
        f".{step}" if isinstance(step, str) else f"[{'' if step is None else step}]" for step in steps
    )
