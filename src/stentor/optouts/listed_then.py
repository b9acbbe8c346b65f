"""Which lists held an address at a moment of the past, from what is only ever added to, and where that says too little.

Single entries are known with their times, also those that were taken off. Of what came in files it is known since when a
run surely held it; runs are merged, so it may have been there before. What a list was before it was last changed is not kept.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.asking import AskedStore
from stentor.optouts.hashing import EntryForm
from stentor.optouts.look_up import ListsChanged, LookUp, digests_of


class Sql(QuerySet, file="listed_then.sql", package=__package__):
    steady: Statement
    last_left: Statement
    named: Statement
    entries: Statement
    made_at: Statement


class Subject(NamedTuple):
    """Whose address is asked about: on which channel, in a message of which campaign about which topic."""

    channel: ChannelKind
    campaign_id: UUID
    topic_id: UUID | None


class ListedThen(msgspec.Struct, frozen=True, kw_only=True):
    """An entry by which a list held an address: how it came there, from when and until when.

    `generation` is the list's when it was asked. `from_file`: it may have been there before `at`. `made_at`: when there was a list;
    `steady_since`: before that, it is not known whether it was asked.
    """

    list: str
    number: int
    form: EntryForm
    generation: int
    cause: str
    source: str
    at: datetime
    until: datetime | None
    from_file: bool
    made_at: datetime
    steady_since: datetime

    def held_at(self, instant: datetime) -> bool | None:
        """Whether it held at that moment; None where that is not known."""
        if instant < self.made_at:
            return False
        if instant < self.steady_since:
            return None
        if self.until is not None and self.until <= instant:
            return False
        return True if self.at <= instant else (None if self.from_file else False)


class ListsThen(msgspec.Struct, frozen=True):
    """What is known of some addresses by their md5 digests, by list and form.

    `whole`: the addresses that were asked under all their forms; of one that is known by its digest alone, others say nothing.
    `made`: when each list was made that is asked now, and since when it is as it is. `last_left`: when a list was last taken out.
    `has_gaps`: the trace names a list that is not asked any more, a list with files lets entries expire, of which nothing is left, or
    a file holds an address of which it is not kept since when it is there. `stored`: the name of the list in the trace.
    """

    found: Mapping[bytes, Sequence[ListedThen]]
    whole: Collection[bytes]
    made: Sequence[tuple[datetime, datetime]]
    last_left: datetime | None
    has_gaps: bool
    stored: str

    def held_at(self, digest: bytes, instant: datetime) -> list[ListedThen]:
        """What surely held the address at that moment, in the order in which the guard asks."""
        return [entry for entry in self.found.get(digest, ()) if entry.held_at(instant)]

    def is_sure(self, digest: bytes, instant: datetime) -> bool:
        """Whether nothing else can have held it then."""
        return (
            digest in self.whole
            and not self.has_gaps
            and (self.last_left is None or self.last_left <= instant)
            and not any(made <= instant < steady for made, steady in self.made)
            and not any(entry.held_at(instant) is None for entry in self.found.get(digest, ()))
        )

    def changes(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """When entries of the addresses came or went in that time."""
        for entries in self.found.values():
            for entry in entries:
                for at in (entry.at, entry.until):
                    if at is not None and after < at <= until:
                        yield at


async def lists_then(
    conn: Connection,
    look_up: LookUp,
    brand_id: UUID,
    subject: Subject,
    addresses: Mapping[bytes, str],
    *,
    at: datetime,
    stored: int = 0,
) -> ListsThen:
    """What lists say of the addresses, by md5 digest; an empty address is known by that alone.

    `at` is when the lists were asked, `stored` the number of the list that a trace names. Raises as `LookUp.found`.
    """
    if not addresses:
        return ListsThen({}, (), (), last_left=None, has_gaps=False, stored="")
    asked = await look_up.stores(conn, brand_id, channel=subject.channel)
    stores = [store for store in asked if store.covers(subject.campaign_id, subject.topic_id)]
    rows = await Sql.steady.tuples(conn, brand_id=brand_id, at=at)
    steady = {(list_id, store_id): _Steady(*row) for list_id, store_id, *row in rows}
    if not steady.keys() >= {(store.list_id, store.store_id) for store in stores}:
        raise ListsChanged
    said, is_known_since = await _entries(conn, look_up, stores, _forms(addresses, stores, subject.channel))
    known = _Known(said)
    found: dict[bytes, list[ListedThen]] = {}
    for md5, address in addresses.items():
        found[md5] = [
            entry
            for store in stores
            for form, digest in _forms_in(md5, address, store, subject.channel)
            for entry in known.entries(store, form, digest, steady[store.list_id, store.store_id])
        ]
    return ListsThen(
        found=found,
        whole={md5 for md5, address in addresses.items() if address},
        made=[one[:2] for one in steady.values()],
        last_left=await Sql.last_left.value(conn, brand_id=brand_id),
        has_gaps=(stored != 0 and stored not in {store.number for store in stores})
        or any(store.expiry_days is not None and store.generation for store in stores)
        or not is_known_since,
        stored=await Sql.named.value(conn, brand_id=brand_id, number=stored) or "",
    )


class _Steady(NamedTuple):
    """When a list was made, since when it is as it is, and its generation at the moment asked about."""

    made_at: datetime
    since: datetime
    generation: int


class _Said(NamedTuple):
    cause: str
    source: str
    at: datetime
    until: datetime | None
    from_file: bool


class _Known:
    """All that is known of digests, by the list where entries lie."""

    def __init__(self, said: Mapping[tuple[UUID, bytes], Sequence[_Said]]) -> None:
        self._said = said

    def entries(self, store: AskedStore, form: EntryForm, digest: bytes, steady: "_Steady") -> Iterator[ListedThen]:
        for said in self._said.get((store.store_id, digest), ()):
            yield ListedThen(
                list=store.name,
                number=store.number,
                form=form,
                generation=steady.generation,
                cause=said.cause,
                source=said.source,
                at=said.at,
                until=_earlier(said.until, said.at, store.expiry_days),
                from_file=said.from_file,
                made_at=steady.made_at,
                steady_since=steady.since,
            )


def _earlier(until: datetime | None, at: datetime, expiry_days: int | None) -> datetime | None:
    if expiry_days is None:
        return until
    lapses = at + timedelta(days=expiry_days)
    return lapses if until is None else min(until, lapses)


def _forms_in(md5: bytes, address: str, store: AskedStore, channel: ChannelKind) -> Sequence[tuple[EntryForm, bytes]]:
    if address:
        return list(digests_of(address, md5, channel, store.hash))
    return [(EntryForm.ADDRESS, md5)] if store.hash == "md5" else []


def _forms(addresses: Mapping[bytes, str], stores: Sequence[AskedStore], channel: ChannelKind) -> set[bytes]:
    return {
        digest
        for store in stores
        for md5, address in addresses.items()
        for _, digest in _forms_in(md5, address, store, channel)
    }


async def _entries(
    conn: Connection, look_up: LookUp, stores: Sequence[AskedStore], digests: Collection[bytes]
) -> tuple[dict[tuple[UUID, bytes], list[_Said]], bool]:
    """What single entries and files say of the digests, and whether it is kept of each of those files since when it is there.

    Digests of another hash are on none of a list's, so all are asked everywhere.
    """
    said: dict[tuple[UUID, bytes], list[_Said]] = {}
    asked = {store.store_id: store for store in stores}
    rows = await Sql.entries.tuples(
        conn,
        list_ids=list(asked),
        brand_ids=[store.store_brand_id for store in asked.values()],
        digests=list(digests),
    )
    for list_id, digest, cause, at, source, lifted_at in rows:
        # What was taken off a file is known to have been there since the file that it was in.
        from_file = cause == "import" and lifted_at is not None
        said.setdefault((list_id, digest), []).append(_Said(cause, source, at, lifted_at, from_file))
    # Single entries are told already, with all that there is to say of them.
    of_files = [store._replace(has_recents=False) for store in asked.values() if store.run_ids]
    hits = await look_up.found(conn, of_files, {store.hash: list(digests) for store in of_files})
    held = [(list_id, digest, hit.generation) for list_id, found in hits.items() for digest, hit in found.items()]
    made = await Sql.made_at.tuples(
        conn,
        list_ids=[list_id for list_id, _, _ in held],
        brand_ids=[asked[list_id].store_brand_id for list_id, _, _ in held],
        generations=[generation for _, _, generation in held],
    )
    since = {(list_id, generation): at for list_id, generation, at in made}
    for list_id, digest, generation in held:
        if (at := since.get((list_id, generation))) is not None:
            said.setdefault((list_id, digest), []).append(_Said("import", "", at, None, from_file=True))
    return said, all((list_id, generation) in since for list_id, _, generation in held)
