"""What the demo tells: the match of the example, its topic, its mail in three languages, its event generator."""

import itertools
from importlib import resources
from typing import Any
from uuid import UUID

import msgspec

from stentor.accounts.model import Brand, NewKey
from stentor.accounts.service import AccountService
from stentor.api.services import Services
from stentor.audience.model import TopicDraft
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route, TemplateContent
from stentor.channels.model import NewSender
from stentor.channels.partners.model import Credentials
from stentor.cli.demo.partner import welcome_partner
from stentor.domain.vocabulary import ChannelKind

BRAND = "Gridiron Fan Club"
TOPIC = "event_reminders+NFL"
GENERATOR = "match-start"
CONTEXT: dict[str, Any] = {
    "match_id": "nfl-2025-001",
    "match_name": "San Francisco 49ers vs Kansas City Chiefs",
    "league": "NFL",
    "start_time": "2025-10-12T18:00:00Z",
    "venue": "Levi's Stadium",
    "url": "https://example.com/nfl/49ers-chiefs",
}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": sorted(CONTEXT),
    "properties": {
        name: {"type": "string", "format": "date-time"}
        if name == "start_time"
        else {"type": "string", "maxLength": 500}
        for name in CONTEXT
    },
}
_SUBJECTS = {
    "en": "{{ context.match_name }} starts soon",
    "de": "{{ context.match_name }}: gleich geht es los",
    "es": "{{ context.match_name }} está por comenzar",
}


class Stage(msgspec.Struct, frozen=True):
    """A brand that is ready to be called: its key, its topic, behind `GENERATOR` its published campaign, and a partner."""

    brand: Brand
    key: NewKey
    topic_id: UUID
    partner: Credentials


async def set_the_stage(services: Services, smtp: tuple[str, int] | None) -> Stage:
    """Makes brand, key, topic, template, campaign and generator, publishes it, and welcomes a partner.

    With `smtp` (host, port) the mail goes to that server instead of the sandbox.
    """
    accounts = services.accounts
    brand = await accounts.create_brand(await _free_name(accounts))
    await accounts.update_brand_settings(
        brand.id, {"from_name": BRAND, "from_address": "hello@gridiron.example", "run_rate_per_s": 500}
    )
    key = await accounts.create_key("Demo", brand_id=brand.id)
    topic = await services.topics.create(
        brand.id,
        TopicDraft(
            key=TOPIC,
            name="Match reminders",
            description="When a match is about to start.",
            channels=ChannelKind.EMAIL.bit,
        ),
    )
    template = await services.templates.create(
        brand.id, name="Match start", channel=ChannelKind.EMAIL, content=_content()
    )
    sender_id = None
    if smtp is not None:
        host, port = smtp
        settings = {"host": host, "port": port, "security": "none", "envelope_from": "bounces@gridiron.example"}
        new = NewSender(name="Demo relay", channel=ChannelKind.EMAIL, kind="smtp", settings=settings)
        sender_id = (await services.senders.create(brand.id, new)).id
    campaign = await services.campaigns.create(
        brand.id,
        CampaignDraft(
            name="Match start notifications",
            consent_basis="topic",
            routes=(Route(channel=ChannelKind.EMAIL, template_id=template.id, sender_id=sender_id),),
        ),
    )
    draft = GeneratorDraft(name="Match start notifications", campaign_id=campaign.id, context_schema=_SCHEMA)
    await services.generators.create(brand.id, draft, generator_id=GENERATOR)
    await services.generators.publish(brand.id, GENERATOR)
    return Stage(brand, key, topic.id, await welcome_partner(services, brand))


async def _free_name(accounts: AccountService) -> str:
    """The club's name; with a number where an earlier demo in the same data directory made the club already."""
    taken = {brand.name for brand in await accounts.brands()}
    numbers = itertools.count(2)
    name = BRAND
    while name in taken:
        name = f"{BRAND} {next(numbers)}"
    return name


def _content() -> TemplateContent:
    folder = resources.files("stentor.cli.demo").joinpath("mail")
    return TemplateContent(
        default_language="en",
        variants={
            language: {
                "subject": subject,
                "html": folder.joinpath(f"{language}.html.liquid").read_text(encoding="utf-8"),
            }
            for language, subject in _SUBJECTS.items()
        },
    )
