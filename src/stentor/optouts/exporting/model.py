"""What an export is asked for: which entries of a list, which columns of them, in which format."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from stentor.errors import Invalid
from stentor.optouts.hashing import other_spelling

ExportColumn: TypeAlias = Literal["plain", "hashed", "timestamp", "campaign", "ip"]
Collection: TypeAlias = Literal["collected", "imported"]
ExportFormat: TypeAlias = Literal["csv", "ndjson", "parquet"]

EXPORT_COLUMNS: tuple[ExportColumn, ...] = get_args(ExportColumn)
COLLECTIONS: tuple[Collection, ...] = get_args(Collection)
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
DOMAINS_MAX = 100
DOMAIN_CHARS_MAX = 253

# A column that is asked for, and what it is in the file.
_IN_FILE: dict[ExportColumn, tuple[str, ...]] = {"campaign": ("campaign", "affiliate", "sub_affiliate")}
_HOST_NAME = re.compile(r"(?:[\w-]{1,63}\.)*[\w-]{1,63}")


class ExportSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported; stored with the job. Made by `checked`, which refuses what makes no sense.

    Days are of UTC, both inclusive. `domains` are lower-case host names: an address is meant whose host is one of them or
    lies below one. `spreadsheet` makes cells that a spreadsheet would take for formulas into text, in CSV only.
    """

    columns: tuple[ExportColumn, ...]
    collections: tuple[Collection, ...] = COLLECTIONS
    first_day: date | None = None
    last_day: date | None = None
    domains: tuple[str, ...] = ()
    format: ExportFormat = "csv"
    spreadsheet: bool = False

    @property
    def header(self) -> list[str]:
        """The names of the columns in the file, in the order asked for."""
        return [name for column in self.columns for name in _IN_FILE.get(column, (column,))]

    @property
    def file_name(self) -> str:
        """What its file is called among the results of the job; one for spreadsheets is told from one for machines."""
        return f"optouts.spreadsheet.{self.format}" if self.spreadsheet else f"optouts.{self.format}"

    def as_json(self) -> dict[str, Any]:
        """As a job keeps it."""
        return msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "ExportSpec":
        """What a job kept."""
        return msgspec.convert(kept, cls)


def checked(spec: ExportSpec) -> ExportSpec:
    """The same, with each column and collection once. Raises Invalid for one that asks for nothing or for too much."""
    if not spec.columns:
        raise Invalid.field("/columns", "required", f"Name at least one column of {', '.join(EXPORT_COLUMNS)}.")
    if not spec.collections:
        raise Invalid.field("/collections", "required", f"Name at least one of {', '.join(COLLECTIONS)}.")
    if spec.first_day and spec.last_day and spec.first_day > spec.last_day:
        raise Invalid.field("/first_day", "order", "The first day is after the last one; exchange them.")
    if spec.spreadsheet and spec.format != "csv":
        raise Invalid.field("/spreadsheet", "format", "Only CSV is written for spreadsheets; leave one of the two out.")
    return msgspec.structs.replace(
        spec,
        columns=tuple(dict.fromkeys(spec.columns)),
        collections=tuple(dict.fromkeys(spec.collections)),
        domains=_checked_domains(spec.domains),
    )


def domains_in(text: str) -> tuple[str, ...]:
    """The domains of a filter as people write it: `gmail.com, co.uk`."""
    return tuple(part for part in (part.strip() for part in text.split(",")) if part)


def _checked_domains(domains: Sequence[str]) -> tuple[str, ...]:
    if len(domains) > DOMAINS_MAX:
        raise Invalid.field(
            "/domains", "too-many", f"There are {len(domains):,} domains; at most {DOMAINS_MAX} are allowed."
        )
    found: dict[str, None] = {}
    for at, given in enumerate(domains):
        host = given.strip().lower().removeprefix("@").strip(".")
        if len(host) > DOMAIN_CHARS_MAX or not _HOST_NAME.fullmatch(host):
            raise Invalid.field(f"/domains/{at}", "domain", "This is no domain; write it as gmail.com or co.uk.")
        # Addresses are stored with their host in A-labels; what came as it is keeps matching too.
        for name in (host, other_spelling(host)):
            if name:
                found[name] = None
    return tuple(found)
