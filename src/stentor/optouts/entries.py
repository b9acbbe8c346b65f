"""What one line of a suppression file, or one text that somebody adds to a list, stands for."""

import re

import msgspec

from stentor.domain.address import ADDRESS_CHARS_MAX, InvalidAddress, normal_email, normal_phone
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.hashing import DIGEST_BYTES, HEX_CHARS, HashName, digest_of

BARE_PHONE = r"[1-9][0-9]{6,14}"
"""A number without `+` and the zeros of an international call is taken as digits of E.164: country code first."""

_WORD = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
PLAIN_EMAIL = rf"{_WORD}(?:\.{_WORD})*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{{2,63}}"
"""A whole address that is its own normal form, as `stentor.domain.address` has it, in lower case.

It is one in at most PLAIN_EMAIL_BYTES: then no part of it can be too long. For those who read lines by the million, in loads and
in scrubs: these must agree on who is listed.
"""

PLAIN_EMAIL_BYTES = 64

_BARE_PHONE = re.compile(BARE_PHONE)
_HEX = re.compile("[0-9a-f]+")
# Shorter ones are rather words, or numbers, than hashes.
_HASH_CHARS_MIN = min(HEX_CHARS.values())
# And what is copied from documents along with an address, seen by nobody, and part of none.
_SPACE = " \t\r\n\u00a0\u200b\u202f\u2060\ufeff"
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""What a decoder leaves of such bytes: in an address nothing else is ever meant by it."""
_INTERNATIONAL = ("+", "\uff0b", "00")


class ReadEntry(msgspec.Struct, frozen=True):
    """An entry as a list stores it.

    `text` is the address in its normal form, in lower case, a phone number as digits, a domain as `@example.com`; empty
    where a hash was given, which then is `hash`, whole. A hash does not tell its channel: EMAIL, unless the list has
    phones only.
    """

    channel: ChannelKind
    text: str
    hash: bytes | None
    digest: bytes


def read_entry(text: str, channels: int, hash_name: HashName) -> ReadEntry | InvalidAddress:
    """The entry that a text is for a list of these channels (the bits of EMAIL and SMS) and that hash, or why it is none.

    Texts are an e-mail address, a phone number (`+49 30…`, `0049…` or bare digits with the country code), a domain
    (`@example.com`) or a hash in hex digits.
    """
    if len(text) > ADDRESS_CHARS_MAX:
        return InvalidAddress(f"The entry is too long: {len(text)} characters; at most {ADDRESS_CHARS_MAX}.")
    text = text.strip(_SPACE)
    if not text:
        return InvalidAddress("The entry is empty.")
    if _UNREADABLE in text:
        return InvalidAddress("The entry has bytes that were no UTF-8. Send it as UTF-8.")
    if "@" in text:
        return _email(text, channels, hash_name)
    if len(text) >= _HASH_CHARS_MIN and _HEX.fullmatch(lowered := text.lower()):
        return _hashed(lowered, channels, hash_name)
    return _phone(text, channels, hash_name)


def read_person(text: str, channels: int, hash_name: HashName) -> ReadEntry | InvalidAddress:
    """As `read_entry`, but of one person: no domain, and no hash, of which nobody can tell whom it stands for.

    The reasons are for the person, who need not know of either.
    """
    text = text.strip(_SPACE)
    entry = read_entry(text, channels, hash_name)
    is_meant_as_one = bool(
        (channels & ChannelKind.EMAIL.bit and "@" in text[1:])
        or (channels & ChannelKind.SMS.bit and text.startswith(_INTERNATIONAL))
    )
    if isinstance(entry, InvalidAddress):
        return entry if is_meant_as_one else InvalidAddress(_wanted(channels))
    return entry if entry.hash is None and not entry.text.startswith("@") else InvalidAddress(_wanted(channels))


def _wanted(channels: int) -> str:
    kinds = (
        (ChannelKind.EMAIL, "an email address, as ann@example.com"),
        (ChannelKind.SMS, "a phone number with its country code, as +14155550123"),
    )
    return f"Write {', or '.join(words for kind, words in kinds if channels & kind.bit)}."


def _email(text: str, channels: int, hash_name: HashName) -> ReadEntry | InvalidAddress:
    if not channels & ChannelKind.EMAIL.bit:
        return InvalidAddress("This is an email address, and the list is of phone numbers.")
    is_domain = text.startswith("@")
    normal = normal_email(f"a{text}" if is_domain else text)
    if isinstance(normal, InvalidAddress):
        return normal
    return _entry(ChannelKind.EMAIL, normal.removeprefix("a") if is_domain else normal.lower(), hash_name)


def _hashed(text: str, channels: int, hash_name: HashName) -> ReadEntry | InvalidAddress:
    if len(text) != HEX_CHARS[hash_name]:
        return InvalidAddress(
            f"A hash of {len(text)} hex digits is none of this list's, which has {hash_name}: {HEX_CHARS[hash_name]}."
        )
    whole = bytes.fromhex(text)
    channel = ChannelKind.EMAIL if channels & ChannelKind.EMAIL.bit else ChannelKind.SMS
    return ReadEntry(channel, "", whole, whole[:DIGEST_BYTES])


def _phone(text: str, channels: int, hash_name: HashName) -> ReadEntry | InvalidAddress:
    if not channels & ChannelKind.SMS.bit:
        return InvalidAddress("This is no email address; write it as ann@example.com, or a domain as @example.com.")
    if _BARE_PHONE.fullmatch(text):
        return _entry(ChannelKind.SMS, text, hash_name)
    if text.startswith("00"):
        text = f"+{text[2:]}"
    if not text.startswith(_INTERNATIONAL):
        return InvalidAddress(
            "This is no entry of a list; write an email address, +14155550123, @example.com or a hash."
        )
    normal = normal_phone(text)
    return normal if isinstance(normal, InvalidAddress) else _entry(ChannelKind.SMS, normal[1:], hash_name)


def _entry(channel: ChannelKind, text: str, hash_name: HashName) -> ReadEntry:
    return ReadEntry(channel, text, None, digest_of(text, hash_name))
