"""The Preference Centre: what people choose without a key, in the numbers that its clients know channels by.

An opt-out always applies. An opt-in is recorded as unauthenticated, and a channel flag that is "no" stays so.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

import msgspec

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.audience import consent_store, customer_store, topic_store
from stentor.audience.consent import choose
from stentor.audience.consent_store import Entry
from stentor.audience.intake import Given, take_in
from stentor.audience.model import Act, Choice, CustomerPatch, Source
from stentor.audience.topic_store import OfferedTopic
from stentor.audience.topics import TOPICS_MAX
from stentor.audience.upsert import Overtaken, until_settled, upsert
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind, channel_mask
from stentor.errors import Invalid, Violation

# Clients throw on any other number, so a channel without one is never shown.
CHANNEL_NUMBERS = {
    ChannelKind.EMAIL: 15,
    ChannelKind.IN_APP: 427,
    ChannelKind.PUSH: 489,
    ChannelKind.WEB_PUSH: 490,
    ChannelKind.SMS: 493,
    ChannelKind.WHATSAPP: 498,
}
UPDATES_MAX = 1000
# What clients are told for every mistake in their set-up; their logs show the text as it is.
MISCONFIGURED = "check preference center configuration"
# Whoever sends more of them has one thing to mend, and needs no more to see which.
VIOLATIONS_MAX = 20

_KIND_OF = {number: kind for kind, number in CHANNEL_NUMBERS.items()}
_SHOWABLE = channel_mask(CHANNEL_NUMBERS)


class TopicPreference(msgspec.Struct, frozen=True):
    """A topic, and the numbers of the channels that the person is reached on for it."""

    topic_id: UUID
    name: str
    description: str
    channels: list[int]


class Preferences(msgspec.Struct, frozen=True):
    """All topics that are offered; `channels` are the numbers of the channels that any of them is offered on."""

    topics: list[TopicPreference]
    channels: list[int]


class PreferenceUpdate(msgspec.Struct, frozen=True):
    """The numbers of the channels that a person wants a topic on; none at all ends the subscription."""

    topic_id: str
    channels: Sequence[int]


class PreferenceService:
    """Shows and changes preferences of a brand that has them enabled, never telling whether a customer exists.

    All calls raise Invalid ("check preference center configuration") for a tenant number, a brand or a setting that does
    not fit, and for an external id that cannot be one.
    """

    def __init__(self, db: Database, brands: BrandDirectory) -> None:
        self._db = db
        self._brands = brands

    async def customer(self, tenant: int, brand_id: UUID, external_id: str) -> UUID:
        """The id that the person has or would have: the cheap part of both other calls, to be asked before them."""
        await self._brand(tenant, brand_id)
        return _id(brand_id, external_id)

    async def get(self, tenant: int, brand_id: UUID, external_id: str) -> Preferences:
        """The preferences of that person; of a person who does not exist, every topic without a channel."""
        await self._brand(tenant, brand_id)
        customer = _id(brand_id, external_id)
        async with self._db.read() as conn:
            topics = await topic_store.offered_topics(conn, brand_id, limit=TOPICS_MAX)
            customer = await customer_store.survivor_of(conn, brand_id, customer)
            person = await customer_store.customer_by_id(conn, brand_id, customer)
            subscriptions = await consent_store.subscriptions_of(conn, brand_id, customer) if person else []
        shown = _shown(topics) & ~(person.refused_mask if person else 0)
        chosen = {subscription.topic_id: subscription.channels & shown for subscription in subscriptions}
        return Preferences(
            topics=[
                TopicPreference(topic.id, topic.name, topic.description, _numbers(chosen.get(topic.id, 0)))
                for topic in topics
            ],
            channels=_numbers(_shown(topics)),
        )

    async def put(
        self,
        tenant: int,
        brand_id: UUID,
        external_id: str,
        updates: Sequence[PreferenceUpdate],
        *,
        ip: IPv4Address | IPv6Address | None,
    ) -> None:
        """Changes the topics that are listed and no others, all of them or none; makes a person who does not exist.

        Where the brand wants opt-ins confirmed, an opt-in is only noted in the ledger as requested. Raises Invalid with a
        pointer (`/0/topicId`) for a topic that is not offered or listed twice, and for a channel that is not configured.
        """
        brand = await self._brand(tenant, brand_id)
        customer = _id(brand_id, external_id)
        act = Act(source=Source.UNAUTHENTICATED, ip=ip)

        async def work(conn: Connection) -> None:
            topics = await topic_store.offered_topics(conn, brand_id, limit=TOPICS_MAX)
            # Whoever was merged into somebody speaks of that one, and is not made anew.
            person = await customer_store.survivor_of(conn, brand_id, customer)
            choices = _checked(person, topics, updates)
            if person == customer:
                rows = take_in(brand_id, Given.of([CustomerPatch(external_id=external_id)])).rows
                stored = await upsert(conn, brand_id, rows, None)
                if stored.refused:
                    # Merged since it was asked.
                    raise Overtaken
            if not brand.settings.unauthenticated_opt_in_counts:
                await _request(conn, brand_id, choices, act)
                choices = [Choice(choice.customer_id, choice.topic_id, remove=choice.remove) for choice in choices]
            await choose(conn, brand_id, choices, act)

        await until_settled(self._db, work)

    async def _brand(self, tenant: int, brand_id: UUID) -> Brand:
        brand = await self._brands.by_id(brand_id)
        if brand is None or brand.organisation_number != tenant or not brand.settings.preferences_enabled:
            raise Invalid(MISCONFIGURED)
        return brand


def _id(brand_id: UUID, external_id: str) -> UUID:
    try:
        return customer_id(brand_id, external_id)
    except ValueError as error:
        raise Invalid.field("/customerId", "invalid-customer-id", str(error)) from None


def _shown(topics: Sequence[OfferedTopic]) -> int:
    mask = 0
    for topic in topics:
        mask |= topic.channels
    return mask & _SHOWABLE


def _numbers(mask: int) -> list[int]:
    return sorted(number for kind, number in CHANNEL_NUMBERS.items() if mask & kind.bit)


def _checked(customer: UUID, topics: Sequence[OfferedTopic], updates: Sequence[PreferenceUpdate]) -> list[Choice]:
    if len(updates) > UPDATES_MAX:
        raise Invalid(f"{len(updates)} topics in one request; at most {UPDATES_MAX}. Send several.")
    offered = {str(topic.id): topic for topic in topics}
    shown = _shown(topics)
    choices: dict[UUID, Choice] = {}
    violations: list[Violation] = []
    for place, update in enumerate(updates):
        if len(violations) >= VIOLATIONS_MAX:
            break
        topic = offered.get(update.topic_id.lower())
        if topic is None:
            text = f"There is no topic {update.topic_id!r}; take the ids from a GET."
            violations.append(Violation(f"/{place}/topicId", "unknown-topic", text))
            continue
        if topic.id in choices:
            text = f"The topic {update.topic_id!r} is listed twice; list it once."
            violations.append(Violation(f"/{place}/topicId", "repeated-topic", text))
        add = 0
        for index, number in enumerate(update.channels):
            kind = _KIND_OF.get(number)
            if kind is None or not shown & kind.bit:
                text = f"The channel {number} is none of {_numbers(shown)}."
                violations.append(Violation(f"/{place}/channelSubscription/{index}", "unknown-channel", text))
            else:
                add |= kind.bit
        # A subscription may have channels that are not shown: only an empty list ends these too.
        remove = shown & ~add if update.channels else ALL_CHANNELS_MASK
        choices[topic.id] = Choice(customer, topic.id, add, remove)
    if violations:
        raise Invalid(violations[0].message, violations=violations)
    return list(choices.values())


async def _request(conn: Connection, brand_id: UUID, choices: Sequence[Choice], act: Act) -> None:
    present = await consent_store.subscribed_channels(
        conn, brand_id, [(choice.customer_id, choice.topic_id) for choice in choices]
    )
    entries = [
        Entry(choice.customer_id, "requested", choice.topic_id, more)
        for place, choice in enumerate(choices)
        if (more := choice.add & ~(present.get(place) or 0))
    ]
    if entries:
        await consent_store.append_events(conn, brand_id, entries, act)
