"""What publishing would say, before anything is published: by the campaign itself, or by each generator that runs it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from stentor.campaigns import campaign_store, generator_store, template_store
from stentor.campaigns.ingredients import CampaignItself, Ingredients, Publishable, gather
from stentor.campaigns.model import Campaign, PublishedRoute, Template
from stentor.campaigns.partnered import check_is_external, partner_warnings
from stentor.campaigns.previews import PreviewService, Sample
from stentor.campaigns.publishing import freeze
from stentor.campaigns.sample_payload import sample_payload
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound, Problem, Violation

MESSAGES_SHOWN_MAX = 16
"""Routes whose messages are made for a look."""


class ShownMessage(msgspec.Struct, frozen=True):
    """A route's message for nobody in particular: its parts, the expressions that printed nothing, and why it could not be sent."""

    template_id: UUID
    template_name: str
    channel: ChannelKind
    language: str
    parts: dict[str, str]
    blanks: dict[str, list[str]]
    problem: str


class PublishFindings(msgspec.Struct, frozen=True):
    """What keeps it from being published (`errors`), and what may come out blank for some (`warnings`).

    `generator_id`: by which generator it would run, None for the campaign itself. `messages` are of its own routes, none where there
    are errors.
    """

    generator_id: str | None
    errors: tuple[Violation, ...]
    warnings: tuple[Violation, ...]
    messages: list[ShownMessage]


class PublishCheckService:
    """Goes through what publishing goes through, and stores nothing."""

    def __init__(self, db: Database, previews: PreviewService) -> None:
        self._db = db
        self._previews = previews

    async def of_campaign(self, brand_id: UUID, campaign_id: UUID) -> list[PublishFindings]:
        """What there is to say of the campaign as it is edited: for each of the first generators that run it, or for itself.

        Raises NotFound.
        """
        async with self._db.read() as conn:
            row = await campaign_store.find_campaign(conn, brand_id, campaign_id)
            if row is None:
                raise NotFound(f"This brand has no campaign {campaign_id}.")
            named = await _runners(conn, brand_id, row.campaign)
            ingredients = await gather(conn, brand_id, named)
            unsynced = await partner_warnings(conn, brand_id, row.campaign)
            refused = await _own_templates(conn, brand_id, row.campaign)
            templates = await template_store.templates_in_full(
                conn, brand_id, {each for one in ingredients.values() for each in one.template_ids}
            )
        findings: list[PublishFindings] = []
        for one in named:
            generator_id = None if isinstance(one, CampaignItself) else one.id
            made = ingredients.get(one.id)
            if made is None:
                raise Conflict("The campaign or a template was edited just now. Load the page anew.")
            found_out = await self._findings(generator_id, one.context_schema, made, templates)
            findings.append(
                msgspec.structs.replace(
                    found_out, errors=(*refused, *found_out.errors), warnings=(*found_out.warnings, *unsynced)
                )
            )
        return findings

    async def _findings(
        self,
        generator_id: str | None,
        schema: dict[str, Any] | None,
        made: Ingredients,
        templates: Mapping[UUID, Template],
    ) -> PublishFindings:
        try:
            frozen = await asyncio.to_thread(freeze, made, templates)
        except Invalid as refusal:
            wrong = tuple(refusal.violations) or (Violation("", refusal.code, refusal.detail),)
            return PublishFindings(generator_id, wrong, (), [])
        sample = Sample(context=sample_payload(schema))
        messages: list[ShownMessage] = []
        for route in frozen.content.routes[:MESSAGES_SHOWN_MAX]:
            try:
                shown = await self._previews.of_route(frozen.content, route, sample)
            except Problem as problem:
                messages.append(_message(route, {}, {}, problem.detail))
            else:
                messages.append(_message(route, shown.parts, shown.blanks, shown.problem))
        return PublishFindings(generator_id, (), frozen.warnings, messages)


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


def _message(route: PublishedRoute, parts: dict[str, str], blanks: dict[str, list[str]], problem: str) -> ShownMessage:
    language = route.variants[0].language
    return ShownMessage(route.template_id, route.template_name, route.channel, language, parts, blanks, problem)
