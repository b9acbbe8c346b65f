"""Whom an execution means, where that is neither a topic's subscribers nor people whom its call named."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from stentor.audience import reach
from stentor.audience.casting import Choice, ConditionSource, Source, Split, TagSource, tag_is_there
from stentor.audience.reach import PlannableTopic
from stentor.audience.segments.standing import compiled, expression_of
from stentor.campaigns.model import PublishedContent
from stentor.db.connection import Connection
from stentor.errors import Invalid
from stentor.executions import store
from stentor.executions.model import QueuedExecution


class OfTag(msgspec.Struct, frozen=True, tag_field="kind", tag="tag"):
    """Everybody who has that tag when the execution starts."""

    tag_id: UUID


class OfSegment(msgspec.Struct, frozen=True, tag_field="kind", tag="segment"):
    """Everybody whom that segment holds when the execution starts."""

    segment_id: UUID


class OfRest(msgspec.Struct, frozen=True, tag_field="kind", tag="rest"):
    """Who waits for the winner of that execution's experiment, for the arm that won."""

    execution_id: UUID
    arm: int


class OfStep(msgspec.Struct, frozen=True, tag_field="kind", tag="step"):
    """Those of a run who fell due for that step together, and take it. Nobody asks for them: the keeper starts it."""

    run_id: UUID
    step: int
    due_at: datetime


Audience: TypeAlias = OfTag | OfSegment
"""What somebody may ask for."""

Meant: TypeAlias = Audience | OfRest | OfStep


def audience_of(stored: Mapping[str, Any] | None) -> Audience | None:
    """The audience that somebody asked for, as it was stored; None: a topic's subscribers are meant."""
    return None if stored is None else msgspec.convert(stored, Audience)


def meant_by(stored: Mapping[str, Any] | None) -> Meant | None:
    """The audience that an execution was stored with; None: its topic's subscribers, or whom its call named."""
    return None if stored is None else msgspec.convert(stored, Meant)


def one_audience(tag_id: UUID | None, segment_id: UUID | None) -> Audience:
    """The audience that somebody asks for. Raises Invalid where that is neither, or both."""
    match tag_id, segment_id:
        case UUID() as tag, None:
            return OfTag(tag)
        case None, UUID() as segment:
            return OfSegment(segment)
    text = "Say whom it is for: a tag_id or a segment_id, one of them."
    raise Invalid.field("/segment_id" if tag_id else "/tag_id", "one-audience", text)


async def source_of(conn: Connection, brand_id: UUID, audience: Audience) -> Source | None:
    """Where the people of that audience are found now; None where it is not there any more."""
    match audience:
        case OfTag(tag_id):
            return TagSource(tag_id) if await tag_is_there(conn, brand_id, tag_id) else None
        case OfSegment(segment_id):
            expression = await expression_of(conn, brand_id, segment_id)
            return None if expression is None else ConditionSource(await compiled(conn, brand_id, expression))


async def choices_of(conn: Connection, brand_id: UUID, content: PublishedContent) -> list[Choice]:
    """The routes that may be meant for somebody, in their order."""
    choices = []
    for ordinal, route in enumerate(content.routes):
        when = None if route.when is None else await compiled(conn, brand_id, route.when, f"route_{ordinal}")
        choices.append(Choice(ordinal, route.channel.bit, when))
    return choices


def split_of(content: PublishedContent) -> Split | None:
    """How the campaign's experiment parts people; None where it has none."""
    if content.experiment is None:
        return None
    masks = [
        sum(1 << ordinal for ordinal, route in enumerate(content.routes) if route.arm in {None, name})
        for name in content.experiment.names
    ]
    return Split(content.campaign_id, content.experiment.bounds, masks)


async def topics_of(
    conn: Connection, brand_id: UUID, queued: Sequence[QueuedExecution]
) -> Mapping[str, PlannableTopic]:
    """The topics of those of a brand's executions that mean a topic, by what they call it."""
    keys = {each.topic_key for each in queued if each.audience is None and (each.topic_key or not each.recipients)}
    return await reach.topics_to_plan(conn, brand_id, keys)


async def plannable(
    conn: Connection, execution: QueuedExecution, topics: Mapping[str, PlannableTopic]
) -> PlannableTopic | None:
    """The execution's topic; None where it has none that can be planned, and failed for that."""
    topic = topics.get(execution.topic_key)
    if topic is None:
        text = f"No topic has the key or id {execution.topic_key!r} in this brand. Create it, or correct topic_key."
        await store.fail(conn, execution.brand_id, execution.id, "TOPIC_NOT_FOUND", text)
    elif not topic.enabled:
        text = f"The topic {topic.key!r} is disabled. Enable it, then run the event generator again."
        await store.fail(conn, execution.brand_id, execution.id, "TOPIC_DISABLED", text)
    else:
        return topic
    return None
