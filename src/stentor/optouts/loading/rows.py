"""The lines of a chunk in DuckDB: their digests by the million, the few odd ones to be studied, and the segment."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from stentor.optouts.columnar import connect
from stentor.optouts.hashing import HashName
from stentor.optouts.loading.classes import LineClass, class_sql, digest_sql, hash_sql
from stentor.optouts.loading.layout import FIELD, Layout
from stentor.optouts.loading.lines import LINE_BYTES_MAX, LONG, MARK, SEPARATOR
from stentor.optouts.loading.splitting import Chunk
from stentor.optouts.runs.columns import SAYING_NOTHING, SEGMENT_COLUMNS
from stentor.optouts.runs.index import U64

Mask = npt.NDArray[np.bool_]

_CHARS_MAX = 200
"""Of a campaign, an affiliate, an ip: the rest is cut off."""

# Addresses are no dictionary, and a small page is enough to see that. The usual level takes half as long again, for 13 %.
_PARQUET = (
    "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, STRING_DICTIONARY_PAGE_SIZE_LIMIT 4096"
)

# A line may be three times as long once its broken bytes are replaced.
_READ_BYTES_MAX = 16 << 20


class Order(msgspec.Struct, frozen=True):
    """What a load wants of each of its chunks. `at` is when its entries came, where they do not say so themselves."""

    directory: Path
    hash_name: HashName
    channels: int
    keeps_hashes: bool
    at: datetime
    generation: int
    memory_bytes: int


class Classified(NamedTuple):
    """Each line's digest, 0 where it has none, and its class."""

    high: U64
    low: U64
    classes: npt.NDArray[np.uint8]


class Rows:
    """The lines of one chunk, by their place in it. To be closed."""

    def __init__(self, order: Order, chunk: Chunk) -> None:
        self._order = order
        self._layout = chunk.layout
        self._columnar = connect(order.memory_bytes, 1, order.directory)
        line = "line" if chunk.layout is None else _parted(chunk.layout)
        # A delimiter that no line has: each is one column. All that there is, in its order, empty ones too.
        self._columnar.execute(
            f"""
            CREATE TEMP TABLE t AS SELECT {line} AS line
            FROM read_csv(?, columns = {{'line': 'VARCHAR'}}, delim = ?, quote = '', escape = '', comment = '', header = false,
                auto_detect = false, null_padding = true, strict_mode = false, new_line = '\\n', max_line_size = {_READ_BYTES_MAX})
            """,  # noqa: S608  expressions of ours
            [str(chunk.path), SEPARATOR],
        )

    def close(self) -> None:
        """Frees the memory."""
        self._columnar.close()

    def digests(self) -> Classified:
        """What the lines are at first sight."""
        name = self._order.hash_name
        line_class = class_sql("text", self._order.channels, name)
        if self._layout is not None:
            line_class = (
                f"CASE WHEN coalesce(line, '') = '' THEN {LineClass.EMPTY:d} WHEN {_is_torn(self._layout)} OR text = ''"
                f" THEN {LineClass.ODD:d} ELSE {line_class} END::UTINYINT"
            )
        found = self._columnar.execute(
            f"""
            SELECT (digest >> 64)::UBIGINT AS upper, (digest & {(1 << 64) - 1}::UHUGEINT)::UBIGINT AS lower, class
            FROM (
                SELECT class, ({digest_sql("text", "class", name)})::UHUGEINT AS digest
                FROM (SELECT text, {line_class} AS class FROM (SELECT line, {self._text} AS text FROM t))
            )
            """  # noqa: S608  expressions of ours
        ).fetchnumpy()
        upper, lower, classes = found["upper"], found["lower"], np.array(found["class"])
        if name == "md5":
            # DuckDB reads the 16 bytes from their end, and we read hex digits from their beginning.
            from_hex = classes == LineClass.HASH
            if from_hex.any():
                high = np.where(from_hex, upper.byteswap(), lower)
                return Classified(high, np.where(from_hex, lower.byteswap(), upper), classes)
            return Classified(np.array(lower), np.array(upper), classes)
        return Classified(upper.byteswap(), lower.byteswap(), classes)

    def lines(self, wanted: npt.NDArray[np.intp], count: int) -> list[tuple[int, str]]:
        """The lines in these places, of `count`: each with its place, in order."""
        mask = np.zeros(count, dtype=bool)
        mask[wanted] = True
        self._columnar.register("wanted", {"wanted": mask})
        rows = self._columnar.execute(
            "SELECT rowid, line FROM t POSITIONAL JOIN wanted WHERE wanted AND rowid BETWEEN ? AND ?",
            [int(wanted[0]), int(wanted[-1])],
        ).fetchall()
        self._columnar.unregister("wanted")
        return rows

    def replace(self, rows: list[int], lines: list[str]) -> None:
        """Puts these lines into those places."""
        self._columnar.execute(
            "UPDATE t SET line = n.line FROM (SELECT unnest(?::BIGINT[]) AS row, unnest(?::VARCHAR[]) AS line) n"
            " WHERE t.rowid = n.row",
            [rows, lines],
        )

    def write(self, segment: Path, keep: Mask, is_hash: Mask) -> None:
        """Writes the kept lines as a segment, in their order."""
        columns = self._columns(has_hashes=bool(is_hash.any()))
        selected = ", ".join(
            f'{columns[name]}::{kind} AS "{name}"'
            for name, kind in SEGMENT_COLUMNS.items()
            if columns[name] != SAYING_NOTHING.get(name)
        )
        self._columnar.register("marks", {"keep": keep, "is_hash": is_hash})
        kept = f"(SELECT line, {self._text} AS text, is_hash FROM t POSITIONAL JOIN marks WHERE keep)"  # noqa: S608  ours
        self._columnar.execute(
            f"COPY (SELECT {selected} FROM {kept}) TO ? ({_PARQUET})",  # noqa: S608  ours
            [str(segment)],
        ).fetchall()
        self._columnar.unregister("marks")

    @property
    def _text(self) -> str:
        if self._layout is None:
            # The splitter has done that.
            return "line"
        return f"lower(trim({_field(self._layout, self._layout.columns['entry'])}))"

    def _columns(self, *, has_hashes: bool) -> dict[str, str]:
        """The expression of each column of a segment."""
        order = self._order
        address, whole = "text", "NULL"
        if order.keeps_hashes:
            # Of sha512 there are hashes only by now.
            address = "NULL"
            of_text = "NULL" if order.hash_name == "sha512" else hash_sql("text", order.hash_name)
            whole = f"CASE WHEN is_hash THEN unhex(text) ELSE {of_text} END"
        elif has_hashes:
            address, whole = "CASE WHEN NOT is_hash THEN text END", "CASE WHEN is_hash THEN unhex(text) END"
        at = f"'{order.at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ')}'::TIMESTAMP"
        said: dict[str, str] = {}
        if self._layout is not None:
            said = {name: _field(self._layout, place) for name, place in self._layout.columns.items()}
        if "at" in said:
            # What came before there were networks, or will come, is a mistake.
            at = f"greatest(least(coalesce({_time(said['at'])}, {at}), {at}), '1970-01-01'::TIMESTAMP)"
        texts = {
            name: f"replace(substr(trim({said[name]}), 1, {_CHARS_MAX}), '{MARK.decode()}', '\ufffd')"
            if name in said
            else "''"
            for name in ("campaign", "affiliate", "sub_affiliate", "ip")
        }
        return {
            "address": address,
            "hash": whole,
            "collected": "false",
            "at": at,
            **texts,
            "generation": str(order.generation),
        }


def _parted(layout: Layout) -> str:
    """A line with FIELD between its fields; as it is, where it has quotes that need a closer look."""
    delimiter = _quoted(layout.delimiter)
    all_quoted = _quoted(f'"[^"]*"(?:{layout.delimiter if layout.delimiter != "|" else "[|]"}"[^"]*")*')
    between = _quoted(f'"{layout.delimiter}"')
    return f"""CASE
        WHEN strlen(line) > {LINE_BYTES_MAX} THEN '{LONG.decode()}'
        WHEN NOT contains(line, '"') THEN replace(replace(line, '{FIELD}', ' '), {delimiter}, '{FIELD}')
        WHEN regexp_full_match(line, {all_quoted})
            THEN replace(substr(replace(line, '{FIELD}', ' '), 2, length(line) - 2), {between}, '{FIELD}')
        ELSE line END"""


def _is_torn(layout: Layout) -> str:
    return f"(contains(line, '\"') OR len(string_split(line, '{FIELD}')) <> {layout.fields})"


def _field(layout: Layout, place: int) -> str:
    return "line" if layout.fields == 1 else f"string_split(line, '{FIELD}')[{place + 1}]"


def _time(text: str) -> str:
    """A time in UTC, written as ISO 8601 or in seconds since 1970; NULL for anything else."""
    seconds = f"regexp_full_match({text}, '[0-9]{{9,10}}')"
    return (
        f"(CASE WHEN {seconds} THEN make_timestamp(try_cast({text} AS BIGINT) * 1000000)"
        f" ELSE make_timestamp(epoch_us(try_cast({text} AS TIMESTAMPTZ))) END)"
    )


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"
