"""What a list knows an address by: the first 16 bytes of its hash, which is md5, sha1, sha256 or sha512.

Hashed is `trim(lower(address))`, of a phone number its digits without `+`, as suppression files have always been made. A
domain (`@example.com`) is an entry like any other. A host name may be written two ways, `exämple.com` and
`xn--exmple-cua.com`, and a hash tells nobody which it was: so both are asked.
"""

import functools
import hashlib
import importlib
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Literal, Protocol, TypeAlias

import idna

from stentor.domain.vocabulary import ChannelKind

HashName: TypeAlias = Literal["md5", "sha1", "sha256", "sha512"]

HASH_NAMES: tuple[HashName, ...] = ("md5", "sha1", "sha256", "sha512")
HEX_CHARS: dict[HashName, int] = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
DIGEST_BYTES = 16


class Hash(Protocol):
    """What a hash function makes of bytes."""

    def digest(self) -> bytes:
        """The whole hash."""
        ...


def _md5() -> Callable[[bytes], Hash]:
    # Python's own: of texts as short as addresses OpenSSL hashes two a microsecond, this one four.
    try:
        return importlib.import_module("_md5").md5
    except ImportError:
        return functools.partial(hashlib.md5, usedforsecurity=False)


# By name, `hashlib.new` looks each of them up anew, which costs more than the hash.
HASHERS: dict[HashName, Callable[[bytes], Hash]] = {
    "md5": _md5(),
    "sha1": functools.partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
}


class EntryForm(IntEnum):
    """Which entry of a list an address was found by. The number is stored as the rule of a trace."""

    ADDRESS = 1
    OTHER_SPELLING = 2
    """The address with its host name written the other way."""
    DOMAIN = 3


def hash_of(text: str, name: HashName) -> bytes:
    """The whole hash of an address in its normal form."""
    return HASHERS[name](text.strip().lower().encode()).digest()


def digest_of(text: str, name: HashName) -> bytes:
    """The 16 bytes by which lists of that hash know an address, a number (with or without `+`) or a domain (`@…`)."""
    return hash_of(plain_text(text), name)[:DIGEST_BYTES]


def plain_text(text: str) -> str:
    """An address, a number or a domain as lists write it: of a number its digits. The `+` of a mailbox is part of its name."""
    return text if "@" in text else text.removeprefix("+")


def forms_of(address: str, channel: ChannelKind) -> Iterator[tuple[EntryForm, str]]:
    """All the texts under which a normal address may be on a list, with what each is.

    `channel` is EMAIL or SMS; a number has one form only. An e-mail address may be a domain entry itself.
    """
    if channel is not ChannelKind.EMAIL:
        yield EntryForm.ADDRESS, address.removeprefix("+")
        return
    text = address.strip().lower()
    local, _, host = text.rpartition("@")
    yield (EntryForm.ADDRESS if local else EntryForm.DOMAIN), text
    other = other_spelling(host)
    if other:
        yield (EntryForm.OTHER_SPELLING if local else EntryForm.DOMAIN), f"{local}@{other}"
    if local:
        yield EntryForm.DOMAIN, f"@{host}"
        if other:
            yield EntryForm.DOMAIN, f"@{other}"


# People share domains, and almost none of them is written two ways.
@functools.lru_cache(maxsize=10_000)
def other_spelling(host: str) -> str:
    """A host name in Unicode for one in A-labels and the other way round; empty where there is only one way."""
    try:
        if not host.isascii():
            return idna.encode(host, uts46=True).decode()
        return idna.decode(host).lower() if "xn--" in host else ""
    except (idna.IDNAError, UnicodeError):
        return ""
