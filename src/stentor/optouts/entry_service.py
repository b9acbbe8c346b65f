"""Single entries of opt-out lists: added, collected from links, found, and taken off with a reason."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.address import InvalidAddress
from stentor.domain.text import NOT_IN_A_LINE
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable, Violation, pointer_to
from stentor.failpoints import failpoint
from stentor.optouts import entry_store
from stentor.optouts.asking import AskedStore
from stentor.optouts.entries import ReadEntry, read_entry, read_person
from stentor.optouts.hashing import HASH_NAMES, EntryForm, HashName, digest_of, forms_of
from stentor.optouts.lists import resolve
from stentor.optouts.look_up import LookUp
from stentor.optouts.model import BY_THE_PERSON, Cause, Finding, ListedEntry, OptOutList, PastEntry, Said

log = structlog.get_logger()

ENTRIES_MAX = 1_000
NOTE_CHARS_MAX = 200
REASON_CHARS_MAX = 500
PAGE_MAX = 100
PAST_MAX = 1_000

# An opt-out does not wait longer for a file that only says whether it is the first one.
_PATIENCE_S = 2.0
# Whoever looks for the beginning of an address reads the list from one end to the other.
_SEARCH_WITHIN = timedelta(seconds=10)
_SAID_AGAIN = "said again"


class Added(msgspec.Struct, frozen=True):
    """How many entries are new on the list, and how many were on it."""

    added: int
    listed: int


class _MustBeAlone(Exception):
    """What is to be done changes the list's files, too."""


class EntryService:
    """Single entries of the lists of all brands; every call names its brand. A reference is a list's id, code or name.

    A text is an e-mail address, a phone number with its country code, a domain (`@example.com`), or a hash as the list makes
    them. All methods raise NotFound for a list that the brand does not have, and Invalid for a text that is none of these or
    not of the list's channels.
    """

    def __init__(self, db: Database, look_up: LookUp) -> None:
        self._db = db
        self._look_up = look_up

    async def add(self, brand_id: UUID, reference: str, texts: Sequence[str], *, source: str = "") -> Added:
        """Adds up to 1,000 entries, all of them or none: effective when this returns. One that is on the list stays as it is.

        On a list whose entries lapse it counts anew. Raises Conflict for a grouped or linked list.
        """
        if not 1 <= len(texts) <= ENTRIES_MAX:
            raise Invalid.field(
                "/entries", "length", f"Send 1 to {ENTRIES_MAX} entries at once; files take any number."
            )
        return await self._add(brand_id, reference, texts, Said(cause="api", source=_checked("source", source)))

    async def collect(
        self,
        brand_id: UUID,
        reference: str,
        text: str,
        *,
        channel: ChannelKind | None = None,
        campaign: str = "",
        affiliate: str = "",
        sub_affiliate: str = "",
        ip: str = "",
    ) -> bool:
        """Adds somebody who opted out by themselves; False when they had done so before. Effective when this returns.

        `channel` says what the text has to be: an EMAIL address or an SMS number. Nobody opts out for others: a domain is refused,
        and so is a hash. An entry that came in a file or that somebody wrote down gives way to this one, which says more. Raises
        Conflict for a list that is disabled, grouped or linked.
        """
        said = Said(
            cause="collect",
            campaign=_checked("campaign", campaign),
            affiliate=_checked("affiliate", affiliate),
            sub_affiliate=_checked("sub_affiliate", sub_affiliate),
            ip=ip,
        )
        return (await self._add(brand_id, reference, [text], said, channel)).added > 0

    async def find(self, brand_id: UUID, reference: str, text: str) -> list[Finding]:
        """All by which an address, domain or hash is on the list, whichever of its forms; of a group or a link, behind it.

        A disabled list is looked at all the same, but for one that is grouped or linked.
        """

        async def ask() -> list[Finding]:
            async with self._db.read() as conn:
                held = await resolve(conn, brand_id, reference)
                if held.holds_entries:
                    own = await self._own_store(conn, held)
                    return await self._found(conn, brand_id, [own._replace(has_recents=True)], text)
                stores = await self._look_up.stores(conn, brand_id, list_ids=[held.id])
                return await self._found(conn, brand_id, stores, text)

        return await self._look_up.surely(ask)

    async def find_everywhere(self, brand_id: UUID, address: str, channel: ChannelKind) -> list[Finding]:
        """All by which an address in its normal form is on the brand's enabled lists; `channel` is EMAIL or SMS."""

        async def ask() -> list[Finding]:
            async with self._db.read() as conn:
                asked = await self._look_up.stores(conn, brand_id)
                by_hash: dict[HashName, list[AskedStore]] = {}
                for one in asked:
                    if one.channels & channel.bit:
                        by_hash.setdefault(one.hash, []).append(one)
                found = [await self._found(conn, brand_id, stores, address) for stores in by_hash.values()]
            return [finding for some in found for finding in some]

        return await self._look_up.surely(ask)

    async def search(self, brand_id: UUID, text: str) -> list[Finding]:
        """All by which an address, number, domain or hash is on any of the brand's enabled lists, whichever hash these are made of.

        A hash is looked up where lists have hashes of its length. Raises Invalid where no list could have such an entry.
        """

        async def ask() -> list[Finding]:
            async with self._db.read() as conn:
                by_kind: dict[tuple[HashName, int], list[AskedStore]] = {}
                for store in await self._look_up.stores(conn, brand_id):
                    by_kind.setdefault((store.hash, store.channels), []).append(store)
                found: list[Finding] = []
                refusals: list[Invalid] = []
                for stores in by_kind.values():
                    try:
                        found += await self._found(conn, brand_id, stores, text)
                    except Invalid as refusal:
                        refusals.append(refusal)
                if refusals and len(refusals) == len(by_kind):
                    raise refusals[0]
            return found

        return await self._look_up.surely(ask)

    async def entries(
        self,
        brand_id: UUID,
        reference: str,
        *,
        after: bytes | None = None,
        limit: int = PAGE_MAX,
        prefix: str | None = None,
        cause: Cause | None = None,
    ) -> list[ListedEntry]:
        """Up to 100 single entries in an order that means nothing, from behind the digest `after`; none that came in files.

        `prefix` is what their address begins with. Raises Conflict for a grouped or linked list.
        """
        if prefix is not None and NOT_IN_A_LINE.search(prefix):
            raise Invalid.field("/prefix", "characters", "No address begins so; remove the control characters.")
        async with self._db.read(statement_timeout=_SEARCH_WITHIN) as conn:
            held = await _holding(conn, brand_id, reference)
            return await entry_store.page_of_recents(
                conn,
                brand_id,
                held.id,
                after=after,
                limit=min(limit, PAGE_MAX),
                prefix=None if prefix is None else prefix.lower().removeprefix("+"),
                cause=cause,
            )

    async def remove(self, brand_id: UUID, reference: str, text: str, *, reason: str, actor: str = "") -> int:
        """Takes an entry off the list, whether it came alone or in a file, and returns how many there were of it.

        What it was is kept, with the reason and who it was. Raises NotFound when it is not on the list, Forbidden for what only
        the person may take off the built-in list, Conflict for a grouped or linked list, Unavailable while a file of the
        list cannot be read.
        """
        reason = _checked_reason(reason)

        async def attempt() -> int:
            async with self._db.transaction() as conn:
                held = await _holding(conn, brand_id, reference)
                await entry_store.hold_list(conn, brand_id, held.id, alone=True)
                entry = _read_one(text, held)
                digests = _own_digests(entry, held.hash)
                causes = await entry_store.lock_recents(conn, brand_id, held.id, digests)
                if held.built_in and not BY_THE_PERSON.isdisjoint(causes.values()):
                    raise Forbidden(
                        "The person opted out, or complained: only the person takes that off the built-in list."
                    )
                in_runs = await self._in_runs(conn, held, digests)
                if not causes and not in_runs:
                    raise NotFound(
                        "This is not on the list. Perhaps its domain is: look it up to see by what it is held."
                    )
                if causes:
                    await entry_store.lift_recents(conn, brand_id, held.id, causes, reason=reason, actor=actor)
                if in_runs:
                    await entry_store.remove_from_runs(
                        conn, brand_id, held.id, in_runs, channel=entry.channel, reason=reason, actor=actor
                    )
                failpoint("entry_remove.before_commit")
            failpoint("entry_remove.after_commit")
            return len(causes.keys() | in_runs.keys())

        return await self._look_up.surely(attempt)

    async def history(self, brand_id: UUID, reference: str, text: str) -> list[PastEntry]:
        """All that single entries of this address were on the list, and what was taken off its files, oldest first: up to 1,000.

        Raises Conflict for a grouped or linked list.
        """
        async with self._db.read() as conn:
            held = await _holding(conn, brand_id, reference)
            digests = _own_digests(_read_one(text, held), held.hash)
            return await entry_store.past_of(conn, brand_id, held.id, digests, limit=PAST_MAX)

    async def erase(self, brand_id: UUID, text: str) -> None:
        """Forgets an address on all lists of the brand, in their files within 30 days; it stays suppressed by its digest."""
        entry = read_entry(text, ChannelKind.EMAIL.bit | ChannelKind.SMS.bit, "md5")
        if isinstance(entry, InvalidAddress) or entry.hash is not None or entry.text.startswith("@"):
            raise Invalid.field(
                "/address", "no-person", "Only an email address or a phone number can be erased; no domain and no hash."
            )
        async with self._db.transaction() as conn:
            await erase_address(conn, brand_id, entry.text, entry.channel)
            failpoint("entry_erase.before_commit")
        failpoint("entry_erase.after_commit")

    async def _add(
        self, brand_id: UUID, reference: str, texts: Sequence[str], said: Said, channel: ChannelKind | None = None
    ) -> Added:
        async def attempt(*, alone: bool, reads_files: bool) -> Added:
            async with self._db.transaction() as conn:
                held = await _holding(conn, brand_id, reference)
                state = await entry_store.hold_list(conn, brand_id, held.id, alone=alone)
                if said.cause == "collect" and state != "enabled":
                    raise Conflict("This list is not enabled, and collects nothing.")
                entries = _read_all(texts, held, channel, by_the_person=said.cause == "collect")
                if reads_files:
                    entries = await self._not_in_runs(conn, held, entries, said, alone=alone)
                added = await _insert(conn, held, entries, said)
                failpoint("entry_add.before_commit")
            failpoint("entry_add.after_commit")
            return Added(added, len(texts) - added)

        async def with_files() -> Added:
            try:
                return await attempt(alone=False, reads_files=True)
            except _MustBeAlone:
                return await attempt(alone=True, reads_files=True)

        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._look_up.surely(with_files)
        except (Unavailable, TimeoutError) as error:
            # Nobody's opt-out waits for a file. Told twice, by a file and by itself, it holds as well.
            log.warning("optout.added_unasked", list=reference, why=str(error))
            return await attempt(alone=False, reads_files=False)

    async def _not_in_runs(
        self, conn: Connection, held: OptOutList, entries: dict[bytes, ReadEntry], said: Said, *, alone: bool
    ) -> dict[bytes, ReadEntry]:
        """The entries that are to be added, once those that files hold are seen to. Raises _MustBeAlone."""
        if held.built_in and said.cause == "collect":
            # START takes back what the person said, and leaves what a file brought, whichever came first.
            return entries
        in_runs = await self._in_runs(conn, held, list(entries))
        if not in_runs:
            return entries
        if said.cause != "collect" and held.expiry_days is None:
            return {digest: entry for digest, entry in entries.items() if digest not in in_runs}
        # Of a file it is known that they were in it; how long they hold, and where they clicked, is said only now.
        if not alone:
            raise _MustBeAlone
        for kind in (ChannelKind.EMAIL, ChannelKind.SMS):
            of_kind = {digest: since for digest, since in in_runs.items() if entries[digest].channel is kind}
            if of_kind:
                await entry_store.remove_from_runs(
                    conn, held.brand_id, held.id, of_kind, channel=kind, reason=_SAID_AGAIN, actor=""
                )
        return entries

    async def _in_runs(self, conn: Connection, held: OptOutList, digests: Sequence[bytes]) -> dict[bytes, int]:
        """Which digests runs of the list hold by now, each with the run's generation."""
        store = await self._own_store(conn, held)
        hits = await self._look_up.found(conn, [store], {held.hash: digests})
        return {digest: hit.generation for digest, hit in hits.get(held.id, {}).items()}

    async def _own_store(self, conn: Connection, held: OptOutList) -> AskedStore:
        store = await entry_store.store_of(conn, held)
        if store is None:
            raise NotFound(f"This brand has no opt-out list {held.code!r}.")
        return store

    async def _found(self, conn: Connection, brand_id: UUID, stores: Sequence[AskedStore], text: str) -> list[Finding]:
        if not stores:
            return []
        # A group is asked by one hash, so the stores behind a list have the same.
        name = stores[0].hash
        channels = 0
        for store in stores:
            channels |= store.channels
        forms = _all_digests(_read_with(text, channels, name), name)
        hits = await self._look_up.found(conn, stores, {name: list(forms)})
        own = [(store.store_id, store.store_brand_id) for store in stores]
        recents = await entry_store.recents_of(conn, own, list(forms))
        brands = dict(own)
        return [
            Finding(
                form=form,
                list_id=list_id,
                generation=hit.generation,
                entry=_visible(recents.get((list_id, digest)), is_own=brands[list_id] == brand_id),
            )
            for list_id, found in hits.items()
            for digest, form in forms.items()
            if (hit := found.get(digest)) is not None
        ]


async def erase_address(conn: Connection, brand_id: UUID, text: str, channel: ChannelKind) -> None:
    """As `EntryService.erase`, in the caller's transaction, of an address in its normal form."""
    for form, one in forms_of(text, channel):
        if form is not EntryForm.DOMAIN:
            await entry_store.erase(conn, brand_id, one, HASH_NAMES)


async def erase_digests(conn: Connection, brand_id: UUID, digests: Sequence[bytes]) -> None:
    """As `erase_address`, of addresses of which nothing is known but the digest; lists of other hashes cannot find them."""
    if digests:
        await entry_store.erase_hashes(conn, brand_id, [("md5", digest) for digest in digests])


async def _holding(conn: Connection, brand_id: UUID, reference: str) -> OptOutList:
    """The list, if entries lie in it itself. Raises NotFound and Conflict."""
    held = await resolve(conn, brand_id, reference)
    if not held.holds_entries:
        raise Conflict(f"A {held.kind} list has no entries of its own. Use the lists behind it.")
    return held


async def _insert(conn: Connection, held: OptOutList, entries: dict[bytes, ReadEntry], said: Said) -> int:
    if not entries:
        return 0
    if held.expiry_days is not None:
        await entry_store.end_recents(conn, held.brand_id, held.id, list(entries), expiry_days=held.expiry_days)
    new = [entry_store.stored(entry.text, entry.hash, entry.channel, digest, held) for digest, entry in entries.items()]
    return await entry_store.insert_recents(conn, held.brand_id, held.id, new, said)


def _read_all(
    texts: Sequence[str], held: OptOutList, channel: ChannelKind | None, *, by_the_person: bool
) -> dict[bytes, ReadEntry]:
    """The entries by digest, in its order. Raises Invalid that names each text that is none."""
    entries: dict[bytes, ReadEntry] = {}
    violations: list[Violation] = []
    channels = held.channels if channel is None else held.channels & channel.bit
    read = read_person if by_the_person else read_entry
    for index, text in enumerate(texts):
        entry = _unlike(channel, held) if not channels else read(text, channels, held.hash)
        if isinstance(entry, InvalidAddress):
            violations.append(Violation(pointer_to("entries", index), "invalid-entry", entry.reason))
        else:
            entries.setdefault(entry.digest, entry)
    if violations:
        raise Invalid(violations[0].message, violations=violations)
    return dict(sorted(entries.items()))


def _unlike(channel: ChannelKind | None, held: OptOutList) -> InvalidAddress:
    given = "email addresses" if channel is ChannelKind.EMAIL else "phone numbers"
    return InvalidAddress(f"The list {held.name!r} takes no {given}.")


def _read_one(text: str, held: OptOutList) -> ReadEntry:
    return _read_with(text, held.channels, held.hash)


def _read_with(text: str, channels: int, name: HashName) -> ReadEntry:
    entry = read_entry(text, channels, name)
    if isinstance(entry, InvalidAddress):
        raise Invalid.field("/address", "invalid-entry", entry.reason)
    return entry


def _all_digests(entry: ReadEntry, name: HashName) -> dict[bytes, EntryForm]:
    if entry.hash is not None:
        return {entry.digest: EntryForm.ADDRESS}
    found: dict[bytes, EntryForm] = {}
    for form, text in forms_of(entry.text, entry.channel):
        found.setdefault(digest_of(text, name), form)
    return found


def _own_digests(entry: ReadEntry, name: HashName) -> list[bytes]:
    """Those of the address itself, however its host is written; of an address none of its domain."""
    own = entry.text.startswith("@")
    return sorted(digest for digest, form in _all_digests(entry, name).items() if own or form is not EntryForm.DOMAIN)


def _visible(entry: ListedEntry | None, *, is_own: bool) -> ListedEntry | None:
    """What another brand may see of an entry: not from which line the person came."""
    return entry if entry is None or is_own else msgspec.structs.replace(entry, ip="", source="")


def _checked(name: str, text: str) -> str:
    if len(text) > NOTE_CHARS_MAX or NOT_IN_A_LINE.search(text):
        raise Invalid.field(f"/{name}", "length", f"`{name}` is one line of at most {NOTE_CHARS_MAX} characters.")
    return text


def _checked_reason(reason: str) -> str:
    stripped = reason.strip()
    if not 1 <= len(stripped) <= REASON_CHARS_MAX or NOT_IN_A_LINE.search(stripped):
        raise Invalid.field("/reason", "length", f"Say why, in one line of at most {REASON_CHARS_MAX} characters.")
    return stripped
