"""A generator's form: what it runs, the fields of its payload, and which calls tell of the same event."""

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import msgspec

from stentor.campaigns.deduplication import FIELDS_MAX, WINDOW_S_MAX
from stentor.campaigns.model import Deduplication, Generator, GeneratorDraft, GeneratorType
from stentor.console.authoring.schema_form import FieldRow, has_rows, posted_rows, rows_of, schema_of
from stentor.console.brand import id_in
from stentor.console.fields import duration_of, seconds_in
from stentor.errors import Invalid, Violation

SEEN = "seen"
"""The field that says which state of the generator the form was drawn from."""

TYPES: Mapping[str, str] = {
    "api_triggered": "by calls of a backend",
    "scheduled": "by schedules",
    "event": "by what customers do",
}
WAYS: Mapping[str, str] = {
    "fields": "These fields",
    "json": "A JSON Schema",
    "any": "Anything: fields may be blank",
}

FIELD_OF: Mapping[str, str] = {
    "/name": "name",
    "/id": "id",
    "/campaign_id": "campaign_id",
    "/context_schema": "schema",
    "/deduplication/fields": "dedup_fields",
    "/deduplication/window_s": "dedup_window",
}
"""Of each place in a generator, the field of the form that is about it."""

_NO_FIELDS: Mapping[str, Any] = {"type": "object"}


class GeneratorForm(msgspec.Struct, frozen=True, kw_only=True):
    """A form as it is drawn. `base`: the schema that its rows refer to, as JSON, which travels with it."""

    fields: dict[str, str]
    rows: Sequence[FieldRow]
    base: str
    way: str
    may_use_rows: bool


def form_of(generator: Generator | None) -> GeneratorForm:
    """The form of a generator as it is stored, or of one that is not there yet."""
    if generator is None:
        fields = {"type": "api_triggered", "seen": ""}
        return GeneratorForm(fields=fields, rows=[FieldRow(required=True)], base="{}", way="fields", may_use_rows=True)
    schema, said = generator.context_schema, generator.deduplication
    may_use_rows = schema is None or has_rows(schema)
    fields = {
        SEEN: seen_of(generator),
        "name": generator.name,
        "type": generator.type,
        "campaign_id": str(generator.campaign_id),
        "dedup_fields": "" if said is None else "\n".join(said.fields),
        "dedup_window": "" if said is None else duration_of(said.window_s),
    }
    return GeneratorForm(
        fields=fields,
        rows=rows_of(schema) if schema is not None and may_use_rows else [],
        base=_json(schema or _NO_FIELDS),
        way="any" if schema is None else "fields" if may_use_rows else "json",
        may_use_rows=may_use_rows,
    )


def posted_form(form: Mapping[str, str]) -> GeneratorForm:
    """The form as it was posted, changed as its button asks for; what was typed as JSON becomes rows where rows can say it."""
    text, was, way = form.get("schema", "{}"), form.get("drawn", "fields"), form.get("way", "fields")
    way = way if way in WAYS else "fields"
    try:
        base = read_schema(text)
    except Invalid:
        # Whoever typed it keeps it, to be mended.
        return GeneratorForm(
            fields=dict(form), rows=[], base=text, way="any" if way == "any" else "json", may_use_rows=False
        )
    if not has_rows(base):
        return GeneratorForm(
            fields=dict(form), rows=[], base=text, way="any" if way == "any" else "json", may_use_rows=False
        )
    rows = posted_rows(form, base) if was == "fields" else rows_of(base)
    if was == "fields" and way != "fields":
        try:
            base = schema_of([row for row in rows if row.name.strip()], base)
        except Invalid:
            way = "fields" if way == "json" else way
    pretty = was != "json" and way == "json"
    shown = msgspec.json.format(_json(base), indent=2) if pretty else text if way == "json" else _json(base)
    return GeneratorForm(fields=dict(form), rows=rows, base=shown, way=way, may_use_rows=True)


def draft_of(form: Mapping[str, str], drawn: GeneratorForm) -> GeneratorDraft:
    """The generator that the form says. Raises Invalid for all that is missing or cannot be read."""
    wrong: list[Violation] = []
    campaign_id = id_in(form, "campaign_id")
    if campaign_id is None:
        wrong.append(Violation("/campaign_id", "missing", "Choose the campaign that it runs."))
    schema: dict[str, Any] | None = None
    if drawn.way != "any":
        try:
            base = read_schema(drawn.base)
            schema = schema_of(drawn.rows, base) if drawn.way == "fields" else base
        except Invalid as problem:
            wrong += problem.violations
    deduplication = None
    names = tuple(line.strip() for line in form.get("dedup_fields", "").splitlines() if line.strip())
    if names or form.get("dedup_window", "").strip():
        window_s = seconds_in(form.get("dedup_window", ""))
        if not window_s or window_s > WINDOW_S_MAX:
            text = f"Write a time as 10m, 2h or 1d, at most {duration_of(WINDOW_S_MAX)}."
            wrong.append(Violation("/deduplication/window_s", "window", text))
        deduplication = Deduplication(names[: FIELDS_MAX + 1], window_s or 0)
    if wrong or campaign_id is None:
        raise Invalid(wrong[0].message, violations=wrong)
    return GeneratorDraft(
        name=form.get("name", ""), campaign_id=campaign_id, context_schema=schema, deduplication=deduplication
    )


def type_of(form: Mapping[str, str]) -> GeneratorType:
    """How a new generator is called."""
    said = form.get("type", "")
    return cast("GeneratorType", said if said in get_args(GeneratorType) else "api_triggered")


def read_schema(text: str) -> dict[str, Any]:
    """The JSON object that a text is. Raises Invalid."""
    return read_object(text, "/context_schema", 'Write a JSON Schema, as {"type": "object", "properties": {}}')


def read_object(text: str, pointer: str, instead: str) -> dict[str, Any]:
    """The JSON object that a text is, an empty one for no text. Raises Invalid at the pointer, saying what to write instead."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text.strip() else {}
    except (msgspec.DecodeError, RecursionError) as error:
        said = f" ({error})" if isinstance(error, msgspec.DecodeError) else ""
        raise Invalid.field(pointer, "no-json", f"{instead}{said}.") from None


def seen_of(generator: Generator) -> str:
    """Which state of the generator a form is drawn from."""
    return generator.updated_at.isoformat()


def places(rows: int) -> dict[str, str]:
    """Of each place in a generator, the field of a form of so many rows."""
    named = {f"/fields/{row}/{name}": f"f-{row}-{name}" for row in range(rows) for name in ("name", "example")}
    return {**FIELD_OF, **named}


def _json(schema: Mapping[str, Any]) -> str:
    return msgspec.json.encode(schema).decode()
