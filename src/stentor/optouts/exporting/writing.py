"""Entries written as a file, in a child: DuckDB copies straight from segments into the format that was asked for."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stentor.optouts.columnar import connect, full_disks_named
from stentor.optouts.exporting.model import COLLECTIONS, ExportColumn, ExportFormat, ExportSpec
from stentor.optouts.hashing import DIGEST_BYTES, HashName
from stentor.optouts.runs.columns import entries_sql
from stentor.optouts.runs.held import Held, HeldList, HeldRun
from stentor.optouts.runs.index import Digests

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

_OF_A_PERSON = ("address", "campaign", "affiliate", "sub_affiliate", "ip")
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
    """A file of entries of one list, `store`: a segment, or single ones (`are_single`) as RECENT_COLUMNS says.

    Another brand's tells no ip (`tells_ip`). Entries from `lapsed_at` (UTC) or before are left out. `removals` has rows of a
    digest in hexadecimal digits and a generation: rows of that or an earlier generation are left out; `erasures` has digests of
    whom nothing but the hash is told; rows of the digests in `told` are left out, because another source has them.
    """

    path: Path
    store: int
    hash: HashName
    are_single: bool = False
    tells_ip: bool = True
    lapsed_at: datetime | None = None
    removals: Path | None = None
    erasures: Path | None = None
    told: Path | None = None


class Singles(msgspec.Struct, frozen=True):
    """The digests of a list's single entries, 16 bytes each, and the indexes of its runs; None where one is not to be had."""

    digests: Path
    hash: HashName
    runs: tuple[Path, ...] | None


def write_told(singles: Singles, target: Path) -> int:
    """Writes which of the single entries files have, too, in hexadecimal digits, and returns how many; without indexes all."""
    digests = Digests.of([singles.digests.read_bytes()]).sorted()
    if singles.runs is not None:
        runs = tuple(HeldRun(path, 0) for path in singles.runs)
        found = Held(HeldList(singles.hash, runs)).holds(digests)
        digests = Digests(digests.high[found], digests.low[found])
    with target.open("w") as file:
        file.writelines(f"{digest.hex()}\n" for digest in digests.as_bytes())
    return len(digests)


class Writing(msgspec.Struct, frozen=True, kw_only=True):
    """What is written where; a file of CSV has no header."""

    sources: tuple[Source, ...]
    spec: ExportSpec
    target: Path
    memory_bytes: int
    threads: int = 1


def write(task: Writing) -> int:
    """Writes the entries of the sources, in order, and returns how many they are; of several lists a digest once.

    Raises OSError for a full disk.
    """
    folders = sorted({task.target.parent, *(source.path.parent for source in task.sources)})
    database = connect(task.memory_bytes, task.threads, task.target.parent, directories=folders, keeps_order=True)
    with closing(database), full_disks_named():
        database.create_function("sha512", _sha512, ["VARCHAR"], "VARCHAR")
        _load(database, task.sources)
        bound: list[object] = []
        sql = _rows(database, task, bound)
        database.execute(f"COPY ({sql}) TO ? ({_OPTIONS[task.spec.format]})", [*bound, str(task.target)])
        ((written,),) = database.fetchall()
        return int(written)


def _rows(database: "DuckDBPyConnection", task: Writing, bound: list[object]) -> str:
    """The rows of all sources; what is bound in them is added to `bound`."""
    is_union = len({source.store for source in task.sources}) > 1
    selects = [_select(database, source, task.spec, bound, is_union=is_union) for source in task.sources]
    # Without a file the columns alone: also a file without rows has some.
    rows = " UNION ALL ".join(selects or [_nothing(task.spec)])
    if not is_union:
        return rows
    names = ", ".join(f'"{name}"' for name in task.spec.header)
    return f"""
        SELECT {names}
        FROM (SELECT *, row_number() OVER () AS in_order FROM ({rows}))
        QUALIFY row_number() OVER (PARTITION BY digest ORDER BY in_order) = 1
        ORDER BY in_order
    """  # noqa: S608  all of it is ours


def _select(
    database: "DuckDBPyConnection", source: Source, spec: ExportSpec, bound: list[object], *, is_union: bool
) -> str:
    """The SELECT of one source; its parameters are added to `bound` in their order."""
    time = _time_sql(database, source, spec)
    columns = [sql for column in spec.columns for sql in _columns(column, source, time, spec)]
    if is_union:
        # All lists of a group have the same hash.
        columns.append(f"CAST(left({_hash_sql(source)}, {_DIGEST_CHARS}) AS UUID) AS digest")
    relation = _relation(database, source)
    bound.append(str(source.path))
    conditions = _conditions(source, spec, bound)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {', '.join(columns)} FROM {relation}{where}"  # noqa: S608  all of it is ours


def _nothing(spec: ExportSpec) -> str:
    columns = ", ".join(
        f'NULL::{"TIMESTAMPTZ" if name == "timestamp" else "VARCHAR"} AS "{name}"' for name in spec.header
    )
    return f"SELECT {columns} WHERE false"


def _relation(database: "DuckDBPyConnection", source: Source) -> str:
    """The entries as they are told; the path is bound in it."""
    if source.are_single:
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in RECENT_COLUMNS.items())
        return f"read_json(?, format = 'newline_delimited', columns = {{{columns}}})"
    entries = entries_sql(database, source.path)
    if source.removals is None and source.erasures is None and source.told is None:
        return entries
    rows = f"(SELECT *, {_hash_sql(source)} AS whole FROM {entries})"  # noqa: S608  all of it is ours
    digest = f"left(whole, {_DIGEST_CHARS})"
    if source.removals is not None:
        rows = f"""(
            SELECT s.* FROM {rows} s LEFT JOIN removed{source.store} r ON r.digest = {digest}
            WHERE r.digest IS NULL OR r.generation < s.generation
        )"""  # noqa: S608  all of it is ours
    if source.told is not None:
        rows = f"(SELECT s.* FROM {rows} s ANTI JOIN told{source.store} t ON t.digest = {digest})"  # noqa: S608  all of it is ours
    if source.erasures is not None:
        told = ", ".join(f"CASE WHEN e.digest IS NULL THEN s.{name} END AS {name}" for name in _OF_A_PERSON)
        rows = f"""(
            SELECT s.* REPLACE ({told}, CASE WHEN e.digest IS NULL THEN s.hash ELSE unhex(s.whole) END AS hash)
            FROM {rows} s LEFT JOIN erased{source.store} e ON e.digest = {digest}
        )"""  # noqa: S608  all of it is ours
    return rows


def _hash_sql(source: Source) -> str:
    """The whole hash in hexadecimal digits."""
    kept = "hash" if source.are_single else "lower(hex(hash))"
    return f"CASE WHEN address IS NULL THEN {kept} ELSE {source.hash}(address) END"


def _time_sql(database: "DuckDBPyConnection", source: Source, spec: ExportSpec) -> str:
    """The time of an entry as the format has it."""
    if spec.format == "parquet":
        # What is in files is in UTC without saying so; readers elsewhere would take it for their own time.
        return '"at"::TIMESTAMPTZ'
    if "timestamp" in spec.columns and not source.are_single:
        sql = 'SELECT min("at"), max("at") FROM read_parquet(?)'
        ((first, last),) = database.execute(sql, [str(source.path)]).fetchall()
        if first is not None and first == last:
            # Most files came at one moment, and to write a time takes longer than all the rest.
            return f"'{first:{_TIME}}'"
    return f"strftime(\"at\", '{_TIME}')"


def _columns(column: ExportColumn, source: Source, time: str, spec: ExportSpec) -> Sequence[str]:
    match column:
        case "plain":
            return [f"{_cell('address', spec)} AS plain"]
        case "hashed":
            return [f"{_alone(_hash_sql(source), spec)} AS hashed"]
        case "timestamp":
            return [f'{time} AS "timestamp"']
        case "campaign":
            return [f"{_cell(name, spec)} AS {name}" for name in ("campaign", "affiliate", "sub_affiliate")]
        case "ip":
            ip = "ip" if source.tells_ip else "''"
            return [f"{_cell(ip, spec)} AS ip"]


def _cell(text: str, spec: ExportSpec) -> str:
    """A text that came from outside, as a cell of the format."""
    if spec.spreadsheet:
        is_formula = f"regexp_matches({text}, '{_FORMULA}') AND NOT regexp_full_match({text}, '{_PHONE}')"
        text = f"CASE WHEN {is_formula} THEN concat('''', {text}) ELSE {text} END"
    # What is empty would be written in quotes.
    return _alone(f"nullif({text}, '')", spec) if spec.format == "csv" else text


def _alone(text: str, spec: ExportSpec) -> str:
    """Of a single column, a cell that is never nothing: readers would take an empty line for no row."""
    return f"coalesce({text}, '')" if spec.format == "csv" and len(spec.header) == 1 else text


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


def _load(database: "DuckDBPyConnection", sources: Sequence[Source]) -> None:
    """Reads what was removed, who was erased and who is told elsewhere, of each list once."""
    files = {(f"removed{one.store}", one.removals, "{'digest': 'VARCHAR', 'generation': 'BIGINT'}") for one in sources}
    files |= {(f"erased{one.store}", one.erasures, "{'digest': 'VARCHAR'}") for one in sources}
    files |= {(f"told{one.store}", one.told, "{'digest': 'VARCHAR'}") for one in sources}
    for table, path, columns in files:
        if path is not None:
            # Nothing is left to be guessed: of an empty file it would be guessed wrong.
            told = f"header = false, auto_detect = false, delim = ',', columns = {columns}"
            database.execute(f"CREATE TEMP TABLE {table} AS FROM read_csv(?, {told})", [str(path)])


def _sha512(text: str) -> str:
    """DuckDB has none."""
    return hashlib.sha512(text.encode()).hexdigest()
