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
from stentor.api.throttle import Throttle
from stentor.audience.preferences import UPDATES_MAX, Preferences, PreferenceUpdate
from stentor.errors import Invalid, RateLimited

PREFIX = "/api/v1/preferences"

# What clients are told for every mistake in their set-up; their logs show the text as it is.
MISCONFIGURED = "check preference center configuration"

# A carrier hides thousands of phones behind an address; a person's own page asks a few times in a minute.
PER_ADDRESS = Throttle(per_s=50, burst=500)
PER_CUSTOMER = Throttle(per_s=1, burst=30)

# Web pages of any origin ask for their visitors, with nothing of the visitor's that a cookie could carry.
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, PUT, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Content-Type, X-Tenant-Id",
    "Access-Control-Max-Age": "86400",
}

preferences = Noun(
    "preference-center",
    "What people choose, without a key: off until a brand turns `preferences_enabled` on. Channels are numbers: 15 email, "
    "427 in-app, 489 push, 490 web push, 493 sms, 498 WhatsApp.",
    dialect=PLAIN_SENTENCES,
)


class PreferenceQuery(msgspec.Struct, frozen=True, rename="camel"):
    """Whose preferences."""

    customer_id: Annotated[str, Meta(description="Your id of the person.")] = ""
    brand_group_id: Annotated[str, Meta(description="The id of the brand.")] = ""


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

    topic_id: str
    channel_subscription: list[int]


@preferences.get(PREFIX, problems=[Invalid, RateLimited], headers=["X-Tenant-Id"])
async def get_preferences(request: ApiRequest, query: PreferenceQuery) -> Reply[PreferencesBody]:
    """Show what a person chose.

    A person who is not known has every topic without a channel.
    """
    tenant, brand_id = _admitted(request, query)
    found = await request.services.preferences.get(tenant, brand_id, query.customer_id)
    return Reply(_body(found), headers=CORS)


@preferences.put(
    PREFIX,
    problems=[Invalid, RateLimited],
    headers=["X-Tenant-Id"],
    example=[{"topicId": "f6c1533c-0000-4000-8000-000000000001", "channelSubscription": [15, 493]}],
)
async def put_preferences(
    request: ApiRequest, query: PreferenceQuery, body: Annotated[list[TopicChoice], Meta(max_length=UPDATES_MAX)]
) -> Reply[None]:
    """Change what a person chose: the topics that are listed and no others, all of them or none."""
    tenant, brand_id = _admitted(request, query)
    updates = [PreferenceUpdate(choice.topic_id, choice.channel_subscription) for choice in body]
    await request.services.preferences.put(tenant, brand_id, query.customer_id, updates, ip=request.client_address)
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


def _admitted(request: ApiRequest, query: PreferenceQuery) -> tuple[int, UUID]:
    """The tenant's number and the brand. Raises Invalid when they cannot be read, RateLimited."""
    PER_ADDRESS.take(request.client_address)
    tenant = request.headers.get("x-tenant-id", "")
    try:
        brand_id = UUID(query.brand_group_id)
    except ValueError:
        raise Invalid(MISCONFIGURED) from None
    # Ten digits hold every number that an organisation can have.
    if not (tenant.isascii() and tenant.isdigit() and len(tenant) <= 10):
        raise Invalid(MISCONFIGURED)
    PER_CUSTOMER.take((brand_id, query.customer_id))
    return int(tenant), brand_id


def _body(found: Preferences) -> PreferencesBody:
    return PreferencesBody(
        [TopicOfPerson(topic.topic_id, topic.name, topic.description, topic.channels) for topic in found.topics],
        found.channels,
    )
