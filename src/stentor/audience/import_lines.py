"""What a line of an import says: of a customer, of a subscription, or what happened to somebody.

A column or key that is no field of ours is an attribute of the customer. An empty cell of a CSV file says nothing; what
is to be taken away is null in NDJSON.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.audience.customer_events import EVENT_ID_CHARS_MAX, EVENT_NAME_CHARS_MAX, Told
from stentor.audience.intake import Given, Refusal, Said
from stentor.audience.model import CustomerPatch, FileKind
from stentor.audience.tables import Layout, Table
from stentor.domain.type_rules import in_words
from stentor.domain.vocabulary import CHANNEL_LABELS, ChannelKind
from stentor.errors import Invalid, Violation

_CUSTOMER_FIELDS = {
    "external_id": "external_id",
    "email": "email",
    "phone": "phone",
    "push_token": "push_tokens",
    "push_tokens": "push_tokens",
    "locale": "locale",
    "time_zone": "time_zone",
    "attributes": "attributes",
}
_SUBSCRIPTION_FIELDS = ("external_id", "topic", "channels", "subscribed")
_ATTRIBUTE_PREFIX = "attributes."
_YES = frozenset({"true", "t", "yes", "y", "1"})
_NO = frozenset({"false", "f", "no", "n", "0"})


class Wish(msgspec.Struct, frozen=True):
    """What a line says of a subscription; `channels` is a mask, None for all that the topic offers."""

    line: int
    external_id: str
    topic: str
    channels: int | None
    subscribed: bool


class CustomerColumns:
    """Which column of a CSV file says what of a customer. Raises Invalid for a header that does not say."""

    def __init__(self, layout: Layout) -> None:
        self._fields: dict[str, int] = {}
        self._attributes: dict[str, int] = {}
        self._width = len(layout.columns)
        for place, column in enumerate(layout.columns):
            field = _CUSTOMER_FIELDS.get(column.lower())
            name = field or column.removeprefix(_ATTRIBUTE_PREFIX)
            known = self._fields if field else self._attributes
            if name in known:
                raise Invalid(f"The header has two columns for {name!r}; keep one.")
            # A column without a name is what spreadsheets leave behind the last one.
            if name:
                known[name] = place
        if "external_id" not in self._fields:
            raise Invalid(f"The header needs a column external_id; it has {', '.join(layout.columns)}.")

    def given(self, table: Table) -> tuple[Given, list[Refusal]]:
        """What the rows say, and those that cannot be read."""
        bad: dict[int, Violation] = {}
        columns = list(zip(*table.values, strict=True)) or [()] * self._width
        attributes = self._said_attributes(columns, bad)
        if bad:
            given, _ = self.given(table.without(bad.keys()))
            return given, [Refusal(table.numbers[place], violation) for place, violation in bad.items()]
        given = Given(
            lines=table.numbers,
            external_ids=list(columns[self._fields["external_id"]]),
            emails=self._said(columns, "email"),
            phones=self._said(columns, "phone"),
            push_tokens=[
                cell.split() if isinstance(cell, str) else cell for cell in self._said(columns, "push_tokens")
            ],
            locales=self._said(columns, "locale"),
            time_zones=self._said(columns, "time_zone"),
            attributes=attributes,
        )
        return given, []

    def _said(self, columns: Sequence[Sequence[str]], field: str) -> list[Said[str]]:
        if field not in self._fields:
            return [UNSET] * len(columns[0])
        return [cell.strip() or UNSET for cell in columns[self._fields[field]]]

    def _said_attributes(
        self, columns: Sequence[Sequence[str]], bad: dict[int, Violation]
    ) -> list[Said[Mapping[str, Any]]]:
        names = list(self._attributes)
        people = zip(*(columns[place] for place in self._attributes.values()), strict=True)
        # Every cell filled is the common case, and dict(zip()) is the faster way then.
        said: list[Said[dict[str, Any]]] = [
            dict(zip(names, cells, strict=True)) if "" not in cells else _filled(names, cells) for cells in people
        ] or [UNSET] * len(columns[0])
        if "attributes" in self._fields:
            for place, cell in enumerate(columns[self._fields["attributes"]]):
                written = _object(cell) if cell.strip() else {}
                if isinstance(written, Violation):
                    bad[place] = written
                elif written:
                    said[place] = {**(said[place] or {}), **written}
        return [attributes or UNSET for attributes in said]


def _filled(names: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell}


def customers_of_objects(table: Table) -> tuple[Given, list[Refusal]]:
    """What NDJSON objects say of customers, and those that cannot be read."""
    patches: list[CustomerPatch] = []
    lines: list[int] = []
    refused: list[Refusal] = []
    for line, value in zip(table.numbers, table.values, strict=True):
        patch = _patch(value)
        if isinstance(patch, Violation):
            refused.append(Refusal(line, patch))
        else:
            patches.append(patch)
            lines.append(line)
    return Given.of(patches, lines), refused


def _patch(value: Mapping[str, Any]) -> CustomerPatch | Violation:
    fields: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, said in value.items():
        if field := _CUSTOMER_FIELDS.get(key):
            fields[field] = [said] if key == "push_token" and isinstance(said, str) else said
        else:
            others[key] = said
    if others:
        written = fields.get("attributes") or {}
        # What is no object is left for the type check below to name.
        fields["attributes"] = others | written if isinstance(written, dict) else written
    if "external_id" not in fields:
        return Violation("/external_id", "missing", "An external_id is needed.")
    try:
        return msgspec.convert(fields, CustomerPatch, strict=True)
    except msgspec.ValidationError as error:
        return _wrong_type(str(error))


def _wrong_type(message: str) -> Violation:
    rule, _, place = message.partition(" - at `$.")
    subject = f"The field {place.rstrip('`')}" if place else "The line"
    return Violation("", "wrong-type", f"{subject} cannot be used: {in_words(rule)}.")


def _object(text: str) -> dict[str, Any] | Violation:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        return Violation("/attributes", "malformed-json", f"The cell attributes is not JSON: {error}.")
    return (
        value if isinstance(value, dict) else Violation("/attributes", "no-object", "The cell attributes is no object.")
    )


class SubscriptionColumns:
    """Which column of a CSV file says what of a subscription. Raises Invalid for a header that does not say."""

    def __init__(self, layout: Layout) -> None:
        self._fields = {column.lower(): place for place, column in enumerate(layout.columns) if column}
        for field in ("external_id", "topic"):
            if field not in self._fields:
                raise Invalid(f"The header needs a column {field}; it has {', '.join(layout.columns)}.")
        if unknown := sorted(self._fields.keys() - set(_SUBSCRIPTION_FIELDS)):
            raise Invalid(
                f"The column {unknown[0]!r} is none of {', '.join(_SUBSCRIPTION_FIELDS)}; remove or rename it."
            )

    def wishes(self, table: Table) -> tuple[list[Wish], list[Refusal]]:
        """What the rows say, and those that cannot be read."""
        objects = [
            {field: _cell(field, row[place]) for field, place in self._fields.items() if row[place].strip()}
            for row in table.values
        ]
        return wishes_of_objects(Table(table.numbers, objects, [], table.consumed))


def wishes_of_objects(table: Table) -> tuple[list[Wish], list[Refusal]]:
    """What NDJSON objects say of subscriptions, and those that cannot be read."""
    wishes: list[Wish] = []
    refused: list[Refusal] = []
    for line, value in zip(table.numbers, table.values, strict=True):
        wish = _wish(line, value)
        if isinstance(wish, Violation):
            refused.append(Refusal(line, wish))
        else:
            wishes.append(wish)
    return wishes, refused


class _SubscriptionLine(msgspec.Struct, forbid_unknown_fields=True):
    external_id: str
    topic: str
    channels: list[str] | UnsetType | None = UNSET
    subscribed: bool = True


def _wish(line: int, value: Mapping[str, Any]) -> Wish | Violation:
    try:
        said = msgspec.convert(value, _SubscriptionLine, strict=True)
    except msgspec.ValidationError as error:
        return _wrong_type(str(error))
    channels: int | None = None
    if said.channels:
        channels = 0
        for label in said.channels:
            if label not in CHANNEL_LABELS:
                text = f"There is no channel {label!r}; take one of {', '.join(CHANNEL_LABELS)}."
                return Violation("/channels", "unknown-channel", text)
            channels |= ChannelKind.named(label).bit
    return Wish(line, said.external_id, said.topic, channels, said.subscribed)


class _EventLine(msgspec.Struct, forbid_unknown_fields=True):
    external_id: str
    name: Annotated[str, Meta(min_length=1, max_length=EVENT_NAME_CHARS_MAX)]
    at: Annotated[datetime, Meta(tz=True)]
    id: Annotated[str, Meta(min_length=1, max_length=EVENT_ID_CHARS_MAX)] | None = None
    properties: dict[str, Any] = {}


def events_of_objects(table: Table) -> tuple[list[tuple[int, Told]], list[Refusal]]:
    """What NDJSON objects say happened, each with its line, and those that cannot be read."""
    told: list[tuple[int, Told]] = []
    refused: list[Refusal] = []
    for line, value in zip(table.numbers, table.values, strict=True):
        try:
            said = msgspec.convert(value, _EventLine, strict=True)
        except msgspec.ValidationError as error:
            refused.append(Refusal(line, _wrong_type(str(error))))
            continue
        event = Told(external_id=said.external_id, name=said.name, at=said.at, id=said.id, properties=said.properties)
        told.append((line, event))
    return told, refused


def _cell(field: str, cell: str) -> Any:
    if field == "channels":
        return cell.replace("|", " ").replace(",", " ").replace(";", " ").split()
    if field == "subscribed":
        said = cell.strip().lower()
        return True if said in _YES else False if said in _NO else cell
    return cell


def meaning_of(kind: FileKind, column: str) -> str:
    """What a column, or a key of an object, becomes: `field …`, `attribute …`, or nothing."""
    if kind != "customers":
        return f"field {column}"
    if not column:
        return ""
    field = _CUSTOMER_FIELDS.get(column.lower())
    return f"field {field}" if field else f"attribute {column.removeprefix(_ATTRIBUTE_PREFIX)}"
