"""Entries written as a file, in a child: DuckDB copies straight from segments into the format that was asked for."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from stentor.optouts.columnar import connect
from stentor.optouts.exporting.model import COLLECTIONS, ExportColumn, ExportFormat, ExportSpec
from stentor.optouts.hashing import DIGEST_BYTES, HashName

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RECENT_COLUMNS = {
    "address": "VARCHAR",
    "hash": "VARCHAR",
    "collected": "BOOLEAN",
    "at": "TIMESTAMP",
    "campaign": "VARCHAR",
    "affiliate": "VARCHAR",
    "sub_affiliate": "VARCHAR",
    "ip": "VARCHAR",
}
"""Of a file of single entries: a JSON object a line, the hash in hexadecimal digits."""

_DIGEST_CHARS = 2 * DIGEST_BYTES
_TIME = "%Y-%m-%dT%H:%M:%SZ"

# What a spreadsheet begins a formula with (OWASP), also in its full width. A phone number begins with `+` too, and is none.
_FORMULA = r"^[=+\-@\t\r\n\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"
_PHONE = r"\+\d{6,15}"

_OPTIONS: dict[ExportFormat, str] = {
    "csv": "FORMAT csv, HEADER false",
    "ndjson": "FORMAT json",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A file of entries of one list: a segment, or single ones (`are_single`) as RECENT_COLUMNS says.

    Another brand's tells no ip (`tells_ip`). Entries from `lapsed_at` (UTC) or before are left out. `removals` has rows of a digest in hexadecimal digits and a
    generation: rows of that or an earlier generation are left out; `erasures` has digests whose addresses are not told.
    """

    path: Path
    hash: HashName
    are_single: bool = False
    tells_ip: bool = True
    lapsed_at: datetime | None = None
    removals: Path | None = None
    erasures: Path | None = None


class _Texts(NamedTuple):
    """SQL for what the columns of one source are made of."""

    address: str
    hex_digits: str
    time: str
    ip: str


class Writing(msgspec.Struct, frozen=True, kw_only=True):
    """What is written where; a file of CSV has no header."""

    sources: tuple[Source, ...]
    spec: ExportSpec
    target: Path
    memory_bytes: int
    threads: int = 1


def write(task: Writing) -> int:
    """Writes the entries of the sources, in order, and returns how many they are."""
    folders = sorted({task.target.parent, *(source.path.parent for source in task.sources)})
    database = connect(task.memory_bytes, task.threads, task.target.parent, directories=folders)
    try:
        database.create_function("sha512", _sha512, ["VARCHAR"], "VARCHAR")
        bound: list[object] = []
        # Without a file the columns alone: also a file without rows has some.
        selects = (
            [_nothing(task.spec)]
            if not task.sources
            else [_select(database, number, source, task.spec, bound) for number, source in enumerate(task.sources)]
        )
        bound.append(str(task.target))
        database.execute(f"COPY ({' UNION ALL '.join(selects)}) TO ? ({_OPTIONS[task.spec.format]})", bound)
        ((written,),) = database.fetchall()
        return int(written)
    finally:
        database.close()


def _select(database: "DuckDBPyConnection", number: int, source: Source, spec: ExportSpec, bound: list[object]) -> str:
    """The SELECT of one source; its parameters are added to `bound` in their order."""
    hex_digits = _hash_sql(source)
    address = "address"
    if source.erasures is not None:
        _load(database, f"erased{number}", source.erasures, "{'digest': 'VARCHAR'}")
        is_erased = f"left({hex_digits}, {_DIGEST_CHARS}) IN (SELECT digest FROM erased{number})"  # noqa: S608
        address = f"CASE WHEN {is_erased} THEN NULL ELSE address END"
    ip = "ip" if source.tells_ip else "''"
    texts = _Texts(address, hex_digits, _time_sql(database, source, spec), ip)
    columns = ", ".join(sql for column in spec.columns for sql in _columns(column, texts, spec))
    relation = _relation(source)
    bound.append(str(source.path))
    conditions = [*_conditions(source, spec, bound)]
    if source.removals is not None:
        _load(database, f"removed{number}", source.removals, "{'digest': 'VARCHAR', 'generation': 'BIGINT'}")
        conditions.append(
            f"NOT EXISTS (SELECT 1 FROM removed{number} r WHERE r.digest = left({hex_digits}, {_DIGEST_CHARS})"  # noqa: S608
            " AND r.generation >= e.generation)"
        )
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {columns} FROM {relation} e{where}"  # noqa: S608  all of it is ours


def _nothing(spec: ExportSpec) -> str:
    columns = ", ".join(
        f'NULL::{"TIMESTAMP" if name == "timestamp" else "VARCHAR"} AS "{name}"' for name in spec.header
    )
    return f"SELECT {columns} WHERE false"


def _relation(source: Source) -> str:
    if not source.are_single:
        return "read_parquet(?)"
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in RECENT_COLUMNS.items())
    return f"read_json(?, format = 'newline_delimited', columns = {{{columns}}})"


def _hash_sql(source: Source) -> str:
    """The whole hash in hexadecimal digits."""
    kept = "hash" if source.are_single else "lower(hex(hash))"
    return f"CASE WHEN address IS NULL THEN {kept} ELSE {source.hash}(address) END"


def _time_sql(database: "DuckDBPyConnection", source: Source, spec: ExportSpec) -> str:
    """The time of an entry as the format has it."""
    if spec.format == "parquet":
        return '"at"'
    if "timestamp" in spec.columns and not source.are_single:
        sql = 'SELECT min("at"), max("at") FROM read_parquet(?)'
        ((first, last),) = database.execute(sql, [str(source.path)]).fetchall()
        if first is not None and first == last:
            # Most files came at one moment, and to write a time takes longer than all the rest.
            return f"'{first:{_TIME}}'"
    return f"strftime(\"at\", '{_TIME}')"


def _columns(column: ExportColumn, texts: _Texts, spec: ExportSpec) -> Sequence[str]:
    match column:
        case "plain":
            return [f"{_cell(texts.address, spec)} AS plain"]
        case "hashed":
            return [f"{texts.hex_digits} AS hashed"]
        case "timestamp":
            return [f'{texts.time} AS "timestamp"']
        case "campaign":
            return [f"{_cell(name, spec)} AS {name}" for name in ("campaign", "affiliate", "sub_affiliate")]
        case "ip":
            return [f"{_cell(texts.ip, spec)} AS ip"]


def _cell(text: str, spec: ExportSpec) -> str:
    """A text that came from outside, as a cell of the format."""
    if spec.spreadsheet:
        is_formula = f"regexp_matches({text}, '{_FORMULA}') AND NOT regexp_full_match({text}, '{_PHONE}')"
        text = f"CASE WHEN {is_formula} THEN concat('''', {text}) ELSE {text} END"
    # What is empty would be written in quotes.
    return f"nullif({text}, '')" if spec.format == "csv" else text


def _conditions(source: Source, spec: ExportSpec, bound: list[object]) -> list[str]:
    conditions: list[str] = []
    if set(spec.collections) != set(COLLECTIONS):
        conditions.append("collected" if "collected" in spec.collections else "NOT collected")
    for condition, time in (
        ('"at" > ?::TIMESTAMP', source.lapsed_at),
        ('"at" >= ?::DATE', spec.first_day),
        ('"at" < ?::DATE + INTERVAL 1 DAY', spec.last_day),
    ):
        if time is not None:
            conditions.append(condition)
            bound.append(time)
    if spec.domains:
        either = " OR ".join(["ends_with(address, ?)"] * (2 * len(spec.domains)))
        conditions.append(f"({either})")
        bound.extend(f"{before}{domain}" for domain in spec.domains for before in "@.")
    return conditions


def _load(database: "DuckDBPyConnection", table: str, path: Path, columns: str) -> None:
    # Nothing is left to be guessed: of an empty file it would be guessed wrong.
    told = f"header = false, auto_detect = false, delim = ',', columns = {columns}"
    database.execute(f"CREATE TEMP TABLE {table} AS FROM read_csv(?, {told})", [str(path)])


def _sha512(text: str) -> str:
    """DuckDB has none."""
    return hashlib.sha512(text.encode()).hexdigest()
