"""The columns of a segment: entries of a list as they were learned, in Parquet with zstd, in that order.

`address` is in its normal form, lower case, a phone number as digits, a domain as `@example.com`; NULL in a list that keeps
hashes only, and once the person was erased. `hash` is the whole hash where `address` is NULL, else NULL. `generation` is that
of the list when the entry came; a removal of the same or a later generation takes it out.

A column that says nothing in the whole file is left out of it: to write six of them takes as long as the addresses.
`entries_sql` reads it as if it were there.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SEGMENT_COLUMNS = {
    "address": "VARCHAR",
    "hash": "BLOB",
    "collected": "BOOLEAN",
    "at": "TIMESTAMP",  # UTC
    "campaign": "VARCHAR",
    "affiliate": "VARCHAR",
    "sub_affiliate": "VARCHAR",
    "ip": "VARCHAR",
    "generation": "BIGINT",
}

SAYING_NOTHING = {
    "address": "NULL",
    "hash": "NULL",
    "collected": "false",
    "campaign": "''",
    "affiliate": "''",
    "sub_affiliate": "''",
    "ip": "''",
}
"""What a column has in each row of a file that lacks it. The two others are in every file."""


def entries_sql(database: "DuckDBPyConnection", segment: Path) -> str:
    """A relation with all columns of the segment, whose path is bound in it, and `at_row`, its rows numbered from 0."""
    found = database.execute("SELECT name FROM parquet_schema(?)", [str(segment)]).fetchall()
    there = {name for (name,) in found}
    columns = [
        f'"{name}"' if name in there else f'{SAYING_NOTHING[name]}::{kind} AS "{name}"'
        for name, kind in SEGMENT_COLUMNS.items()
    ]
    return (
        f"(SELECT {', '.join(columns)}, file_row_number AS at_row"  # noqa: S608  names of ours
        " FROM read_parquet(?, file_row_number = true))"
    )
