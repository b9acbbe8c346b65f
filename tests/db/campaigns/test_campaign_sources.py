"""What triggers and workers read: cached, never another brand's, and never old."""

from uuid import UUID

import pytest

from campaign_world import Content
from stentor.campaigns.model import GeneratorDraft
from stentor.campaigns.sources import GeneratorSource, PublicationSource, PublishedGenerator
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import Lane
from stentor.errors import NotFound
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"match": {"type": "string"}}, "required": ["match"]}


@pytest.fixture
def publications(db: Database) -> PublicationSource:
    return PublicationSource(db)


@pytest.fixture
def generators(db: Database, publications: PublicationSource) -> GeneratorSource:
    return GeneratorSource(db, publications)


async def test_a_publication_is_read_once(content: Content, publications: PublicationSource):
    await content.generator("Soon")
    published = (await content.generators.publish(content.brand_id, "match")).generator
    assert published.publication_id is not None

    first = await publications.load(content.brand_id, published.publication_id)

    assert await publications.load(content.brand_id, published.publication_id) is first


async def test_another_brands_publication_is_not_found_also_when_it_is_kept(
    content: Content, publications: PublicationSource, other_brand_id: UUID
):
    await content.generator("Soon")
    published = (await content.generators.publish(content.brand_id, "match")).generator
    assert published.publication_id is not None
    await publications.load(content.brand_id, published.publication_id)

    with pytest.raises(NotFound):
        await publications.load(other_brand_id, published.publication_id)
    with pytest.raises(NotFound):
        await publications.load(content.brand_id, new_id())


async def test_a_generator_runs_what_was_published_whatever_is_edited(content: Content, generators: GeneratorSource):
    made = await content.generator("{{ match }}", SCHEMA)
    published = (await content.generators.publish(content.brand_id, "match")).generator
    draft = GeneratorDraft(name="match", campaign_id=made.campaign_id, context_schema=None)
    await content.generators.update(content.brand_id, "match", draft)

    found = await generators.find(content.brand_id, "match")

    assert found is not None
    assert (found.type, found.publication_id) == ("api_triggered", published.publication_id)
    assert (found.lane, found.campaign_name) == (Lane.BULK, "match")
    assert found.context_schema is not None
    assert [violation.pointer for violation in found.context_schema.violations({})] == ["/context/match"]


async def test_a_generator_that_was_never_published_has_nothing_to_run(content: Content, generators: GeneratorSource):
    await content.generator("Soon")

    found = await generators.find(content.brand_id, "match")

    assert found == PublishedGenerator("match", "api_triggered", None, None, Lane.BULK, "")


async def test_a_generator_is_known_to_its_own_brand_only(
    content: Content, generators: GeneratorSource, other_brand_id: UUID
):
    await content.generator("Soon")
    await generators.find(content.brand_id, "match")

    assert await generators.find(other_brand_id, "match") is None
    assert await generators.find(content.brand_id, "none") is None


async def test_what_is_published_runs_after_a_moment(content: Content, generators: GeneratorSource):
    await content.generator("Soon")
    before = await generators.find(content.brand_id, "match")
    published = (await content.generators.publish(content.brand_id, "match")).generator

    async def runs() -> bool:
        found = await generators.find(content.brand_id, "match")
        return found is not None and found.publication_id == published.publication_id

    assert before is not None
    assert await eventually(runs)
