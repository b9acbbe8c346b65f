"""What compaction does in a child: one file of many, without what was removed, and without the addresses of the erased."""

import csv
import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stentor.optouts.columnar import connect
from stentor.optouts.compaction.model import Removed
from stentor.optouts.hashing import DIGEST_BYTES, HashName
from stentor.optouts.runs.columns import entries_sql
from stentor.optouts.runs.index import Digests, IndexReader
from stentor.optouts.runs.merging import Removal, Source, found_among, merge_runs

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROWS_AT_ONCE = 50_000
_WINDOW_ENTRIES = 1 << 20
_HEX_CHARS = 2 * DIGEST_BYTES

_TELLS = "(address IS NOT NULL OR concat(campaign, affiliate, sub_affiliate, ip) <> '')"
"""Whether a row tells more of a person than the hash: of a list of hashes it has where they came from."""


class Taken(msgspec.Struct, frozen=True):
    """Two files: what was removed (digest in hexadecimal digits, generation), and who was erased (digest)."""

    removed: Path
    erased: Path

    @classmethod
    def written(cls, folder: Path, removed: Sequence[Removed], erased: Sequence[bytes]) -> "Taken":
        """Writes them into the folder: a child is told where much is, not how much."""
        taken = cls(folder / "removed.csv", folder / "erased.csv")
        with taken.removed.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows((one.digest.hex(), one.generation) for one in removed)
        with taken.erased.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([digest.hex()] for digest in erased)
        return taken

    def removals(self) -> list[Removal]:
        """What was removed."""
        with self.removed.open(newline="") as file:
            return [Removal(bytes.fromhex(digest), int(generation)) for digest, generation in csv.reader(file)]


def merged_runs(sources: Sequence[Source], taken: Taken, target: Path, hash_name: HashName, generation: int) -> int:
    """Makes one index of these at `target`, and returns how many entries it has. Raises as merge_runs."""
    return merge_runs(sources, taken.removals(), target, hash_name, generation)


def holds_removed(source: Source, taken: Taken) -> bool:
    """Whether anything is in the index that was removed."""
    removed = Digests.of(
        removal.digest for removal in taken.removals() if removal.generation >= source.generation
    ).sorted()
    reader = IndexReader(source.path)
    try:
        return any(found_among(part, removed).any() for part in reader.parts(_WINDOW_ENTRIES))
    finally:
        reader.close()


class Rewriting(msgspec.Struct, frozen=True):
    """Segments to make one of. Rows from before `lapsed_before`, in UTC, are left out.

    With `only_where_needed` nothing is written unless something is to be taken out.
    """

    sources: Sequence[Path]
    target: Path
    hash: HashName
    taken: Taken
    lapsed_before: datetime | None
    only_where_needed: bool
    memory_bytes: int


def rewritten(task: Rewriting) -> int | None:
    """Writes one segment at `target` and returns how many entries it has; None where nothing needed to be done.

    A removed row is left out; the row of somebody erased keeps the whole hash, when it came and nothing else. Raises
    duckdb's errors.
    """
    folders = {source.parent for source in task.sources}
    database = connect(task.memory_bytes, 1, task.target.parent, directories=sorted(folders))
    try:
        _find_hits(database, task)
        hits = _counted(database, "SELECT count(*) FROM hit")
        if not hits and task.only_where_needed:
            return None
        return _write(database, task)
    finally:
        database.close()


def _find_hits(database: "DuckDBPyConnection", task: Rewriting) -> None:
    """Fills the table `hit`: which rows are gone, and the whole hash of those whose address is to be taken out."""
    database.execute("CREATE TABLE hit (source INTEGER, at_row BIGINT, gone BOOLEAN, hash BLOB)")
    for table, file, columns in (
        ("removed", task.taken.removed, "{'digest': 'VARCHAR', 'generation': 'BIGINT'}"),
        ("erased", task.taken.erased, "{'digest': 'VARCHAR'}"),
    ):
        # Nothing is left to be guessed: of an empty file it would be guessed wrong.
        told = f"header = false, auto_detect = false, delim = ',', columns = {columns}"
        database.execute(f"CREATE TABLE {table} AS FROM read_csv(?, {told})", [str(file)])
    if not _counted(database, "SELECT (SELECT count(*) FROM removed) + (SELECT count(*) FROM erased)"):
        return
    find = _find_by_python if task.hash == "sha512" else _find_by_sql
    for number, source in enumerate(task.sources):
        find(database, task.hash, number, source)


def _find_by_sql(database: "DuckDBPyConnection", hash_name: HashName, number: int, source: Path) -> None:
    database.execute(
        f"""
        INSERT INTO hit
        SELECT ?, s.at_row, r.digest IS NOT NULL, s.whole
        FROM (
            SELECT at_row, {_TELLS} AS tells, generation,
                CASE WHEN address IS NULL THEN hash ELSE unhex({hash_name}(address)) END AS whole,
                left(CASE WHEN address IS NULL THEN lower(hex(hash)) ELSE {hash_name}(address) END, ?) AS digest
            FROM {entries_sql(database, source)}
        ) s
        LEFT JOIN removed r ON r.digest = s.digest AND r.generation >= s.generation
        LEFT JOIN erased e ON e.digest = s.digest AND s.tells
        WHERE r.digest IS NOT NULL OR e.digest IS NOT NULL
        """,  # noqa: S608  one of HASH_NAMES
        [number, _HEX_CHARS, str(source)],
    )


def _find_by_python(database: "DuckDBPyConnection", hash_name: HashName, number: int, source: Path) -> None:
    removed = dict(database.execute("SELECT digest, generation FROM removed").fetchall())
    erased = {digest for (digest,) in database.execute("FROM erased").fetchall()}
    hits: list[tuple[int, int, bool, bytes | None]] = []
    rows = database.cursor()
    rows.execute(
        f"SELECT at_row, {_TELLS}, address, hash, generation FROM {entries_sql(database, source)}",  # noqa: S608
        [str(source)],
    )
    while batch := rows.fetchmany(_ROWS_AT_ONCE):
        for at_row, tells, address, kept, generation in batch:
            whole = kept if address is None else hashlib.new(hash_name, address.encode()).digest()
            digest = whole[:DIGEST_BYTES].hex()
            gone = removed.get(digest, -1) >= generation
            if gone or (tells and digest in erased):
                hits.append((number, at_row, gone, whole))
    rows.close()
    if hits:
        database.executemany("INSERT INTO hit VALUES (?, ?, ?, ?)", hits)


def _write(database: "DuckDBPyConnection", task: Rewriting) -> int:
    rows = " UNION ALL ".join(
        f"SELECT {number} AS source, * FROM {entries_sql(database, source)}"  # noqa: S608  a number, names of ours
        for number, source in enumerate(task.sources)
    )
    return _counted(
        database,
        f"""
        COPY (
            SELECT CASE WHEN h.source IS NULL THEN p.address END AS address, coalesce(h.hash, p.hash) AS hash, p.collected, p."at",
                CASE WHEN h.source IS NULL THEN p.campaign ELSE '' END AS campaign,
                CASE WHEN h.source IS NULL THEN p.affiliate ELSE '' END AS affiliate,
                CASE WHEN h.source IS NULL THEN p.sub_affiliate ELSE '' END AS sub_affiliate,
                CASE WHEN h.source IS NULL THEN p.ip ELSE '' END AS ip,
                p.generation
            FROM ({rows}) p
            LEFT JOIN hit h ON h.source = p.source AND h.at_row = p.at_row
            WHERE h.gone IS NOT TRUE AND (p."at" >= ? OR ?)
        ) TO ? (FORMAT parquet, COMPRESSION zstd)
        """,  # noqa: S608  the same SELECT for each file
        [
            *map(str, task.sources),
            task.lapsed_before or datetime.min,  # noqa: DTZ901  Parquet's are in UTC, without saying so
            task.lapsed_before is None,
            str(task.target),
        ],
    )


def _counted(database: "DuckDBPyConnection", sql: str, bound: Sequence[object] = ()) -> int:
    ((count,),) = database.execute(sql, list(bound)).fetchall()
    return int(count)
