"""One person said several times in one set: an upsert touches each row once, so the lines become one, in their order."""

from collections.abc import Sequence
from typing import Any

import msgspec

from stentor.audience.intake import (
    ATTRIBUTES,
    ATTRIBUTES_BYTES_MAX,
    CLEARS,
    EMAIL,
    LOCALE,
    PHONE,
    PUSH_TOKENS,
    TIME_ZONE,
    Refusal,
    Rows,
)
from stentor.errors import Violation

_COLUMNS = (
    (EMAIL, ("emails", "email_digests")),
    (PHONE, ("phones", "phone_digests")),
    (PUSH_TOKENS, ("push_tokens",)),
    (LOCALE, ("locales",)),
    (TIME_ZONE, ("time_zones",)),
)


class Folded(msgspec.Struct, frozen=True):
    """Rows of different people; the lines that went into another line's row; the lines that could not."""

    rows: Rows
    lines: list[int]
    refused: list[Refusal]


def fold(rows: Rows) -> Folded:
    """The same as the rows one after the other, with each person once, at the place where they come first."""
    if len(set(rows.customer_ids)) == len(rows):
        return Folded(rows, [], [])
    places: dict[str, list[int]] = {}
    for place, customer in enumerate(rows.customer_ids):
        places.setdefault(customer, []).append(place)
    lines: list[int] = []
    refused: list[Refusal] = []
    for first, *later in places.values():
        for place in later:
            line = rows.lines[place]
            if problem := _add(rows, first, place):
                refused.append(Refusal(line, problem))
            else:
                lines.append(line)
    return Folded(rows.take([first for first, *_ in places.values()]), lines, refused)


def _add(rows: Rows, first: int, later: int) -> Violation | None:
    """Writes into the first row what the later one says."""
    given = rows.given[later]
    if given & ATTRIBUTES:
        attributes, removed = _attributes(rows, first, later)
        if len(attributes) > ATTRIBUTES_BYTES_MAX:
            text = f"With the lines before, the attributes have {len(attributes)} bytes as JSON; at most {ATTRIBUTES_BYTES_MAX} are kept."
            return Violation("/attributes", "invalid-attributes", text)
        rows.attributes[first] = attributes.decode()
        rows.removed[first] = removed
    for bit, names in _COLUMNS:
        if given & bit:
            for name in names:
                column = getattr(rows, name)
                column[first] = column[later]
    rows.addresses[first] = rows.addresses[first] & ~rows.touched[later] | rows.addresses[later]
    rows.valid[first] = rows.valid[first] & ~rows.touched[later] | rows.valid[later]
    rows.touched[first] |= rows.touched[later]
    rows.given[first] |= given
    return None


def _attributes(rows: Rows, first: int, later: int) -> tuple[bytes, str]:
    merged: dict[str, Any] = msgspec.json.decode(rows.attributes[later])
    if rows.given[later] & CLEARS:
        return msgspec.json.encode(merged), ""
    gone = _names(rows.removed[later])
    earlier: dict[str, Any] = msgspec.json.decode(rows.attributes[first])
    kept = {name: value for name, value in earlier.items() if name not in gone}
    all_gone = {} if rows.given[first] & CLEARS else dict.fromkeys([*_names(rows.removed[first]), *gone])
    return msgspec.json.encode(kept | merged), msgspec.json.encode(list(all_gone)).decode() if all_gone else ""


def _names(removed: str) -> Sequence[str]:
    return msgspec.json.decode(removed) if removed else ()
