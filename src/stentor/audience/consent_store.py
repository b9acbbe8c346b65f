"""Subscriptions, channel flags and the consent ledger in the database."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.audience.model import Act, ConsentEvent, ConsentKind, Source, Subscription
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id, part_of
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, channels_in

COUNTER_SHARDS = 16

_FIRST = UUID(int=0)


class Sql(QuerySet, file="consent.sql", package=__package__):
    subscribed_channels: Statement
    lock_people: Statement
    write_subscriptions: Statement
    write_flags: Statement
    append_events: Statement
    set_break: Statement
    append_break: Statement
    choices_by_topic: Statement
    last_yeses: Statement
    count_subscribers: Statement
    count_channels: Statement
    count_days: Statement
    subscriptions_of: Statement
    page_of_subscribers: Statement
    page_of_events: Statement


class Person(NamedTuple):
    """A locked person: the channel flags, the digests that opt-out lists know the addresses by, and the addresses themselves.

    Those of a bare address are left out.
    """

    customer_id: UUID
    agreed_mask: int
    refused_mask: int
    email_digest: bytes | None
    phone_digest: bytes | None
    email: str | None
    phone: str | None


class Entry(NamedTuple):
    """What one change adds to the ledger; `topic_id` is None for channel flags."""

    customer_id: UUID
    kind: ConsentKind
    topic_id: UUID | None
    channels: int


class PastChoice(NamedTuple):
    """What the ledger says of a topic."""

    customer_id: UUID
    topic_id: UUID
    kind: ConsentKind
    channels: int
    source: Source


class Subscriber(msgspec.Struct, frozen=True):
    """A person subscribed to a topic, and on which channels (a mask)."""

    customer_id: UUID
    external_id: str
    channels: int
    changed_at: datetime


async def subscribed_channels(
    conn: Connection, brand_id: UUID, pairs: Sequence[tuple[UUID, UUID]]
) -> dict[int, int | None]:
    """The channels of these subscriptions (customer, topic) by their place; None where there never was one.

    A person who does not exist is left out.
    """
    rows = await Sql.subscribed_channels.tuples(
        conn,
        brand_id=brand_id,
        topic_ids=[topic for _, topic in pairs],
        parts=[part_of(customer) for customer, _ in pairs],
        customer_ids=[customer for customer, _ in pairs],
    )
    return dict(rows)


async def lock_people(conn: Connection, brand_id: UUID, customer_ids: Sequence[UUID]) -> dict[UUID, Person]:
    """Locks these people until the transaction ends; who does not exist is left out."""
    rows = await Sql.lock_people.tuples(
        conn,
        brand_id=brand_id,
        parts=[part_of(customer) for customer in customer_ids],
        customer_ids=list(customer_ids),
    )
    return {row[0]: Person(*row) for row in rows}


async def write_subscriptions(
    conn: Connection, brand_id: UUID, subscriptions: Sequence[tuple[UUID, UUID, int]]
) -> None:
    """Writes subscriptions (customer, topic, channels) of people who are locked."""
    await Sql.write_subscriptions.run(
        conn,
        brand_id=brand_id,
        topic_ids=[topic for _, topic, _ in subscriptions],
        parts=[part_of(customer) for customer, _, _ in subscriptions],
        customer_ids=[customer for customer, _, _ in subscriptions],
        channels=[channels for _, _, channels in subscriptions],
    )


async def write_flags(conn: Connection, brand_id: UUID, flags: Sequence[tuple[UUID, int, int]]) -> None:
    """Writes the channel flags (customer, yes, no) of people who are locked."""
    await Sql.write_flags.run(
        conn,
        brand_id=brand_id,
        parts=[part_of(customer) for customer, _, _ in flags],
        customer_ids=[customer for customer, _, _ in flags],
        agreed=[agreed for _, agreed, _ in flags],
        refused=[refused for _, _, refused in flags],
    )


async def append_events(conn: Connection, brand_id: UUID, entries: Sequence[Entry], act: Act) -> None:
    """Adds to the ledger."""
    await Sql.append_events.run(
        conn,
        brand_id=brand_id,
        parts=[part_of(entry.customer_id) for entry in entries],
        customer_ids=[entry.customer_id for entry in entries],
        event_ids=[new_id() for _ in entries],
        kinds=[entry.kind for entry in entries],
        topic_ids=[entry.topic_id for entry in entries],
        channels=[entry.channels for entry in entries],
        source=act.source,
        actor=act.actor,
        ip=act.ip,
        text_version=act.text_version,
        note=act.note,
    )


async def take_break(conn: Connection, brand_id: UUID, customer: UUID, until: datetime | None, act: Act) -> None:
    """No messages until then, or (None) an end of that, with its line in the ledger; the person is locked."""
    person = {"brand_id": brand_id, "part": part_of(customer), "customer_id": customer, "until": until}
    if await Sql.set_break.run(conn, **person):
        await Sql.append_break.run(
            conn,
            **person,
            event_id=new_id(),
            channels=ALL_CHANNELS_MASK,
            source=act.source,
            actor=act.actor,
            ip=act.ip,
            text_version=act.text_version,
            note=act.note,
        )


async def choices_by_topic(
    conn: Connection, brand_id: UUID, customer_ids: Sequence[UUID], topic_ids: Sequence[UUID]
) -> list[PastChoice]:
    """What the ledger says of these people and topics, oldest first."""
    rows = await Sql.choices_by_topic.tuples(
        conn,
        brand_id=brand_id,
        parts=[part_of(customer) for customer in customer_ids],
        customer_ids=list(customer_ids),
        topic_ids=list(topic_ids),
    )
    return [PastChoice(*row) for row in rows]


async def last_yeses(conn: Connection, brand_id: UUID, asked: Sequence[tuple[UUID, int]]) -> list[datetime | None]:
    """When each person of these (customer, channels as a mask) last agreed to one of the channels; None for never."""
    found = dict(
        await Sql.last_yeses.tuples(
            conn,
            brand_id=brand_id,
            parts=[part_of(customer) for customer, _ in asked],
            customer_ids=[customer for customer, _ in asked],
            channels=[channels for _, channels in asked],
        )
    )
    return [found.get(place) for place in range(len(asked))]


class Moves:
    """How subscriptions moved in a transaction, for the counters of their topics."""

    def __init__(self) -> None:
        self._gained = Counter[UUID]()
        self._lost = Counter[UUID]()
        self._channels = Counter[tuple[UUID, int]]()

    def note(self, topic_id: UUID, before: int, after: int) -> None:
        """One subscription, as masks of its channels before and after."""
        if after and not before:
            self._gained[topic_id] += 1
        elif before and not after:
            self._lost[topic_id] += 1
        for kind in channels_in(before ^ after):
            self._channels[topic_id, int(kind)] += 1 if after & kind.bit else -1

    async def count(self, conn: Connection, brand_id: UUID, *, shard: int) -> None:
        """Moves the counters, each table's in the order of its keys."""
        moved = sorted(self._gained.keys() | self._lost.keys())
        more = {topic: self._gained[topic] - self._lost[topic] for topic in moved}
        if more:
            await Sql.count_subscribers.run(
                conn, brand_id=brand_id, topic_ids=list(more), more=list(more.values()), shard=shard
            )
            await Sql.count_days.run(
                conn,
                brand_id=brand_id,
                topic_ids=moved,
                gained=[self._gained[topic] for topic in moved],
                lost=[self._lost[topic] for topic in moved],
                shard=shard,
            )
        if channels := {key: by for key, by in self._channels.items() if by}:
            await Sql.count_channels.run(
                conn,
                brand_id=brand_id,
                topic_ids=[topic for topic, _ in channels],
                channels=[channel for _, channel in channels],
                more=list(channels.values()),
                shard=shard,
            )


async def subscriptions_of(conn: Connection, brand_id: UUID, customer_id: UUID) -> list[Subscription]:
    """A person's subscriptions, withdrawn ones too, by topic key."""
    return await Sql.subscriptions_of.rows(
        conn, Subscription, brand_id=brand_id, part=part_of(customer_id), customer_id=customer_id
    )


async def page_of_subscribers(
    conn: Connection, brand_id: UUID, topic_id: UUID, *, after: UUID | None, limit: int
) -> list[Subscriber]:
    """A topic's subscribers in the order of their ids, from behind `after`."""
    behind = after or _FIRST
    return await Sql.page_of_subscribers.rows(
        conn, Subscriber, brand_id=brand_id, topic_id=topic_id, after_part=part_of(behind), after=behind, limit=limit
    )


async def page_of_events(
    conn: Connection, brand_id: UUID, customer_id: UUID, *, before: UUID | None, limit: int
) -> list[ConsentEvent]:
    """A person's ledger, newest first, from before the event `before`."""
    return await Sql.page_of_events.rows(
        conn,
        ConsentEvent,
        brand_id=brand_id,
        part=part_of(customer_id),
        customer_id=customer_id,
        before=before,
        limit=limit,
    )
