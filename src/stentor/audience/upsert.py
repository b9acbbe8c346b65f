"""Storing people, set by set, and keeping track of who shares an address with whom.

Every upsert takes its locks in one order: addresses by their key, then customers by their id. Who would change is found
out before that, without a lock, so that saying the same again costs no write; what was read is compared once more under
the locks, and an upsert that was overtaken starts again.

Whoever comes to an address that somebody else has refused to be written to at comes with that refusal, by whatever door they
came. It is done here and not by the guard, because only here is it rare: an address that changes hands while others have it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec import structs
from psycopg.errors import DeadlockDetected, UniqueViolation

from stentor.audience import customer_store
from stentor.audience.customer_store import Owners, Standing
from stentor.audience.holder_store import Holders, holders_of, refuse
from stentor.audience.intake import ATTRIBUTES_BYTES_MAX, EMAIL, PHONE, Refusal, Rows
from stentor.audience.model import Act, Fate
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.address import EMAIL_CHANNELS, PHONE_CHANNELS
from stentor.errors import Unavailable, Violation
from stentor.failpoints import failpoint

# Of attributes merged over time, as the database writes them: with its spaces, what one request may say (64 KiB) is at
# most half as long again.
MERGED_ATTRIBUTES_BYTES_MAX = ATTRIBUTES_BYTES_MAX * 3 // 2

# Being overtaken once is rare already; this often means that something else is wrong.
_ATTEMPTS_MAX = 8
T = TypeVar("T")


class Overtaken(Exception):
    """Another transaction changed one of these people between the look and the lock: run the transaction again."""


class Vanished(Overtaken):
    """One of these people, who was there a moment ago, is erased or merged: run again, the transaction makes them anew.

    Who imports does just that. Who was asked to change a person says instead that they are gone.
    """


class Stored(msgspec.Struct, frozen=True):
    """What became of the rows, by the line that each came from."""

    fates: dict[int, Fate]
    refused: list[Refusal]
    sharing: set[str] = set()
    """Everybody, as 32 hexadecimal digits, who has now come to share an address with others."""
    refusals: dict[str, int] = {}
    """The channels (masks) that people, named likewise, refuse now because somebody who has their new address refused them."""
    holders: Holders = Holders({}, {}, {})
    """Who has those of the new addresses that are shared, under the locks."""


async def until_settled(db: Database, work: Callable[[Connection], Awaitable[T]]) -> T:
    """What the work answers, done in a transaction of its own, anew as often as others overtake it.

    Raises Unavailable when that happens eight times in a row.
    """
    for _ in range(_ATTEMPTS_MAX):
        try:
            async with db.transaction() as conn:
                worked = await work(conn)
                failpoint("people.before_commit")
        except (Overtaken, DeadlockDetected):
            continue
        failpoint("people.after_commit")
        return worked
    raise Unavailable("The same people are being changed by others all the time. Try again.")


async def upsert(conn: Connection, brand_id: UUID, rows: Rows, act: Act | None, *, asserted: int = 0) -> Stored:
    """Stores people, each at most once among the rows. What was not said is kept.

    What somebody else refused at an address becomes the refusal of whoever comes to it, with a line in the ledger by `act`;
    None is for people whom nobody else's refusal binds: bare addresses, and those who come without one.

    Of those who are new the flags of the channels `asserted` (a mask) become yes where their address is valid; the caller
    writes that into the ledger.

    Raises Overtaken when the whole transaction has to be run again, and Vanished, which is one, when somebody to be changed is
    gone; `until_settled` runs it again.
    """
    known, merged = await customer_store.known_customers(conn, brand_id, rows)
    fresh = rows.without([*known, *merged])
    existing = rows.take(known)
    standings = await customer_store.compare_customers(conn, brand_id, existing) if known else []
    if len(standings) != len(known):
        raise Vanished
    refused = [Refusal(rows.lines[place], _merged_into(survivor)) for place, survivor in sorted(merged.items())]
    fates = dict.fromkeys(fresh.lines, Fate.ADDED)
    changing: list[Standing] = []
    for standing in standings:
        line = existing.lines[standing.place]
        if standing.differs and standing.attributes_bytes > MERGED_ATTRIBUTES_BYTES_MAX:
            refused.append(Refusal(line, _too_large(standing)))
        elif standing.differs:
            fates[line] = Fate.CHANGED
            changing.append(standing)
        else:
            fates[line] = Fate.UNCHANGED
    stored = Stored(fates, refused)
    if fresh or changing:
        changed = existing.take([standing.place for standing in changing])
        moves = _Moves(fresh, changed, changing)
        sharing = await _write(conn, brand_id, fresh, changed, changing, moves=moves, asserted=asserted)
        stored = structs.replace(stored, sharing=sharing)
        if sharing and act is not None:
            holders, refusals = await _refuse(conn, brand_id, moves.comers, sharing, act)
            stored = structs.replace(stored, holders=holders, refusals=refusals)
    return stored


async def _write(
    conn: Connection,
    brand_id: UUID,
    fresh: Rows,
    changed: Rows,
    standings: Sequence[Standing],
    *,
    moves: "_Moves",
    asserted: int,
) -> set[str]:
    """Writes both; answers with everybody who now shares an address."""
    if changed:
        await customer_store.go_by_keys(conn)
    sharing = await _move(conn, brand_id, moves)
    await _lock(conn, brand_id, changed, standings, others=sharing.difference(fresh.customer_ids, changed.customer_ids))
    if changed and await customer_store.update_customers(conn, brand_id, changed, moves.renewed) != len(changed):
        raise Overtaken
    if fresh:
        try:
            await customer_store.insert_customers(conn, brand_id, fresh, asserted=asserted)
        except UniqueViolation as error:
            raise Overtaken from error
    if sharing:
        await customer_store.mark_shared(conn, brand_id, sorted(sharing))
    return sharing


class _Moves:
    """Who comes to which address and who leaves it, and the channels on which each changed row has another address."""

    def __init__(self, fresh: Rows, changed: Rows, standings: Sequence[Standing]) -> None:
        self.comers = Owners({}, {})
        self.leavers = Owners({}, {})
        self.renewed = [0] * len(changed)
        for comers, digests in zip(self.comers, (fresh.email_digests, fresh.phone_digests), strict=True):
            for customer, digest in zip(fresh.customer_ids, digests, strict=True):
                if digest:
                    comers[digest] = f"{comers[digest]},{customer}" if digest in comers else customer
        for place, (customer, given, standing) in enumerate(
            zip(changed.customer_ids, changed.given, standings, strict=True)
        ):
            if given & EMAIL and changed.email_digests[place] != standing.email_digest:
                self.renewed[place] |= EMAIL_CHANNELS
                self._move(0, customer, standing.email_digest, changed.email_digests[place])
            if given & PHONE and changed.phone_digests[place] != standing.phone_digest:
                self.renewed[place] |= PHONE_CHANNELS
                self._move(1, customer, standing.phone_digest, changed.phone_digests[place])

    def _move(self, kind: int, customer: str, old: str | None, new: str | None) -> None:
        for owners, digest in ((self.leavers[kind], old), (self.comers[kind], new)):
            if digest:
                owners[digest] = f"{owners[digest]},{customer}" if digest in owners else customer


async def _move(conn: Connection, brand_id: UUID, moves: _Moves) -> set[str]:
    """Enters and takes out the owners; answers with everybody who now shares one of the addresses."""
    sharing: set[str] = set()
    if any(moves.leavers):
        await customer_store.lock_addresses(conn, brand_id, moves.comers, moves.leavers)
    if any(moves.comers):
        sharing = await customer_store.take_addresses(conn, brand_id, moves.comers)
        for people in (*moves.comers.emails.values(), *moves.comers.phones.values()):
            if "," in people:
                sharing.update(people.split(","))
    if any(moves.leavers):
        await customer_store.leave_addresses(conn, brand_id, moves.leavers)
    return sharing


async def _lock(
    conn: Connection, brand_id: UUID, changed: Rows, standings: Sequence[Standing], *, others: set[str]
) -> None:
    if not changed and not others:
        return
    locked = await customer_store.lock_customers(conn, brand_id, [*changed.customer_ids, *others])
    if not locked.keys() >= set(changed.customer_ids):
        raise Vanished
    for customer, standing in zip(changed.customer_ids, standings, strict=True):
        if locked[customer] != (standing.email_digest, standing.phone_digest):
            raise Overtaken


async def _refuse(
    conn: Connection, brand_id: UUID, comers: Owners, sharing: set[str], act: Act
) -> tuple[Holders, dict[str, int]]:
    """Makes comers refuse what others at their new addresses do, who are locked; answers with the holders and the refusals."""
    emails, phones = (_shared(addresses, sharing) for addresses in comers)
    holders = await holders_of(conn, brand_id, emails, phones)
    refusals: dict[str, int] = {}
    for mask, addresses, owners in (
        (EMAIL_CHANNELS, emails, holders.of_email),
        (PHONE_CHANNELS, phones, holders.of_phone),
    ):
        for digest, people in addresses.items():
            _add_refusals(refusals, people, owners.get(digest, ()), holders, mask)
    if refusals:
        await refuse(conn, brand_id, refusals, act)
    return holders, refusals


def _shared(addresses: Mapping[str, str], sharing: set[str]) -> dict[str, list[str]]:
    found = {digest: [one for one in people.split(",") if one in sharing] for digest, people in addresses.items()}
    return {digest: people for digest, people in found.items() if people}


def _add_refusals(
    refusals: dict[str, int], comers: Sequence[str], owners: Sequence[UUID], holders: Holders, mask: int
) -> None:
    masks = {owner.hex: holders.people[owner].refused_mask & mask for owner in owners if owner in holders.people}
    for comer in comers:
        theirs = 0
        for owner, refused in masks.items():
            theirs |= 0 if owner == comer else refused
        if more := theirs & ~masks.get(comer, 0):
            refusals[comer] = refusals.get(comer, 0) | more


def _merged_into(survivor: str) -> Violation:
    text = f"This profile was merged into {survivor!r} and is nobody any more. Say it of that one."
    return Violation("/external_id", "merged", text)


def _too_large(standing: Standing) -> Violation:
    size = standing.attributes_bytes
    text = f"With these the attributes would have {size} bytes; at most {MERGED_ATTRIBUTES_BYTES_MAX} are kept for one person. Remove some."
    return Violation("/attributes", "invalid-attributes", text)
