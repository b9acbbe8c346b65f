"""A segment's form as its template shows it: rows with labels, options, and errors at the field that they are about."""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from stentor.audience.segments.expressions import PROPERTIES_MAX
from stentor.console.fields import FieldView, Options
from stentor.console.segment_form.kinds import CHECKS, DATE_CHECKS, GROUPS, KINDS, PROPERTY, Ask
from stentor.console.segment_form.rows import Row, asks_of, field_at, places_of
from stentor.errors import Problem

Choices = Mapping[str, Options]
"""The brand's things that a select offers, by their noun: an id and a name each."""


class RowView(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it is drawn. `title` tells it from the others: `Condition 2.1`."""

    path: str
    title: str
    is_group: bool
    takes_properties: bool
    may_remove: bool
    kind: FieldView | None
    fields: Sequence[FieldView]
    rows: "Sequence[RowView]"


def view(root: Row, choices: Choices, problem: Problem | None = None) -> tuple[RowView, list[str]]:
    """The rows, and what is wrong that is about none of their fields."""
    places = places_of(root)
    errors: dict[str, str] = {}
    others: list[str] = []
    for violation in () if problem is None else problem.violations:
        at = field_at(places, violation.pointer)
        if at is not None:
            errors.setdefault(at, violation.message)
        elif violation.pointer != "/name":
            others.append(violation.message)
    return _row(root, "r", "", choices, errors), others


def nouns_in(root: Row) -> set[str]:
    """The nouns whose things the form lets choose from."""
    found = {ask.choices for ask in asks_of(root) if ask.widget == "select" and ask.choices}
    return found.union(*(nouns_in(row) for row in root.rows)) if root.rows else found


def values_list(attribute: str) -> str:
    """The id of the suggestions for values of an attribute."""
    return f"values-{hashlib.blake2b(attribute.encode(), digest_size=8).hexdigest()}"


def _row(row: Row, path: str, number: str, choices: Choices, errors: Mapping[str, str]) -> RowView:
    is_group = row.kind in GROUPS
    fields = [_field(ask, row, path, choices, errors) for ask in asks_of(row)]
    if row.has_test:
        # The test stands behind what it is about, and before what it compares with.
        own = len(fields) - len(CHECKS[row.check].asks)
        fields.insert(own, _test(row, path, errors))
    return RowView(
        path=path,
        title=f"{_what(row)} {number}".strip(),
        is_group=is_group,
        takes_properties=row.kind == "event" and len(row.rows) < PROPERTIES_MAX,
        may_remove=bool(number),
        kind=None if row.kind == PROPERTY else _kind(row, path, is_group=is_group, errors=errors),
        fields=fields,
        rows=[
            _row(inner, f"{path}-{place}", f"{number}.{place + 1}".lstrip("."), choices, errors)
            for place, inner in enumerate(row.rows)
        ],
    )


def _what(row: Row) -> str:
    if row.kind in GROUPS:
        return "Group"
    return "Property" if row.kind == PROPERTY else "Condition"


def _kind(row: Row, path: str, *, is_group: bool, errors: Mapping[str, str]) -> FieldView:
    options: Options = list(GROUPS.items())
    if not is_group:
        options = [("", "Choose…"), *((name, kind.label) for name, kind in KINDS.items())]
    return FieldView(
        id=f"{path}-kind",
        label="People for whom" if is_group else "What it asks for",
        widget="select",
        value=row.kind,
        options=options,
        error=errors.get(f"{path}-kind", ""),
        redraws=not is_group,
    )


def _test(row: Row, path: str, errors: Mapping[str, str]) -> FieldView:
    names = DATE_CHECKS if row.kind != PROPERTY and KINDS[row.kind].test == "date" else tuple(CHECKS)
    return FieldView(
        id=f"{path}-op",
        label="Test",
        widget="select",
        value=row.check,
        options=[(name, CHECKS[name].label) for name in names],
        error=errors.get(f"{path}-op", ""),
        redraws=True,
    )


def _field(ask: Ask, row: Row, path: str, choices: Choices, errors: Mapping[str, str]) -> FieldView:
    options, value, widget = ask.options, row.fields.get(ask.name, ""), ask.widget
    if ask.name in {"value", "values"} and row.fields.get("type") == "yesno" and CHECKS[row.check].typed:
        widget, options = ("select", [("yes", "yes"), ("no", "no")]) if ask.name == "value" else (widget, options)
    if ask.widget == "select" and ask.choices:
        options = [*options, *choices.get(ask.choices, ())]
        if not ask.options:
            options = [("", "Choose…"), *options]
        if value not in {each for each, _ in options}:
            # What is not among those that are listed, as the newest thousand, is still what was chosen.
            options = [*options, (value, value)]
    list_id = "" if ask.widget == "select" else ask.choices
    if list_id == "values":
        list_id = values_list(row.fields.get("name", ""))
    if row.kind == PROPERTY:
        list_id = ""
    return FieldView(
        id=f"{path}-{ask.name}",
        label=ask.label,
        widget=widget,
        value=value,
        options=options,
        hint=ask.hint,
        error=errors.get(f"{path}-{ask.name}", ""),
        list_id=list_id,
        chars_max=ask.chars_max,
        redraws=ask.redraws,
    )
