"""The Preference Centre as its clients know it: what people choose, without a key.

Paths, parameters, headers and bodies are those of the public contract. It is off until a brand turns it on, limited per
address and per customer, and never tells whether a customer exists.
"""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import HttpMethod, Response
from litestar.handlers import HTTPRouteHandler
from msgspec import Meta

from stentor.api.noun import Noun
from stentor.api.operation import PLAIN_SENTENCES, Reply
from stentor.api.problems import Failure
from stentor.api.request import ApiRequest
from stentor.api.throttle import Throttle, line_of
from stentor.audience.preferences import MISCONFIGURED, UPDATES_MAX, Preferences, PreferenceUpdate
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, RateLimited

PREFIX = "/api/v1/preferences"

# A UUID as text.
TOPIC_ID_CHARS_MAX = 36
CHANNELS_MAX = len(ChannelKind)

# A carrier hides thousands of phones behind an address; a person's own page asks a few times in a minute.
PER_LINE = Throttle(per_s=50, burst=500)
PER_CUSTOMER = Throttle(per_s=1, burst=30)

# Web pages of any origin ask for their visitors, with nothing of the visitor's that a cookie could carry.
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, PUT, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Content-Type, X-Tenant-Id",
    "Access-Control-Max-Age": "86400",
}


class PreferenceQuery(msgspec.Struct, frozen=True, rename="camel"):
    """Whose preferences."""

    customer_id: Annotated[str, Meta(description="Your id of the person.")] = ""
    brand_group_id: Annotated[str, Meta(description="The id of the brand.")] = ""


class Asked(msgspec.Struct, frozen=True):
    """Whose preferences are asked for, at a door that is open."""

    tenant: int
    brand_id: UUID
    external_id: str


async def _admitted(request: ApiRequest) -> Asked:
    """Raises Invalid for a set-up that is none or an id that cannot be one, RateLimited."""
    PER_LINE.take(line_of(request.client_address))
    query = request.decoded_query(PreferenceQuery)
    tenant = request.headers.get("x-tenant-id", "")
    try:
        brand_id = UUID(query.brand_group_id)
    except ValueError:
        raise Invalid(MISCONFIGURED) from None
    # Ten digits hold every number that an organisation can have.
    if not (tenant.isascii() and tenant.isdigit() and len(tenant) <= 10):
        raise Invalid(MISCONFIGURED)
    asked = Asked(int(tenant), brand_id, query.customer_id)
    PER_CUSTOMER.take(await request.services.preferences.customer(asked.tenant, asked.brand_id, asked.external_id))
    return asked


preferences = Noun(
    "preference-center",
    "What people choose, without a key: off until a brand turns `preferences_enabled` on. Channels are numbers: 15 email, "
    "427 in-app, 489 push, 490 web push, 493 sms, 498 WhatsApp.",
    admission=_admitted,
    query=PreferenceQuery,
    dialect=PLAIN_SENTENCES,
)


class TopicOfPerson(msgspec.Struct, frozen=True, rename="camel"):
    """A topic, and where the person gets it."""

    topic_id: UUID
    topic_name: str
    topic_description: str
    channel_subscription: list[int]


class PreferencesBody(msgspec.Struct, frozen=True):
    """All topics, and the channels that there are."""

    topics: list[TopicOfPerson]
    channels: list[int]


class TopicChoice(msgspec.Struct, frozen=True, rename="camel"):
    """A topic, and where the person wants it; nowhere ends the subscription."""

    topic_id: Annotated[str, Meta(max_length=TOPIC_ID_CHARS_MAX)]
    channel_subscription: Annotated[list[int], Meta(max_length=CHANNELS_MAX)]


@preferences.get(PREFIX, problems=[Invalid, RateLimited], headers=["X-Tenant-Id"])
async def get_preferences(request: ApiRequest, admitted: Asked) -> Reply[PreferencesBody]:
    """Show what a person chose.

    A person who is not known has every topic without a channel.
    """
    found = await request.services.preferences.get(admitted.tenant, admitted.brand_id, admitted.external_id)
    return Reply(_body(found), headers=CORS)


@preferences.put(
    PREFIX,
    problems=[Invalid, RateLimited],
    headers=["X-Tenant-Id"],
    example=[{"topicId": "f6c1533c-0000-4000-8000-000000000001", "channelSubscription": [15, 493]}],
)
async def put_preferences(
    request: ApiRequest, admitted: Asked, body: Annotated[list[TopicChoice], Meta(max_length=UPDATES_MAX)]
) -> Reply[None]:
    """Change what a person chose: the topics that are listed and no others, all of them or none."""
    updates = [PreferenceUpdate(choice.topic_id, choice.channel_subscription) for choice in body]
    await request.services.preferences.put(
        admitted.tenant, admitted.brand_id, admitted.external_id, updates, ip=request.client_address
    )
    return Reply(None, headers=CORS)


async def preflight() -> Response[None]:
    """What a browser asks before it lets a page of another origin ask."""
    return Response(None, status_code=204, headers=CORS)


# First of all: the framework gives a path its own answer to OPTIONS together with its first handler.
handlers = (HTTPRouteHandler(PREFIX, http_method=HttpMethod.OPTIONS, status_code=204)(preflight), *preferences.handlers)


def envelope(_request: ApiRequest, failure: Failure) -> Response[str]:
    """An error as clients of this family log it: a sentence."""
    return Response(
        failure.detail, status_code=failure.status, media_type="text/plain", headers={**CORS, **failure.headers}
    )


def _body(found: Preferences) -> PreferencesBody:
    return PreferencesBody(
        [TopicOfPerson(topic.topic_id, topic.name, topic.description, topic.channels) for topic in found.topics],
        found.channels,
    )
