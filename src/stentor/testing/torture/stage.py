"""The brand that is tortured: for each topic a generator of the same name, a campaign, and the sender that it goes by."""

from collections.abc import Mapping, Sequence

import msgspec

from stentor.accounts.model import Brand, NewKey
from stentor.audience.model import TopicDraft
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, LaneName, Route, TemplateContent
from stentor.channels.model import InDoubtPolicy, NewSender
from stentor.channels.sandbox.model import ChaosRule
from stentor.domain.policy import BrandCap, BrandPolicy, CampaignPolicy
from stentor.domain.quiet_hours import QuietRule
from stentor.domain.vocabulary import ChannelKind
from stentor.wiring import Core, services

CONNECTIONS_MAX = 4
"""Of each worker to a relay: enough to have several cut at once, few enough to be counted."""

_MAIL = {"subject": "News", "html": "<p>Hello {{ external_id }}</p>", "text": "Hello {{ external_id }}"}


class Relay(msgspec.Struct, frozen=True):
    """An SMTP server on this machine as a sender; `policy` is for what is in doubt.

    What goes by the transactional lane needs no consent, and is for messages to named recipients. `tag` is what the caps of
    the brand know the campaign by; `quiet_hours` are the campaign's own.
    """

    port: int
    policy: InDoubtPolicy = "at_most_once"
    pace_per_s: float | None = None
    tag: str = ""
    lane: LaneName = "bulk"
    quiet_hours: tuple[QuietRule, ...] = ()

    @property
    def campaign_policy(self) -> CampaignPolicy:
        """What holds for the campaign that goes by it."""
        return CampaignPolicy(tags=(self.tag,) if self.tag else (), quiet_hours=self.quiet_hours)


class Stage(msgspec.Struct, frozen=True):
    """The brand and its key."""

    brand: Brand
    key: NewKey


async def set_stage(core: Core, topics: Mapping[str, Relay | None], *, caps: Sequence[BrandCap] = ()) -> Stage:
    """Makes it all; `caps` hold from before the first message.

    A topic without a relay goes to the sandbox, where `dropper@…` is in doubt, `bouncer@…` bounces and all else is delivered.
    """
    served = services(core)
    brand = await served.accounts.create_brand("Rovers")
    brand = await served.accounts.update_brand_settings(
        brand.id,
        {
            "from_address": "news@rovers.example",
            "run_rate_per_s": 1_000_000,
            "policy": msgspec.to_builtins(BrandPolicy(caps=tuple(caps))),
        },
    )
    key = await served.accounts.create_key("Torture", brand_id=brand.id)
    await served.inbox.set_chaos(
        brand.id,
        [
            ChaosRule(effect="drop", recipients="dropper@*"),
            ChaosRule(effect="bounce", recipients="bouncer@*"),
            ChaosRule(effect="delay"),
        ],
    )
    content = TemplateContent("en", {"en": _MAIL})
    template = await served.templates.create(brand.id, name="News", channel=ChannelKind.EMAIL, content=content)
    senders = await served.senders.page(brand.id)
    sandbox = next(sender for sender in senders if sender.channel is ChannelKind.EMAIL)
    for topic, relay in topics.items():
        draft = TopicDraft(key=topic, name=topic, channels=ChannelKind.EMAIL.bit)
        await served.topics.create(brand.id, draft)
        sender = sandbox if relay is None else await served.senders.create(brand.id, _sender(topic, relay))
        route = Route(channel=ChannelKind.EMAIL, template_id=template.id, sender_id=sender.id)
        lane: LaneName = "bulk" if relay is None else relay.lane
        campaign = await served.campaigns.create(
            brand.id,
            CampaignDraft(
                name=topic,
                consent_basis="none" if lane == "transactional" else "topic",
                routes=(route,),
                lane=lane,
                policy=CampaignPolicy() if relay is None else relay.campaign_policy,
            ),
        )
        await served.generators.create(
            brand.id, GeneratorDraft(name=topic, campaign_id=campaign.id), generator_id=topic
        )
        await served.generators.publish(brand.id, topic)
    return Stage(brand, key)


def _sender(name: str, relay: Relay) -> NewSender:
    settings = {
        "host": "127.0.0.1",
        "port": relay.port,
        "security": "none",
        "envelope_from": "bounces@rovers.example",
        "connections_max": CONNECTIONS_MAX,
    }
    return NewSender(
        name=name,
        channel=ChannelKind.EMAIL,
        kind="smtp",
        settings=settings,
        in_doubt=relay.policy,
        pace_per_s=relay.pace_per_s,
    )
