"""Event generators: making, publishing, and what an edit changes and what it does not."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest

from campaign_world import Content
from stentor.accounts import store as accounts_store
from stentor.accounts.model import BrandSettings
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route, TemplateContent, TemplatePatch
from stentor.campaigns.sources import PublicationSource
from stentor.channels import store as channels_store
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound

pytestmark = pytest.mark.anyio

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"match": {"type": "string"}}, "required": ["match"]}
OPTIONAL: dict[str, Any] = {"type": "object", "properties": {"match": {"type": "string"}}}


async def _published_text(db: Database, content: Content, publication_id: UUID | None) -> str:
    assert publication_id is not None
    publication = await PublicationSource(db).load(content.brand_id, publication_id)
    return publication.content.routes[0].variants[0].parts["text"]


MAIL = TemplateContent("en", {"en": {"subject": "Soon", "html": "<p>Hi</p>"}})


# --- making ---------------------------------------------------------------------------------------------------------


async def test_a_generator_is_found_as_it_was_made(content: Content):
    made = await content.generator("{{ match }}", SCHEMA)

    assert await content.generators.get(content.brand_id, "match") == made
    assert (made.type, made.publication_id, made.is_stale) == ("api_triggered", None, False)


async def test_an_id_that_was_not_given_is_made(content: Content):
    made = await content.generator("Soon")

    other = await content.generators.create(content.brand_id, GeneratorDraft(name="x", campaign_id=made.campaign_id))

    assert UUID(other.id).version == 7


async def test_an_id_is_used_once_in_a_brand(content: Content):
    made = await content.generator("Soon")

    with pytest.raises(Conflict, match="'match' exists already"):
        await content.generators.create(
            content.brand_id, GeneratorDraft(name="x", campaign_id=made.campaign_id), generator_id="match"
        )


async def test_a_campaign_of_another_brand_is_as_unknown_as_a_missing_one(
    db: Database, content: Content, other_brand_id: UUID
):
    made = await content.generator("Soon")

    with pytest.raises(Invalid) as caught:
        await content.generators.create(other_brand_id, GeneratorDraft(name="x", campaign_id=made.campaign_id))

    assert [violation.pointer for violation in caught.value.violations] == ["/campaign_id"]


async def test_a_schema_is_checked_when_it_is_saved(content: Content):
    made = await content.generator("Soon")
    broken = GeneratorDraft(name="x", campaign_id=made.campaign_id, context_schema={"type": "strin"})

    with pytest.raises(Invalid) as caught:
        await content.generators.update(content.brand_id, made.id, broken)

    assert [violation.pointer for violation in caught.value.violations] == ["/context_schema/type"]


async def test_pages_of_generators_follow_each_other_by_id(content: Content):
    made = await content.generator("Soon", name="b")
    for generator_id in ("c", "a"):
        await content.generators.create(
            content.brand_id, GeneratorDraft(name="x", campaign_id=made.campaign_id), generator_id=generator_id
        )

    first = await content.generators.page(content.brand_id, limit=2)
    rest = await content.generators.page(content.brand_id, after=first[-1].id, limit=2)

    assert [generator.id for generator in (*first, *rest)] == ["a", "b", "c"]


async def test_another_brand_sees_nothing_of_it(content: Content, other_brand_id: UUID):
    made = await content.generator("Soon")
    draft = GeneratorDraft(name="mine", campaign_id=made.campaign_id)

    assert await content.generators.page(other_brand_id) == []
    for call in (content.generators.get, content.generators.publish, content.generators.delete):
        with pytest.raises(NotFound):
            await call(other_brand_id, "match")
    with pytest.raises(NotFound):
        await content.generators.update(other_brand_id, "match", draft)
    assert await content.generators.get(content.brand_id, "match") == made


# --- publishing -----------------------------------------------------------------------------------------------------


async def test_publishing_tells_bindings_and_warnings(content: Content):
    await content.generator("{{ match }}, {{ customer.first_name }}", SCHEMA)

    result = await content.generators.publish(content.brand_id, "match")

    assert result.bindings == {"match": "context.match"}
    assert ["customer.first_name" in warning.message for warning in result.warnings] == [True]
    assert result.generator.publication_id is not None
    assert result.generator.published_at is not None
    assert not result.generator.is_stale


async def test_a_template_that_could_have_a_gap_is_not_published(content: Content):
    await content.generator("{{ match }}", OPTIONAL)

    with pytest.raises(Invalid, match=r"Template 'match', en, text: Line 1: context\.match is not required"):
        await content.generators.publish(content.brand_id, "match")

    assert (await content.generators.get(content.brand_id, "match")).publication_id is None


async def test_what_was_published_is_what_was_written(db: Database, content: Content, brand_id: UUID):
    await content.generator("{{ match }}", SCHEMA)

    result = await content.generators.publish(brand_id, "match")

    assert result.generator.publication_id is not None
    publication = await PublicationSource(db).load(brand_id, result.generator.publication_id)
    frozen = publication.content
    assert (frozen.campaign_name, frozen.consent_basis, frozen.mode, frozen.lane) == ("match", "topic", "all", "bulk")
    assert frozen.context_schema == SCHEMA
    assert frozen.brand == {"name": "Goal Rush", "postal_address": "1 Arena Way, Springfield"}
    assert [variant.parts for variant in frozen.routes[0].variants] == [{"text": "{{ match }}"}]


async def test_languages_are_published_with_the_default_first(db: Database, content: Content, brand_id: UUID):
    template = await content.template(fr="Bientôt", en="Soon", de="Gleich")
    route = Route(ChannelKind.SMS, template.id)
    campaign = await content.campaigns.create(
        brand_id, CampaignDraft(name="Match day", consent_basis="topic", routes=(route,))
    )
    draft = GeneratorDraft(name="x", campaign_id=campaign.id)
    made = await content.generators.create(brand_id, draft)

    published = (await content.generators.publish(brand_id, made.id)).generator

    assert published.publication_id is not None
    frozen = (await PublicationSource(db).load(brand_id, published.publication_id)).content
    assert [variant.language for variant in frozen.routes[0].variants] == ["fr", "de", "en"]


async def test_a_mail_is_published_with_mjml_expanded_styles_inline_and_text_made(
    db: Database, content: Content, brand_id: UUID
):
    mjml = (
        "<mjml><mj-head><mj-style>.big { color: red; }</mj-style></mj-head><mj-body><mj-section><mj-column>"
        '<mj-text css-class="big">Hi {{ customer.first_name | default: "there" }}</mj-text>'
        "</mj-column></mj-section></mj-body></mjml>"
    )
    template = await content.templates.create(
        brand_id,
        name="Mail",
        channel=ChannelKind.EMAIL,
        content=TemplateContent("en", {"en": {"subject": "Soon", "mjml": mjml}}),
    )
    route = Route(ChannelKind.EMAIL, template.id)
    campaign = await content.campaigns.create(
        brand_id, CampaignDraft(name="Match day", consent_basis="topic", routes=(route,))
    )
    made = await content.generators.create(brand_id, GeneratorDraft(name="x", campaign_id=campaign.id))

    published = (await content.generators.publish(brand_id, made.id)).generator

    assert published.publication_id is not None
    frozen = (await PublicationSource(db).load(brand_id, published.publication_id)).content
    parts = frozen.routes[0].variants[0].parts
    assert parts.keys() == {"subject", "html", "text"}
    assert "<mj-" not in parts["html"]
    assert "color: red" in parts["html"]
    assert parts["text"].strip() == 'Hi {{ customer.first_name | default: "there" }}'
    assert frozen.mail_sender is not None
    assert (frozen.mail_sender.name, frozen.mail_sender.address) == ("Goal Rush", "no-reply@sandbox.invalid")


async def test_publishing_again_without_an_edit_changes_nothing(content: Content):
    await content.generator("{{ match }}", SCHEMA)
    first = await content.generators.publish(content.brand_id, "match")

    second = await content.generators.publish(content.brand_id, "match")

    assert second == first


async def test_publishing_at_the_same_time_publishes_once(db: Database, content: Content, brand_id: UUID):
    await content.generator("{{ match }}", SCHEMA)

    results = await asyncio.gather(*(content.generators.publish(brand_id, "match") for _ in range(4)))

    assert len({result.generator.publication_id for result in results}) == 1
    async with db.read() as conn:
        cursor = await conn.execute("SELECT count(*) FROM publication WHERE brand_id = %s", (brand_id,))
        assert await cursor.fetchone() == (1,)


# --- editing --------------------------------------------------------------------------------------------------------


async def test_an_edited_template_is_not_what_runs_until_it_is_published(db: Database, content: Content):
    made = await content.generator("before", SCHEMA)
    published = (await content.generators.publish(content.brand_id, "match")).generator
    template_id = (await content.campaigns.get(content.brand_id, made.campaign_id)).routes[0].template_id

    await content.templates.update(content.brand_id, template_id, TemplatePatch(variants={"en": {"text": "after"}}))

    edited = await content.generators.get(content.brand_id, "match")
    assert (edited.is_stale, edited.publication_id) == (True, published.publication_id)
    assert await _published_text(db, content, edited.publication_id) == "before"

    again = (await content.generators.publish(content.brand_id, "match")).generator

    assert not again.is_stale
    assert await _published_text(db, content, again.publication_id) == "after"
    assert await _published_text(db, content, published.publication_id) == "before"


async def test_an_edit_that_is_taken_back_is_none(content: Content):
    made = await content.generator("Soon")
    await content.generators.publish(content.brand_id, "match")
    draft = GeneratorDraft(name="match", campaign_id=made.campaign_id)

    await content.generators.update(content.brand_id, "match", msgspec.structs.replace(draft, context_schema=SCHEMA))
    edited = await content.generators.get(content.brand_id, "match")
    await content.generators.update(content.brand_id, "match", draft)
    restored = await content.generators.get(content.brand_id, "match")

    assert (edited.is_stale, restored.is_stale) == (True, False)


async def test_an_edited_campaign_makes_its_generator_stale(content: Content):
    made = await content.generator("Soon")
    await content.generators.publish(content.brand_id, "match")
    campaign = await content.campaigns.get(content.brand_id, made.campaign_id)

    await content.campaigns.update(
        content.brand_id,
        campaign.id,
        CampaignDraft(name=campaign.name, consent_basis="topic", routes=campaign.routes, lane="alert"),
    )

    assert [generator.is_stale for generator in await content.generators.page(content.brand_id)] == [True]


async def test_a_sender_that_becomes_the_default_makes_the_generator_stale(db: Database, content: Content):
    template = await content.templates.create(content.brand_id, name="Mail", channel=ChannelKind.EMAIL, content=MAIL)
    routes = (Route(ChannelKind.EMAIL, template.id),)
    draft = CampaignDraft(name="Match day", consent_basis="topic", routes=routes)
    campaign = await content.campaigns.create(content.brand_id, draft)
    made = await content.generators.create(content.brand_id, GeneratorDraft(name="x", campaign_id=campaign.id))
    await content.generators.publish(content.brand_id, made.id)

    await _smtp(db, content.brand_id)

    assert (await content.generators.get(content.brand_id, made.id)).is_stale
    with pytest.raises(Invalid, match="set from_address in the brand's settings"):
        await content.generators.publish(content.brand_id, made.id)

    async with db.transaction() as conn:
        settings = BrandSettings(from_name="Goal Rush News", from_address="news@goalrush.example")
        await accounts_store.update_settings(conn, content.brand_id, settings)
    published = (await content.generators.publish(content.brand_id, made.id)).generator

    assert published.publication_id is not None
    frozen = (await PublicationSource(db).load(content.brand_id, published.publication_id)).content
    assert frozen.mail_sender is not None
    assert (frozen.mail_sender.name, frozen.mail_sender.address) == ("Goal Rush News", "news@goalrush.example")


async def test_a_sender_that_was_chosen_and_deleted_must_be_replaced(db: Database, content: Content):
    relay_id = await _smtp(db, content.brand_id)
    template = await content.templates.create(content.brand_id, name="Mail", channel=ChannelKind.EMAIL, content=MAIL)
    routes = (Route(ChannelKind.EMAIL, template.id, relay_id),)
    draft = CampaignDraft(name="Match day", consent_basis="topic", routes=routes)
    campaign = await content.campaigns.create(content.brand_id, draft)
    made = await content.generators.create(content.brand_id, GeneratorDraft(name="x", campaign_id=campaign.id))
    async with db.transaction() as conn:
        await channels_store.delete_sender(conn, content.brand_id, relay_id)

    with pytest.raises(Invalid) as caught:
        await content.generators.publish(content.brand_id, made.id)

    assert [violation.pointer for violation in caught.value.violations] == ["/routes/0/sender_id"]


async def _smtp(db: Database, brand_id: UUID) -> UUID:
    sender_id = new_id()
    async with db.transaction() as conn:
        await channels_store.insert_sender(
            conn,
            brand_id,
            sender_id,
            name="relay",
            channel=ChannelKind.EMAIL,
            kind="smtp",
            settings={},
            secret=None,
            enabled=True,
            in_doubt=None,
            pace_per_s=None,
        )
    return sender_id


# --- deleting -------------------------------------------------------------------------------------------------------


async def test_a_generator_can_be_deleted_and_its_publication_still_runs(db: Database, content: Content):
    await content.generator("Soon")
    published = (await content.generators.publish(content.brand_id, "match")).generator

    await content.generators.delete(content.brand_id, "match")

    with pytest.raises(NotFound):
        await content.generators.get(content.brand_id, "match")
    assert await _published_text(db, content, published.publication_id) == "Soon"


async def test_a_campaign_that_a_generator_names_or_that_was_published_is_kept(content: Content):
    made = await content.generator("Soon")

    with pytest.raises(Conflict, match="Event generators run this campaign: match"):
        await content.campaigns.delete(content.brand_id, made.campaign_id)
    await content.generators.publish(content.brand_id, "match")
    await content.generators.delete(content.brand_id, "match")
    with pytest.raises(Conflict, match="was published"):
        await content.campaigns.delete(content.brand_id, made.campaign_id)
