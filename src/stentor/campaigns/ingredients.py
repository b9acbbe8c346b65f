"""Everything that a publication would freeze if it were made now."""

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import msgspec

from stentor.accounts.service import find_brand
from stentor.audience.segments.expressions import Expression
from stentor.campaigns import campaign_store, template_store
from stentor.campaigns.content import brand_fields
from stentor.campaigns.experiments import Experiment
from stentor.campaigns.model import (
    Basis,
    CampaignDraft,
    Deduplication,
    LaneName,
    Mode,
    PartnerContent,
    Route,
    Step,
)
from stentor.campaigns.partnered import partner_contents
from stentor.campaigns.steps import When
from stentor.channels.model import SenderKind
from stentor.channels.service import default_sender, find_sender
from stentor.db.connection import Connection
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind

_FINGERPRINT_BYTES = 16


class RouteIngredients(msgspec.Struct, frozen=True, omit_defaults=True):
    """One channel: the template in its newest version, who would carry it, for whom and by which app.

    With a `partner` the template is an outside service's, which has no versions, and so is the sender; `is_gone` says that the service
    deleted it, or that its channel was deleted.

    What is not said is no part of a fingerprint, so that what was published before it could be said is not stale for it.
    """

    channel: ChannelKind
    template_id: UUID
    template_version: int
    sender_id: UUID
    sender_kind: SenderKind | None
    """None for a sender that was chosen for the route and deleted since."""
    when: Expression | None = None
    app: str | None = None
    arm: str | None = None
    partner: PartnerContent | None = None
    is_gone: bool = False


class StepIngredients(msgspec.Struct, frozen=True):
    """A step that follows: after how long, for whom, and what it says."""

    wait_s: int
    when: When | None
    mode: Mode
    routes: tuple[RouteIngredients, ...]


class Publishable(Protocol):
    """What names a campaign and can be published: a generator, or a campaign itself."""

    @property
    def id(self) -> str: ...
    @property
    def campaign_id(self) -> UUID: ...
    @property
    def context_schema(self) -> dict[str, Any] | None: ...
    @property
    def deduplication(self) -> Deduplication | None: ...


class CampaignItself(msgspec.Struct, frozen=True):
    """A campaign that is published without a generator.

    Nobody calls it with a context that every message could count on, so that a bare name means the person, and who prints
    `context.x` has to say what stands there otherwise.
    """

    campaign_id: UUID

    @property
    def id(self) -> str:
        return str(self.campaign_id)

    @property
    def context_schema(self) -> dict[str, Any]:
        return {"type": "object"}

    @property
    def deduplication(self) -> None:
        return None


class Ingredients(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a generator, its campaign, its templates, its brand and its senders add up to.

    What is as it is by default is left out of the fingerprint, so that a field that is new changes nobody's.
    """

    campaign_id: UUID
    campaign_name: str
    consent_basis: Basis
    mode: Mode
    lane: LaneName
    policy: CampaignPolicy
    routes: tuple[RouteIngredients, ...]
    context_schema: dict[str, Any] | None
    deduplication: Deduplication | None
    brand: dict[str, Any]
    from_name: str
    from_address: str
    experiment: Experiment | None = None
    steps: tuple[StepIngredients, ...] = ()

    @property
    def template_ids(self) -> set[UUID]:
        """The brand's own templates of all its steps."""
        later = (route for step in self.steps for route in step.routes)
        return {route.template_id for route in (*self.routes, *later) if route.partner is None}

    @property
    def fingerprint(self) -> str:
        """Equal for equal ingredients, whatever the order of keys in their objects."""
        text = msgspec.json.encode(self, order="deterministic")
        return hashlib.blake2b(text, digest_size=_FINGERPRINT_BYTES).hexdigest()


async def gather(conn: Connection, brand_id: UUID, named: Sequence[Publishable]) -> dict[str, Ingredients]:
    """The ingredients of each by its id, in a handful of statements for all of them.

    One is missing whose campaign or template was changed for another and deleted between two of them.
    """
    brand = await find_brand(conn, brand_id)
    if brand is None:
        return {}
    campaigns = await campaign_store.campaigns_by_id(conn, brand_id, {row.campaign_id for row in named})
    routes = [route for campaign in campaigns.values() for route in all_routes(campaign)]
    versions = await template_store.template_versions(conn, brand_id, {route.template_id for route in routes})
    partnered = await partner_contents(conn, brand_id, [route for route in routes if route.template_id not in versions])
    own = [route for route in routes if route.template_id in versions]
    carriers = {key: await _carrier(conn, brand_id, key) for key in {_carrier_key(route) for route in own}}

    def of_route(route: Route) -> RouteIngredients:
        if (found := partnered.get((route.template_id, route.app))) is not None:
            template, content = found
            return RouteIngredients(
                channel=route.channel,
                template_id=route.template_id,
                template_version=0,
                sender_id=template.sender_id,
                sender_kind="listener",
                when=route.when,
                app=route.app,
                arm=route.arm,
                partner=content,
                is_gone=template.is_deleted,
            )
        sender_id, sender_kind = carriers[_carrier_key(route)]
        return RouteIngredients(
            channel=route.channel,
            template_id=route.template_id,
            template_version=versions[route.template_id],
            sender_id=sender_id,
            sender_kind=sender_kind,
            when=route.when,
            app=route.app,
            arm=route.arm,
        )

    def of_step(step: Step) -> StepIngredients:
        return StepIngredients(step.wait_s or 0, step.when, step.mode, tuple(map(of_route, step.routes)))

    return {
        row.id: Ingredients(
            campaign_id=campaign.id,
            campaign_name=campaign.name,
            consent_basis=campaign.consent_basis,
            mode=campaign.mode,
            lane=campaign.lane,
            policy=campaign.policy,
            routes=tuple(map(of_route, campaign.routes)),
            context_schema=row.context_schema,
            deduplication=row.deduplication,
            brand=brand_fields(brand),
            from_name=brand.settings.from_name or brand.name,
            from_address=brand.settings.from_address,
            experiment=campaign.experiment,
            steps=tuple(map(of_step, campaign.steps)),
        )
        for row in named
        if (campaign := campaigns.get(row.campaign_id)) is not None
        and all(
            route.template_id in versions or (route.template_id, route.app) in partnered
            for route in all_routes(campaign)
        )
    }


def all_routes(campaign: CampaignDraft) -> list[Route]:
    """The campaign's own routes, and those of its steps."""
    return [*campaign.routes, *(route for step in campaign.steps for route in step.routes)]


_CarrierKey: TypeAlias = tuple[ChannelKind, UUID | None]


def _carrier_key(route: Route) -> _CarrierKey:
    return route.channel, route.sender_id


async def _carrier(conn: Connection, brand_id: UUID, key: _CarrierKey) -> tuple[UUID, SenderKind | None]:
    """The sender that a route names, or the channel's default one, and its kind."""
    channel, chosen = key
    if chosen is None:
        sender = await default_sender(conn, brand_id, channel)
        return sender.id, sender.kind
    found = await find_sender(conn, brand_id, chosen)
    return chosen, None if found is None else found.kind
