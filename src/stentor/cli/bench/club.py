"""The brand that benches work with: people, topics, the fixture mail, and no limit of rate."""

from collections.abc import Iterator
from uuid import UUID

import msgspec

from stentor.accounts.model import Brand, NewKey
from stentor.audience.model import FileKind, TopicDraft
from stentor.campaigns.model import Basis, CampaignDraft, GeneratorDraft, LaneName, Route, TemplateContent
from stentor.channels.model import NewSender, Sender
from stentor.cli.bench import fixtures
from stentor.cli.premises import Premises, import_blocks
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind

GENERATOR = "kick-off"
_CONNECTIONS_MAX = 10
"""Of each worker to the sink; two workers keep below the 20 that large relays allow one client."""


class Club(msgspec.Struct, frozen=True):
    """A brand that is ready to be called: behind `GENERATOR` lies the fixture mail."""

    brand: Brand
    key: NewKey
    sender: Sender
    template_id: UUID


async def found_club(premises: Premises, *, name: str = "Bench Rovers", smtp_port: int | None = None) -> Club:
    """Makes the brand and publishes its mail; it goes to the SMTP server at that port of this machine, or the sandbox."""
    served = premises.services
    brand = await served.accounts.create_brand(name)
    changes = {
        "from_name": name,
        "from_address": "news@rovers.example",
        "postal_address": "1 Stadium Road, Harbour City",
        "default_country": fixtures.REGION,
        "run_rate_per_s": 1_000_000,
        # What is measured is how much there is to be had.
        "user_rate_per_min": 0,
        "batch_rate_per_min": 0,
        "key_rate_per_s": 0,
    }
    brand = await served.accounts.update_brand_settings(brand.id, changes)
    key = await served.accounts.create_key("Bench", brand_id=brand.id)
    sender = await (_sandbox(premises, brand) if smtp_port is None else _relay(premises, brand, smtp_port))
    content = TemplateContent("en", {"en": fixtures.mail()})
    template = await served.templates.create(brand.id, name="Kick-off", channel=ChannelKind.EMAIL, content=content)
    club = Club(brand, key, sender, template.id)
    await add_generator(premises, club, GENERATOR)
    return club


async def add_generator(
    premises: Premises,
    club: Club,
    generator_id: str,
    *,
    lane: LaneName = "bulk",
    basis: Basis = "topic",
    policy: CampaignPolicy | None = None,
) -> None:
    """Publishes the fixture mail behind one more event generator."""
    served = premises.services
    route = Route(channel=ChannelKind.EMAIL, template_id=club.template_id, sender_id=club.sender.id)
    campaign = CampaignDraft(
        name=generator_id, consent_basis=basis, lane=lane, policy=policy or CampaignPolicy(), routes=(route,)
    )
    made = await served.campaigns.create(club.brand.id, campaign)
    draft = GeneratorDraft(name=generator_id, campaign_id=made.id, context_schema=fixtures.CONTEXT_SCHEMA)
    await served.generators.create(club.brand.id, draft, generator_id=generator_id)
    await served.generators.publish(club.brand.id, generator_id)


async def add_people(premises: Premises, club: Club, people: int) -> None:
    """Imports that many."""
    await _import(premises, club, "customers", fixtures.customers(people))


async def add_topics(premises: Premises, club: Club, topic_keys: list[str], people: int) -> None:
    """Makes the topics; the first `people` opt in to them, each to one."""
    for topic_key in topic_keys:
        draft = TopicDraft(key=topic_key, name=topic_key, channels=ChannelKind.EMAIL.bit)
        await premises.services.topics.create(club.brand.id, draft)
    await _import(premises, club, "subscriptions", fixtures.subscriptions(topic_keys, people))


async def _import(premises: Premises, club: Club, kind: FileKind, blocks: Iterator[bytes]) -> None:
    await import_blocks(premises, club.brand.id, kind, blocks, source=f"the bench's {kind}", region=fixtures.REGION)


async def _sandbox(premises: Premises, brand: Brand) -> Sender:
    senders = await premises.services.senders.page(brand.id)
    return next(sender for sender in senders if sender.channel is ChannelKind.EMAIL)


async def _relay(premises: Premises, brand: Brand, port: int) -> Sender:
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "envelope_from": "bounces@rovers.example",
        "connections_max": _CONNECTIONS_MAX,
    }
    new = NewSender(name="Sink", channel=ChannelKind.EMAIL, kind="smtp", settings=settings)
    return await premises.services.senders.create(brand.id, new)
