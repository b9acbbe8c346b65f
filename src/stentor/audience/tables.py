"""CSV and NDJSON, block by block: what can be read of each line, and why the others cannot be.

A quoted cell of a CSV file may hold line ends. A quote that is never closed ends where a cell or a record becomes too
large: the line that opened it is refused, and reading goes on with the line after.
"""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from stentor.audience.intake import Refusal
from stentor.audience.lines import LINE_BYTES_MAX, Block, Overlong
from stentor.errors import Invalid, Violation

COLUMNS_MAX = 1000
CELL_CHARS_MAX = 131_072  # the csv module's own limit, twice what attributes may have
# Of one record. Each line that opens a quote for nothing costs a look at so many more.
RECORD_LINES_MAX = 200

_BOM = "\ufeff"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_DELIMITERS = (",", ";", "\t")


class Layout(msgspec.Struct, frozen=True):
    """How a CSV file is written: the names in its header, and what stands between its cells."""

    columns: list[str]
    delimiter: str


class Table(msgspec.Struct, frozen=True):
    """What could be read: values with the number of the line where each begins, and the lines that were refused.

    `consumed` lines of the block are done with; a record that goes on in the next block is not.
    """

    numbers: list[int]
    values: list[Any]
    refused: list[Refusal]
    consumed: int

    def without(self, places: Collection[int]) -> "Table":
        """The other values."""
        kept = [place for place in range(len(self.values)) if place not in places]
        return Table(
            [self.numbers[place] for place in kept], [self.values[place] for place in kept], self.refused, self.consumed
        )


def read_layout(block: Block) -> tuple[Layout, int]:
    """The layout in the header of a CSV file, and how many lines it takes.

    Raises Invalid for a file that does not begin with a header in UTF-8.
    """
    texts, bad = _decoded(block)
    for place, text in enumerate(texts):
        if place in bad:
            raise Invalid(f"The header cannot be read: {bad[place].message}")
        if not text.strip():
            continue
        delimiter = max(_DELIMITERS, key=text.count)
        try:
            [names] = csv.reader([text], delimiter=delimiter, strict=True)
        except (csv.Error, ValueError):
            raise Invalid("The header cannot be read: its quotes are not closed on its line.") from None
        columns = [name.strip() for name in names]
        if len(columns) > COLUMNS_MAX:
            raise Invalid(f"The header has {len(columns)} columns; at most {COLUMNS_MAX} are read.")
        return Layout(columns, delimiter), place + 1
    raise Invalid("The file is empty; it needs a header line.")


def read_csv(layout: Layout, block: Block, *, skip: int = 0) -> Table:
    """The rows of the block behind its first `skip` lines, each a list of cells, as many as the header has."""
    texts, bad = _decoded(block)
    refused = [Refusal(block.first_line + place, violation) for place, violation in bad.items() if place >= skip]
    width = len(layout.columns)
    if (plain := _plain_rows(texts[skip:], layout.delimiter)) is not None and {*map(len, plain)} <= {width}:
        first = block.first_line + skip
        return Table(list(range(first, first + len(plain))), plain, refused, len(texts))
    rows = _Rows(texts, bad, layout.delimiter, is_last=block.is_last)
    numbers: list[int] = []
    values: list[list[str]] = []
    for place, row in rows.read(skip):
        if isinstance(row, Violation):
            refused.append(Refusal(block.first_line + place, row))
        elif len(row) == width:
            numbers.append(block.first_line + place)
            values.append(row)
        elif row:
            text = f"The line has {len(row)} cells, the header has {width}."
            refused.append(Refusal(block.first_line + place, Violation("", "wrong-number-of-cells", text)))
    return Table(numbers, values, refused, rows.consumed)


def _plain_rows(texts: Sequence[str], delimiter: str) -> list[list[str]] | None:
    """The rows where each line is one, none broken: the common case, read by the csv module in one go."""
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    try:
        rows = list(reader)
    except csv.Error:
        return None
    return rows if len(rows) == len(texts) else None


def read_ndjson(block: Block) -> Table:
    """The objects of the block, one a line."""
    texts, bad = _decoded(block)
    refused = [Refusal(block.first_line + place, violation) for place, violation in bad.items()]
    numbers: list[int] = []
    values: list[dict[str, Any]] = []
    for place, text in enumerate(texts):
        if not text or text.isspace():
            continue
        value = _object(text)
        if isinstance(value, Violation):
            refused.append(Refusal(block.first_line + place, value))
        else:
            numbers.append(block.first_line + place)
            values.append(value)
    return Table(numbers, values, refused, len(texts))


def _object(text: str) -> dict[str, Any] | Violation:
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        return Violation("", "malformed-json", f"The line is not JSON: {error}.")
    except RecursionError:
        return Violation("", "malformed-json", "The line is nested without end.")
    return value if isinstance(value, dict) else Violation("", "no-object", "The line is JSON, but no object.")


def _decoded(block: Block) -> tuple[list[str], dict[int, Violation]]:
    """The block's lines as text; those that are none are empty and come with the reason."""
    if block.offset == 0 and block.lines[0].startswith(_UTF16_BOMS):
        raise Invalid("The file is UTF-16. Save it as UTF-8.")
    bad: dict[int, Violation] = {}
    try:
        texts = [line.decode() for line in block.lines]
    except UnicodeDecodeError:
        texts = [_text(line, place, bad) for place, line in enumerate(block.lines)]
    if block.offset == 0:
        texts[0] = texts[0].removeprefix(_BOM)
    if Overlong in set(map(type, block.lines)) or b"\x00" in b"".join(block.lines):
        for place, line in enumerate(block.lines):
            if isinstance(line, Overlong):
                text = f"The line has {line.size} bytes; at most {LINE_BYTES_MAX} are read."
                bad[place] = Violation("", "line-too-long", text)
            elif b"\x00" in line:
                texts[place] = ""
                bad[place] = Violation("", "nul-character", "The line has a NUL character; remove it.")
    return texts, bad


def _text(line: bytes, place: int, bad: dict[int, Violation]) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        bad[place] = Violation("", "not-utf-8", f"The line is not UTF-8: {error.reason} at byte {error.start}.")
        return ""


class _Rows:
    """The rows of some lines; after reading, `consumed` says how many lines they take."""

    def __init__(self, texts: Sequence[str], bad: Mapping[int, Violation], delimiter: str, *, is_last: bool) -> None:
        self.consumed = len(texts)
        self._texts = texts
        self._bad = bad
        self._delimiter = delimiter
        self._is_last = is_last

    def read(self, start: int) -> Iterator[tuple[int, list[str] | Violation]]:
        """Each row, or what is wrong with it, with its place; an empty line is an empty row."""
        while start < len(self._texts):
            feed = _Feed(self._texts, start)
            try:
                yield from self._records(feed)
            except csv.Error as error:
                if feed.is_exhausted and not self._is_last and feed.start > 0:
                    self.consumed = feed.start
                    return
                yield feed.start, Violation("", "malformed-csv", f"The line cannot be read: {_in_words(error)}.")
            start = feed.start + 1

    def _records(self, feed: "_Feed") -> Iterator[tuple[int, list[str]]]:
        for row in csv.reader(feed, delimiter=self._delimiter, strict=True):
            if not self._bad or self._bad.keys().isdisjoint(range(feed.start, feed.place)):
                yield feed.start, row
            feed.start = feed.place


def _in_words(error: csv.Error) -> str:
    if str(error).startswith("field larger than field limit"):
        return f"one of its values has more than {csv.field_size_limit():,} characters"
    if str(error) == "unexpected end of data":
        return "a quote in it is never closed"
    return str(error)


class _Feed:
    """Hands lines to the csv module and knows where the record that is being read began."""

    def __init__(self, texts: Sequence[str], start: int) -> None:
        self.start = start
        self.place = start
        self.is_exhausted = False
        self._texts = texts

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.place == len(self._texts):
            self.is_exhausted = True
            raise StopIteration
        if self.place - self.start >= RECORD_LINES_MAX:
            raise csv.Error(f"a quote is not closed within {RECORD_LINES_MAX} lines")
        self.place += 1
        return self._texts[self.place - 1]
