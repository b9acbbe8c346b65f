"""Topics of a group: what people can opt in to."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.channels import ChannelName, mask_of, names_in
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.audience.model import Topic, TopicDraft, TopicGrowth, TopicPatch
from stentor.audience.topics import DAYS_USUAL, DESCRIPTION_CHARS_MAX, GROWTH_DAYS_MAX, KEY_CHARS_MAX, NAME_CHARS_MAX
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict

topics = group_noun(
    "topics",
    "What people opt in to. A path names a topic by its key or its id, matched exactly; a `/` in it is sent as `%2F`.",
)

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Description = Annotated[str, Meta(max_length=DESCRIPTION_CHARS_MAX)]
Channels = Annotated[
    list[ChannelName], Meta(min_length=1, max_length=len(ChannelKind), description="Where it is offered.")
]


class TopicInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A topic to be made."""

    key: Annotated[
        str, Meta(min_length=1, max_length=KEY_CHARS_MAX, description="What API calls name it by; it never changes.")
    ]
    name: Name
    description: Description = ""
    channels: Channels
    enabled: bool = True


class TopicChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to a topic; what is left out stays."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    channels: Channels | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class TopicBody(msgspec.Struct, frozen=True, kw_only=True):
    """A topic."""

    id: UUID
    key: str
    name: str
    description: str
    channels: list[ChannelName]
    enabled: Annotated[bool, Meta(description="Nobody is written to for a topic that is not.")]
    subscribers: Annotated[int, Meta(description="A running count, for display.")]
    created_at: datetime
    updated_at: datetime


class GrowthQuery(msgspec.Struct, frozen=True):
    """Which days, of UTC, both included."""

    first_day: Annotated[
        date | None, Meta(description=f"Left out: {DAYS_USUAL} days in all. At most {GROWTH_DAYS_MAX} at once.")
    ] = None
    last_day: Annotated[date | None, Meta(description="Left out: today.")] = None


_EXAMPLE = {
    "key": "team-42",
    "name": "NFL event reminders",
    "description": "Fifteen minutes before kick-off.",
    "channels": ["email", "sms"],
}


def shown(topic: Topic) -> TopicBody:
    """The topic as the API answers it."""
    return TopicBody(
        id=topic.id,
        key=topic.key,
        name=topic.name,
        description=topic.description,
        channels=names_in(topic.channels),
        enabled=topic.enabled,
        subscribers=topic.subscribers,
        created_at=topic.created_at,
        updated_at=topic.updated_at,
    )


@topics.get("/topics", scope="read")
async def list_topics(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[TopicBody]:
    """List the group's topics."""

    async def fetch(after: UUID | None, limit: int) -> list[Topic]:
        return await request.services.topics.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda topic: topic.id, UUID), shown)


@topics.post("/topics", scope="write", status=201, problems=[Conflict], example=_EXAMPLE)
async def create_topic(request: ApiRequest, caller: Caller, body: TopicInput) -> TopicBody:
    """Create a topic."""
    draft = TopicDraft(
        key=body.key,
        name=body.name,
        description=body.description,
        channels=mask_of(body.channels),
        enabled=body.enabled,
    )
    return shown(await request.services.topics.create(caller.brand_id, draft))


@topics.get("/topics/{topic:str}", scope="read")
async def get_topic(request: ApiRequest, caller: Caller, topic: str) -> TopicBody:
    """Show a topic."""
    return shown(await request.services.topics.get(caller.brand_id, topic))


@topics.get("/topics/{topic:str}/growth", scope="read")
async def get_topic_growth(request: ApiRequest, caller: Caller, topic: str, query: GrowthQuery) -> TopicGrowth:
    """Show how a topic grows: who is subscribed now by channel, and how many came and went on each day of UTC."""
    return await request.services.topics.growth(caller.brand_id, topic, query.first_day, query.last_day)


@topics.patch("/topics/{topic:str}", scope="write", example={"description": "Before each kick-off.", "enabled": True})
async def update_topic(request: ApiRequest, caller: Caller, topic: str, body: TopicChanges) -> TopicBody:
    """Change a topic."""
    patch = TopicPatch(
        name=body.name,
        description=body.description,
        channels=UNSET if body.channels is UNSET else mask_of(body.channels),
        enabled=body.enabled,
    )
    return shown(await request.services.topics.update(caller.brand_id, topic, patch))


@topics.delete("/topics/{topic:str}", scope="write", status=204, problems=[Conflict])
async def delete_topic(request: ApiRequest, caller: Caller, topic: str) -> None:
    """Delete a topic that nobody is subscribed to."""
    await request.services.topics.delete(caller.brand_id, topic)
