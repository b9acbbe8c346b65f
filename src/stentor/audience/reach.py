"""What the flow asks of the audience: which topic is meant, and how people stand at this moment."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.address import PHONE_CHANNELS, TOKEN_CHANNELS
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import ChannelKind


class Sql(QuerySet, file="reach.sql", package=__package__):
    topics_to_plan: Statement
    recipients: Statement
    digests_then: Statement
    lock_people: Statement
    keep_past: Statement
    mark_people: Statement


def digest_on(channel: ChannelKind, email: bytes | None, phone: bytes | None) -> bytes | None:
    """Of the digests of somebody's addresses, the one that messages on this channel go to; None where there is none."""
    if channel is ChannelKind.EMAIL:
        return email
    return phone if channel.bit & PHONE_CHANNELS else None


def has_digests(channel: ChannelKind) -> bool:
    """Whether opt-out lists know addresses of this channel."""
    return channel is ChannelKind.EMAIL or bool(channel.bit & PHONE_CHANNELS)


class PlannableTopic(NamedTuple):
    """A topic as planning needs it. `subscribers` sizes the slices and is no promise."""

    topic_id: UUID
    key: str
    enabled: bool
    subscribers: int


class Mark(NamedTuple):
    """What a provider said of an address: it is dead, or its owner complained. `digest` None: the channel has no digests."""

    customer_id: UUID
    digest: bytes | None
    bounced: bool
    complained: bool


class Recipient(NamedTuple):
    """A person at the moment of a wave; masks hold `1 << channel number` for each channel."""

    customer_id: UUID
    refused_mask: int
    complained_mask: int
    bounced_mask: int
    address_mask: int
    valid_mask: int
    shared_address: bool
    is_on_a_break: bool
    topic_channels: int
    external_id: str
    email: str | None
    email_digest: bytes | None
    phone: str | None
    phone_digest: bytes | None
    push_tokens: list[str] | None
    locale: str | None
    time_zone: str | None
    attributes: dict[str, Any]

    def address_on(self, channel: ChannelKind) -> str:
        """Where a message on this channel goes; empty when there is no such address."""
        if channel is ChannelKind.EMAIL:
            return self.email or ""
        if channel.bit & PHONE_CHANNELS:
            return self.phone or ""
        if channel.bit & TOKEN_CHANNELS:
            return ",".join(self.push_tokens or ())
        return self.external_id

    def digest_on(self, channel: ChannelKind) -> bytes | None:
        """The digest that opt-out lists know the address by; None on channels that have no such lists."""
        return digest_on(channel, self.email_digest, self.phone_digest)

    def fields(self) -> dict[str, Any]:
        """What templates read as `customer.x`: the system fields, which win, and the attributes."""
        return {
            **self.attributes,
            "external_id": self.external_id,
            "email": self.email,
            "phone": self.phone,
            "locale": self.locale,
            "time_zone": self.time_zone,
        }


async def topics_to_plan(conn: Connection, brand_id: UUID, keys: Collection[str]) -> dict[str, PlannableTopic]:
    """The topics that these keys mean; a key that means none is absent."""
    rows = await Sql.topics_to_plan.tuples(conn, brand_id=brand_id, keys=sorted(keys)) if keys else []
    return {wanted: PlannableTopic(*topic) for wanted, *topic in rows}


async def recipients(
    conn: Connection, brand_id: UUID, people: Sequence[tuple[UUID, UUID | None]]
) -> list[Recipient | None]:
    """How the people stand now, in the order given as (customer, topic of the execution); None for who was erased."""
    rows = await Sql.recipients.tuples(
        conn,
        brand_id=brand_id,
        parts=[part_of(customer) for customer, _ in people],
        customer_ids=[customer for customer, _ in people],
        topic_ids=[topic for _, topic in people],
    )
    found: list[Recipient | None] = [None] * len(people)
    for row in rows:
        found[row[0]] = Recipient(*row[1:])
    return found


async def digests_then(
    conn: Connection, brand_id: UUID, channel: ChannelKind, people: Sequence[tuple[UUID, datetime]]
) -> list[bytes | None]:
    """Of the address that each person had on the channel at that time, the digest; None where there was none, or nobody."""
    rows = await Sql.digests_then.tuples(
        conn,
        brand_id=brand_id,
        parts=[part_of(customer) for customer, _ in people],
        customer_ids=[customer for customer, _ in people],
        ats=[at for _, at in people],
    )
    found: list[bytes | None] = [None] * len(people)
    for place, email, phone in rows:
        found[place] = digest_on(channel, email, phone)
    return found


async def lock(conn: Connection, brand_id: UUID, customers: Collection[UUID]) -> None:
    """Locks these people until the transaction ends, in the order of their keys."""
    await Sql.lock_people.run(
        conn,
        brand_id=brand_id,
        parts=[part_of(customer) for customer in customers],
        customer_ids=list(customers),
    )


async def mark(conn: Connection, brand_id: UUID, channel: ChannelKind, marks: Sequence[Mark]) -> dict[bytes, str]:
    """Remembers what became of these addresses; a person whose address is another one by now is left as they are.

    Each (customer, digest) may come once. Returns the addresses that are still theirs, by digest, as the people have them.
    """
    people = {
        "parts": [part_of(one.customer_id) for one in marks],
        "customer_ids": [one.customer_id for one in marks],
    }
    said = {
        "digests": [one.digest for one in marks],
        "bounced": [channel.bit if one.bounced else 0 for one in marks],
        "complained": [channel.bit if one.complained else 0 for one in marks],
    }
    await Sql.lock_people.run(conn, brand_id=brand_id, **people)
    await Sql.keep_past.run(conn, brand_id=brand_id, **people, **said)
    rows = await Sql.mark_people.tuples(conn, brand_id=brand_id, **people, **said)
    return {digest: address for digest, address in rows if address is not None}
