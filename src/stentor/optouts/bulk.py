"""Many addresses asked of one list at once: 10,000 in some ten milliseconds."""

import asyncio
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from stentor.db.pool import Database
from stentor.domain.address import LOCAL_PART_BYTES_MAX, InvalidAddress
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid
from stentor.optouts.asking import Along
from stentor.optouts.entries import read_entry
from stentor.optouts.hashing import DIGEST_BYTES, HASHERS, EntryForm, HashName, digest_of, forms_of
from stentor.optouts.lists import resolve
from stentor.optouts.look_up import LookUp

CHECKED_MAX = 10_000
LISTS_KNOWN_MAX = 10_000

# So many are read before others have their turn: less than a millisecond.
_AT_ONCE = 1_000
# More digests are sent only where there are single entries, and only those that no file holds.
_ALONG_MAX = 1_000
# Addresses as nearly all are, once they are in lower case: nothing about them has to be brought to its normal form. They are
# looked through a thousand at a time, because to ask about each takes three times as long. A host like this is written in one
# way only (a label without `--` is no A-label).
_ATOM = rb"[a-z0-9!#$%&'*+/=?^_`{|}~-]++"
_PLAIN_LINES = re.compile(rb"(?:%b(?:\.%b)*+@[a-z0-9.-]++\n)++" % (_ATOM, _ATOM))
_PLAIN_HOST = re.compile(rb"(?=.{1,63}\Z)(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,63}\Z")

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


class _Identity(NamedTuple):
    list_id: UUID
    channels: int
    hash: HashName


class BulkCheck:
    """Asks lists about many addresses."""

    def __init__(self, db: Database, look_up: LookUp) -> None:
        self._db = db
        self._look_up = look_up
        self._known: dict[tuple[UUID, str], _Identity] = {}

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
            held = await self._identity(brand_id, reference)
            # Read without a connection in hand.
            asked = await read_all(texts, held.channels, held.hash)
            digests = [*asked.digests, *asked.more]
            along = Along(held.hash, digests) if len(digests) <= _ALONG_MAX else None
            async with self._db.read() as conn:
                stores = await self._look_up.stores(conn, brand_id, list_ids=[held.list_id], along=along)
                if not stores:
                    # Disabled, or not there any more.
                    await resolve(conn, brand_id, reference)
                hits = await self._look_up.found(conn, stores, {held.hash: digests}, once=True)
            return asked.answers({digest for found in hits.values() for digest in found})

        return await self._look_up.surely(ask)

    async def _identity(self, brand_id: UUID, reference: str) -> _Identity:
        """What never changes of a list. Raises NotFound."""
        key = brand_id, reference.lower()
        if (known := self._known.get(key)) is not None:
            return known
        async with self._db.read() as conn:
            held = await resolve(conn, brand_id, reference)
        found = _Identity(held.id, held.channels, held.hash)
        # A name may be another list's tomorrow.
        if key[1] in {held.code, str(held.id)}:
            self._known[key] = found
            if len(self._known) > LISTS_KNOWN_MAX:
                del self._known[next(iter(self._known))]
        return found


class Asked:
    """Texts as digests: one of each in its place, and the other forms of what has several."""

    def __init__(self, channels: int, name: HashName) -> None:
        self.digests: list[bytes] = []
        self.more: set[bytes] = set()
        self._channels = channels
        self._name: HashName = name
        # Whoever has phone numbers only has no plain address.
        self._has_plain = bool(channels & ChannelKind.EMAIL.bit)
        self._hosts: list[bytes] = []
        # The digest of each plain host's domain; None for others.
        self._domains: dict[bytes, bytes | None] = {}
        self._odd: dict[int, Forms] = {}
        self._refused: dict[int, Checked] = {}

    def add(self, texts: Sequence[str]) -> None:
        """Adds the next ones."""
        # A text with a lone surrogate is none that anybody is written to at, and refused as such later.
        lowered = b"%b\n" % "\n".join(texts).lower().encode(errors="surrogatepass")
        lines = lowered.split(b"\n")
        # A line end in a text leaves the lines without their texts.
        is_in_step = len(lines) == len(texts) + 1
        place = at = 0
        while place < len(texts):
            if is_in_step and (plain := _PLAIN_LINES.match(lowered, at)):
                end = place + plain[0].count(b"\n")
                self._add_plain(texts[place:end], lines[place:end], plain[0])
                place, at = end, plain.end()
            else:
                self._add_odd(texts[place])
                at += len(lines[place]) + 1
                place += 1

    def _add_plain(self, texts: Sequence[str], lines: Sequence[bytes], lowered: bytes) -> None:
        parts = lowered.replace(b"@", b"\n").split(b"\n")
        local_parts, hosts = parts[:-1:2], parts[1::2]
        for host in set(hosts).difference(self._domains):
            self._domains[host] = self._domain(host)
        hashed = HASHERS[self._name]
        if all(map(self._domains.get, set(hosts))) and max(map(len, local_parts)) <= LOCAL_PART_BYTES_MAX:
            self.digests += [hashed(line).digest()[:DIGEST_BYTES] for line in lines]
            self._hosts += hosts
            return
        for text, line, local, host in zip(texts, lines, local_parts, hosts, strict=True):
            if self._domains[host] is not None and len(local) <= LOCAL_PART_BYTES_MAX:
                self.digests.append(hashed(line).digest()[:DIGEST_BYTES])
                self._hosts.append(host)
            else:
                self._add_odd(text)

    def answers(self, held: Collection[bytes]) -> list[Checked]:
        """What is known of each text, when these digests are held."""
        listed = _LISTED[EntryForm.ADDRESS]
        answers = [listed if digest in held else _NOT_LISTED for digest in self.digests]
        for place, forms in self._odd.items():
            answers[place] = next((_LISTED[form] for form, digest in forms if digest in held), _NOT_LISTED)
        if domains := {host for host, digest in self._domains.items() if digest in held}:
            for place, host in enumerate(self._hosts):
                if host in domains and answers[place] is _NOT_LISTED:
                    answers[place] = _LISTED[EntryForm.DOMAIN]
        for place, refusal in self._refused.items():
            answers[place] = refusal
        return answers

    def _domain(self, host: bytes) -> bytes | None:
        if not self._has_plain or not _PLAIN_HOST.match(host):
            return None
        digest = digest_of(f"@{host.decode()}", self._name)
        self.more.add(digest)
        return digest

    def _add_odd(self, text: str) -> None:
        place = len(self.digests)
        self._hosts.append(b"")
        entry = read_entry(text, self._channels, self._name)
        if isinstance(entry, InvalidAddress):
            self._refused[place] = Checked(refusal=entry.reason)
            self.digests.append(_NOTHING)
            return
        self.digests.append(entry.digest)
        if entry.hash is None:
            forms = forms_of(entry.text, entry.channel)
            self._odd[place] = tuple((form, digest_of(one, self._name)) for form, one in forms)
            self.more.update(digest for _, digest in self._odd[place])


# In the place of what is no address; no text is known that hashes to it.
_NOTHING = bytes(DIGEST_BYTES)


async def read_all(texts: Sequence[str], channels: int, name: HashName) -> Asked:
    """The texts, as entries of lists of these channels and that hash. Others have their turn meanwhile."""
    asked = Asked(channels, name)
    for begin in range(0, len(texts), _AT_ONCE):
        if begin:
            await asyncio.sleep(0)
        asked.add(texts[begin : begin + _AT_ONCE])
    return asked
