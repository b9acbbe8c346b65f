"""A segment's form as rows: read from what was posted, changed by its buttons, and written from an expression and back.

A row is a group, a condition, or a property of an event. Its fields are named by its place, `r-0-1-value`: the second row in
the first one of the root. What a field cannot hold as it is, such as a line break in a name, is shown as a row of JSON, so that
no expression is changed by being looked at.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import field

from stentor.audience.segments.expressions import (
    CONDITIONS_MAX,
    DEPTH_MAX,
    PROPERTIES_MAX,
    Condition,
    Expression,
    Group,
)
from stentor.console.segment_form.kinds import (
    CHECKS,
    CODE,
    DATE_CHECKS,
    GROUPS,
    KINDS,
    PROPERTY,
    Ask,
)
from stentor.console.segment_form.texts import percents, read, type_of, written
from stentor.errors import Invalid, Violation, pointer_of_path

ROWS_MAX = CONDITIONS_MAX * (1 + PROPERTIES_MAX)
"""Of one form, properties of events included. The segment itself takes fewer, and says so."""

_NAME = re.compile(r"(r(?:-[0-9]{1,3}){0,12})-([a-z_]+)", re.ASCII)
_STEP = re.compile(r"r(?:-[0-9]{1,3}){0,12}", re.ASCII)
_UNSEEN = re.compile(r"[\x00-\x1f\x7f]")


class Row(msgspec.Struct, kw_only=True):
    """A group, a condition or a property, as it was typed. `kind` is empty while none is chosen."""

    kind: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    rows: "list[Row]" = field(default_factory=list)

    @property
    def check(self) -> str:
        """The test that is chosen, or the first one that there is."""
        said = self.fields.get("op", "")
        kind = KINDS.get(self.kind)
        known = DATE_CHECKS if kind is not None and kind.test == "date" else tuple(CHECKS)
        return said if said in known else known[0]

    @property
    def has_test(self) -> bool:
        return self.kind == PROPERTY or (self.kind in KINDS and KINDS[self.kind].test != "")


class Reading(msgspec.Struct, frozen=True):
    """An expression, and which field of the form each place of it came from: a pointer below `/expression`, and a name."""

    expression: Expression
    places: Mapping[str, str]


def asks_of(row: Row) -> list[Ask]:
    """The fields of a row beside its kind and its test."""
    asks = [] if row.kind == PROPERTY or row.kind not in KINDS else list(KINDS[row.kind].asks)
    if row.kind == PROPERTY:
        asks = [KINDS["attribute"].asks[0]]
    return asks + (list(CHECKS[row.check].asks) if row.has_test else [])


def new_root() -> Row:
    """The form of a segment that is not there yet: all of one condition."""
    return Row(kind="all_of", rows=[Row()])


def posted_rows(form: Mapping[str, str]) -> Row:
    """The rows of a form. Raises Invalid for more than it can hold; fields that are none of a form's are passed over."""
    found: dict[tuple[int, ...], Row] = {}
    for name, text in form.items():
        if (match := _NAME.fullmatch(name)) is None:
            continue
        place = tuple(int(step) for step in match[1].split("-")[1:])
        row = found.setdefault(place, Row())
        if match[2] == "kind":
            row.kind = text if text in GROUPS or text in KINDS or text == PROPERTY else ""
        else:
            row.fields[match[2]] = text.replace("\r\n", "\n").strip()
        if len(found) > ROWS_MAX:
            raise Invalid(f"A form has at most {ROWS_MAX} rows. Make two segments.")
    root = found.pop((), None)
    if root is None or root.kind not in GROUPS:
        return new_root()
    for place in sorted(found):
        above = root if len(place) == 1 else found.get(place[:-1])
        if above is not None:
            above.rows.append(found[place])
    return root


def changed(root: Row, order: str) -> str:
    """Does what a button asks for, `add r-0`, and answers with the place to go on at, empty where there is none."""
    what, _, where = order.partition(" ")
    if not _STEP.fullmatch(where):
        return ""
    steps = [int(step) for step in where.split("-")[1:]]
    above, row = None, root
    for step in steps:
        if step >= len(row.rows):
            return ""
        above, row = row, row.rows[step]
    made = {
        "add": Row(),
        "group": Row(kind="any_of", rows=[Row()]),
        PROPERTY: Row(kind=PROPERTY),
    }.get(what)
    if what == "remove" and above is not None:
        above.rows.pop(steps[-1])
        return where.rpartition("-")[0]
    if made is None:
        return ""
    row.rows.append(made)
    return f"{where}-{len(row.rows) - 1}"


def fields_of(root: Row, path: str = "r") -> dict[str, str]:
    """The form as a browser posts it."""
    own = {f"{path}-kind": root.kind, **{f"{path}-{name}": text for name, text in root.fields.items()}}
    for place, row in enumerate(root.rows):
        own |= fields_of(row, f"{path}-{place}")
    return own


def rows_of(expression: Expression) -> Row:
    """The form of an expression: reading it again gives the same one."""
    if isinstance(expression, Group):
        return _rows_of(expression)
    # A condition that stands alone is shown as the one of a group, and remembered as what it is.
    return Row(kind="all_of", fields={"alone": "yes"}, rows=[_rows_of(expression)])


def read_rows(root: Row) -> Reading:
    """The expression that the rows say.

    Raises Invalid for what is missing or cannot be read, with a pointer for each, below `/expression`; `places_of` says which
    field that is.
    """
    violations: list[Violation] = []
    is_alone = _is_alone(root)
    node = _node(root.rows[0], "/expression", violations) if is_alone else _node(root, "/expression", violations)
    if violations:
        raise Invalid(violations[0].message, violations=violations)
    try:
        expression = msgspec.convert(node, Expression)
    except msgspec.ValidationError as error:
        # Conditions were read one by one; what is left is about the tree.
        raise Invalid(str(error)) from None
    return Reading(expression, places_of(root))


def places_of(root: Row) -> dict[str, str]:
    """Of each place in the expression, the field that it stands in; of a row, the one of its kind."""
    places: dict[str, str] = {}
    if _is_alone(root):
        _place(root.rows[0], "r-0", "/expression", places)
    else:
        _place(root, "r", "/expression", places)
    return places


def field_at(places: Mapping[str, str], pointer: str) -> str | None:
    """The field that a violation is about: the nearest one at or above its pointer."""
    while pointer:
        if pointer in places:
            return places[pointer]
        pointer = pointer.rpartition("/")[0]
    return None


def _is_alone(root: Row) -> bool:
    return (
        root.fields.get("alone") == "yes"
        and root.kind == "all_of"
        and len(root.rows) == 1
        and root.rows[0].kind not in GROUPS
    )


def _place(row: Row, path: str, pointer: str, places: dict[str, str]) -> None:
    places[pointer] = f"{path}-json" if row.kind == CODE else f"{path}-kind"
    if row.kind in GROUPS:
        for index, inner in enumerate(row.rows):
            _place(inner, f"{path}-{index}", f"{pointer}/conditions/{index}", places)
        return
    if row.has_test:
        places[f"{pointer}/test"] = f"{path}-op"
    for ask in reversed(asks_of(row)):
        if ask.pointer:
            places[pointer + ask.pointer] = f"{path}-{ask.name}"
            # Where a whole object is wrong, as a period of no length, its first field is told.
            if ask.widget == "whole" and ask.pointer.count("/") > 1:
                places[pointer + ask.pointer.rpartition("/")[0]] = f"{path}-{ask.name}"
    for index, inner in enumerate(row.rows):
        _place(inner, f"{path}-{index}", f"{pointer}/where/{index}", places)


def _node(row: Row, pointer: str, violations: list[Violation], depth: int = 1) -> Any:
    if row.kind in GROUPS:
        if not row.rows:
            violations.append(Violation(pointer, "empty-group", "This group is empty: add a condition, or remove it."))
        if depth > DEPTH_MAX + 1:
            return None
        inner = [
            _node(one, f"{pointer}/conditions/{place}", violations, depth + 1) for place, one in enumerate(row.rows)
        ]
        return {"type": row.kind, "conditions": inner}
    if row.kind not in KINDS:
        violations.append(Violation(pointer, "no-kind", "Choose what it asks for, or remove this row."))
        return None
    before = len(violations)
    said = _said(row, pointer, violations)
    if row.kind == CODE:
        said = said.get("json")
    else:
        said["type"] = row.kind
        if row.kind == "event":
            said["where"] = [_said(one, f"{pointer}/where/{place}", violations) for place, one in enumerate(row.rows)]
    if len(violations) == before:
        try:
            msgspec.convert(said, Expression if row.kind == CODE else Condition)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$")
            text = f"This cannot be: {message[:1].lower()}{message[1:]}.".replace("`", "")
            place = pointer if row.kind == CODE else pointer + pointer_of_path(path.rstrip("`"))
            violations.append(Violation(place, "invalid", text))
    return said


def _said(row: Row, pointer: str, violations: list[Violation]) -> dict[str, Any]:
    """What the fields of one row say."""
    said: dict[str, Any] = {}
    if row.has_test:
        # A period that nothing was written into is one of no length, which is refused as such.
        is_timed = row.check in {"within_last", "within_next", "longer_ago"}
        said["test"] = {"op": row.check, **({"period": dict[str, Any]()} if is_timed else {})}
    type_ = row.fields.get("type", "text") if row.has_test and CHECKS[row.check].typed else "text"
    for ask in asks_of(row):
        if ask.name == "type":
            continue
        text = row.fields.get(ask.name, "")
        if not text:
            if ask.needed:
                violations.append(
                    Violation(pointer + ask.pointer, "missing", _MISSING.get(ask.widget, "Fill this in."))
                )
            continue
        try:
            value = read(ask.widget, text, type_)
        except ValueError as error:
            violations.append(Violation(pointer + ask.pointer, "unreadable", str(error)))
            continue
        if ask.name == "has":
            value = text == "yes"
        _put(said, ask.pointer or "/json", value)
    return said


_MISSING = {"select": "Choose one.", "lines": "Write at least one."}


def _put(said: dict[str, Any], pointer: str, value: Any) -> None:
    *above, last = pointer.split("/")[1:]
    for step in above:
        said = said.setdefault(step, {})
    said[last] = value


def _rows_of(node: Expression) -> Row:
    if isinstance(node, Group):
        return Row(kind=_tag(node), rows=[_rows_of(inner) for inner in node.conditions])
    row = _row_of(_tag(node), msgspec.to_builtins(node))
    return row if _holds(row, node) else Row(kind=CODE, fields={"json": _json(node)})


def _row_of(kind: str, said: dict[str, Any]) -> Row:
    row = Row(kind=kind)
    if row.has_test:
        row.fields["op"] = said["test"]["op"]
        if CHECKS[row.check].typed:
            test = said["test"]
            row.fields["type"] = type_of(test.get("values") or [test.get("value")])
    for ask in asks_of(row):
        value: Any = said
        for step in ask.pointer.split("/")[1:]:
            value = (value or {}).get(step)
        is_no_time = value == 0 and ask.pointer.startswith(("/within/", "/test/period/"))
        if ask.name != "type" and value is not None and not is_no_time:
            row.fields[ask.name] = _text(ask, value)
    row.rows = [_row_of(PROPERTY, one) for one in said.get("where", ())]
    return row


def _text(ask: Ask, value: Any) -> str:
    if ask.widget == "share":
        return percents(value)
    if ask.widget == "lines":
        return "\n".join(map(written, value))
    return written(value)


def _holds(row: Row, node: Condition) -> bool:
    """Whether a browser sends the row back as the same condition."""
    if any(_UNSEEN.search(text.replace("\n", "")) for one in (row, *row.rows) for text in one.fields.values()):
        return False
    if any(
        "\n" in one.fields.get(ask.name, "")
        for one in (row, *row.rows)
        for ask in asks_of(one)
        if ask.widget != "lines"
    ):
        return False
    back = posted_rows({"r-kind": "all_of", **fields_of(row, "r-0")}).rows[0]
    violations: list[Violation] = []
    said = _node(back, "", violations)
    return not violations and _json(msgspec.convert(said, Condition)) == _json(node)


def _json(node: Expression) -> str:
    return msgspec.json.encode(node).decode()


def _tag(node: Expression) -> str:
    return str(node.__struct_config__.tag)
