"""Event generators and publications in the database."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.campaigns.model import Deduplication, GeneratorDraft, GeneratorType, PublishedContent
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="generators.sql", package=__package__):
    insert_generator: Statement
    count_generators: Statement
    find_generator: Statement
    page_of_generators: Statement
    lock_generator: Statement
    update_generator: Statement
    publish_generator: Statement
    delete_generator: Statement
    insert_publication: Statement
    find_publication: Statement
    find_running: Statement


class GeneratorRow(msgspec.Struct, frozen=True):
    """A generator and the fingerprint of what it was published as."""

    id: str
    name: str
    type: GeneratorType
    campaign_id: UUID
    context_schema: dict[str, Any] | None
    deduplication: Deduplication | None
    publication_id: UUID | None
    published_at: datetime | None
    made_from: str | None
    created_at: datetime
    updated_at: datetime


async def count_generators(conn: Connection, brand_id: UUID) -> int:
    return await Sql.count_generators.value(conn, brand_id=brand_id)


async def insert_generator(
    conn: Connection, brand_id: UUID, generator_id: str, generator_type: GeneratorType, draft: GeneratorDraft
) -> bool:
    """Makes the generator, unpublished; False when the id is taken."""
    inserted = await Sql.insert_generator.run(
        conn,
        brand_id=brand_id,
        id=generator_id,
        type=generator_type,
        name=draft.name,
        campaign_id=draft.campaign_id,
        context_schema=_json_or_null(draft.context_schema),
        deduplication=_json_or_null(draft.deduplication),
    )
    return inserted > 0


async def update_generator(conn: Connection, brand_id: UUID, generator_id: str, draft: GeneratorDraft) -> bool:
    """Replaces what can be edited of the generator; False when there is none."""
    updated = await Sql.update_generator.run(
        conn,
        brand_id=brand_id,
        id=generator_id,
        name=draft.name,
        campaign_id=draft.campaign_id,
        context_schema=_json_or_null(draft.context_schema),
        deduplication=_json_or_null(draft.deduplication),
    )
    return updated > 0


async def find_generator(conn: Connection, brand_id: UUID, generator_id: str) -> GeneratorRow | None:
    """The generator as it is edited."""
    return await Sql.find_generator.first(conn, GeneratorRow, id=generator_id, brand_id=brand_id)


async def page_of_generators(conn: Connection, brand_id: UUID, *, after: str | None, limit: int) -> list[GeneratorRow]:
    """Generators in the order of their ids, from behind `after`."""
    return await Sql.page_of_generators.rows(conn, GeneratorRow, brand_id=brand_id, after=after, limit=limit)


async def lock_generator(conn: Connection, brand_id: UUID, generator_id: str) -> bool:
    """Locks the generator until the transaction ends; False when there is none."""
    return bool(await Sql.lock_generator.value(conn, id=generator_id, brand_id=brand_id))


async def delete_generator(conn: Connection, brand_id: UUID, generator_id: str) -> bool:
    """Removes the generator; False when there is none."""
    return await Sql.delete_generator.run(conn, id=generator_id, brand_id=brand_id) > 0


async def insert_publication(conn: Connection, brand_id: UUID, publication_id: UUID, content: PublishedContent) -> None:
    """Stores the publication."""
    await Sql.insert_publication.run(
        conn,
        id=publication_id,
        brand_id=brand_id,
        campaign_id=content.campaign_id,
        content=Jsonb(content),
        is_test_send=content.is_test_send,
    )


async def insert_publications(conn: Connection, brand_id: UUID, publications: Mapping[UUID, PublishedContent]) -> None:
    """Stores the publications: a campaign's and those of its steps."""
    for publication_id, content in publications.items():
        await insert_publication(conn, brand_id, publication_id, content)


async def publish(conn: Connection, brand_id: UUID, generator_id: str, publication_id: UUID) -> None:
    """Lets the generator run the publication from now on."""
    await Sql.publish_generator.run(conn, id=generator_id, brand_id=brand_id, publication_id=publication_id)


async def find_publication(conn: Connection, brand_id: UUID, publication_id: UUID) -> str | None:
    """The content of the publication as JSON text."""
    return await Sql.find_publication.value(conn, id=publication_id, brand_id=brand_id)


async def find_running(conn: Connection, brand_id: UUID, generator_id: str) -> tuple[GeneratorType, UUID | None] | None:
    """The generator's type and the publication it runs, None where it was never published."""
    rows = await Sql.find_running.tuples(conn, id=generator_id, brand_id=brand_id)
    return (rows[0][0], rows[0][1]) if rows else None


def _json_or_null(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value)
