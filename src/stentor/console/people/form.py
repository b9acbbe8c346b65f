"""The form of a person: addresses, language and zone, and a row for each attribute."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, cast, get_args

import msgspec
from msgspec import UNSET

from stentor.audience.intake import ATTRIBUTES_MAX, PUSH_TOKEN_CHARS_MAX, PUSH_TOKENS_MAX
from stentor.audience.model import Customer, CustomerPatch
from stentor.console.fields import FieldView, errors_at
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.domain.ids import EXTERNAL_ID_BYTES_MAX
from stentor.domain.locale import LOCALE_CHARS_MAX, TIME_ZONE_CHARS_MAX
from stentor.errors import Conflict, Invalid, Problem, Violation

ValueKind: TypeAlias = Literal["text", "number", "yes_no", "json"]

KINDS: Mapping[str, str] = {"text": "Text", "number": "Number", "yes_no": "Yes or no", "json": "JSON"}
ATTRIBUTE_CHARS_MAX = 64 * 1024
NAME_CHARS_MAX = 1000

_BLANK_ROWS = 2
_YES = {"yes": True, "true": True, "no": False, "false": False}


class AttributeRow(msgspec.Struct, frozen=True):
    """An attribute as it is typed; a row without a name is none."""

    name: str = ""
    kind: ValueKind = "text"
    value: str = ""


class PersonForm(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed. `seen_at` is when the person last changed before the form was drawn."""

    external_id: str = ""
    email: str = ""
    phone: str = ""
    push_tokens: str = ""
    locale: str = ""
    time_zone: str = ""
    attributes: list[AttributeRow] = []
    seen_at: str = ""

    def view(self, problem: Problem | None) -> "FormView":
        """The form as it is drawn, with what is wrong at its fields."""
        places = {f"/{name}": name for name in _FIELDS} | {
            f"/attributes/{place}": f"attribute-{place}" for place in range(len(self.attributes))
        }
        errors, others = errors_at(problem, places)
        if problem is not None and not problem.violations:
            others.append(problem.detail)
        return FormView(
            fields=[
                FieldView(
                    id=name,
                    label=label,
                    widget="lines" if name == "push_tokens" else "text",
                    value=getattr(self, name),
                    hint=hint,
                    error=errors.get(name, ""),
                    chars_max=chars_max,
                )
                for name, (label, hint, chars_max) in _FIELDS.items()
            ],
            rows=[(place, row, errors.get(f"attribute-{place}", "")) for place, row in enumerate(self.attributes)],
            kinds=list(KINDS.items()),
            others=others,
            seen_at=self.seen_at,
            chars_max=ATTRIBUTE_CHARS_MAX,
            name_chars_max=NAME_CHARS_MAX,
        )


class FormView(msgspec.Struct, frozen=True, kw_only=True):
    """The form for its template."""

    fields: list[FieldView]
    rows: list[tuple[int, AttributeRow, str]]
    kinds: list[tuple[str, str]]
    others: list[str]
    seen_at: str
    chars_max: int
    name_chars_max: int


_FIELDS: Mapping[str, tuple[str, str, int]] = {
    "external_id": ("Your id", "What your own systems call the person. It never changes.", EXTERNAL_ID_BYTES_MAX),
    "email": ("E-mail address", "", ADDRESS_CHARS_MAX),
    "phone": ("Phone number", "With its country code, or as the brand's country writes numbers.", ADDRESS_CHARS_MAX),
    "locale": ("Language", "As en or pt-BR.", LOCALE_CHARS_MAX),
    "time_zone": (
        "Time zone",
        "As Europe/Berlin. Without one the phone number says where they are.",
        TIME_ZONE_CHARS_MAX,
    ),
    "push_tokens": (
        "Push tokens",
        f"One on each line, at most {PUSH_TOKENS_MAX}.",
        PUSH_TOKENS_MAX * (PUSH_TOKEN_CHARS_MAX + 2),
    ),
}


def new_form() -> PersonForm:
    """The form of nobody yet."""
    return drawn(PersonForm())


def form_of(person: Customer) -> PersonForm:
    """The form of that person, as they are."""
    rows = [_row(name, value) for name, value in sorted(person.attributes.items())]
    return drawn(
        PersonForm(
            external_id=person.external_id,
            email=person.email or "",
            phone=person.phone or "",
            push_tokens="\n".join(person.push_tokens),
            locale=person.locale or "",
            time_zone=person.time_zone or "",
            attributes=rows,
            seen_at=person.updated_at.isoformat(),
        )
    )


def drawn(form: PersonForm) -> PersonForm:
    """The form with rows to write in at its end."""
    rows = [row for row in form.attributes if row.name or row.value]
    return msgspec.structs.replace(form, attributes=[*rows, *[AttributeRow()] * _BLANK_ROWS])


def read_form(form: Mapping[str, str]) -> PersonForm:
    """What was typed into it, whatever it is."""
    rows: list[AttributeRow] = []
    for place in range(ATTRIBUTES_MAX + _BLANK_ROWS):
        if f"name-{place}" not in form:
            break
        kind = form.get(f"kind-{place}", "text")
        rows.append(
            AttributeRow(
                form[f"name-{place}"].strip(),
                cast("ValueKind", kind) if kind in get_args(ValueKind) else "text",
                form.get(f"value-{place}", "").replace("\r\n", "\n"),
            )
        )
    typed = {name: form.get(name, "") for name in _FIELDS}
    return PersonForm(**typed, attributes=rows, seen_at=form.get("seen_at", ""))


def changes_of(form: PersonForm, person: Customer | None) -> CustomerPatch:
    """What the form says that is not so yet. Raises Invalid, and Conflict for somebody who was changed since it was drawn."""
    if person is not None and form.seen_at != person.updated_at.isoformat():
        raise Conflict(
            "Somebody changed this person meanwhile, and nothing is saved. Open the form anew and look again."
        )
    attributes = _attributes(form)
    tokens = form.push_tokens.split()
    if person is None:
        return CustomerPatch(
            external_id=form.external_id,
            email=_said(form.email),
            phone=_said(form.phone),
            push_tokens=tokens,
            locale=_said(form.locale),
            time_zone=_said(form.time_zone),
            attributes=attributes,
        )
    changed: dict[str, Any] = {
        name: value
        for name, value in attributes.items()
        if name not in person.attributes
        or person.attributes[name] != value
        or type(person.attributes[name]) is not type(value)
    }
    gone = {name: None for name in person.attributes if name not in attributes}
    return CustomerPatch(
        external_id=person.external_id,
        email=UNSET if (_said(form.email)) == person.email else _said(form.email),
        phone=UNSET if _said(form.phone) == person.phone else _said(form.phone),
        push_tokens=UNSET if tokens == person.push_tokens else tokens,
        locale=UNSET if _said(form.locale) == person.locale else _said(form.locale),
        time_zone=UNSET if _said(form.time_zone) == person.time_zone else _said(form.time_zone),
        attributes={**changed, **gone} or UNSET,
    )


def _said(text: str) -> str | None:
    return text.strip() or None


def _row(name: str, value: Any) -> AttributeRow:
    if isinstance(value, str):
        return AttributeRow(name, "text", value)
    if isinstance(value, bool):
        return AttributeRow(name, "yes_no", "yes" if value else "no")
    kind: ValueKind = "number" if isinstance(value, int | float) else "json"
    return AttributeRow(name, kind, msgspec.json.encode(value).decode())


def _attributes(form: PersonForm) -> dict[str, Any]:
    found: dict[str, Any] = {}
    violations: list[Violation] = []
    for place, row in enumerate(form.attributes):
        pointer = f"/attributes/{place}"
        if not row.name:
            if row.value.strip():
                violations.append(Violation(pointer, "no-name", "Name this attribute, or empty its value."))
        elif row.name in found:
            violations.append(Violation(pointer, "twice", f"There is an attribute {row.name!r} above already."))
        else:
            try:
                found[row.name] = _value(row)
            except ValueError as error:
                violations.append(Violation(pointer, "invalid-value", str(error)))
    if violations:
        raise Invalid(violations[0].message, violations=violations)
    return found


def _value(row: AttributeRow) -> Any:
    """The value in its type. Raises ValueError, saying what to write."""
    if row.kind == "text":
        return row.value
    text = row.value.strip()
    if row.kind == "yes_no":
        if text.lower() not in _YES:
            raise ValueError("Write yes or no.")
        return _YES[text.lower()]
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = None
    if row.kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("Write a number, with a point before its decimals.")
        return value
    if value is None:
        raise ValueError("Write a value as JSON. To take the attribute away, empty its name.")
    return value
