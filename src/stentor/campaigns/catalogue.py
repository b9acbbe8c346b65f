"""What a brand can be called with: its event generators with the fields of their calls, and its topics. Always as it is now."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from stentor.accounts.model import Brand
from stentor.audience.topics import TopicService
from stentor.campaigns.model import GeneratorType
from stentor.campaigns.sample_payload import sample_payload
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import channels_in

CATALOGUE_GENERATORS_MAX = 500
"""The first so many by their ids."""
CATALOGUE_TOPICS_MAX = 1_000


class Sql(QuerySet, file="catalogue.sql", package=__package__):
    callable_generators: Statement


class CatalogueField(msgspec.Struct, frozen=True):
    """A field of a call's `context`, as far as a line can tell; `type` is a word of JSON Schema, or `any`."""

    name: str
    type: str
    is_required: bool
    description: str


class CatalogueGenerator(msgspec.Struct, frozen=True):
    """An event generator as its callers need it. `schema` is what calls are checked against; without one they may bring anything."""

    id: str
    name: str
    type: GeneratorType
    campaign: str
    published_at: datetime | None
    fields: list[CatalogueField]
    schema: dict[str, Any] | None
    sample: dict[str, Any]


class CatalogueTopic(msgspec.Struct, frozen=True):
    """A topic that calls may name."""

    key: str
    name: str
    description: str
    channels: list[str]
    is_enabled: bool


class Catalogue(msgspec.Struct, frozen=True):
    """All of it. `is_cut`: the brand has more generators or topics than are listed."""

    brand: str
    generators: list[CatalogueGenerator]
    topics: list[CatalogueTopic]
    is_cut: bool


class _Row(msgspec.Struct, frozen=True):
    id: str
    name: str
    type: GeneratorType
    campaign: str | None
    published_at: datetime | None
    context_schema: dict[str, Any] | None


class CatalogueService:
    """Looks it up; nothing of it is kept, so it is never out of date."""

    def __init__(self, db: Database, topics: TopicService) -> None:
        self._db = db
        self._topics = topics

    async def of(self, brand: Brand) -> Catalogue:
        """The brand's catalogue. It has no secret and no figure in it, so that it may be shared."""
        generators = await self._generators(brand.id)
        topics = await self._topics.page(brand.id, limit=CATALOGUE_TOPICS_MAX)
        return Catalogue(
            brand=brand.name,
            generators=[_generator(row) for row in generators[:CATALOGUE_GENERATORS_MAX]],
            topics=[
                CatalogueTopic(
                    one.key, one.name, one.description, [kind.label for kind in channels_in(one.channels)], one.enabled
                )
                for one in topics
            ],
            is_cut=len(generators) > CATALOGUE_GENERATORS_MAX or len(topics) >= CATALOGUE_TOPICS_MAX,
        )

    async def _generators(self, brand_id: UUID) -> list[_Row]:
        async with self._db.read() as conn:
            return await Sql.callable_generators.rows(conn, _Row, brand_id=brand_id, limit=CATALOGUE_GENERATORS_MAX + 1)


def _generator(row: _Row) -> CatalogueGenerator:
    schema = row.context_schema
    return CatalogueGenerator(
        id=row.id,
        name=row.name,
        type=row.type,
        campaign=row.campaign or "",
        published_at=row.published_at,
        fields=[] if schema is None else _fields(schema),
        schema=schema,
        sample=sample_payload(schema),
    )


def _fields(schema: Mapping[str, Any]) -> list[CatalogueField]:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    return [
        CatalogueField(name, _type(node), name in required, str(node.get("description") or ""))
        for name, said in properties.items()
        for node in [said if isinstance(said, dict) else {}]
    ]


def _type(node: Mapping[str, Any]) -> str:
    said = node.get("type", "any")
    text = " or ".join(map(str, said)) if isinstance(said, list) else str(said)
    return f"{text}, {node['format']}" if isinstance(node.get("format"), str) else text
