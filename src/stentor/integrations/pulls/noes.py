"""What was said no to lately: read again and again from the same time on, and dealt with once."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind
from stentor.integrations.pulls import revoking_store
from stentor.integrations.pulls.revoking_store import Sql
from stentor.optouts.asking import AskedStore
from stentor.optouts.look_up import digests_of

DEALT_MAX = 500_000
"""Noes of a brand that are remembered as dealt with. Past that they are forgotten, and asked about once more: nothing is lost by it."""


_OF_NO_DOMAIN = frozenset({"unsubscribe", "stop", "bounce", "complaint"})
"""Causes of entries that are of one address (`asking.sql: may_have_domains`)."""


class No(NamedTuple):
    """One no: of a person, or of an address (`digest`) on the list `of`, as it was looked at for a channel."""

    of: UUID
    at: datetime
    digest: bytes | None = None
    channel: ChannelKind | None = None


class Entry(NamedTuple):
    """A single entry of an opt-out list; `address` is None where only its digest is known."""

    list_id: UUID
    digest: bytes
    address: str | None
    cause: str
    at: datetime

    @property
    def no(self) -> No:
        return No(self.list_id, self.at, self.digest)


class Dealt:
    """Which noes of a brand were dealt with since its last look that is certain.

    While some long transaction is under way, each look reads all since that began: whoever is long in coming may be among them.
    """

    def __init__(self) -> None:
        self._noes: set[No] = set()

    def fresh(self, noes: Collection[No]) -> list[No]:
        """Those that were not dealt with."""
        return [no for no in noes if no not in self._noes]

    def add(self, noes: Collection[No]) -> None:
        """They were."""
        if len(self._noes) + len(noes) > DEALT_MAX:
            self._noes.clear()
        self._noes.update(noes)

    def forget_before(self, moment: datetime) -> None:
        """What bears an earlier time is not read any more."""
        self._noes = {no for no in self._noes if no.at >= moment}


async def of_people(conn: Connection, brand_id: UUID, since: datetime) -> list[No]:
    """Who said no, was erased or merged, or whose address a provider called dead, since then."""
    said = {"brand_id": brand_id, "since": since}
    noes: list[No] = []
    for statement in (Sql.said_no, Sql.erased, Sql.merged, Sql.barred):
        noes += [No(*row) for row in await statement.tuples(conn, **said)]
    return noes


async def entered(conn: Connection, stores: Sequence[AskedStore], since: datetime) -> list[Entry]:
    """Single entries of these lists since then."""
    # The same list may be reached as itself, as a member of a group and by links.
    by_id = {each.store_id: each for each in stores}
    return [
        Entry(*row)
        for row in await Sql.entered.tuples(
            conn,
            list_ids=list(by_id),
            brand_ids=[each.store_brand_id for each in by_id.values()],
            since=since,
        )
    ]


class Owned(NamedTuple):
    """Whom entries lead to. `is_untold`: some may hold people whom they do not lead to, so that everybody has to be asked."""

    people: set[UUID]
    is_untold: bool


async def owners(
    conn: Connection, brand_id: UUID, channel: ChannelKind, stores: Sequence[AskedStore], entries: Sequence[Entry]
) -> Owned:
    """Who has the addresses of these entries.

    Untold are whole domains, lists by other hashes than md5, and those that nobody has by md5 where they may be of a domain,
    which is so of e-mail and not of what a person or a provider did.
    """
    hashes = {each.store_id: each.hash for each in stores}
    by_digest: dict[bytes, Entry] = {}
    is_untold = False
    for entry in entries:
        if hashes[entry.list_id] != "md5" or (entry.address is not None and entry.address.startswith("@")):
            is_untold = True
        elif entry.address is None:
            by_digest[entry.digest] = entry
        else:
            # A person may have spelled the address in the other way.
            by_digest.update((form, entry) for _, form in digests_of(entry.address, entry.digest, channel, "md5"))
    if not by_digest:
        return Owned(set(), is_untold)
    found = await revoking_store.owners(conn, brand_id, channel, list(by_digest))
    if channel is ChannelKind.EMAIL:
        told = {by_digest[digest] for digest in found}
        is_untold |= any(
            entry.address is None and entry.cause not in _OF_NO_DOMAIN and entry not in told
            for entry in by_digest.values()
        )
    return Owned({customer for customers in found.values() for customer in customers}, is_untold)
