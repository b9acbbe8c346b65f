"""The partner channel of the brand that is tortured, and the service that executes it, a process that the nemesis never touches."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import LiteralString
from uuid import UUID

import msgspec
import psycopg

from stentor.audience.model import TopicDraft
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route
from stentor.channels.partners.model import NewTemplate
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.far_side import SinkModule
from stentor.testing.torture.stage import Stage
from stentor.testing.waiting import eventually
from stentor.wiring.core import Core
from stentor.wiring.services import services

TOPIC = "pulled"
"""What goes out by the partner channel."""

SUBSCRIBERS = 500
_CHANNEL, _TEMPLATE = 505, 7
_STOP_S = 120.0  # it does what it has not done, and reads all feeds once more
_WATCHED_WITHIN_S = 60.0


class Told(msgspec.Struct, frozen=True):
    """What the service is told by its operator: where the hub is, its keys, the brand, and its ChannelID. The seed is for its own mishaps."""

    url: str
    brand_id: UUID
    token: str
    key: str
    channel: int
    seed: int


async def add_partner(core: Core, stage: Stage, *, url: str, seed: int) -> Told:
    """Makes the topic, its generator, a partner channel that its campaign goes out by, and a client that executes it."""
    served, brand_id = services(core), stage.brand.id
    # Whoever repeats what was not answered is not to be held up by a limit that has tests of its own.
    await served.accounts.update_brand_settings(brand_id, {"hub_rate_per_10_s": 0})
    await served.topics.create(brand_id, TopicDraft(key=TOPIC, name=TOPIC, channels=ChannelKind.EMAIL.bit))
    channel = await served.partner_channels.create(brand_id, "Letters", ChannelKind.EMAIL, number=_CHANNEL)
    await served.partner_content.add_templates(brand_id, _CHANNEL, [NewTemplate(_TEMPLATE, "News")])
    template = await served.partner_content.template(brand_id, _CHANNEL, _TEMPLATE)
    client = await served.hub_clients.create(brand_id, "Letters", "letters", {_CHANNEL: ()})
    route = Route(channel=ChannelKind.EMAIL, template_id=template.id, sender_id=channel.sender_id)
    campaign = await served.campaigns.create(
        brand_id, CampaignDraft(name=TOPIC, consent_basis="topic", lane="bulk", routes=(route,))
    )
    await served.generators.create(brand_id, GeneratorDraft(name=TOPIC, campaign_id=campaign.id), generator_id=TOPIC)
    await served.generators.publish(brand_id, TOPIC)
    return Told(url, brand_id, stage.key.token, client.api_key, _CHANNEL, seed)


def subscribers(draw: random.Random, people: int) -> dict[str, list[str]]:
    """Who is in the topic."""
    return {TOPIC: draw.sample([f"fan-{number}" for number in range(people)], SUBSCRIBERS)}


@asynccontextmanager
async def executing(told: Told, ledger: Path) -> AsyncIterator[None]:
    """`python -m stentor.testing.torture.service` for the length of the block. At its end it reads on to the end of all there is.

    The hub has to answer when it begins, and until it has ended.
    """
    # A file, because whoever lists processes reads what they were started with.
    secrets = ledger.with_name("service.json")
    secrets.touch(mode=0o600)
    secrets.write_bytes(msgspec.json.encode(told))
    arguments = ["--told", str(secrets), "--ledger", str(ledger)]
    process = SinkModule("stentor.testing.torture.service", arguments, stop_s=_STOP_S)
    # In threads, because what it talks to goes through proxies of this loop.
    await asyncio.to_thread(process.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(process.stop)


async def until_watched(dsn: str, at_s: float) -> None:
    """Comes back when everybody who said no before that second since the epoch was looked at, or when that takes too long."""

    async def is_watched() -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(dsn) as conn:
                row = await (await conn.execute(_WATCHED_TO, [at_s])).fetchone()
        except psycopg.OperationalError:
            return False
        return row == (True,)

    with suppress(AssertionError):
        await eventually(is_watched, _WATCHED_WITHIN_S)


# A brand of which nothing was pulled is not watched.
_WATCHED_TO: LiteralString = "SELECT coalesce(bool_and(watched_to > to_timestamp(%s)), true) FROM pull_watch"
