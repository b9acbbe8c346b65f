"""Topics in the database."""

import re
from collections.abc import Collection
from datetime import date
from uuid import UUID

import msgspec

from stentor.audience.model import Topic, TopicDay, TopicDraft, TopicPatch
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


class Sql(QuerySet, file="topics.sql", package=__package__):
    insert_topic: Statement
    find_topics: Statement
    page_of_topics: Statement
    offered_topics: Statement
    lock_topic: Statement
    update_topic: Statement
    count_topics: Statement
    has_subscribers: Statement
    delete_topic: Statement
    delete_counters: Statement
    delete_channels: Statement
    delete_days: Statement
    channels_of: Statement
    today: Statement
    days_of: Statement


class OfferedTopic(msgspec.Struct, frozen=True):
    """A topic that people can choose."""

    id: UUID
    name: str
    description: str
    channels: int


class _FoundTopic(Topic, frozen=True, kw_only=True):
    reference: str


async def insert_topic(conn: Connection, brand_id: UUID, topic_id: UUID, draft: TopicDraft) -> bool:
    """Makes the topic; False when the key is taken."""
    return await Sql.insert_topic.run(conn, brand_id=brand_id, id=topic_id, **msgspec.structs.asdict(draft)) > 0


async def find_topics(conn: Connection, brand_id: UUID, references: Collection[str]) -> dict[str, Topic]:
    """The topics that these keys or ids mean; a reference that means none is left out."""
    # No key holds such characters, and with them the database would not even look.
    possible = [reference for reference in references if not _UNSTORABLE.search(reference)]
    rows = await Sql.find_topics.rows(conn, _FoundTopic, brand_id=brand_id, references=possible)
    return {row.reference: _plain(row) for row in rows}


async def page_of_topics(conn: Connection, brand_id: UUID, *, after: UUID | None, limit: int) -> list[Topic]:
    """Topics in the order of their making, from behind `after`."""
    return await Sql.page_of_topics.rows(conn, Topic, brand_id=brand_id, after=after, limit=limit)


async def lock_topic(conn: Connection, brand_id: UUID, topic_id: UUID) -> None:
    """Keeps others from changing or deleting the topic until the transaction ends."""
    await Sql.lock_topic.run(conn, id=topic_id, brand_id=brand_id)


async def offered_topics(conn: Connection, brand_id: UUID, *, limit: int) -> list[OfferedTopic]:
    """The enabled topics in the order of their making."""
    return await Sql.offered_topics.rows(conn, OfferedTopic, brand_id=brand_id, limit=limit)


async def update_topic(conn: Connection, brand_id: UUID, topic_id: UUID, patch: TopicPatch) -> bool:
    """Changes what the patch says; False when there is no such topic."""
    said = {name: None if value is msgspec.UNSET else value for name, value in msgspec.structs.asdict(patch).items()}
    return await Sql.update_topic.run(conn, brand_id=brand_id, id=topic_id, **said) > 0


async def count_topics(conn: Connection, brand_id: UUID) -> int:
    """How many topics the brand has."""
    return await Sql.count_topics.value(conn, brand_id=brand_id)


async def has_subscribers(conn: Connection, brand_id: UUID, topic_id: UUID) -> bool:
    """Whether anybody is subscribed on any channel."""
    return await Sql.has_subscribers.value(conn, brand_id=brand_id, id=topic_id)


async def delete_topic(conn: Connection, brand_id: UUID, topic_id: UUID) -> None:
    """Removes the topic and its counters."""
    await Sql.delete_topic.run(conn, brand_id=brand_id, id=topic_id)
    for statement in (Sql.delete_counters, Sql.delete_channels, Sql.delete_days):
        await statement.run(conn, brand_id=brand_id, id=topic_id)


async def channels_of(conn: Connection, brand_id: UUID, topic_ids: Collection[UUID]) -> list[tuple[UUID, int, int]]:
    """How many subscriptions of these topics have a channel, by topic and channel."""
    return [
        (topic_id, channel, subscribers)
        for topic_id, channel, subscribers in await Sql.channels_of.tuples(
            conn, brand_id=brand_id, topic_ids=list(topic_ids)
        )
    ]


async def today(conn: Connection) -> date:
    """The day of UTC, by the database's clock."""
    return await Sql.today.value(conn)


async def days_of(conn: Connection, brand_id: UUID, topic_id: UUID, first: date, last: date) -> list[TopicDay]:
    """The days on which the topic gained or lost somebody, in their order."""
    return await Sql.days_of.rows(conn, TopicDay, brand_id=brand_id, id=topic_id, first_day=first, last_day=last)


def _plain(row: _FoundTopic) -> Topic:
    return Topic(**{name: getattr(row, name) for name in Topic.__struct_fields__})
