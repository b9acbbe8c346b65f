"""What runs, for those who run it: publications and published generators, read often and cached in this process."""

import math
from uuid import UUID

import msgspec

from stentor.campaigns import campaign_store, generator_store
from stentor.campaigns.context_schema import ContextSchema
from stentor.campaigns.kept import Kept
from stentor.campaigns.model import CampaignKind, Deduplication, GeneratorType, Publication, PublishedContent
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.remembered import Remembered
from stentor.domain.vocabulary import Lane
from stentor.errors import NotFound

PUBLICATIONS_KEPT_CHARS_MAX = 32 << 20

# What is published or deleted holds everywhere within a second.
GENERATOR_KEPT_S = 0.8
GENERATORS_KEPT_MAX = 10_000
SCHEMAS_KEPT_MAX = 1_000


class PublicationSource:
    """Publications by id, the lately used ones kept in memory: they never change."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._kept: Kept[tuple[UUID, UUID], Publication] = Kept(PUBLICATIONS_KEPT_CHARS_MAX)

    async def load(self, brand_id: UUID, publication_id: UUID) -> Publication:
        """The publication of that brand. Raises NotFound."""
        key = brand_id, publication_id
        if (kept := self._kept.get(key)) is not None:
            return kept
        async with self._db.read() as conn:
            text = await generator_store.find_publication(conn, brand_id, publication_id)
        if text is None:
            raise NotFound(f"This brand has no publication {publication_id}.")
        publication = Publication(publication_id, brand_id, msgspec.json.decode(text, type=PublishedContent))
        self._kept.put(key, publication, len(text))
        return publication


class PublishedGenerator(msgspec.Struct, frozen=True):
    """What a trigger needs to know of a generator: everything but the type is as it was published."""

    generator_id: str
    type: GeneratorType
    publication_id: UUID | None
    """None as long as the generator was never published: it cannot run yet."""
    context_schema: ContextSchema | None
    lane: Lane
    campaign_name: str
    deduplication: Deduplication | None = None
    deadline_s: int | None = None


class PublishedCampaign(msgspec.Struct, frozen=True):
    """What starting a campaign itself needs to know of it: all but name and kind is as it was published."""

    campaign_id: UUID
    name: str
    kind: CampaignKind
    publication_id: UUID | None
    """None as long as the campaign itself was never published: it cannot run yet."""
    lane: Lane = Lane.BULK
    deadline_s: int | None = None


class CampaignSource:
    """Campaigns by id, for whatever starts them."""

    def __init__(self, db: Database, publications: PublicationSource) -> None:
        self._db = db
        self._publications = publications
        self._running = Remembered(self._load, keep_s=GENERATOR_KEPT_S, entries_max=GENERATORS_KEPT_MAX)

    async def find(self, brand_id: UUID, campaign_id: UUID) -> PublishedCampaign | None:
        """The campaign as it ran less than a second ago; None when the brand has none with that id."""
        return await self._running.get((brand_id, campaign_id))

    async def _load(self, key: tuple[UUID, UUID]) -> PublishedCampaign | None:
        brand_id, campaign_id = key
        async with self._db.read() as conn:
            found = await campaign_store.find_running_campaign(conn, brand_id, campaign_id)
        if found is None:
            return None
        name, kind, publication_id = found
        if publication_id is None:
            return PublishedCampaign(campaign_id, name, kind, None)
        content = (await self._publications.load(brand_id, publication_id)).content
        return _published(campaign_id, name, kind, publication_id, content)


async def published_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID) -> PublishedCampaign | None:
    """The campaign as it runs now, read in the caller's transaction; None when the brand has none with that id."""
    found = await campaign_store.find_running_campaign(conn, brand_id, campaign_id)
    if found is None:
        return None
    name, kind, publication_id = found
    text = None if publication_id is None else await generator_store.find_publication(conn, brand_id, publication_id)
    if publication_id is None or text is None:
        return PublishedCampaign(campaign_id, name, kind, None)
    return _published(campaign_id, name, kind, publication_id, msgspec.json.decode(text, type=PublishedContent))


def _published(
    campaign_id: UUID, name: str, kind: CampaignKind, publication_id: UUID, content: PublishedContent
) -> PublishedCampaign:
    lane = Lane.named(content.lane)
    return PublishedCampaign(campaign_id, name, kind, publication_id, lane, content.policy.deadline_s)


class GeneratorSource:
    """Generators by id, for triggers."""

    def __init__(self, db: Database, publications: PublicationSource) -> None:
        self._db = db
        self._publications = publications
        self._running = Remembered(self._load_running, keep_s=GENERATOR_KEPT_S, entries_max=GENERATORS_KEPT_MAX)
        # What was published never changes, so it is compiled once and only forgotten for want of room.
        self._published = Remembered(self._load_published, keep_s=math.inf, entries_max=SCHEMAS_KEPT_MAX)

    async def find(self, brand_id: UUID, generator_id: str) -> PublishedGenerator | None:
        """The generator as it ran less than a second ago; None when the brand has none with that id."""
        running = await self._running.get((brand_id, generator_id))
        return None if running is None else await self._published.get((brand_id, generator_id, *running))

    async def _load_running(self, key: tuple[UUID, str]) -> tuple[GeneratorType, UUID | None] | None:
        brand_id, generator_id = key
        async with self._db.read() as conn:
            return await generator_store.find_running(conn, brand_id, generator_id)

    async def _load_published(self, key: tuple[UUID, str, GeneratorType, UUID | None]) -> PublishedGenerator:
        brand_id, generator_id, generator_type, publication_id = key
        if publication_id is None:
            return PublishedGenerator(generator_id, generator_type, None, None, Lane.BULK, "")
        content = (await self._publications.load(brand_id, publication_id)).content
        return PublishedGenerator(
            generator_id=generator_id,
            type=generator_type,
            publication_id=publication_id,
            context_schema=None if content.context_schema is None else ContextSchema(content.context_schema),
            lane=Lane.named(content.lane),
            campaign_name=content.campaign_name,
            deduplication=content.deduplication,
            deadline_s=content.policy.deadline_s,
        )
