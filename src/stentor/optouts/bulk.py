"""Many addresses asked of one list at once: 10,000 in some ten milliseconds."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.address import InvalidAddress
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid
from stentor.optouts.asking import AskedStore
from stentor.optouts.entries import ReadEntry, read_entry
from stentor.optouts.hashing import EntryForm, HashName, digest_of, forms_of
from stentor.optouts.lists import resolve
from stentor.optouts.look_up import LookUp

CHECKED_MAX = 10_000

# So many are read before others have their turn: a millisecond or two.
_AT_ONCE = 1_000
# An address as nearly all are, lower case throughout: nothing about it has to be brought to its normal form, and its host is
# written in one way only (`xn--` is not among them).
_PLAIN = re.compile(
    r"(?=[^@]{1,64}@)[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?=.{1,63}\Z)(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,63}\Z"
)

Forms: TypeAlias = tuple[tuple[EntryForm, bytes], ...]


class Checked(msgspec.Struct, frozen=True):
    """Whether a text is on a list, by which of its forms; None where it is not. `refusal` says why a text is none."""

    form: EntryForm | None = None
    refusal: str = ""

    @property
    def is_listed(self) -> bool:
        return self.form is not None


_NOT_LISTED = Checked()
_LISTED = {form: Checked(form) for form in EntryForm}


class BulkCheck:
    """Asks lists about many addresses."""

    def __init__(self, db: Database, look_up: LookUp) -> None:
        self._db = db
        self._look_up = look_up

    async def check(self, brand_id: UUID, reference: str, texts: Sequence[str]) -> list[Checked]:
        """For each of up to 10,000 addresses, domains or hashes whether the list holds it, in their order.

        Of a list that is disabled nothing is held. Raises NotFound for a list that the brand does not have, Invalid for too many
        texts, Unavailable while a file of the list cannot be read.
        """
        if len(texts) > CHECKED_MAX:
            raise Invalid.field(
                "/addresses", "length", f"Send at most {CHECKED_MAX:,} at once; a scrub takes any number."
            )

        async def ask() -> list[Checked]:
            async with self._db.read() as conn:
                held = await resolve(conn, brand_id, reference)
                stores = await self._look_up.stores(conn, brand_id, list_ids=[held.id])
            # Read without a connection in hand.
            asked = await read_all(texts, held.channels, held.hash)
            async with self._db.read() as conn:
                return await self._answers(conn, stores, asked, held.hash)

        return await self._look_up.surely(ask)

    async def _answers(
        self, conn: Connection, stores: Sequence[AskedStore], asked: "Asked", name: HashName
    ) -> list[Checked]:
        hits = await self._look_up.found(conn, stores, {name: [*asked.digests, *asked.more]})
        if not hits:
            return [asked.refused.get(place, _NOT_LISTED) for place in range(len(asked.digests))]
        held = {digest for found in hits.values() for digest in found}
        return [asked.answer(place, held) for place in range(len(asked.digests))]


class Asked:
    """Texts as digests: one of each in its place, and the other forms of what has several."""

    def __init__(self) -> None:
        self.digests: list[bytes] = []
        self.more: set[bytes] = set()
        self.refused: dict[int, Checked] = {}
        self._hosts: list[str] = []
        self._of_host: dict[str, Forms] = {"": ()}
        self._odd: dict[int, Forms] = {}

    def add_plain(self, digest: bytes, host: str, name: HashName) -> None:
        """An address whose only other form is its domain."""
        self.digests.append(digest)
        self._hosts.append(host)
        if host not in self._of_host:
            domain = digest_of(f"@{host}", name)
            self._of_host[host] = ((EntryForm.DOMAIN, domain),)
            self.more.add(domain)

    def add_odd(self, entry: ReadEntry | InvalidAddress, name: HashName) -> None:
        """Anything else."""
        place = len(self.digests)
        self._hosts.append("")
        if isinstance(entry, InvalidAddress):
            self.refused[place] = Checked(refusal=entry.reason)
            self.digests.append(_NOTHING)
            return
        self.digests.append(entry.digest)
        forms = () if entry.hash is not None else forms_of(entry.text, entry.channel)
        self._odd[place] = tuple((form, digest_of(text, name)) for form, text in forms)
        self.more.update(digest for _, digest in self._odd[place])

    def answer(self, place: int, held: set[bytes]) -> Checked:
        """What is known of the text in that place, when these digests are held."""
        if place in self.refused:
            return self.refused[place]
        own = ((EntryForm.ADDRESS, self.digests[place]), *self._of_host[self._hosts[place]])
        for form, digest in self._odd.get(place) or own:
            if digest in held:
                return _LISTED[form]
        return _NOT_LISTED


# In the place of what is no address; no text is known that hashes to it.
_NOTHING = bytes(16)


async def read_all(texts: Sequence[str], channels: int, name: HashName) -> Asked:
    """The texts, as entries of lists of these channels and that hash. Others have their turn meanwhile."""
    asked = Asked()
    # Whoever has phone numbers only has no plain address.
    plain: Callable[[str], object] = _PLAIN.match if channels & ChannelKind.EMAIL.bit else lambda _: None
    hashed = _HASHES[name]
    for begin in range(0, len(texts), _AT_ONCE):
        for text in texts[begin : begin + _AT_ONCE]:
            lowered = text.lower()
            if plain(lowered):
                asked.add_plain(hashed(lowered.encode()), lowered[lowered.rindex("@") + 1 :], name)
            else:
                asked.add_odd(read_entry(text, channels, name), name)
        await asyncio.sleep(0)
    return asked


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


_HASHES: dict[HashName, Callable[[bytes], bytes]] = {
    "md5": _md5,
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest()[:16],
    "sha256": lambda data: hashlib.sha256(data).digest()[:16],
    "sha512": lambda data: hashlib.sha512(data).digest()[:16],
}
