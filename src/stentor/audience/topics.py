"""Topics: what people can opt in to."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import msgspec

from stentor.accounts.audit import record
from stentor.audience import topic_store
from stentor.audience.model import Topic, TopicDraft, TopicGrowth, TopicPatch
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.text import NOT_IN_A_LINE
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind, channels_in
from stentor.errors import Conflict, Invalid, NotFound, Violation

KEY_CHARS_MAX = 200
NAME_CHARS_MAX = 200
DESCRIPTION_CHARS_MAX = 2000
TOPICS_MAX = 5000
GROWTH_DAYS_MAX = 732
"""Days of one question about how a topic grew."""
DAYS_USUAL = 30
PAGE_MAX = 1000

_LINE_ENDS = re.compile(r"[\r\n\t]")


class TopicService:
    """Makes, changes, finds and removes topics. A reference to one is its key or its id, matched exactly."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, brand_id: UUID, draft: TopicDraft) -> Topic:
        """The new topic. Raises Invalid, Conflict when the key is taken, and QuotaExceeded when the brand has 5,000 topics."""
        _check(draft)
        async with self._db.transaction() as conn:
            await check_quota(conn, brand_id, "topics", TOPICS_MAX, topic_store.count_topics)
            if not await topic_store.insert_topic(conn, brand_id, new_id(), draft):
                raise Conflict(f"The brand has a topic {draft.key!r} already; change that one or choose another key.")
            topic = await found(conn, brand_id, draft.key)
            await record(conn, "topic.created", topic.id, brand_id=brand_id, after=_told(topic))
            return topic

    async def get(self, brand_id: UUID, reference: str) -> Topic:
        """The topic. Raises NotFound."""
        async with self._db.read() as conn:
            return await found(conn, brand_id, reference)

    async def page(self, brand_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX) -> list[Topic]:
        """Up to 1,000 topics in the order of their making, from behind the id `after`."""
        async with self._db.read() as conn:
            return await topic_store.page_of_topics(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))

    async def growth(
        self, brand_id: UUID, reference: str, first_day: date | None = None, last_day: date | None = None
    ) -> TopicGrowth:
        """How the topic grew between these days; in the last 30 until today, where they are not said. Raises NotFound, Invalid."""
        async with self._db.read() as conn:
            topic = await found(conn, brand_id, reference)
            last = last_day or await topic_store.today(conn)
            first = first_day or last - timedelta(days=min(DAYS_USUAL - 1, last.toordinal() - 1))
            if first > last:
                raise Invalid.field("/first_day", "order", "The first day is after the last one; exchange them.")
            if (last - first).days >= GROWTH_DAYS_MAX:
                raise Invalid.field("/first_day", "range", f"Ask for at most {GROWTH_DAYS_MAX} days at once.")
            channels = await topic_store.channels_of(conn, brand_id, [topic.id])
            days = await topic_store.days_of(conn, brand_id, topic.id, first, last)
        by_channel = {ChannelKind(channel).label: count for _, channel, count in sorted(channels)}
        return TopicGrowth(
            subscribers=topic.subscribers, by_channel=by_channel, first_day=first, last_day=last, days=days
        )

    async def by_channel(self, brand_id: UUID, topics: Sequence[Topic]) -> dict[UUID, dict[ChannelKind, int]]:
        """How many are subscribed to each of these topics on each channel."""
        async with self._db.read() as conn:
            rows = await topic_store.channels_of(conn, brand_id, [topic.id for topic in topics])
        counted: dict[UUID, dict[ChannelKind, int]] = {topic.id: {} for topic in topics}
        for topic_id, channel, count in rows:
            counted[topic_id][ChannelKind(channel)] = count
        return counted

    async def update(self, brand_id: UUID, reference: str, patch: TopicPatch) -> Topic:
        """The topic with those changes. Raises Invalid and NotFound."""
        _check(patch)
        async with self._db.transaction() as conn:
            topic = await _locked(conn, brand_id, reference)
            await topic_store.update_topic(conn, brand_id, topic.id, patch)
            changed = await found(conn, brand_id, str(topic.id))
            await record(conn, "topic.updated", topic.id, brand_id=brand_id, before=_told(topic), after=_told(changed))
            return changed

    async def delete(self, brand_id: UUID, reference: str) -> None:
        """Removes a topic that nobody is subscribed to. Raises NotFound, and Conflict while anybody is."""
        async with self._db.transaction() as conn:
            topic = await _locked(conn, brand_id, reference)
            if await topic_store.has_subscribers(conn, brand_id, topic.id):
                raise Conflict("People are subscribed to this topic. Disable it instead: then nobody is written to.")
            await topic_store.delete_topic(conn, brand_id, topic.id)
            await record(conn, "topic.deleted", topic.id, brand_id=brand_id, before=_told(topic))


async def found(conn: Connection, brand_id: UUID, reference: str) -> Topic:
    """The topic of that key or id. Raises NotFound."""
    topics = await topic_store.find_topics(conn, brand_id, [reference])
    if reference not in topics:
        raise NotFound(f"This brand has no topic {reference!r}.")
    return topics[reference]


async def _locked(conn: Connection, brand_id: UUID, reference: str) -> Topic:
    """The same, which nobody else changes until the transaction ends."""
    topic = await found(conn, brand_id, reference)
    await topic_store.lock_topic(conn, brand_id, topic.id)
    return await found(conn, brand_id, str(topic.id))


async def known_topics(conn: Connection, brand_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these ids are topics of the brand."""
    found = await topic_store.find_topics(conn, brand_id, [str(topic_id) for topic_id in ids])
    return {topic.id for topic in found.values()}


def _told(topic: Topic) -> dict[str, Any]:
    """The topic as the audit log tells of it, its channels by their names."""
    return {**msgspec.structs.asdict(topic), "channels": channels_in(topic.channels)}


def _check(said: TopicDraft | TopicPatch) -> None:
    violations: list[Violation] = []
    if isinstance(said, TopicDraft) and (problem := _text_problem(said.key, KEY_CHARS_MAX)):
        violations.append(Violation("/key", "invalid-key", f"The key {problem}."))
    if isinstance(said.name, str) and (problem := _text_problem(said.name, NAME_CHARS_MAX)):
        violations.append(Violation("/name", "invalid-name", f"The name {problem}."))
    if isinstance(said.description, str) and said.description:
        problem = _text_problem(said.description, DESCRIPTION_CHARS_MAX, lines=True)
        if problem:
            violations.append(Violation("/description", "invalid-description", f"The description {problem}."))
    if isinstance(said.channels, int) and (said.channels <= 0 or said.channels & ~ALL_CHANNELS_MASK):
        violations.append(Violation("/channels", "invalid-channels", "A topic needs at least one channel."))
    if violations:
        raise Invalid(violations[0].message, violations=violations)


def _text_problem(text: str, chars_max: int, *, lines: bool = False) -> str | None:
    if not text.strip() or len(text) > chars_max:
        return f"needs between 1 and {chars_max} characters"
    unwanted = NOT_IN_A_LINE.search(_LINE_ENDS.sub(" ", text) if lines else text)
    return f"has the character U+{ord(unwanted[0]):04X}; remove it" if unwanted else None
