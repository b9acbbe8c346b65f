"""What publishing would say, before anything is published: by the campaign itself, or by each generator that runs it."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from stentor.campaigns import campaign_store, generator_store, template_store
from stentor.campaigns.ingredients import CampaignItself, Ingredients, Publishable, gather
from stentor.campaigns.message_checks import MessageCheck
from stentor.campaigns.model import Campaign, Route, Template
from stentor.campaigns.partnered import check_is_external, partner_warnings
from stentor.campaigns.previews import Sample, TemplatePreview
from stentor.campaigns.publishing import freeze
from stentor.campaigns.sample_payload import sample_payload
from stentor.campaigns.template_checks import TemplateCheckService
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound, Violation

MESSAGES_SHOWN_MAX = 16
"""Routes whose messages are made for a look."""


class ShownMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A route's message for somebody of whom nothing is known, in its template's default language, and what there is to say of it.

    `preview` is None where it cannot be shown. What an outside service makes has neither: only the service knows it.
    """

    template_id: UUID
    template_name: str
    channel: ChannelKind
    language: str = ""
    preview: TemplatePreview | None = None
    checks: tuple[MessageCheck, ...] = ()
    is_theirs: bool = False


class PublishFindings(msgspec.Struct, frozen=True):
    """What keeps it from being published (`errors`), and what may come out blank for some (`warnings`).

    `generator_id`: by which generator it would run, None for the campaign itself. `messages` are of its own routes.
    """

    generator_id: str | None
    errors: tuple[Violation, ...]
    warnings: tuple[Violation, ...]
    messages: list[ShownMessage]


class PublishCheckService:
    """Goes through what publishing goes through, and stores nothing."""

    def __init__(self, db: Database, templates: TemplateCheckService) -> None:
        self._db = db
        self._templates = templates

    async def of_campaign(self, brand_id: UUID, campaign_id: UUID) -> list[PublishFindings]:
        """What there is to say of the campaign as it is edited: for each of the first generators that run it, or for itself.

        Raises NotFound, and Conflict where somebody edits it at the same moment.
        """
        async with self._db.read() as conn:
            row = await campaign_store.find_campaign(conn, brand_id, campaign_id)
            if row is None:
                raise NotFound(f"This brand has no campaign {campaign_id}.")
            named = await _runners(conn, brand_id, row.campaign)
            ingredients = await gather(conn, brand_id, named)
            unsynced = await partner_warnings(conn, brand_id, row.campaign)
            refused = await _own_templates(conn, brand_id, row.campaign)
            ids = {each for one in ingredients.values() for each in one.template_ids}
            templates = await template_store.templates_in_full(conn, brand_id, ids)
        findings: list[PublishFindings] = []
        for one in named:
            made = ingredients.get(one.id)
            if made is None:
                raise Conflict("The campaign or a template was edited just now. Load the page anew.")
            errors, warnings = await asyncio.to_thread(_publishing, made, templates)
            generator_id = None if isinstance(one, CampaignItself) else one.id
            sample = Sample(context=sample_payload(one.context_schema))
            messages = [
                await self._message(brand_id, route, templates, sample, generator_id=generator_id)
                for route in row.campaign.routes[:MESSAGES_SHOWN_MAX]
            ]
            findings.append(PublishFindings(generator_id, (*refused, *errors), (*warnings, *unsynced), messages))
        return findings

    async def _message(
        self,
        brand_id: UUID,
        route: Route,
        templates: Mapping[UUID, Template],
        sample: Sample,
        *,
        generator_id: str | None,
    ) -> ShownMessage:
        template = templates.get(route.template_id)
        if template is None:
            name = "An outside service's template"
            return ShownMessage(
                template_id=route.template_id, template_name=name, channel=route.channel, is_theirs=True
            )
        language = template.content.default_language
        checked = await self._templates.check(
            brand_id, route.channel, template.content.variants[language], sample, generator_id=generator_id
        )
        return ShownMessage(
            template_id=template.id,
            template_name=template.name,
            channel=route.channel,
            language=language,
            preview=checked.preview,
            checks=checked.checks,
        )


def _publishing(
    made: Ingredients, templates: Mapping[UUID, Template]
) -> tuple[tuple[Violation, ...], tuple[Violation, ...]]:
    """What refuses it, or else what it warns of. Takes up to seconds."""
    try:
        return (), freeze(made, templates).warnings
    except Invalid as refusal:
        return tuple(refusal.violations) or (Violation("", refusal.code, refusal.detail),), ()


async def _runners(conn: Connection, brand_id: UUID, campaign: Campaign) -> Sequence[Publishable]:
    """What would run it: the first generators of one that runs by them, and otherwise, or without any, the campaign itself."""
    if campaign.kind == "api_triggered":
        ids = await campaign_store.generators_of_campaign(conn, brand_id, campaign.id)
        found = [await generator_store.find_generator(conn, brand_id, each) for each in ids]
        if generators := [each for each in found if each is not None]:
            return generators
    return [CampaignItself(campaign.id)]


async def _own_templates(conn: Connection, brand_id: UUID, campaign: Campaign) -> tuple[Violation, ...]:
    try:
        await check_is_external(conn, brand_id, campaign)
    except Invalid as refusal:
        return tuple(refusal.violations)
    return ()
