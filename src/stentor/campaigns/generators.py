"""Event generators: the public handles that let a call run a campaign, and publishing what they run."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.accounts.audit import record
from stentor.campaigns import campaign_store, generator_store, template_store
from stentor.campaigns.context_schema import ContextSchema
from stentor.campaigns.deduplication import check_deduplication
from stentor.campaigns.generator_store import GeneratorRow
from stentor.campaigns.ingredients import Ingredients, gather
from stentor.campaigns.model import Deduplication, Generator, GeneratorDraft, GeneratorType, PublishResult
from stentor.campaigns.naming import NAME_CHARS_MAX, checked_id
from stentor.campaigns.partnered import partner_warnings
from stentor.campaigns.publishing import freeze
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.text import checked_name
from stentor.errors import Conflict, Invalid, NotFound

PAGE_MAX = 100
GENERATORS_MAX = 5_000


class GeneratorService:
    """Makes, changes, lists and publishes event generators. What a generator runs changes by publishing alone."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(
        self,
        brand_id: UUID,
        draft: GeneratorDraft,
        *,
        generator_id: str | None = None,
        generator_type: GeneratorType = "api_triggered",
    ) -> Generator:
        """The new generator, unpublished; without an id it gets a UUID. Raises Invalid, Conflict for an id in use, QuotaExceeded."""
        generator_id, draft = checked_id(generator_id), _checked(draft)
        async with self._db.transaction() as conn:
            await check_quota(conn, brand_id, "event generators", GENERATORS_MAX, generator_store.count_generators)
            await _share_campaign(conn, brand_id, draft.campaign_id)
            if not await generator_store.insert_generator(conn, brand_id, generator_id, generator_type, draft):
                raise Conflict(f"An event generator {generator_id!r} exists already; choose another id.")
            generator = await _generator(conn, brand_id, generator_id)
            await record(conn, "event_generator.created", generator_id, brand_id=brand_id, after=generator)
            return generator

    async def update(
        self, brand_id: UUID, generator_id: str, draft: GeneratorDraft, *, edited_from: datetime | None = None
    ) -> Generator:
        """The generator, replaced as a whole but for id and type. `edited_from`: the `updated_at` of what the draft was made of.

        Raises Invalid, NotFound, and Conflict when somebody edited it since `edited_from`.
        """
        draft = _checked(draft)
        async with self._db.transaction() as conn:
            await generator_store.lock_generator(conn, brand_id, generator_id)
            held = await _generator(conn, brand_id, generator_id)
            if edited_from is not None and edited_from != held.updated_at:
                raise edited_meanwhile()
            await _share_campaign(conn, brand_id, draft.campaign_id)
            await generator_store.update_generator(conn, brand_id, generator_id, draft)
            changed = await _generator(conn, brand_id, generator_id)
            await record(conn, "event_generator.updated", generator_id, brand_id=brand_id, before=held, after=changed)
            return changed

    async def get(self, brand_id: UUID, generator_id: str) -> Generator:
        """The generator as it is edited. Raises NotFound."""
        async with self._db.read() as conn:
            return await _generator(conn, brand_id, generator_id)

    async def page(self, brand_id: UUID, *, after: str | None = None, limit: int = PAGE_MAX) -> list[Generator]:
        """At most `limit` (and 100) generators in the order of their ids, from behind `after`."""
        async with self._db.read() as conn:
            rows = await generator_store.page_of_generators(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))
            return await _generators(conn, brand_id, rows)

    async def delete(self, brand_id: UUID, generator_id: str) -> None:
        """Removes the generator; executions that it started go on. Raises NotFound."""
        async with self._db.transaction() as conn:
            held = await _generator(conn, brand_id, generator_id)
            if not await generator_store.delete_generator(conn, brand_id, generator_id):
                raise _missing(generator_id)
            await record(conn, "event_generator.deleted", generator_id, brand_id=brand_id, before=held)

    async def publish(self, brand_id: UUID, generator_id: str) -> PublishResult:
        """Freezes campaign and templates as they are; calls run that from now on, executions under way keep theirs.

        Publishing what is published already changes nothing. Raises NotFound, Invalid (naming each field that may be
        blank, with template, language, part and line), and Conflict when somebody edits at the same moment.
        """
        async with self._db.read() as conn:
            row = await _row(conn, brand_id, generator_id)
            ingredients = (await gather(conn, brand_id, [row])).get(generator_id)
            campaign = (await campaign_store.campaigns_by_id(conn, brand_id, [row.campaign_id])).get(row.campaign_id)
            if ingredients is None or campaign is None:
                raise _edited()
            unsynced = await partner_warnings(conn, brand_id, campaign)
            templates = await template_store.templates_in_full(conn, brand_id, ingredients.template_ids)
        # Up to seconds of MJML and CSS: not on the event loop, and not with a row locked.
        frozen = await asyncio.to_thread(freeze, ingredients, templates)
        async with self._db.transaction() as conn:
            row = await _locked(conn, brand_id, generator_id, ingredients)
            held = await _generator(conn, brand_id, generator_id)
            if row.made_from != frozen.content.made_from:
                publication_id = new_id()
                publications = {**frozen.steps, publication_id: frozen.content}
                await generator_store.insert_publications(conn, brand_id, publications)
                await generator_store.publish(conn, brand_id, generator_id, publication_id)
            generator = await _generator(conn, brand_id, generator_id)
            await record(
                conn, "event_generator.published", generator_id, brand_id=brand_id, before=held, after=generator
            )
        return PublishResult(generator, frozen.content.bindings, (*frozen.warnings, *unsynced))


def _checked(draft: GeneratorDraft) -> GeneratorDraft:
    if draft.context_schema is not None:
        ContextSchema(draft.context_schema)
    if draft.deduplication is not None:
        check_deduplication(draft.deduplication)
    return msgspec.structs.replace(draft, name=checked_name(draft.name, NAME_CHARS_MAX))


async def _share_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID) -> None:
    if not await campaign_store.share_campaign(conn, brand_id, campaign_id):
        text = f"This brand has no campaign {campaign_id}; create it first."
        raise Invalid.field("/campaign_id", "unknown-campaign", text)


async def _locked(conn: Connection, brand_id: UUID, generator_id: str, frozen: Ingredients) -> GeneratorRow:
    """The generator, locked with all that it names. Raises Conflict when that is not what was frozen any more."""
    await generator_store.lock_generator(conn, brand_id, generator_id)
    await campaign_store.share_campaign(conn, brand_id, frozen.campaign_id)
    await template_store.share_templates(conn, brand_id, frozen.template_ids)
    row = await _row(conn, brand_id, generator_id)
    if (await gather(conn, brand_id, [row])).get(generator_id) != frozen:
        raise _edited()
    return row


async def _generator(conn: Connection, brand_id: UUID, generator_id: str) -> Generator:
    return (await _generators(conn, brand_id, [await _row(conn, brand_id, generator_id)]))[0]


async def _generators(conn: Connection, brand_id: UUID, rows: Sequence[GeneratorRow]) -> list[Generator]:
    ingredients = await gather(conn, brand_id, rows)
    today = {generator_id: found.fingerprint for generator_id, found in ingredients.items()}
    return [
        Generator(
            id=row.id,
            type=row.type,
            name=row.name,
            campaign_id=row.campaign_id,
            context_schema=row.context_schema,
            # The database has it as an object of JSON.
            deduplication=msgspec.convert(row.deduplication, Deduplication | None),
            publication_id=row.publication_id,
            published_at=row.published_at,
            is_stale=row.made_from is not None and row.made_from != today.get(row.id),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


async def find_schema(conn: Connection, brand_id: UUID, generator_id: str) -> ContextSchema | None:
    """The schema of the generator's context as it is edited; None where it has none. Raises NotFound."""
    row = await _row(conn, brand_id, generator_id)
    return None if row.context_schema is None else ContextSchema(row.context_schema)


async def _row(conn: Connection, brand_id: UUID, generator_id: str) -> GeneratorRow:
    row = await generator_store.find_generator(conn, brand_id, generator_id)
    if row is None:
        raise _missing(generator_id)
    return row


def _missing(generator_id: str) -> NotFound:
    return NotFound(f"This brand has no event generator {generator_id!r}.")


def edited_meanwhile() -> Conflict:
    """What was typed goes by a generator that is another one by now."""
    return Conflict("Somebody changed this generator meanwhile. Load the page anew and make your changes again.")


def _edited() -> Conflict:
    return Conflict("The generator, its campaign or a template was edited just now. Look at it, then publish again.")
