"""Campaigns: which channels say what, in which order, on which consent."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from stentor.campaigns import campaign_store, template_store
from stentor.campaigns.model import Campaign, CampaignDraft, Route
from stentor.campaigns.naming import NAME_CHARS_MAX
from stentor.channels.service import find_sender
from stentor.db.connection import Connection
from stentor.db.names import name_free, name_taken
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.policy import policy_violations
from stentor.domain.text import checked_name
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound, Violation

PAGE_MAX = 100
# A send is one person on one channel, so a campaign speaks on each channel once.
ROUTES_MAX = len(ChannelKind)


class CampaignService:
    """Makes, changes and lists campaigns. What runs is what a generator was published with, not what is edited here."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, brand_id: UUID, draft: CampaignDraft) -> Campaign:
        """The new campaign. Raises Invalid, and Conflict when the name is taken."""
        draft = _checked(draft)
        campaign_id = new_id()
        async with self._db.transaction() as conn:
            await _check_routes(conn, brand_id, draft.routes)
            if not await campaign_store.insert_campaign(conn, brand_id, campaign_id, draft):
                raise name_taken("campaign", draft.name)
            return await _found(conn, brand_id, campaign_id)

    async def update(self, brand_id: UUID, campaign_id: UUID, draft: CampaignDraft) -> Campaign:
        """The campaign, replaced as a whole. Raises Invalid, NotFound, and Conflict when the name is taken."""
        draft = _checked(draft)
        async with self._db.transaction() as conn:
            await _found(conn, brand_id, campaign_id)
            await _check_routes(conn, brand_id, draft.routes)
            with name_free("campaign", draft.name):
                await campaign_store.update_campaign(conn, brand_id, campaign_id, draft)
            return await _found(conn, brand_id, campaign_id)

    async def get(self, brand_id: UUID, campaign_id: UUID) -> Campaign:
        """The campaign as it is edited. Raises NotFound."""
        async with self._db.read() as conn:
            return await _found(conn, brand_id, campaign_id)

    async def page(self, brand_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX) -> list[Campaign]:
        """At most `limit` (and 100) campaigns in the order of their making, from behind the id `after`."""
        async with self._db.read() as conn:
            return await campaign_store.page_of_campaigns(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))

    async def delete(self, brand_id: UUID, campaign_id: UUID) -> None:
        """Removes the campaign. Raises NotFound, and Conflict when a generator names it or it was ever published."""
        async with self._db.transaction() as conn:
            if not await campaign_store.lock_campaign(conn, brand_id, campaign_id):
                raise _missing(campaign_id)
            if users := await campaign_store.generators_of_campaign(conn, brand_id, campaign_id):
                raise Conflict(
                    f"Event generators run this campaign: {', '.join(users)}. Point them at another one first."
                )
            if await campaign_store.was_published(conn, brand_id, campaign_id):
                raise Conflict("This campaign was published, and executions refer to it. Keep it for their reports.")
            await campaign_store.delete_campaign(conn, brand_id, campaign_id)


async def known_campaigns(conn: Connection, brand_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these ids are campaigns of the brand."""
    return set(await campaign_store.campaigns_by_id(conn, brand_id, ids))


def _checked(draft: CampaignDraft) -> CampaignDraft:
    violations: list[Violation] = []
    if not 1 <= len(draft.routes) <= ROUTES_MAX:
        text = f"A campaign has 1 to {ROUTES_MAX} routes; say at least one channel and its template."
        violations.append(Violation("/routes", "routes-count", text))
    uses = Counter(route.channel for route in draft.routes)
    for index, route in enumerate(draft.routes):
        if uses[route.channel] > 1:
            text = (
                f"The channel {route.channel.label} stands in more than one route; a campaign uses each channel once."
            )
            violations.append(Violation(f"/routes/{index}/channel", "repeated-channel", text))
    violations += policy_violations(draft.policy, "/policy")
    if violations:
        raise Invalid(violations[0].message, violations=violations)
    return msgspec.structs.replace(draft, name=checked_name(draft.name, NAME_CHARS_MAX))


async def _check_routes(conn: Connection, brand_id: UUID, routes: Sequence[Route]) -> None:
    templates = await template_store.share_templates(conn, brand_id, {route.template_id for route in routes})
    violations = [
        violation
        for index, route in enumerate(routes)
        for violation in (
            *_template_violations(templates, route, f"/routes/{index}/template_id"),
            *await _sender_violations(conn, brand_id, route, f"/routes/{index}/sender_id"),
        )
    ]
    if violations:
        raise Invalid(violations[0].message, violations=violations)


def _template_violations(
    templates: Mapping[UUID, tuple[ChannelKind, int]], route: Route, pointer: str
) -> list[Violation]:
    if route.template_id not in templates:
        return [
            Violation(pointer, "unknown-template", f"This brand has no template {route.template_id}; create it first.")
        ]
    channel, _ = templates[route.template_id]
    if channel is not route.channel:
        text = f"This template is for {channel.label}; choose one for {route.channel.label}."
        return [Violation(pointer, "wrong-channel", text)]
    return []


async def _sender_violations(conn: Connection, brand_id: UUID, route: Route, pointer: str) -> list[Violation]:
    if route.sender_id is None:
        return []
    sender = await find_sender(conn, brand_id, route.sender_id)
    if sender is None:
        text = f"This brand has no sender {route.sender_id}; create it, or leave it out for the channel's default."
        return [Violation(pointer, "unknown-sender", text)]
    if sender.channel is not route.channel:
        text = f"This sender is for {sender.channel.label}; choose one for {route.channel.label}."
        return [Violation(pointer, "wrong-channel", text)]
    return []


async def _found(conn: Connection, brand_id: UUID, campaign_id: UUID) -> Campaign:
    campaign = await campaign_store.find_campaign(conn, brand_id, campaign_id)
    if campaign is None:
        raise _missing(campaign_id)
    return campaign


def _missing(campaign_id: UUID) -> NotFound:
    return NotFound(f"This brand has no campaign {campaign_id}.")
