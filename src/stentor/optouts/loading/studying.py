"""Odd lines, one by one: what they are, or in a sentence why they are nothing."""

from stentor.domain.address import InvalidAddress
from stentor.optouts.entries import ReadEntry, read_entry
from stentor.optouts.hashing import hash_of
from stentor.optouts.loading.layout import FIELD, Layout, fields_of
from stentor.optouts.loading.lines import LINE_BYTES_MAX, LONG, MARK
from stentor.optouts.loading.rows import Order

_LONG, _MARK = LONG.decode(), MARK.decode()
_TOO_LONG = f"The line is longer than {LINE_BYTES_MAX} bytes."
_BROKEN = "The line has bytes that no text has."


def study(line: str, layout: Layout | None, order: Order) -> tuple[ReadEntry, str] | str:
    """The entry, and its line as it is kept in the chunk; or why it is none."""
    if line == _LONG or len(line.encode()) > LINE_BYTES_MAX:
        return _TOO_LONG
    try:
        fields = [line] if layout is None else _fields(line, layout)
    except ValueError as torn:
        return str(torn)
    place = 0 if layout is None else layout.columns["entry"]
    # What is broken elsewhere is no reason to write to somebody who opted out.
    if _MARK in fields[place] or "\ufffd" in fields[place]:
        return _BROKEN
    entry = read_entry(fields[place], order.channels, order.hash_name)
    if isinstance(entry, InvalidAddress):
        return entry.reason
    if order.keeps_hashes and entry.hash is None:
        fields[place] = hash_of(entry.text, order.hash_name).hex()
    else:
        # Also a hash: it may have stood between characters that nobody sees.
        fields[place] = entry.text if entry.hash is None else entry.hash.hex()
    return entry, FIELD.join(fields)


def _fields(line: str, layout: Layout) -> list[str]:
    """The fields of a line. Raises ValueError, with a sentence."""
    if '"' in line:
        return fields_of(line, layout)
    fields = line.split(FIELD)
    if len(fields) != layout.fields:
        raise ValueError(f"The line has {len(fields)} fields, and the header {layout.fields}.")
    return fields
