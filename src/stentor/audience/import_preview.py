"""What an import would make of the first lines of a file, before it begins: which column says what, and who would be refused."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from stentor.audience.import_lines import (
    CustomerColumns,
    SubscriptionColumns,
    customers_of_objects,
    events_of_objects,
    meaning_of,
    wishes_of_objects,
)
from stentor.audience.intake import Given, Refusal, take_in
from stentor.audience.lines import Block, LineSplitter
from stentor.audience.model import FileKind, ImportFormat
from stentor.audience.tables import Table, read_csv, read_layout, read_ndjson
from stentor.errors import Invalid

ROWS_MAX = 20
"""Rows that are looked at, and shown."""
COLUMNS_SHOWN_MAX = 60
CELL_CHARS_MAX = 200


class PreviewRow(msgspec.Struct, frozen=True):
    """A line of the file: its number, its cells, and why it would be refused or warned of; empty where it would not."""

    line: int
    cells: list[str]
    trouble: str


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """How the file begins. `columns` are pairs of what the file calls one and what it becomes; `problem`: why none of it can be read."""

    columns: list[tuple[str, str]]
    rows: list[PreviewRow]
    hidden_columns: int = 0
    problem: str = ""


def preview(
    brand_id: UUID, kind: FileKind, file_format: ImportFormat, sample: bytes, *, is_whole: bool, region: str | None
) -> Preview:
    """What an import of that kind would make of the sample's first lines. Nothing is stored."""
    try:
        return _read(brand_id, kind, file_format, sample, is_whole=is_whole, region=region)
    except Invalid as problem:
        return Preview(columns=[], rows=[], problem=problem.detail)


def _read(
    brand_id: UUID, kind: FileKind, file_format: ImportFormat, sample: bytes, *, is_whole: bool, region: str | None
) -> Preview:
    splitter = LineSplitter()
    lines = splitter.feed(sample)
    # The last line of a longer file is cut off.
    lines = (lines + splitter.close() if is_whole else lines)[: ROWS_MAX + 10]
    block = Block(1, 0, lines, is_last=is_whole)
    if not lines:
        raise Invalid("The file is empty.")
    if file_format == "csv":
        layout, header = read_layout(block)
        table = _first(read_csv(layout, block, skip=header))
        if kind == "customers":
            given, refused = CustomerColumns(layout).given(table)
            troubles = _of_people(brand_id, given, refused, region)
        else:
            troubles = _by_line(SubscriptionColumns(layout).wishes(table)[1])
        names = layout.columns
        cells = [dict(zip(names, row, strict=True)) for row in table.values]
    else:
        table = _first(read_ndjson(block))
        troubles = _of_objects(brand_id, kind, table, region)
        cells = [{name: _shown(value) for name, value in row.items()} for row in table.values]
        names = list(dict.fromkeys(name for row in cells for name in row))
    shown = names[:COLUMNS_SHOWN_MAX]
    unreadable = {refusal.line: refusal.violation.message for refusal in table.refused}
    return Preview(
        columns=[(name, meaning_of(kind, name)) for name in shown],
        rows=sorted(
            [
                *(PreviewRow(line, [], why) for line, why in unreadable.items()),
                *(
                    PreviewRow(line, [row.get(name, "")[:CELL_CHARS_MAX] for name in shown], troubles.get(line, ""))
                    for line, row in zip(table.numbers, cells, strict=True)
                ),
            ],
            key=lambda row: row.line,
        )[:ROWS_MAX],
        hidden_columns=len(names) - len(shown),
    )


def _first(table: Table) -> Table:
    return Table(table.numbers[:ROWS_MAX], table.values[:ROWS_MAX], table.refused[:ROWS_MAX], table.consumed)


def _of_objects(brand_id: UUID, kind: FileKind, table: Table, region: str | None) -> Mapping[int, str]:
    match kind:
        case "customers":
            given, refused = customers_of_objects(table)
            return _of_people(brand_id, given, refused, region)
        case "subscriptions":
            return _by_line(wishes_of_objects(table)[1])
        case "events":
            return _by_line(events_of_objects(table)[1])


def _of_people(brand_id: UUID, given: Given, refused: Sequence[Refusal], region: str | None) -> Mapping[int, str]:
    intake = take_in(brand_id, given, region=region)
    return _by_line([*intake.warnings, *intake.refused, *refused])


def _by_line(refused: Sequence[Refusal]) -> Mapping[int, str]:
    return {refusal.line: refusal.violation.message for refusal in refused}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
