"""Letting people in whom a caller brings: found again or made, tagged, and the consent that is asserted for the new ones.

A caller who brings people says that they agreed to hear from the brand. For somebody new that is written down: the flag of
each channel that they have an address for becomes yes, with a line in the ledger. About somebody who is known nothing is
said: what they chose stands. Whoever comes to an address whose other holder refused a channel comes with that refusal, as
by every door (audience/upsert.py); otherwise a new external id would be the way around a no.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.audience import tag_store
from stentor.audience.anonymous import hold_people
from stentor.audience.holder_store import Holders, assert_consent, holders_of
from stentor.audience.intake import Refusal, Rows
from stentor.audience.model import Act, Fate
from stentor.audience.profiles import GENERATED_PREFIX
from stentor.audience.upsert import Overtaken, Stored, Vanished, upsert
from stentor.db.connection import Connection
from stentor.domain.address import EMAIL_CHANNELS, PHONE_CHANNELS

ASSERTED_CHANNELS = EMAIL_CHANNELS | PHONE_CHANNELS
"""On these a caller may say that somebody agreed; a device or an inbox of an app is asked by the app."""


class Recognised(msgspec.Struct, frozen=True):
    """Rows with everybody's external id, and who had the addresses of those that came without one."""

    rows: Rows
    unnamed: frozenset[int]
    holders: Holders


class Admitted(msgspec.Struct, frozen=True):
    """What became of people, by their place, and those who were refused."""

    fates: dict[int, Fate]
    refused: list[Refusal]


class _Known(NamedTuple):
    """Somebody who may be meant by an address."""

    customer_id: str
    external_id: str
    email_digest: str | None
    phone_digest: str | None


async def recognise(conn: Connection, brand_id: UUID, rows: Rows, unnamed: frozenset[int]) -> Recognised:
    """Finds out who is meant where the caller gave no external id: whoever has the address, if that is one person.

    `unnamed` are the lines of those rows. Somebody who has another e-mail address or another number than the one that was
    said is somebody else: nobody's address is changed for a person who was found by the other one.
    """
    if not unnamed:
        return Recognised(rows, unnamed, Holders({}, {}, {}))
    places = [place for place, line in enumerate(rows.lines) if line in unnamed]
    emails = {digest for place in places if (digest := rows.email_digests[place])}
    phones = {digest for place in places if (digest := rows.phone_digests[place])}
    holders = await holders_of(conn, brand_id, emails, phones)
    found = rows.copy()
    index = _Index(holders)
    for place, line in enumerate(found.lines):
        email, phone = found.email_digests[place], found.phone_digests[place]
        if line in unnamed and (known := index.meant(email, phone)) is not None:
            found.external_ids[place] = known.external_id
            found.customer_ids[place] = known.customer_id
            found.parts[place] = str(int(known.customer_id[:3], 16))
        index.add(_Known(found.customer_ids[place], found.external_ids[place], email, phone))
    return Recognised(found, unnamed, holders)


class _Index:
    """Who has which address: the brand's people, and those of the set who come before."""

    def __init__(self, holders: Holders) -> None:
        self._people: dict[str, dict[str, _Known]] = {}
        for holder in holders.people.values():
            # A bare address is nobody's customer.
            if not holder.is_anonymous:
                self.add(_Known(holder.customer_id.hex, holder.external_id, holder.email_digest, holder.phone_digest))

    def add(self, known: _Known) -> None:
        for digest in (known.email_digest, known.phone_digest):
            if digest:
                self._people.setdefault(digest, {}).setdefault(known.customer_id, known)

    def meant(self, email: str | None, phone: str | None) -> _Known | None:
        """The one person with these addresses; of several the one who came without an external id, if that is one.

        Of several such, whoever has exactly these addresses: a bare number that two people share with others means neither
        of them, but the same one each time.
        """
        found = {
            known.customer_id: known
            for digest in (email, phone)
            if digest
            for known in self._people.get(digest, {}).values()
            if _agree(known.email_digest, email) and _agree(known.phone_digest, phone)
        }
        if len(found) > 1:
            found = {key: one for key, one in found.items() if one.external_id.startswith(GENERATED_PREFIX)}
        if len(found) > 1:
            found = {
                key: one
                for key, one in found.items()
                if (one.email_digest or None, one.phone_digest or None) == (email or None, phone or None)
            }
        return next(iter(found.values())) if len(found) == 1 else None


def _agree(known: str | None, said: str | None) -> bool:
    return not known or not said or known == said


async def admit(conn: Connection, brand_id: UUID, recognised: Recognised, tag_id: UUID, act: Act) -> Admitted:
    """Stores people, each at most once among the rows, and tags them; the tag is held by the caller's transaction.

    Raises Overtaken when the whole transaction has to be run again; `until_settled` does.
    """
    rows = recognised.rows
    if not rows:
        return Admitted({}, [])
    stored = await upsert(conn, brand_id, rows, act, asserted=ASSERTED_CHANNELS)
    await _assert(conn, brand_id, recognised, stored, act)
    lost = {refusal.line for refusal in stored.refused}
    kept = rows.without([place for place, line in enumerate(rows.lines) if line in lost])
    if kept:
        await _hold_unchanged(conn, brand_id, kept, stored)
        await tag_store.tag_people(conn, brand_id, tag_id, kept)
    return Admitted(stored.fates, stored.refused)


async def _assert(conn: Connection, brand_id: UUID, recognised: Recognised, stored: Stored, act: Act) -> None:
    rows = recognised.rows
    fresh = [place for place, line in enumerate(rows.lines) if stored.fates.get(line) is Fate.ADDED]
    _check_unnamed(recognised, stored, [place for place in fresh if rows.customer_ids[place] in stored.sharing])
    agreed = {
        rows.customer_ids[place]: rows.valid[place]
        & ASSERTED_CHANNELS
        & ~stored.refusals.get(rows.customer_ids[place], 0)
        for place in fresh
    }
    if said := {customer: channels for customer, channels in agreed.items() if channels}:
        await assert_consent(conn, brand_id, "agreed", said, act)


async def _hold_unchanged(conn: Connection, brand_id: UUID, rows: Rows, stored: Stored) -> None:
    """Holds whom the upsert had nothing to write of, and so did not lock: nobody who is being erased is tagged.

    Raises Vanished where one of them is gone already.
    """
    unchanged = [
        UUID(hex=customer)
        for customer, line in zip(rows.customer_ids, rows.lines, strict=True)
        if stored.fates[line] is Fate.UNCHANGED
    ]
    if unchanged and len(await hold_people(conn, brand_id, unchanged)) < len(unchanged):
        raise Vanished


def _check_unnamed(recognised: Recognised, stored: Stored, sharing: Sequence[int]) -> None:
    """Raises Overtaken where somebody took the address of a person without external id while we made another one of them."""
    rows = recognised.rows
    ours = set(rows.customer_ids)
    now, before = stored.holders, recognised.holders
    for place in sharing:
        if rows.lines[place] not in recognised.unnamed:
            continue
        for digest, owners, known in (
            (rows.email_digests[place], now.of_email, before.of_email),
            (rows.phone_digests[place], now.of_phone, before.of_phone),
        ):
            others = [owner for owner in owners.get(digest or "", ()) if owner.hex != rows.customer_ids[place]]
            if _came_between(others, known.get(digest or "", ()), ours):
                raise Overtaken


def _came_between(owners: Sequence[UUID], before: Sequence[UUID], ours: Iterable[str]) -> bool:
    known = set(before)
    return any(owner not in known and owner.hex not in ours for owner in owners)
