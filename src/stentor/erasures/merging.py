"""Merging two profiles of one person, in one transaction and in the order in which everybody locks people."""

from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from stentor.audience import consent_store, customer_store
from stentor.audience.consent_store import COUNTER_SHARDS, Entry, Moves
from stentor.audience.customer_store import Owners
from stentor.audience.customers import id_of, missing_customer
from stentor.audience.intake import PUSH_TOKENS_MAX
from stentor.audience.model import Act, Customer, Source
from stentor.audience.upsert import MERGED_ATTRIBUTES_BYTES_MAX, Overtaken, until_settled
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.address import EMAIL_CHANNELS, PHONE_CHANNELS, TOKEN_CHANNELS
from stentor.domain.ids import part_of
from stentor.erasures.suppressing import Objections, suppress_addresses
from stentor.errors import Conflict, Invalid, Unprocessable, Violation
from stentor.failpoints import failpoint


class Sql(QuerySet, file="merging.sql", package=__package__):
    both: Statement
    lock_both: Statement
    keep_past: Statement
    write_survivor: Statement
    subscriptions: Statement
    drop_subscriptions: Statement
    take_tags: Statement
    drop_tags: Statement
    take_told: Statement
    drop_told: Statement
    take_contacts: Statement
    drop_contacts: Statement
    drop_other: Statement
    move_shown: Statement
    move_tombstones: Statement
    add_tombstone: Statement


class Party(NamedTuple):
    """One of the two, as far as merging asks; the masks are of channels."""

    customer_id: UUID
    external_id: str
    created_at: datetime
    email: str | None
    email_digest: str | None
    phone: str | None
    phone_digest: str | None
    push_tokens: list[str]
    address_mask: int
    valid_mask: int
    agreed_mask: int
    refused_mask: int
    bounced_mask: int
    complained_mask: int
    shared_address: bool
    anonymous: bool
    break_until: datetime | None
    locale: str | None
    time_zone: str | None
    attributes: str


class MergeService:
    """Makes one of two profiles that are the same person."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def merge(self, brand_id: UUID, profile: str, other: str, *, asked_by: str) -> Customer:
        """The person `profile` with all that `other` had, who is nobody any more. Each is named by our id or the caller's own.

        A no beats a yes, and a yes beats nothing, for flags and for subscriptions alike. Addresses, languages, zones and
        attributes of `profile` stay as they are, and what it has none of is the other's; an address that nobody has then stays
        suppressed if the other one objected there. Tags, events and what caps count come together. What was sent to the other
        one, and the ledger, stay under their id. Saying it again changes nothing.

        Raises NotFound; Invalid for one and the same profile, and for a bare address, which is none; Conflict where the other
        one was merged into somebody else; Unprocessable where the attributes of both are too large together.
        """

        async def work(conn: Connection) -> Customer:
            stays = await _found(conn, brand_id, profile)
            goes, into = await _named(conn, brand_id, other)
            if into is not None and into != stays:
                raise Conflict(
                    f"{other!r} was merged into the profile {into} before. If that is the same person as {profile!r}, merge that one."
                )
            if goes == stays:
                raise Invalid.field("/external_id", "same-profile", "This is the same profile. Name another one.")
            if into is None:
                await _merged(conn, brand_id, stays, goes, asked_by)
            customer = await customer_store.customer_by_id(conn, brand_id, stays)
            if customer is None:
                raise Overtaken
            return customer

        return await until_settled(self._db, work)


async def _found(conn: Connection, brand_id: UUID, name: str) -> UUID:
    customer, into = await _named(conn, brand_id, name)
    return into or customer


async def _named(conn: Connection, brand_id: UUID, name: str) -> tuple[UUID, UUID | None]:
    """Who that is, and whom they were merged into. Raises NotFound."""
    ids = [id_of(brand_id, name)]
    with suppress(ValueError):
        # As profiles are found: some callers' own ids are UUIDs as well.
        ids.insert(0, UUID(name))
    for each in ids:
        if (into := await customer_store.survivor_of(conn, brand_id, each)) != each:
            return each, into
        if await customer_store.customer_by_id(conn, brand_id, each) is not None:
            return each, None
    raise missing_customer(name)


async def _merged(conn: Connection, brand_id: UUID, stays: UUID, goes: UUID, asked_by: str) -> None:
    await customer_store.go_by_keys(conn)
    key: dict[str, Any] = {
        "brand_id": brand_id,
        "part": part_of(stays),
        "customer_id": stays,
        "other_part": part_of(goes),
        "other_id": goes,
    }
    pair = {"part": key["part"], "customer_id": stays, "other_part": key["other_part"], "other_id": goes}
    seen = await _both(conn, Sql.both, brand_id, pair)
    survivor, other = seen[stays], seen[goes]
    leavers, comers = _moves(survivor, other)
    await customer_store.lock_addresses(conn, brand_id, comers, leavers)
    if await _both(conn, Sql.lock_both, brand_id, pair) != seen:
        raise Overtaken
    if survivor.anonymous or other.anonymous:
        raise Invalid.field("/external_id", "bare-address", "A bare address is no profile. Name two profiles.")
    await _suppress(conn, brand_id, survivor, other)
    await Sql.keep_past.run(conn, **key)
    await _write(conn, key, survivor, other)
    await _choices(conn, key, survivor, other, asked_by)
    for statement in (Sql.take_tags, Sql.take_told, Sql.take_contacts):
        await statement.run(conn, **key)
    others = {name: key[name] for name in ("brand_id", "other_part", "other_id")}
    for statement in (Sql.drop_subscriptions, Sql.drop_tags, Sql.drop_told, Sql.drop_contacts, Sql.drop_other):
        await statement.run(conn, **others)
    failpoint("merge.halfway")
    await Sql.move_shown.run(conn, brand_id=brand_id, customer_id=stays, other_id=goes)
    await Sql.move_tombstones.run(conn, brand_id=brand_id, customer_id=stays, other_id=goes)
    await Sql.add_tombstone.run(
        conn, **others, customer_id=stays, external_id=other.external_id, created_at=other.created_at
    )
    await customer_store.leave_addresses(conn, brand_id, leavers)
    # Whoever shares them knows it since the other one had them.
    await customer_store.take_addresses(conn, brand_id, comers)
    failpoint("merge.at_its_end")


async def _both(conn: Connection, statement: Statement, brand_id: UUID, pair: dict[str, Any]) -> dict[UUID, Party]:
    found = {row[0]: Party(*row) for row in await statement.tuples(conn, brand_id=brand_id, **pair)}
    if len(found) < 2:
        raise Overtaken
    return found


def _moves(survivor: Party, other: Party) -> tuple[Owners, Owners]:
    """Which addresses the other one leaves, and to which the survivor comes."""
    leavers, comers = Owners({}, {}), Owners({}, {})
    for owners, digest in zip(leavers, (other.email_digest, other.phone_digest), strict=True):
        if digest:
            owners[digest] = other.customer_id.hex
    if other.email_digest and not survivor.email:
        comers.emails[other.email_digest] = survivor.customer_id.hex
    if other.phone_digest and not survivor.phone:
        comers.phones[other.phone_digest] = survivor.customer_id.hex
    return leavers, comers


async def _suppress(conn: Connection, brand_id: UUID, survivor: Party, other: Party) -> None:
    """What the other one objected to at an address that goes with them holds for it from now on."""
    email = None if not survivor.email or survivor.email_digest == other.email_digest else other.email_digest
    phone = None if not survivor.phone or survivor.phone_digest == other.phone_digest else other.phone_digest
    objections = Objections(email, phone, other.refused_mask, other.bounced_mask, other.complained_mask)
    await suppress_addresses(conn, brand_id, [objections], source="merge")


async def _write(conn: Connection, key: dict[str, Any], survivor: Party, other: Party) -> None:
    taken, same = 0, 0
    for channels, own, own_digest, others_digest in (
        (EMAIL_CHANNELS, survivor.email, survivor.email_digest, other.email_digest),
        (PHONE_CHANNELS, survivor.phone, survivor.phone_digest, other.phone_digest),
    ):
        if not own:
            taken |= channels
        elif own_digest and own_digest == others_digest:
            same |= channels
    # Tokens of both are kept, so that either's are reached.
    taken |= TOKEN_CHANNELS
    refused = survivor.refused_mask | other.refused_mask
    size = await Sql.write_survivor.value(
        conn,
        **{name: key[name] for name in ("brand_id", "part", "customer_id")},
        email=survivor.email or other.email,
        email_digest=survivor.email_digest if survivor.email else other.email_digest,
        phone=survivor.phone or other.phone,
        phone_digest=survivor.phone_digest if survivor.phone else other.phone_digest,
        push_tokens=list(dict.fromkeys((*survivor.push_tokens, *other.push_tokens)))[:PUSH_TOKENS_MAX],
        address_mask=survivor.address_mask | other.address_mask & taken,
        valid_mask=survivor.valid_mask | other.valid_mask & taken,
        agreed_mask=(survivor.agreed_mask | other.agreed_mask) & ~refused,
        refused_mask=refused,
        bounced_mask=survivor.bounced_mask | other.bounced_mask & (taken | same),
        complained_mask=survivor.complained_mask | other.complained_mask,
        shared_address=survivor.shared_address or other.shared_address,
        locale=other.locale,
        time_zone=other.time_zone,
        attributes=other.attributes,
    )
    if size > MERGED_ATTRIBUTES_BYTES_MAX:
        text = f"Together the attributes would have {size} bytes; at most {MERGED_ATTRIBUTES_BYTES_MAX} are kept for one person. Remove some."
        raise Unprocessable(text, violations=[Violation("/external_id", "invalid-attributes", text)])


async def _choices(conn: Connection, key: dict[str, Any], survivor: Party, other: Party, asked_by: str) -> None:
    """Subscriptions, and what the ledger says of both."""
    brand_id: UUID = key["brand_id"]
    stays, goes = survivor.customer_id, other.customer_id
    kept: list[Entry] = []
    gone: list[Entry] = []
    written: list[tuple[UUID, UUID, int]] = []
    moves = Moves()
    for topic, own, others, after in await Sql.subscriptions.tuples(conn, **key):
        written.append((stays, topic, after))
        moves.note(topic, own or 0, after)
        moves.note(topic, others or 0, 0)
        kept += _entries(stays, topic, own or 0, after)
        gone += _entries(goes, topic, others or 0, 0)
    refused = survivor.refused_mask | other.refused_mask
    if mask := other.agreed_mask & ~survivor.agreed_mask & ~refused:
        kept.append(Entry(stays, "agreed", None, mask))
    if mask := refused & ~survivor.refused_mask:
        kept.append(Entry(stays, "refused", None, mask))
    if mask := other.agreed_mask | other.refused_mask:
        gone.append(Entry(goes, "unset", None, mask))
    if written:
        await consent_store.write_subscriptions(conn, brand_id, written)
    for entries, note in ((kept, f"merged with {other.external_id}"), (gone, f"merged into {survivor.external_id}")):
        if entries:
            await consent_store.append_events(
                conn, brand_id, entries, Act(source=Source.MERGE, actor=asked_by, note=note)
            )
    await moves.count(conn, brand_id, shard=part_of(stays) % COUNTER_SHARDS)
    if other.break_until is not None and (survivor.break_until is None or survivor.break_until < other.break_until):
        act = Act(source=Source.MERGE, actor=asked_by, note=f"merged with {other.external_id}")
        await consent_store.take_break(conn, brand_id, stays, other.break_until, act)


def _entries(customer: UUID, topic: UUID, before: int, after: int) -> list[Entry]:
    entries: list[Entry] = []
    if more := after & ~before:
        entries.append(Entry(customer, "subscribed", topic, more))
    if fewer := before & ~after:
        entries.append(Entry(customer, "unsubscribed", topic, fewer))
    return entries
