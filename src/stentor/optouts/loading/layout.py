"""How the lines of a file are written: an entry each, or columns below a header that names them."""

import csv
import re
from collections.abc import Mapping, Sequence

import msgspec

from stentor.optouts.loading.inflate import Unreadable

COLUMNS_MAX = 100

FIELD = "\x1f"
"""Between the fields of a line once it was read."""

_DELIMITERS = ",;\t|"
_WORD = re.compile(r"[^a-z0-9]+")

_NAMES: Mapping[str, Sequence[str]] = {
    "entry": (
        *(
            "email",
            "e_mail",
            "mail",
            "email_address",
            "emailaddress",
            "e_mail_address",
            "address",
            "phone",
            "phone_number",
        ),
        *(
            "phonenumber",
            "mobile",
            "msisdn",
            "sms",
            "number",
            "hash",
            "md5",
            "sha1",
            "sha256",
            "sha512",
            "sha_1",
            "sha_256",
        ),
        *(
            "sha_512",
            "email_md5",
            "email_hash",
            "md5_hash",
            "hashed",
            "plain",
            "entry",
            "recipient",
            "contact",
            "domain",
        ),
    ),
    "at": (
        "timestamp",
        "time",
        "date",
        "at",
        "datetime",
        "optout_date",
        "optout_time",
        "unsubscribed_at",
        "created_at",
    ),
    "campaign": ("campaign", "campaign_id", "campaign_name"),
    "affiliate": ("affiliate", "affiliate_id"),
    "sub_affiliate": ("sub_affiliate", "subaffiliate", "sub_affiliate_id"),
    "ip": ("ip", "ip_address", "ipaddress"),
}
_COLUMN_OF = {name: column for column, names in _NAMES.items() for name in names}


class Layout(msgspec.Struct, frozen=True):
    """Of a file with a header: the line itself, what parts its fields, how many there are, and in which the columns of a segment stand."""

    header: str
    delimiter: str
    fields: int
    columns: dict[str, int]


def read_header(line: str) -> Layout | None:
    """The layout that a file's first line gives it; None where that line is an entry like the others.

    Raises Unreadable for a header that does not say where the addresses are, or says it twice.
    """
    # An address is no header, whatever stands beside it.
    if "@" in line or any(character in line for character in "\x02\x03\ufffd"):
        return None
    # By which it names the most columns that we know, and of those that stands there most often: others may be within names.
    parted = [(delimiter, _names_in(line, delimiter)) for delimiter in _DELIMITERS]
    delimiter, names = max(parted, key=lambda each: (len(_known(each[1])), line.count(each[0])))
    found = _known(names)
    if not found:
        return None
    entries = [place for column, place in found if column == "entry"]
    if not entries:
        raise Unreadable("The header of the file names no column of addresses. Call it email, phone, md5 … or address.")
    if len(entries) > 1:
        named = " and ".join(names[place] for place in entries)
        raise Unreadable(f"The header of the file names several columns of addresses: {named}. Leave one of them.")
    if len(names) > COLUMNS_MAX:
        raise Unreadable(f"The file has {len(names)} columns; at most {COLUMNS_MAX} are read.")
    columns: dict[str, int] = {}
    for column, place in found:
        columns.setdefault(column, place)
    return Layout(line, delimiter, len(names), columns)


def _names_in(line: str, delimiter: str) -> list[str]:
    try:
        (fields,) = csv.reader([line], delimiter=delimiter)
    except csv.Error:
        return []
    return [_WORD.sub("_", name.strip().lower()).strip("_") for name in fields]


def _known(names: Sequence[str]) -> list[tuple[str, int]]:
    """Which of the columns of a segment are named, and where."""
    return [(column, place) for place, name in enumerate(names) if (column := _COLUMN_OF.get(name))]


def fields_of(line: str, layout: Layout) -> list[str]:
    """The fields of a line that has quotes. Raises ValueError, with a sentence, for one that cannot be parted."""
    try:
        fields = next(csv.reader([line], delimiter=layout.delimiter, strict=True))
    except csv.Error:
        raise ValueError("The quotes of this line do not match.") from None
    if len(fields) != layout.fields:
        raise ValueError(f"This line has {len(fields)} fields, and the header {layout.fields}.")
    return [field.replace(FIELD, " ") for field in fields]
