"""Entries of the audit log as lines of a file: NDJSON, CSV for programs, CSV for spreadsheets."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import msgspec

from stentor.accounts.audit_model import AuditEntry

AuditFormat: TypeAlias = Literal["ndjson", "csv", "spreadsheet"]
"""`spreadsheet` is CSV in which what a spreadsheet would take for a formula begins with an apostrophe."""

AUDIT_FORMATS: tuple[AuditFormat, ...] = get_args(AuditFormat)

# What a spreadsheet begins a formula with (OWASP), also in its full width.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def file_name(of: str, fmt: AuditFormat) -> str:
    """What the file is called; one for spreadsheets is told from one for programs."""
    ending = {"ndjson": "ndjson", "csv": "csv", "spreadsheet": "spreadsheet.csv"}[fmt]
    return f"audit-{of}.{ending}"


def header(fmt: AuditFormat) -> bytes:
    """What stands before the first entry."""
    return b"" if fmt == "ndjson" else _csv([AuditEntry.__struct_fields__])


def lines(entries: Sequence[AuditEntry], fmt: AuditFormat) -> bytes:
    """The entries, a line each; in CSV `before` and `after` are JSON in a cell."""
    if fmt == "ndjson":
        return msgspec.json.Encoder().encode_lines(entries)
    rows = [[_cell(value) for value in msgspec.structs.astuple(entry)] for entry in entries]
    return _csv([[_as_text(cell) for cell in row] for row in rows] if fmt == "spreadsheet" else rows)


def _cell(value: object) -> str:
    if value is None:
        return ""
    plain = msgspec.to_builtins(value)
    return msgspec.json.encode(plain).decode() if isinstance(plain, dict) else str(plain)


def _as_text(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()
