"""The brand that is tortured: for each topic a generator of the same name, a campaign, and the sender that it goes by."""

from collections.abc import Mapping, Sequence

import msgspec

from stentor.accounts.model import Brand, NewKey
from stentor.audience.model import TopicDraft
from stentor.campaigns.model import Basis, CampaignDraft, CampaignKind, GeneratorDraft, LaneName, Route, TemplateContent
from stentor.channels.model import InDoubtPolicy, NewSender
from stentor.channels.sandbox.model import ChaosRule
from stentor.domain.policy import BrandCap, BrandPolicy, CampaignPolicy
from stentor.domain.quiet_hours import QuietRule
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.http_local import SECRET
from stentor.wiring.core import Core
from stentor.wiring.services import services

CONNECTIONS_MAX = 4
"""Of each worker to a relay: enough to have several cut at once, few enough to be counted."""

HOOK_TIMEOUT_S = 5.0
"""How long the answer of a receiver is waited for, so that silence is over within a run."""

_WEBHOOK = {"body": '{"to": "{{ external_id }}@example.com", "text": "News"}'}
_MAIL = {"subject": "News", "html": "<p>Hello {{ external_id }}</p>", "text": "Hello {{ external_id }}"}


class Relay(msgspec.Struct, frozen=True):
    """An SMTP server on this machine as a sender; `policy` is for what is in doubt.

    What goes by the transactional lane needs no consent, and is for messages to named recipients. `tag` is what the caps of
    the brand know the campaign by; `quiet_hours` are the campaign's own. One of another kind is run itself, by the channels' flags.
    """

    port: int
    policy: InDoubtPolicy = "at_most_once"
    pace_per_s: float | None = None
    tag: str = ""
    lane: LaneName = "bulk"
    kind: CampaignKind = "api_triggered"
    quiet_hours: tuple[QuietRule, ...] = ()

    @property
    def campaign_policy(self) -> CampaignPolicy:
        """What holds for the campaign that goes by it."""
        return CampaignPolicy(tags=(self.tag,) if self.tag else (), quiet_hours=self.quiet_hours)


class Hook(Relay, frozen=True):
    """A webhook's receiver on this machine. What is in doubt is sent again, as with any webhook whose sender says nothing."""

    batch_max: int = 1


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
            "key_rate_per_s": 0,
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
    mail = await served.templates.create(brand.id, name="News", channel=ChannelKind.EMAIL, content=content)
    content = TemplateContent("en", {"en": _WEBHOOK})
    webhook = await served.templates.create(brand.id, name="Event", channel=ChannelKind.WEBHOOK, content=content)
    senders = await served.senders.page(brand.id)
    sandbox = next(sender for sender in senders if sender.channel is ChannelKind.EMAIL)
    for topic, relay in topics.items():
        channel, template = ChannelKind.EMAIL, mail
        if isinstance(relay, Hook):
            channel, template = ChannelKind.WEBHOOK, webhook
        draft = TopicDraft(key=topic, name=topic, channels=channel.bit)
        await served.topics.create(brand.id, draft)
        sender = sandbox if relay is None else await served.senders.create(brand.id, _sender(topic, relay))
        route = Route(channel=channel, template_id=template.id, sender_id=sender.id)
        lane: LaneName = "bulk" if relay is None else relay.lane
        kind: CampaignKind = "api_triggered" if relay is None else relay.kind
        campaign = await served.campaigns.create(
            brand.id,
            CampaignDraft(
                name=topic,
                consent_basis=_basis(relay),
                kind=kind,
                routes=(route,),
                lane=lane,
                policy=CampaignPolicy() if relay is None else relay.campaign_policy,
            ),
        )
        if kind != "api_triggered":
            await served.campaigns.publish(brand.id, campaign.id)
            continue
        await served.generators.create(
            brand.id, GeneratorDraft(name=topic, campaign_id=campaign.id), generator_id=topic
        )
        await served.generators.publish(brand.id, topic)
    return Stage(brand, key)


def _basis(relay: Relay | None) -> Basis:
    if relay is not None and relay.kind != "api_triggered":
        return "channel"
    return "none" if relay is not None and relay.lane == "transactional" else "topic"


def _sender(name: str, relay: Relay) -> NewSender:
    if isinstance(relay, Hook):
        return _hook_sender(name, relay)
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


def _hook_sender(name: str, hook: Hook) -> NewSender:
    settings = {
        "url": f"http://127.0.0.1:{hook.port}/{name}",
        "batch_max": hook.batch_max,
        "connections_max": CONNECTIONS_MAX,
        "timeout_s": HOOK_TIMEOUT_S,
    }
    return NewSender(
        name=name,
        channel=ChannelKind.WEBHOOK,
        kind="webhook",
        settings=settings,
        secret=SECRET,
        pace_per_s=hook.pace_per_s,
    )
