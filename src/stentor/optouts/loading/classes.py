"""Which lines DuckDB may take as they are, in lower case, because `read_entry` would say the same; all others are asked there."""

from enum import IntEnum

from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.entries import BARE_PHONE, PLAIN_EMAIL, PLAIN_EMAIL_BYTES
from stentor.optouts.hashing import HEX_CHARS, HashName


class LineClass(IntEnum):
    """What a line is at first sight."""

    EMPTY = 0
    ADDRESS = 1
    HASH = 2
    ODD = 3


_MD5_NUMBER = "md5_number({text})"
_NUMBER_OF_HEX = "('0x' || substr({hex}, 1, 32))::UHUGEINT"


def class_sql(text: str, channels: int, hash_name: HashName) -> str:
    """The LineClass of an expression that is text in lower case."""
    cases = [f"WHEN coalesce({text}, '') = '' THEN {LineClass.EMPTY:d}"]
    # DuckDB does not know sha512.
    can_hash = hash_name != "sha512"
    if can_hash and channels & ChannelKind.EMAIL.bit:
        cases.append(
            f"WHEN strlen({text}) <= {PLAIN_EMAIL_BYTES} AND {_matches(text, PLAIN_EMAIL)} THEN {LineClass.ADDRESS:d}"
        )
    cases.append(
        f"WHEN strlen({text}) = {HEX_CHARS[hash_name]} AND {_matches(text, '[0-9a-f]+')} THEN {LineClass.HASH:d}"
    )
    if can_hash and channels & ChannelKind.SMS.bit:
        cases.append(f"WHEN {_matches(text, BARE_PHONE)} THEN {LineClass.ADDRESS:d}")
    return f"(CASE {' '.join(cases)} ELSE {LineClass.ODD:d} END)::UTINYINT"


def digest_sql(text: str, line_class: str, hash_name: HashName) -> str:
    """The digest of a text of that class, as a number of 16 bytes; md5's own is little-endian, all others are big-endian."""
    of_hash = _NUMBER_OF_HEX.format(hex=text)
    if hash_name == "sha512":
        return f"CASE {line_class} WHEN {LineClass.HASH:d} THEN {of_hash} ELSE 0 END"
    of_text = _MD5_NUMBER.format(text=text) if hash_name == "md5" else _NUMBER_OF_HEX.format(hex=f"{hash_name}({text})")
    return (
        f"CASE {line_class} WHEN {LineClass.HASH:d} THEN {of_hash} WHEN {LineClass.ADDRESS:d} THEN {of_text} ELSE 0 END"
    )


def hash_sql(text: str, hash_name: HashName) -> str:
    """The whole hash of a text, as a BLOB."""
    return f"unhex({hash_name}({text}))"


def _matches(text: str, pattern: str) -> str:
    quoted = pattern.replace("'", "''")
    return f"regexp_full_match({text}, '{quoted}')"
