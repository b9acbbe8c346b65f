"""Subscriptions of a group's customers, and the ledger of how each came about."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.channels import ChannelName, mask_of, names_in
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.audience.consent_store import Subscriber
from stentor.audience.model import Act, ConsentEvent, Source, Subscription
from stentor.domain.vocabulary import ChannelKind

subscriptions = group_noun(
    "subscriptions",
    "What people chose, per topic and channel. An API call never lifts an unsubscription from all: only the person does.",
)


class ChannelsInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which channels to add."""

    channels: Annotated[
        list[ChannelName] | None, Meta(description="Left out or null: all that the topic is offered on.")
    ] = None


class ChannelQuery(msgspec.Struct, frozen=True):
    """Which channel to take away."""

    channel: Annotated[ChannelName | None, Meta(description="Left out: all of them.")] = None


class BreakBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A break from messages."""

    until: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(description="When it ends, within 366 days; null: there is none."),
    ]


class SubscriptionState(msgspec.Struct, frozen=True):
    """A subscription as it is now; without channels it is a withdrawal that is remembered."""

    topic: str
    channels: list[ChannelName]


class SubscriptionBody(msgspec.Struct, frozen=True):
    """A customer's choice for one topic."""

    topic_id: UUID
    topic_key: str
    channels: Annotated[list[ChannelName], Meta(description="Empty: withdrawn, and remembered as such.")]
    changed_at: datetime


class SubscriberBody(msgspec.Struct, frozen=True):
    """A person who is subscribed to a topic."""

    external_id: str
    channels: list[ChannelName]
    changed_at: datetime


class ConsentBody(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger: who chose what, when, how, from where."""

    at: datetime
    kind: Annotated[
        str, Meta(description="subscribed, unsubscribed, agreed, refused, unset, requested, break or break_over.")
    ]
    topic_id: UUID | None
    channels: list[ChannelName]
    source: str
    actor: str
    ip: str | None
    text_version: str
    note: str
    until: Annotated[datetime | None, Meta(description="Of a break: when it ends.")]


@subscriptions.get("/topics/{topic:str}/subscribers", scope="read")
async def list_subscribers(
    request: ApiRequest, caller: Caller, topic: str, query: ListQuery
) -> Listing[SubscriberBody]:
    """List the people who are subscribed to a topic."""

    async def fetch(after: UUID | None, limit: int) -> list[Subscriber]:
        return await request.services.subscriptions.of_topic(caller.brand_id, topic, after=after, limit=limit)

    def shown(row: Subscriber) -> SubscriberBody:
        return SubscriberBody(row.external_id, names_in(row.channels), row.changed_at)

    return await listing(request, query, Walk(fetch, lambda row: row.customer_id, UUID), shown)


@subscriptions.get("/customers/{external_id:str}/subscriptions", scope="read")
async def list_subscriptions(request: ApiRequest, caller: Caller, external_id: str) -> Listing[SubscriptionBody]:
    """List a customer's subscriptions."""
    found = await request.services.subscriptions.of_customer(caller.brand_id, external_id)
    return Listing([_subscription(one) for one in found])


@subscriptions.put(
    "/customers/{external_id:str}/subscriptions/{topic:str}", scope="write", example={"channels": ["email"]}
)
async def subscribe(
    request: ApiRequest, caller: Caller, external_id: str, topic: str, body: ChannelsInput
) -> SubscriptionState:
    """Subscribe a customer to a topic: adds channels to the subscription."""
    channels = None if body.channels is None else mask_of(body.channels)
    now = await request.services.subscriptions.subscribe(
        caller.brand_id, external_id, topic, channels, act_of(request, caller)
    )
    return SubscriptionState(topic, names_in(now))


@subscriptions.delete("/customers/{external_id:str}/subscriptions/{topic:str}", scope="write")
async def unsubscribe(
    request: ApiRequest, caller: Caller, external_id: str, topic: str, query: ChannelQuery
) -> SubscriptionState:
    """Unsubscribe a customer from a topic, on one channel or on all of them.

    It holds at once, for executions that are under way too.
    """
    channels = None if query.channel is None else ChannelKind.named(query.channel).bit
    now = await request.services.subscriptions.unsubscribe(
        caller.brand_id, external_id, topic, channels, act_of(request, caller)
    )
    return SubscriptionState(topic, names_in(now))


@subscriptions.get("/customers/{external_id:str}/consents", scope="read")
async def list_consents(
    request: ApiRequest, caller: Caller, external_id: str, query: ListQuery
) -> Listing[ConsentBody]:
    """List a customer's consent ledger, newest first."""

    async def fetch(before: UUID | None, limit: int) -> list[ConsentEvent]:
        return await request.services.subscriptions.ledger(caller.brand_id, external_id, before=before, limit=limit)

    return await listing(request, query, Walk(fetch, lambda event: event.event_id, UUID), consent_shown)


@subscriptions.put("/customers/{external_id:str}/break", scope="write", example={"until": "2026-12-24T00:00:00Z"})
async def take_break(request: ApiRequest, caller: Caller, external_id: str, body: BreakBody) -> BreakBody:
    """Send a customer nothing for a while, or, with null, end that.

    All choices stay as they are and hold again by themselves afterwards; what needs no consent is sent meanwhile. Whoever is left
    out for it is skipped as `on_a_break`.
    """
    person = await request.services.customers.get(caller.brand_id, external_id)
    until = await request.services.subscriptions.take_break(
        caller.brand_id, person.customer_id, body.until, act_of(request, caller)
    )
    return BreakBody(until)


def act_of(request: ApiRequest, caller: Caller) -> Act:
    """How a choice through the API comes about, for the ledger."""
    return Act(source=Source.API, actor=f"key {caller.principal.key_number}", ip=request.client_address)


def _subscription(one: Subscription) -> SubscriptionBody:
    return SubscriptionBody(one.topic_id, one.topic_key, names_in(one.channels), one.changed_at)


def consent_shown(event: ConsentEvent) -> ConsentBody:
    """A line of the ledger as the API answers it."""
    return ConsentBody(
        at=event.at,
        kind=event.kind,
        topic_id=event.topic_id,
        channels=names_in(event.channels),
        source=event.source,
        actor=event.actor,
        ip=None if event.ip is None else str(event.ip),
        text_version=event.text_version,
        note=event.note,
        until=event.until,
    )
