"""A block of a file held against lists, in a child: each of its lines is clean, removed, or cannot be read.

A line is asked under all forms that a look-up asks (`hashing.forms_of`). Nearly all lines are addresses in their normal form,
but for capital letters: those are classified and hashed by DuckDB, many times as fast as one by one. The others are read as
single entries are.
"""

import csv
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from isal import igzip

from stentor.domain.address import InvalidAddress
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.columnar import connect, full_disks_named
from stentor.optouts.entries import BARE_PHONE, PLAIN_EMAIL, PLAIN_EMAIL_BYTES, read_entry
from stentor.optouts.hashing import DIGEST_BYTES, HEX_CHARS, HashName, digest_of, forms_of
from stentor.optouts.loading.layout import Layout, fields_of
from stentor.optouts.loading.lines import LINE_BYTES_MAX, LONG, MARK, SEPARATOR, lowered
from stentor.optouts.model import LIST_CHANNELS
from stentor.optouts.runs.index import Digests
from stentor.optouts.scrubbing.asked import Asked, AskedList, held_hosts
from stentor.optouts.scrubbing.rows import Mask, Places, Rows, chosen

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Kinds = npt.NDArray[np.uint8]

_DUCKDB_BYTES = 256 << 20
_GZIP_LEVEL = 1

_ODD, _EMAIL, _PHONE, _EMPTY = 0, 1, 2, 3
_BITS = np.array([0, ChannelKind.EMAIL.bit, ChannelKind.SMS.bit, 0], dtype=np.uint8)

_LINES = f"""
CREATE OR REPLACE TEMP TABLE lines AS
SELECT line,
    CASE
        WHEN strlen(line) <= {PLAIN_EMAIL_BYTES} AND regexp_full_match(line, $email) THEN {_EMAIL}
        WHEN regexp_full_match(line, $phone) THEN {_PHONE}
        ELSE {_ODD}
    END::UTINYINT AS kind
FROM read_csv(
    $path, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false, delim = $separator, quote = '', escape = '',
    new_line = '\\n'
)
"""  # noqa: S608  numbers of our own
_HOSTS = f"SELECT DISTINCT substr(line, strpos(line, '@') + 1) FROM lines WHERE kind = {_EMAIL}"  # noqa: S608
_AT_HOSTS = "SELECT kind = 1 AND substr(line, strpos(line, '@') + 1) IN (SELECT unnest($hosts)) AS is_held FROM lines"
_NUMBERS: dict[HashName, str] = {
    "md5": "md5_number(line)",
    "sha1": "('0x' || substr(sha1(line), 1, 32))::UHUGEINT",
    "sha256": "('0x' || substr(sha256(line), 1, 32))::UHUGEINT",
}
# Asking md5_number_upper and _lower takes eight times as long.
_DIGESTS = """
SELECT (number & 18446744073709551615::UHUGEINT)::UBIGINT AS lower, (number >> 64)::UBIGINT AS upper
FROM (SELECT {number} AS number FROM lines)
"""

_NO_DIGIT = 255
_HEX = np.full(256, _NO_DIGIT, dtype=np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16)

_EMPTY_LINES = re.compile(rb"^\n", re.MULTILINE)
_NO_TEXT = f"This line is longer than {LINE_BYTES_MAX:,} bytes, or has bytes that are no text. Send the file in UTF-8 or UTF-16."
_BROKEN = (MARK.decode(), LONG.decode())


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of a file, as the splitter leaves them. `first_line` is the number of the first one in the file.

    Written are `clean` and `removed`, lines as they came, and `rejects`, rows of a CSV: number and reason.
    """

    path: Path
    first_line: int
    lists: tuple[AskedList, ...]
    layout: Layout | None
    clean: Path
    removed: Path
    rejects: Path
    gzipped: bool = False


class Sifted(NamedTuple):
    """How many lines of a block are what; empty ones are nothing."""

    clean: int
    removed: int
    malformed: int


def sift(block: Block) -> Sifted:
    """Parts the lines of the block into its three files, removes its own, and counts. Raises OSError for a full disk."""
    raw = block.path.read_bytes()
    rows = Rows.of(raw)
    names = sorted({one.files.hash for one in block.lists}, key=HEX_CHARS.__getitem__)
    reasons: dict[int, str] = {}
    texts = raw if block.layout is None else _cells(raw, block.layout, reasons)
    asking = _Asking(block, texts, rows if texts is raw else Rows.of(texts), names, reasons)
    empty = rows.lengths == 0
    malformed = np.zeros(rows.number, dtype=bool)
    with full_disks_named():
        removed = asking.held() & ~empty
    malformed[list(reasons)] = True
    removed &= ~malformed
    _write(block.removed, chosen(raw, rows, removed), gzipped=block.gzipped)
    _write(block.clean, chosen(raw, rows, ~(removed | malformed | empty)), gzipped=block.gzipped)
    _write_rejects(block, reasons)
    block.path.unlink()
    removed_count, lines = int(removed.sum()), rows.number - int(empty.sum())
    return Sifted(lines - removed_count - len(reasons), removed_count, len(reasons))


class _Asking:
    """The lines of a block, and what is asked for each."""

    def __init__(
        self, block: Block, texts: bytes, rows: Rows, names: Sequence[HashName], reasons: dict[int, str]
    ) -> None:
        self._block = block
        self._given = texts
        self._texts = lowered(texts)
        self._rows = rows
        self._names = names
        self._reasons = reasons
        self._asked = Asked(rows.number, names)
        self._database = _database(block.path.parent)

    def held(self) -> Mask:
        """Which lines a list holds; those that cannot be read are noted among the reasons."""
        kinds = self._classified()
        self._ask_plain(kinds)
        by_host = self._at_held_hosts() if (kinds == _EMAIL).any() else None
        odd = np.flatnonzero((kinds == _ODD) & (self._rows.lengths > 0))
        self._ask_odd(self._ask_hashes(odd))
        found = self._asked.held_rows(self._block.lists)
        return found if by_host is None else found | by_host

    def _classified(self) -> Kinds:
        path = self._block.path.with_suffix(".asked")
        # Empty lines would be passed over, and the others stand elsewhere.
        path.write_bytes(_EMPTY_LINES.sub(b"-\n", self._texts) if (self._rows.lengths == 0).any() else self._texts)
        bound = {"path": str(path), "email": PLAIN_EMAIL, "phone": BARE_PHONE, "separator": SEPARATOR}
        self._database.execute(_LINES, bound)
        path.unlink()
        kinds = self._database.execute("SELECT kind FROM lines").fetchnumpy()["kind"]
        if len(kinds) != self._rows.number:
            raise RuntimeError(f"{self._rows.number} lines were read as {len(kinds)}.")
        return kinds

    def _ask_plain(self, kinds: Kinds) -> None:
        plain = np.flatnonzero(kinds)
        if not len(plain):
            return
        bits = _BITS[kinds[plain]]
        for name in self._names:
            self._asked.add(name, self._digests(name, plain), plain, bits)

    def _digests(self, name: HashName, plain: Places) -> Digests:
        if name not in _NUMBERS:
            return Digests.of(
                hashlib.new(name, self._rows.line(self._texts, row)).digest()[:DIGEST_BYTES] for row in plain.tolist()
            )
        numbers = self._database.execute(_DIGESTS.format(number=_NUMBERS[name])).fetchnumpy()
        lower, upper = numbers["lower"], numbers["upper"]
        # md5_number is little-endian, a number in hexadecimal digits is not.
        high, low = (lower, upper) if name == "md5" else (upper.byteswap(), lower.byteswap())
        return Digests(high, low) if len(plain) == len(high) else Digests(high[plain], low[plain])

    def _at_held_hosts(self) -> Mask | None:
        hosts = [host for (host,) in self._database.execute(_HOSTS).fetchall()]
        on_lists = held_hosts(hosts, self._block.lists)
        if not on_lists:
            return None
        return self._database.execute(_AT_HOSTS, {"hosts": on_lists}).fetchnumpy()["is_held"]

    def _ask_hashes(self, odd: Places) -> Places:
        """Asks what are hashes of the lists; returns what is none."""
        lengths = self._rows.lengths[odd]
        for name in self._names:
            places = odd[lengths == HEX_CHARS[name]]
            if not len(places):
                continue
            digits = np.frombuffer(self._texts, np.uint8)[
                self._rows.starts[places][:, None] + np.arange(HEX_CHARS[name])
            ]
            nibbles = _HEX[digits]
            are_hashes = nibbles.max(axis=1) != _NO_DIGIT
            places, nibbles = places[are_hashes], nibbles[are_hashes, : 2 * DIGEST_BYTES]
            pairs = np.ascontiguousarray(nibbles[:, ::2] << 4 | nibbles[:, 1::2]).view("<u8")
            digests = Digests(pairs[:, 0].copy(), pairs[:, 1].copy())
            self._asked.add(name, digests, places, np.full(len(places), LIST_CHANNELS, dtype=np.uint8))
            odd = np.setdiff1d(odd, places, assume_unique=True)
            lengths = self._rows.lengths[odd]
        return odd

    def _ask_odd(self, odd: Places) -> None:
        for row in odd.tolist():
            if row in self._reasons:
                continue
            line = self._rows.line(self._given, row)
            text = line.decode()
            if len(line) > LINE_BYTES_MAX or MARK in line or "\ufffd" in text:
                self._reasons[row] = _NO_TEXT
                continue
            entry = read_entry(text, LIST_CHANNELS, _hash_for(text, self._names))
            if isinstance(entry, InvalidAddress):
                self._reasons[row] = entry.reason
            elif entry.hash is not None:
                self._asked.add_one(_hash_for(text, self._names), entry.digest, row, LIST_CHANNELS)
            else:
                for _, form in forms_of(entry.text, entry.channel):
                    for name in self._names:
                        self._asked.add_one(name, digest_of(form, name), row, entry.channel.bit)


def _hash_for(text: str, names: Sequence[HashName]) -> HashName:
    """By which hash to read a text: the one that it has the length of, if it is one."""
    size = len(text.strip())
    return next((name for name in names if HEX_CHARS[name] == size), names[0])


def _cells(raw: bytes, layout: Layout, reasons: dict[int, str]) -> bytes:
    """The addresses of the lines, one a line; of a line that cannot be parted a reason is noted."""

    def cells() -> Iterable[str]:
        for row, line in enumerate(raw.decode().split("\n")[:-1]):
            try:
                yield _cell(line, layout) if line else ""
            except ValueError as error:
                reasons[row] = str(error)
                yield "-"

    return "".join(f"{cell}\n" for cell in cells()).encode()


def _cell(line: str, layout: Layout) -> str:
    """The address of a line. Raises ValueError, with a sentence."""
    # It could not be given back as it came.
    if any(mark in line for mark in _BROKEN):
        raise ValueError(_NO_TEXT)
    fields = fields_of(line, layout) if '"' in line else line.split(layout.delimiter)
    if len(fields) != layout.fields:
        raise ValueError(f"This line has {len(fields)} fields, and the header {layout.fields}.")
    cell = fields[layout.columns["entry"]].strip()
    if not cell:
        raise ValueError("There is no address in this line.")
    return cell


@functools.lru_cache(maxsize=4)
def _database(directory: Path) -> "DuckDBPyConnection":
    return connect(_DUCKDB_BYTES, 1, directory)


def _write(path: Path, text: bytes, *, gzipped: bool) -> None:
    path.write_bytes(igzip.compress(text, compresslevel=_GZIP_LEVEL) if gzipped and text else text)


def _write_rejects(block: Block, reasons: dict[int, str]) -> None:
    with block.rejects.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(_rejects(block.first_line, reasons))


def _rejects(first_line: int, reasons: dict[int, str]) -> Iterator[tuple[int, str]]:
    for row in sorted(reasons):
        yield first_line + row, reasons[row]
