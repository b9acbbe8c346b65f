"""Topics in the words of the Preference Centre, for systems that make them as teams, creators and products come and go."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.accounts.model import Scope
from stentor.api.auth import allowed, authenticated, visible_brand
from stentor.api.noun import Noun
from stentor.api.rates import pace
from stentor.api.request import ApiRequest, Caller
from stentor.audience.model import Topic, TopicDraft, TopicPatch
from stentor.audience.preferences import CHANNEL_NUMBERS
from stentor.audience.topics import DESCRIPTION_CHARS_MAX, KEY_CHARS_MAX, NAME_CHARS_MAX, PAGE_MAX
from stentor.domain.vocabulary import channel_mask, channels_in
from stentor.errors import Conflict, Invalid

PREFIX = "/api/v1/topics"

_KIND_OF = {number: kind for kind, number in CHANNEL_NUMBERS.items()}
_NUMBERED = channel_mask(CHANNEL_NUMBERS)


class BrandGroupQuery(msgspec.Struct, frozen=True, rename="camel"):
    """In which brand."""

    brand_group_id: Annotated[UUID, Meta(description="The id of the brand.")]


async def brand_group_access(request: ApiRequest, scope: Scope) -> Caller:
    """The caller of a path that names its brand in the query. Raises as `group_access` does."""
    principal = await authenticated(request)
    brand = await visible_brand(request, principal, request.query_params.get("brandGroupId", ""))
    return allowed(Caller(principal, brand), scope)


preference_topics = Noun(
    "preference-center-topics",
    "Topics in the words of the Preference Centre. Unlike preferences, they need a key.",
    access=brand_group_access,
    pace=pace,
    query=BrandGroupQuery,
)

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Description = Annotated[str, Meta(max_length=DESCRIPTION_CHARS_MAX)]
Channels = Annotated[list[int], Meta(max_length=len(CHANNEL_NUMBERS), description="Numbers, as 15 for email.")]


class WireTopicInput(msgspec.Struct, frozen=True, rename="camel"):
    """A topic to be made."""

    topic_key: Annotated[str, Meta(min_length=1, max_length=KEY_CHARS_MAX)]
    topic_name: Name
    channels: Channels
    topic_description: Description = ""


class WireTopicChanges(msgspec.Struct, frozen=True, rename="camel"):
    """A topic as it shall be; its key never changes."""

    topic_name: Name
    channels: Channels
    topic_description: Description = ""


class WireTopic(msgspec.Struct, frozen=True, rename="camel"):
    """A topic."""

    topic_id: UUID
    topic_key: str
    topic_name: str
    topic_description: str
    channels: list[int]


class WireTopics(msgspec.Struct, frozen=True):
    """All topics of a brand."""

    topics: list[WireTopic]


_REPLACEMENT = {"topicName": "Reds", "topicDescription": "Every goal", "channels": [15, 493]}


@preference_topics.get(PREFIX, scope="read")
async def list_preference_topics(request: ApiRequest, caller: Caller) -> WireTopics:
    """List a brand's topics."""
    found: list[Topic] = []
    while page := await request.services.topics.page(caller.brand_id, after=found[-1].id if found else None):
        found += page
        if len(page) < PAGE_MAX:
            break
    return WireTopics([_shown(topic) for topic in found])


@preference_topics.post(
    PREFIX, scope="write", status=201, problems=[Conflict], example={"topicKey": "team-reds", **_REPLACEMENT}
)
async def create_preference_topic(
    request: ApiRequest,
    caller: Caller,
    body: WireTopicInput,
) -> WireTopic:
    """Create a topic."""
    draft = TopicDraft(
        key=body.topic_key,
        name=body.topic_name,
        description=body.topic_description,
        channels=_mask(body.channels),
    )
    return _shown(await request.services.topics.create(caller.brand_id, draft))


@preference_topics.get(f"{PREFIX}/{{topic_id:str}}", scope="read")
async def get_preference_topic(
    request: ApiRequest,
    caller: Caller,
    topic_id: str,
) -> WireTopic:
    """Show a topic, by its id or its key."""
    return _shown(await request.services.topics.get(caller.brand_id, topic_id))


@preference_topics.put(f"{PREFIX}/{{topic_id:str}}", scope="write", example=_REPLACEMENT)
async def replace_preference_topic(
    request: ApiRequest,
    caller: Caller,
    topic_id: str,
    body: WireTopicChanges,
) -> WireTopic:
    """Replace a topic's name, description and channels; channels that have no number are kept."""
    topic = await request.services.topics.get(caller.brand_id, topic_id)
    channels = _mask(body.channels) | topic.channels & ~_NUMBERED
    patch = TopicPatch(name=body.topic_name, description=body.topic_description, channels=channels)
    return _shown(await request.services.topics.update(caller.brand_id, topic_id, patch))


@preference_topics.delete(f"{PREFIX}/{{topic_id:str}}", scope="write", status=204, problems=[Conflict])
async def delete_preference_topic(
    request: ApiRequest,
    caller: Caller,
    topic_id: str,
) -> None:
    """Delete a topic that nobody is subscribed to."""
    await request.services.topics.delete(caller.brand_id, topic_id)


def _mask(numbers: list[int]) -> int:
    for place, number in enumerate(numbers):
        if number not in _KIND_OF:
            known = ", ".join(str(known) for known in sorted(_KIND_OF))
            raise Invalid.field(
                f"/channels/{place}", "unknown-channel", f"There is no channel {number}. There are {known}."
            )
    return channel_mask([_KIND_OF[number] for number in numbers])


def _shown(topic: Topic) -> WireTopic:
    numbers = [CHANNEL_NUMBERS[kind] for kind in channels_in(topic.channels) if kind in CHANNEL_NUMBERS]
    return WireTopic(topic.id, topic.key, topic.name, topic.description, numbers)
