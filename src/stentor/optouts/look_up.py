"""Whether addresses are on opt-out lists: single entries from the database, files of them from their indexes.

An address is asked under all its forms (`hashing.forms_of`), each hashed as the list hashes. What is committed when the
look-up begins is seen. Nothing is ever taken for unlisted because a file of a list could not be read.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from typing import NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Unavailable
from stentor.optouts.asking import Along, AskedStore, asked_stores, parted, recents_among, removed_among
from stentor.optouts.hashing import EntryForm, HashName, digest_of, forms_of, other_spelling
from stentor.optouts.runs.holders import Indexes, IndexesNeeded
from stentor.optouts.runs.index import Digests, Index

T = TypeVar("T")

_TRIES_MAX = 5


class Hit(NamedTuple):
    """A digest that is on a list: the generation of the run that holds it, or the list's present one for a single entry."""

    generation: int
    recent: bool


Hits: TypeAlias = Mapping[UUID, Mapping[bytes, Hit]]
"""By the list where entries lie (`AskedStore.store_id`), then by digest."""


class Listing(NamedTuple):
    """Which list an address was found on, by which of its forms."""

    store: AskedStore
    form: EntryForm
    hit: Hit


class ListsChanged(Exception):
    """Files of a list were exchanged while it was asked, and with them what had been taken off."""


class WaveListings:
    """The lists of a brand that hold people of one wave."""

    def __init__(self, channel: ChannelKind, stores: Sequence[AskedStore], hits: Hits) -> None:
        self._channel = channel
        self._stores = [store for store in stores if store.store_id in hits]
        self._hits = hits

    @property
    def hold_nobody(self) -> bool:
        """Whether nobody of the wave is on any of them, as nearly always."""
        return not self._stores

    def objecting(self, address: str, md5: bytes, *, campaign_id: UUID | None, topic_id: UUID | None) -> Listing | None:
        """The first list, by its number, that a message about that topic to that address goes by and that holds it."""
        for store in self._stores:
            if store.covers(campaign_id, topic_id):
                hits = self._hits[store.store_id]
                for form, digest in digests_of(address, md5, self._channel, store.hash):
                    if hit := hits.get(digest):
                        return Listing(store, form, hit)
        return None


class LookUp:
    """Asks lists. One for a process, which shares its open indexes.

    Methods that take a connection raise IndexesNeeded and ListsChanged, which `surely` answers.
    """

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes

    async def surely(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` returns, done again where it lacked an index, which is fetched outside of its transaction.

        Raises Unavailable where a file is not to be had.
        """
        held: list[Index] = []
        lost: set[UUID] = set()
        for _ in range(_TRIES_MAX):
            try:
                return await ask()
            except ListsChanged:
                continue
            except IndexesNeeded as needed:
                if gone := lost.intersection(needed.run_ids):
                    # The catalogue was read anew, and still names it.
                    raise Unavailable(_NOT_THERE, reason=f"No index of {', '.join(map(str, sorted(gone)))}") from None
                indexes, missing = await self._indexes.fetch(needed.run_ids)
                held += [*needed.at_hand, *indexes]
                lost.update(missing)
        raise Unavailable(_CHANGING)

    async def stores(
        self,
        conn: Connection,
        brand_id: UUID,
        *,
        channel: ChannelKind | None = None,
        list_ids: Collection[UUID] | None = None,
        along: Along | None = None,
    ) -> list[AskedStore]:
        """The brand's enabled lists, or the named ones of them, with where their entries lie; for one channel, if named.

        Digests `along` must be all that `found` is then asked about with that hash; they save it a statement.
        """
        return await asked_stores(conn, brand_id, channel=channel, list_ids=list_ids, along=along)

    async def found(
        self,
        conn: Connection,
        stores: Iterable[AskedStore],
        digests: Mapping[HashName, Sequence[bytes]],
        *,
        once: bool = False,
    ) -> Hits:
        """Which of the digests each store holds, asked by its hash; stores that hold none are left out.

        `once`: whom one store's files hold is looked for no further, for callers to whom it is the same where.
        """
        asked = {store.store_id: store for store in stores if digests.get(store.hash)}
        indexes = self._indexes.at_hand(run_id for store in asked.values() for run_id in store.run_ids)
        hits: dict[UUID, dict[bytes, Hit]] = {}
        for name, given in digests.items():
            if with_runs := [store for store in asked.values() if store.hash == name and store.run_ids]:
                await self._ask_runs(with_runs, indexes, given, hits)
        await _leave_out_removed(conn, asked, hits)
        recents = {store.store_id: parted(store.recents) for store in asked.values() if store.recents}
        unasked = [store for store in asked.values() if store.has_recents and store.recents is None]
        for name, given in digests.items():
            of_hash = [store for store in unasked if store.hash == name]
            if of_hash and (sought := _beyond(hits, given) if once else given):
                recents |= await recents_among(conn, of_hash, sought)
        for store_id, single in recents.items():
            hit = Hit(asked[store_id].generation, recent=True)
            hits.setdefault(store_id, {}).update(dict.fromkeys(single, hit))
        return hits

    async def _ask_runs(
        self,
        stores: Sequence[AskedStore],
        indexes: Mapping[UUID, Index],
        digests: Sequence[bytes],
        hits: dict[UUID, dict[bytes, Hit]],
    ) -> None:
        # Of several runs that hold it, the latest counts: what was taken off holds no more for those before.
        runs = [
            (store, generation, indexes[run_id])
            for store in stores
            for generation, run_id in sorted(zip(store.run_generations, store.run_ids, strict=True))
        ]
        answers = await self._indexes.asked([index for _, _, index in runs], Digests.of(digests))
        for (store, generation, _), held in zip(runs, answers, strict=True):
            if held.any():
                hit = Hit(generation, recent=False)
                hits.setdefault(store.store_id, {}).update(dict.fromkeys(compress(digests, held.tolist()), hit))

    async def wave(
        self, conn: Connection, brand_id: UUID, channel: ChannelKind, people: Sequence[tuple[str, bytes]]
    ) -> WaveListings:
        """Asks all lists about the people of a wave, each an address and its md5 digest, at once."""
        if not people:
            return WaveListings(channel, [], {})
        # The built-in list's, and of most others.
        along = Along("md5", _asked_digests(people, channel, "md5"))
        stores = await self.stores(conn, brand_id, channel=channel, along=along)
        return await self._listings(conn, stores, channel, people, {along.hash: along.digests})

    async def listings(
        self, conn: Connection, stores: Sequence[AskedStore], channel: ChannelKind, people: Sequence[tuple[str, bytes]]
    ) -> WaveListings:
        """As `wave`, of these lists."""
        return await self._listings(conn, stores, channel, people, {})

    async def _listings(
        self,
        conn: Connection,
        stores: Sequence[AskedStore],
        channel: ChannelKind,
        people: Sequence[tuple[str, bytes]],
        digests: Mapping[HashName, Sequence[bytes]],
    ) -> WaveListings:
        missing = {store.hash for store in stores} - digests.keys()
        made = {name: _asked_digests(people, channel, name) for name in missing}
        return WaveListings(channel, stores, await self.found(conn, stores, {**digests, **made}))


def _beyond(hits: Hits, digests: Sequence[bytes]) -> list[bytes]:
    """The digests that nothing holds yet."""
    held = set[bytes]().union(*hits.values())
    return [digest for digest in digests if digest not in held]


async def _leave_out_removed(
    conn: Connection, asked: Mapping[UUID, AskedStore], hits: dict[UUID, dict[bytes, Hit]]
) -> None:
    stores = [asked[store_id] for store_id in hits if asked[store_id].has_removed]
    if not stores:
        return
    removals = await removed_among(conn, stores, {digest for store in stores for digest in hits[store.store_id]})
    if any(removals.generations.get(store.store_id) != store.generation for store in stores):
        raise ListsChanged
    for (store_id, digest), until in removals.until.items():
        hit = hits[store_id].get(digest)
        if hit is not None and hit.generation <= until:
            del hits[store_id][digest]
    for store in stores:
        if not hits[store.store_id]:
            del hits[store.store_id]


def _asked_digests(people: Sequence[tuple[str, bytes]], channel: ChannelKind, name: HashName) -> list[bytes]:
    """All that lists of that hash may know these people by, those of their domains once."""
    own = [md5 if name == "md5" else digest_of(address, name) for address, md5 in people]
    if channel is not ChannelKind.EMAIL:
        return own
    hosts = {address.rpartition("@")[2] for address, _ in people}
    if spelled := {host: other for host in hosts if (other := other_spelling(host))}:
        for address, _ in people:
            local, _, host = address.rpartition("@")
            if other := spelled.get(host):
                own.append(digest_of(f"{local}@{other}", name))
    for host in hosts:
        own += [digest for _, digest in _of_domain(host, name)]
    return own


def digests_of(address: str, md5: bytes, channel: ChannelKind, name: HashName) -> Iterator[tuple[EntryForm, bytes]]:
    """The same of one person, with what each is."""
    yield EntryForm.ADDRESS, md5 if name == "md5" else digest_of(address, name)
    if channel is ChannelKind.EMAIL:
        local, _, host = address.rpartition("@")
        if other := other_spelling(host):
            yield EntryForm.OTHER_SPELLING, digest_of(f"{local}@{other}", name)
        yield from _of_domain(host, name)


# People share domains.
@lru_cache(maxsize=10_000)
def _of_domain(host: str, name: HashName) -> tuple[tuple[EntryForm, bytes], ...]:
    return tuple((form, digest_of(text, name)) for form, text in forms_of(f"@{host}", ChannelKind.EMAIL))


_NOT_THERE = "A file of an opt-out list is not there. Nothing is sent unasked; restore it, or wait for the storage."
_CHANGING = "The opt-out lists change faster than they can be asked. Try again in a moment."
