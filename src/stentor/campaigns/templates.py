"""Templates: what is said on one channel, in one or more languages, version by version."""

import asyncio
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from stentor.accounts.audit import record
from stentor.campaigns import template_store
from stentor.campaigns.content import checked_content
from stentor.campaigns.model import (
    GeneratorUse,
    Template,
    TemplateContent,
    TemplatePatch,
    TemplateSummary,
    TemplateUse,
    VersionSummary,
)
from stentor.campaigns.naming import NAME_CHARS_MAX
from stentor.db.connection import Connection
from stentor.db.names import name_free, name_taken
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.text import checked_name
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, NotFound

PAGE_MAX = 100
# What was published is kept with the publication, so old versions are for people who want to look back.
VERSIONS_KEPT_MAX = 100
TEMPLATES_MAX = 5_000
# Routes and generators that are told of where somebody asks what a template is used by.
USES_MAX = 500


class TemplateService:
    """Makes, changes and lists templates. Nothing that was published changes with them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, brand_id: UUID, *, name: str, channel: ChannelKind, content: TemplateContent) -> Template:
        """The new template, in version 1. Raises Invalid, naming language, part and line, Conflict for a name in use, QuotaExceeded."""
        name, content = checked_name(name, NAME_CHARS_MAX), await asyncio.to_thread(checked_content, channel, content)
        template_id = new_id()
        async with self._db.transaction() as conn:
            await check_quota(conn, brand_id, "templates", TEMPLATES_MAX, template_store.count_templates)
            if not await template_store.insert_template(conn, brand_id, template_id, name=name, channel=channel):
                raise name_taken("template", name)
            await template_store.insert_version(conn, brand_id, template_id, 1, content)
            template = await _found(conn, brand_id, template_id)
            await record(conn, "template.created", template_id, brand_id=brand_id, after=template)
            return template

    async def update(
        self, brand_id: UUID, template_id: UUID, patch: TemplatePatch, *, edited_from: datetime | None = None
    ) -> Template:
        """The template with a new name, a new version, or both. Content that is as it was makes no version.

        `edited_from`: the `updated_at` of what the patch was made of. The newest 100 versions are kept. Raises as `create`,
        NotFound, and Conflict where somebody changed the template since `edited_from`.
        """
        name = None if patch.name is None else checked_name(patch.name, NAME_CHARS_MAX)
        while True:
            seen = await self.get(brand_id, template_id)
            _check_unchanged(seen, edited_from)
            content = seen.content
            if patch.default_language is not None or patch.variants is not None:
                content = await asyncio.to_thread(checked_content, seen.channel, patch.content_over(seen.content))
            async with self._db.transaction() as conn:
                # Checking takes up to seconds, so it is done before the lock. Whoever gave one half of the content meant
                # it with the other half as it stands: after a version in between, it is put together again.
                if await template_store.lock_template(conn, brand_id, template_id) == seen.version:
                    present = await _found(conn, brand_id, template_id)
                    # A new name makes no version, and is a change all the same.
                    _check_unchanged(present, edited_from)
                    return await _updated(conn, brand_id, present, name, content)

    async def restore(
        self, brand_id: UUID, template_id: UUID, version: int, *, edited_from: datetime | None = None
    ) -> Template:
        """The template in a new version that says what that old one said. Raises as `update`, and NotFound for the version."""
        old = await self.version(brand_id, template_id, version)
        patch = TemplatePatch(default_language=old.content.default_language, variants=old.content.variants)
        return await self.update(brand_id, template_id, patch, edited_from=edited_from)

    async def versions(self, brand_id: UUID, template_id: UUID) -> list[VersionSummary]:
        """The versions that are kept, at most 100, the newest first. Raises NotFound."""
        async with self._db.read() as conn:
            found = await template_store.page_of_versions(conn, brand_id, template_id, limit=VERSIONS_KEPT_MAX)
        if not found:
            raise _missing(template_id)
        return found

    async def version(self, brand_id: UUID, template_id: UUID, version: int) -> Template:
        """The template as it was in that version: `updated_at` is when that was made. Raises NotFound."""
        async with self._db.read() as conn:
            found = await template_store.find_version(conn, brand_id, template_id, version)
        if found is None:
            raise NotFound(f"This brand has no template {template_id} with a version {version}, or keeps it no more.")
        return found

    async def uses(self, brand_id: UUID, template_ids: Collection[UUID]) -> list[TemplateUse]:
        """Which campaigns say these templates, and where: the first 500 routes, by the campaigns' names."""
        async with self._db.read() as conn:
            return await template_store.uses_of_templates(conn, brand_id, template_ids, limit=USES_MAX)

    async def generators(self, brand_id: UUID, campaign_ids: Collection[UUID]) -> list[GeneratorUse]:
        """The event generators that run these campaigns, the first 500 by name."""
        async with self._db.read() as conn:
            return await template_store.generators_of_campaigns(conn, brand_id, campaign_ids, limit=USES_MAX)

    async def get(self, brand_id: UUID, template_id: UUID) -> Template:
        """The template in its newest version. Raises NotFound."""
        async with self._db.read() as conn:
            return await _found(conn, brand_id, template_id)

    async def page(
        self,
        brand_id: UUID,
        *,
        after: UUID | None = None,
        channel: ChannelKind | None = None,
        limit: int = PAGE_MAX,
    ) -> list[TemplateSummary]:
        """At most `limit` (and 100) templates, without their content, in the order of their making, from behind `after`."""
        async with self._db.read() as conn:
            return await template_store.page_of_templates(
                conn, brand_id, after=after, channel=channel, limit=min(limit, PAGE_MAX)
            )

    async def delete(self, brand_id: UUID, template_id: UUID) -> None:
        """Removes the template. Raises NotFound, and Conflict when a campaign uses it."""
        async with self._db.transaction() as conn:
            if await template_store.lock_template(conn, brand_id, template_id) is None:
                raise _missing(template_id)
            if users := await template_store.campaigns_with_template(conn, brand_id, template_id):
                raise Conflict(f"Campaigns use this template: {', '.join(users)}. Give them another one first.")
            held = await _found(conn, brand_id, template_id)
            await template_store.delete_template(conn, brand_id, template_id)
            await record(conn, "template.deleted", template_id, brand_id=brand_id, before=held)


async def _updated(
    conn: Connection, brand_id: UUID, present: Template, name: str | None, content: TemplateContent
) -> Template:
    """The template, which is locked, with that name (None: its own) and that content."""
    template_id = present.id
    name = name or present.name
    version = present.version
    if content != present.content:
        version += 1
        await template_store.insert_version(conn, brand_id, template_id, version, content)
        await template_store.delete_versions(conn, brand_id, template_id, up_to=version - VERSIONS_KEPT_MAX)
    if (name, version) != (present.name, present.version):
        with name_free("template", name):
            await template_store.update_template(conn, brand_id, template_id, name=name, version=version)
    changed = await _found(conn, brand_id, template_id)
    await record(conn, "template.updated", template_id, brand_id=brand_id, before=present, after=changed)
    return changed


def _check_unchanged(present: Template, edited_from: datetime | None) -> None:
    if edited_from is not None and edited_from != present.updated_at:
        raise edited_meanwhile()


def edited_meanwhile() -> Conflict:
    """What was typed goes by a template that is another one by now."""
    return Conflict("Somebody changed this template meanwhile. Compare what it says now, then make your changes again.")


async def _found(conn: Connection, brand_id: UUID, template_id: UUID) -> Template:
    template = await template_store.find_template(conn, brand_id, template_id)
    if template is None:
        raise _missing(template_id)
    return template


def _missing(template_id: UUID) -> NotFound:
    return NotFound(f"This brand has no template {template_id}.")
