"""Campaigns: which channels say what, in which order, on which consent."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.accounts.audit import record
from stentor.campaigns import campaign_store, generator_store, template_store
from stentor.campaigns.campaign_store import CampaignRow
from stentor.campaigns.experiments import experiment_violations
from stentor.campaigns.ingredients import CampaignItself, all_routes, gather
from stentor.campaigns.model import Campaign, CampaignDraft, CampaignPublished, Step
from stentor.campaigns.naming import NAME_CHARS_MAX
from stentor.campaigns.partnered import check_is_external, partner_warnings
from stentor.campaigns.publishing import freeze
from stentor.campaigns.routing import check_routes, checked_routes
from stentor.campaigns.steps import STEPS_MAX, wait_violations, when_violations
from stentor.channels.partners.chosen import ChosenTemplate, offered_templates
from stentor.db.connection import Connection
from stentor.db.names import name_free, name_taken
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.policy import policy_violations
from stentor.domain.text import checked_name
from stentor.errors import Conflict, Invalid, NotFound, Violation

PAGE_MAX = 100
CAMPAIGNS_MAX = 5_000


class CampaignService:
    """Makes, changes, publishes and lists campaigns. What runs is what was published, not what is edited here."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, brand_id: UUID, draft: CampaignDraft) -> Campaign:
        """The new campaign. Raises Invalid, Conflict when the name is taken, QuotaExceeded."""
        draft = _checked(draft)
        campaign_id = new_id()
        async with self._db.transaction() as conn:
            await check_quota(
                conn,
                brand_id,
                "campaigns",
                CAMPAIGNS_MAX,
                campaign_store.count_campaigns,
                remedy="Change one that is there, or delete those that were never published.",
            )
            await _check_names(conn, brand_id, draft)
            if not await campaign_store.insert_campaign(conn, brand_id, campaign_id, draft):
                raise name_taken("campaign", draft.name)
            campaign = await _found(conn, brand_id, campaign_id)
            await record(conn, "campaign.created", campaign_id, brand_id=brand_id, after=campaign)
            return campaign

    async def update(
        self, brand_id: UUID, campaign_id: UUID, draft: CampaignDraft, *, edited_from: datetime | None = None
    ) -> Campaign:
        """The campaign, replaced as a whole. `edited_from`: the `updated_at` of what the draft was made of.

        Raises Invalid, NotFound, and Conflict when the name is taken or somebody edited it since `edited_from`.
        """
        draft = _checked(draft)
        async with self._db.transaction() as conn:
            await campaign_store.lock_campaign(conn, brand_id, campaign_id)
            held = await _found(conn, brand_id, campaign_id)
            if edited_from is not None and edited_from != held.updated_at:
                raise edited_meanwhile()
            await _check_names(conn, brand_id, draft)
            with name_free("campaign", draft.name):
                await campaign_store.update_campaign(conn, brand_id, campaign_id, draft)
            changed = await _found(conn, brand_id, campaign_id)
            await record(conn, "campaign.updated", campaign_id, brand_id=brand_id, before=held, after=changed)
            return changed

    async def publish(self, brand_id: UUID, campaign_id: UUID) -> CampaignPublished:
        """Freezes the campaign and its templates as they are; what starts from now on runs that.

        Publishing what is published already changes nothing. Raises NotFound, Conflict for one that runs by event generators
        and when somebody edits at the same moment, and Invalid, naming each field that may be blank and each template that its
        outside service deleted.
        """
        itself = CampaignItself(campaign_id)
        async with self._db.read() as conn:
            campaign = await _found(conn, brand_id, campaign_id)
            if campaign.kind == "api_triggered":
                raise Conflict("This campaign runs by its event generators: publish those, or change its kind.")
            await check_is_external(conn, brand_id, campaign)
            ingredients = (await gather(conn, brand_id, [itself])).get(itself.id)
            if ingredients is None:
                raise _edited()
            unsynced = await partner_warnings(conn, brand_id, campaign)
            templates = await template_store.templates_in_full(conn, brand_id, ingredients.template_ids)
        # Up to seconds of MJML and CSS: not on the event loop, and not with a row locked.
        frozen = await asyncio.to_thread(freeze, ingredients, templates)
        async with self._db.transaction() as conn:
            await campaign_store.lock_campaign(conn, brand_id, campaign_id)
            await template_store.share_templates(conn, brand_id, ingredients.template_ids)
            row = await campaign_store.find_campaign(conn, brand_id, campaign_id)
            if row is None or row.campaign.kind == "api_triggered":
                raise _edited()
            if (await gather(conn, brand_id, [itself])).get(itself.id) != ingredients:
                raise _edited()
            held = await _found(conn, brand_id, campaign_id)
            if row.made_from != frozen.content.made_from:
                publication_id = new_id()
                publications = {**frozen.steps, publication_id: frozen.content}
                await generator_store.insert_publications(conn, brand_id, publications)
                await campaign_store.publish_campaign(conn, brand_id, campaign_id, publication_id)
            campaign = await _found(conn, brand_id, campaign_id)
            await record(conn, "campaign.published", campaign_id, brand_id=brand_id, before=held, after=campaign)
        return CampaignPublished(campaign, frozen.content.bindings, (*frozen.warnings, *unsynced))

    async def get(self, brand_id: UUID, campaign_id: UUID) -> Campaign:
        """The campaign as it is edited. Raises NotFound."""
        async with self._db.read() as conn:
            return await _found(conn, brand_id, campaign_id)

    async def page(self, brand_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX) -> list[Campaign]:
        """At most `limit` (and 100) campaigns in the order of their making, from behind the id `after`."""
        async with self._db.read() as conn:
            rows = await campaign_store.page_of_campaigns(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))
            return await _shown(conn, brand_id, rows)

    async def partner_templates(self, brand_id: UUID) -> list[ChosenTemplate]:
        """What outside services have synced that routes may name, the first `OFFERED_MAX` by channel and number."""
        async with self._db.read() as conn:
            return await offered_templates(conn, brand_id)

    async def count(self, brand_id: UUID) -> int:
        """How many campaigns the brand has."""
        async with self._db.read() as conn:
            return await campaign_store.count_campaigns(conn, brand_id)

    async def delete(self, brand_id: UUID, campaign_id: UUID) -> None:
        """Removes the campaign. Raises NotFound; Conflict when a generator or a condition names it, or it was ever published."""
        async with self._db.transaction() as conn:
            if not await campaign_store.lock_campaign(conn, brand_id, campaign_id):
                raise _missing(campaign_id)
            if users := await campaign_store.generators_of_campaign(conn, brand_id, campaign_id):
                raise Conflict(
                    f"Event generators run this campaign: {', '.join(users)}. Point them at another one first."
                )
            if await campaign_store.was_published(conn, brand_id, campaign_id):
                raise Conflict(
                    "This campaign was published or sent as a test, and executions refer to it. Keep it for them."
                )
            if naming := await campaign_store.conditions_naming_campaign(conn, brand_id, campaign_id):
                raise Conflict(f"Conditions name this campaign: {', '.join(naming)}. Change them first.")
            held = await _found(conn, brand_id, campaign_id)
            await campaign_store.delete_campaign(conn, brand_id, campaign_id)
            await record(conn, "campaign.deleted", campaign_id, brand_id=brand_id, before=held)


async def _shown(conn: Connection, brand_id: UUID, rows: Sequence[CampaignRow]) -> list[Campaign]:
    """The campaigns, each of those that are published themselves with whether it was edited since."""
    published = [CampaignItself(row.campaign.id) for row in rows if row.made_from is not None]
    ingredients = await gather(conn, brand_id, published) if published else {}
    today = {campaign_id: found.fingerprint for campaign_id, found in ingredients.items()}
    return [
        msgspec.structs.replace(
            row.campaign, is_stale=row.made_from is not None and row.made_from != today.get(str(row.campaign.id))
        )
        for row in rows
    ]


def _checked(draft: CampaignDraft) -> CampaignDraft:
    experiment = draft.experiment
    routes, violations = checked_routes(draft.routes, arms=[] if experiment is None else experiment.names)
    if experiment is not None:
        violations += experiment_violations(experiment, "/experiment")
    steps, of_steps = _checked_steps(draft.steps)
    violations += of_steps
    violations += policy_violations(draft.policy, "/policy")
    if draft.kind != "api_triggered" and draft.consent_basis == "topic":
        text = f"A campaign of the kind {draft.kind} has no topic; its consent_basis is `channel`."
        violations.append(Violation("/consent_basis", "no-topic", text))
    if draft.kind != "api_triggered" and draft.consent_basis == "none" and draft.lane != "transactional":
        text = "Without consent only what is transactional may be sent: choose the lane transactional, or the basis channel."
        violations.append(Violation("/consent_basis", "no-consent", text))
    if violations:
        raise Invalid(violations[0].message, violations=violations)
    name = checked_name(draft.name, NAME_CHARS_MAX)
    return msgspec.structs.replace(draft, name=name, routes=routes, steps=steps)


def _checked_steps(steps: Sequence[Step]) -> tuple[tuple[Step, ...], list[Violation]]:
    violations: list[Violation] = []
    if len(steps) > STEPS_MAX:
        violations.append(
            Violation("/steps", "steps-count", f"At most {STEPS_MAX} steps follow the routes; make two campaigns.")
        )
    violations += wait_violations([step.wait_s for step in steps])
    normal = []
    for index, step in enumerate(steps):
        routes, of_routes = checked_routes(step.routes, f"/steps/{index}/routes")
        violations += of_routes
        if step.when is not None:
            violations += when_violations(step.when, index + 1, f"/steps/{index}/when")
        normal.append(msgspec.structs.replace(step, routes=routes))
    return tuple(normal), violations


async def _check_names(conn: Connection, brand_id: UUID, draft: CampaignDraft) -> None:
    # Templates are locked, all of them in one order.
    await template_store.share_templates(conn, brand_id, {route.template_id for route in all_routes(draft)})
    await check_routes(conn, brand_id, draft.routes)
    for index, step in enumerate(draft.steps):
        await check_routes(conn, brand_id, step.routes, f"/steps/{index}/routes")
    await check_is_external(conn, brand_id, draft)


async def _found(conn: Connection, brand_id: UUID, campaign_id: UUID) -> Campaign:
    row = await campaign_store.find_campaign(conn, brand_id, campaign_id)
    if row is None:
        raise _missing(campaign_id)
    return (await _shown(conn, brand_id, [row]))[0]


def edited_meanwhile() -> Conflict:
    """What was typed goes by a campaign that is another one by now."""
    return Conflict("Somebody changed this campaign meanwhile. Load the page anew and make your changes again.")


def _edited() -> Conflict:
    return Conflict("The campaign or a template was edited just now. Look at it, then publish again.")


def _missing(campaign_id: UUID) -> NotFound:
    return NotFound(f"This brand has no campaign {campaign_id}.")
