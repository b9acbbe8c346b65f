"""What somebody sees and changes on the page behind a link in their messages: topics by channel, and nobody's address but a hint."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.audience import consent_store, customer_store, topic_store
from stentor.audience.consent import choose, set_flags
from stentor.audience.consent_store import Person
from stentor.audience.customer_store import survivor_of
from stentor.audience.customers import missing_customer
from stentor.audience.model import Act, Choice, Customer, FlagChoice, Source
from stentor.audience.refusing import addresses_of
from stentor.audience.topics import TOPICS_MAX
from stentor.audience.upsert import Overtaken, until_settled
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind, channel_mask
from stentor.optouts.service import remove_from_builtin

SHOWN_CHANNELS = channel_mask(kind for kind in ChannelKind if kind not in {ChannelKind.WEBHOOK, ChannelKind.EXTERNAL})
"""Those that a person knows of; the others are between systems."""

_DOTS = "•••••"


class TopicChoice(msgspec.Struct, frozen=True):
    """A topic with the channels that it can be had on by this person, and those that they have chosen (masks)."""

    topic_id: UUID
    name: str
    description: str
    offered: int
    chosen: int


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """All that is chosen. `email` and `phone` are hints, from which nobody learns an address; empty where there is none."""

    topics: list[TopicChoice]
    email: str
    phone: str
    break_until: datetime | None
    locale: str | None


class Wanted(msgspec.Struct, frozen=True):
    """A topic as the page showed it and as it came back: channels that could be chosen, and those that were (masks)."""

    shown: int
    on: int


class ChoiceService:
    """The choices of a brand's people, as they make them themselves."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, brand_id: UUID, customer: UUID) -> Choices | None:
        """What that person has chosen of all topics that are offered; None where nobody is there (any more)."""
        async with self._db.read() as conn:
            topics = await topic_store.offered_topics(conn, brand_id, limit=TOPICS_MAX)
            now = await survivor_of(conn, brand_id, customer)
            person = await customer_store.customer_by_id(conn, brand_id, now)
            if person is None:
                return None
            subscriptions = await consent_store.subscriptions_of(conn, brand_id, now)
        chosen = {each.topic_id: each.channels & ~person.refused_mask for each in subscriptions}
        shown = [
            TopicChoice(topic.id, topic.name, topic.description, offered, chosen.get(topic.id, 0) & offered)
            for topic in topics
            if (offered := topic.channels & person.address_mask & SHOWN_CHANNELS)
        ]
        return Choices(
            topics=shown,
            email=_email_hint(person),
            phone=_phone_hint(person),
            break_until=person.break_until,
            locale=person.locale,
        )

    async def save(self, brand_id: UUID, customer: UUID, wanted: Mapping[UUID, Wanted], act: Act) -> None:
        """Makes these choices and leaves all that was not shown as it is; what is chosen anew outweighs an earlier "nothing more".

        `act` comes from the signed page. Topics that are gone are left out. Raises ValueError for another source, and
        NotFound where nobody is there.
        """
        if act.source is not Source.PREFERENCE_PAGE:
            raise ValueError(f"{act.source} is not the page: it may not lift an opt-out.")

        async def work(conn: Connection) -> None:
            person = await survivor_of(conn, brand_id, customer)
            offered = {
                topic.id: topic.channels & SHOWN_CHANNELS
                for topic in await topic_store.offered_topics(conn, brand_id, limit=TOPICS_MAX)
            }
            choices = [
                Choice(person, topic, each.on & each.shown & offered[topic], each.shown & ~each.on)
                for topic, each in wanted.items()
                if topic in offered
            ]
            known = await consent_store.lock_people(conn, brand_id, [person])
            if person not in known:
                if await survivor_of(conn, brand_id, customer) != person:
                    raise Overtaken
                raise missing_customer(customer)
            await _lift(conn, brand_id, known[person], choices, act)
            await choose(conn, brand_id, choices, act)

        await until_settled(self._db, work)


async def _lift(conn: Connection, brand_id: UUID, person: Person, choices: list[Choice], act: Act) -> None:
    """Takes back what stands against the channels that are chosen anew: the flag "no", and their addresses' opt-outs.

    The flag is unset then and not "yes": topics were chosen, and nothing beside them.
    """
    before = await consent_store.subscribed_channels(
        conn, brand_id, [(choice.customer_id, choice.topic_id) for choice in choices]
    )
    more = 0
    for place, choice in enumerate(choices):
        more |= choice.add & ~((before.get(place) or 0) & ~person.refused_mask)
    if more:
        await set_flags(conn, brand_id, [FlagChoice(person.customer_id, unset=more & person.refused_mask)], act)
        await remove_from_builtin(conn, brand_id, [digest for _, digest, _ in addresses_of(person, more)])


def _email_hint(person: Customer) -> str:
    """`a•••••r@example.org`; a short name shows no letter of it."""
    name, at, host = (person.email or "").rpartition("@")
    if not at or not person.valid_mask & ChannelKind.EMAIL.bit:
        return ""
    return f"{name[0]}{_DOTS}{name[-1]}@{host}" if len(name) > 3 else f"{_DOTS}@{host}"


def _phone_hint(person: Customer) -> str:
    """`•••••42`: the last two digits."""
    return f"{_DOTS}{person.phone[-2:]}" if person.phone and person.valid_mask & ChannelKind.SMS.bit else ""
