"""Templates in the database: versions, languages, and what is refused when it is saved."""

from uuid import UUID

import pytest

from campaign_world import Content
from stentor.audience.segments.expressions import Known
from stentor.campaigns import template_store
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route, Step, TemplateContent, TemplatePatch
from stentor.campaigns.service import CampaignService
from stentor.campaigns.templates import TemplateService
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound

pytestmark = pytest.mark.anyio

SMS = ChannelKind.SMS
ENGLISH = TemplateContent("en", {"en": {"text": "{{ context.match }} starts soon"}})
BILINGUAL = TemplateContent("en", {"en": {"text": "Soon"}, "de": {"text": "Gleich"}})


@pytest.fixture
def templates(db: Database) -> TemplateService:
    return TemplateService(db)


def _saying(content: TemplateContent) -> TemplatePatch:
    return TemplatePatch(default_language=content.default_language, variants=content.variants)


async def _versions(db: Database, brand_id: UUID, template_id: UUID) -> list[int]:
    async with db.read() as conn:
        cursor = await conn.execute(
            "SELECT version FROM template_version WHERE template_id = %s AND brand_id = %s ORDER BY version",
            (template_id, brand_id),
        )
        return [version for (version,) in await cursor.fetchall()]


async def test_a_template_is_found_as_it_was_made(templates: TemplateService, brand_id: UUID):
    made = await templates.create(brand_id, name=" Match starts ", channel=SMS, content=ENGLISH)

    assert await templates.get(brand_id, made.id) == made
    assert (made.name, made.channel, made.version, made.content) == ("Match starts", SMS, 1, ENGLISH)


async def test_languages_are_stored_in_their_canonical_form(templates: TemplateService, brand_id: UUID):
    content = TemplateContent("EN_us", {"en-US": {"text": "Soon"}, "zh_hant": {"text": "快"}})

    made = await templates.create(brand_id, name="Match starts", channel=SMS, content=content)

    assert made.content == TemplateContent("en-US", {"en-US": {"text": "Soon"}, "zh-Hant": {"text": "快"}})


async def test_new_content_makes_a_new_version_and_keeps_the_old_one(
    db: Database, templates: TemplateService, brand_id: UUID
):
    made = await templates.create(brand_id, name="Match starts", channel=SMS, content=ENGLISH)

    updated = await templates.update(brand_id, made.id, _saying(BILINGUAL))

    assert (updated.version, updated.content) == (2, BILINGUAL)
    assert await _versions(db, brand_id, made.id) == [1, 2]


async def test_the_same_content_makes_no_version(db: Database, templates: TemplateService, brand_id: UUID):
    made = await templates.create(brand_id, name="Match starts", channel=SMS, content=ENGLISH)

    assert await templates.update(brand_id, made.id, _saying(ENGLISH)) == made
    assert await _versions(db, brand_id, made.id) == [1]


async def test_a_new_name_makes_no_version(templates: TemplateService, brand_id: UUID):
    made = await templates.create(brand_id, name="Match starts", channel=SMS, content=ENGLISH)

    renamed = await templates.update(brand_id, made.id, TemplatePatch(name="Kick-off"))

    assert (renamed.name, renamed.version, renamed.content) == ("Kick-off", 1, ENGLISH)


async def test_half_of_the_content_is_changed_and_the_other_half_stays(templates: TemplateService, brand_id: UUID):
    made = await templates.create(brand_id, name="Match starts", channel=SMS, content=BILINGUAL)

    turned = await templates.update(brand_id, made.id, TemplatePatch(default_language="de"))
    rewritten = await templates.update(brand_id, made.id, TemplatePatch(variants={"de": {"text": "Jetzt"}}))

    assert turned.content == TemplateContent("de", BILINGUAL.variants)
    assert rewritten.content == TemplateContent("de", {"de": {"text": "Jetzt"}})


async def test_the_newest_hundred_versions_are_kept(db: Database, templates: TemplateService, brand_id: UUID):
    made = await templates.create(brand_id, name="Match starts", channel=SMS, content=ENGLISH)
    async with db.transaction() as conn:
        for version in range(2, 101):
            await template_store.insert_version(conn, brand_id, made.id, version, ENGLISH)
        await template_store.update_template(conn, brand_id, made.id, name="Match starts", version=100)

    await templates.update(brand_id, made.id, _saying(BILINGUAL))

    assert await _versions(db, brand_id, made.id) == list(range(2, 102))


async def test_a_name_is_used_once_in_a_brand(templates: TemplateService, brand_id: UUID, other_brand_id: UUID):
    await templates.create(brand_id, name="Match starts", channel=SMS, content=ENGLISH)
    other = await templates.create(brand_id, name="Kick-off", channel=SMS, content=ENGLISH)

    with pytest.raises(Conflict, match="'Match starts' exists already"):
        await templates.create(brand_id, name="Match starts", channel=SMS, content=ENGLISH)
    with pytest.raises(Conflict, match="'Match starts' exists already"):
        await templates.update(brand_id, other.id, TemplatePatch(name="Match starts"))
    await templates.create(other_brand_id, name="Match starts", channel=SMS, content=ENGLISH)


async def test_content_that_is_no_template_is_not_saved(templates: TemplateService, brand_id: UUID):
    made = await templates.create(brand_id, name="Match starts", channel=SMS, content=ENGLISH)

    with pytest.raises(Invalid) as caught:
        await templates.update(brand_id, made.id, TemplatePatch(variants={"en": {"text": "one\n{{ two"}}))

    assert [violation.pointer for violation in caught.value.violations] == ["/variants/en/text"]
    assert caught.value.detail.startswith("Line 2: ")
    assert await templates.get(brand_id, made.id) == made


async def test_a_list_tells_languages_and_not_contents(templates: TemplateService, brand_id: UUID):
    made = await templates.create(brand_id, name="Match starts", channel=SMS, content=BILINGUAL)

    [listed] = await templates.page(brand_id)

    assert (listed.id, listed.languages) == (made.id, ("en", "de"))


async def test_pages_of_templates_follow_each_other_within_a_channel(templates: TemplateService, brand_id: UUID):
    made = [(await templates.create(brand_id, name=f"Day {day}", channel=SMS, content=ENGLISH)).id for day in range(3)]
    spoken = TemplateContent("en", {"en": {"script": "Soon"}})
    await templates.create(brand_id, name="Spoken", channel=ChannelKind.VOICE, content=spoken)

    first = await templates.page(brand_id, channel=SMS, limit=2)
    rest = await templates.page(brand_id, channel=SMS, after=first[-1].id, limit=2)

    assert [template.id for template in (*first, *rest)] == made


async def test_a_template_that_a_campaign_uses_cannot_be_deleted(
    db: Database, templates: TemplateService, brand_id: UUID
):
    made = await templates.create(brand_id, name="Match starts", channel=SMS, content=ENGLISH)
    campaigns = CampaignService(db)
    draft = CampaignDraft(name="Match day", consent_basis="topic", routes=(Route(SMS, made.id),))
    campaign = await campaigns.create(brand_id, draft)

    with pytest.raises(Conflict, match="Match day"):
        await templates.delete(brand_id, made.id)
    await campaigns.delete(brand_id, campaign.id)
    await templates.delete(brand_id, made.id)

    with pytest.raises(NotFound):
        await templates.get(brand_id, made.id)
    assert await _versions(db, brand_id, made.id) == []


async def test_another_brand_sees_nothing_of_it(templates: TemplateService, brand_id: UUID, other_brand_id: UUID):
    made = await templates.create(brand_id, name="Match starts", channel=SMS, content=ENGLISH)

    assert await templates.page(other_brand_id) == []
    with pytest.raises(NotFound):
        await templates.get(other_brand_id, made.id)
    with pytest.raises(NotFound):
        await templates.update(other_brand_id, made.id, TemplatePatch(name="Mine", variants=BILINGUAL.variants))
    with pytest.raises(NotFound):
        await templates.delete(other_brand_id, made.id)
    assert await templates.get(brand_id, made.id) == made


async def test_an_old_version_is_shown_and_comes_back_as_a_new_one(content: Content):
    made = await content.template(en="One", de="Eins")
    await content.templates.update(content.brand_id, made.id, TemplatePatch(variants={"en": {"text": "Two"}}))

    old = await content.templates.version(content.brand_id, made.id, 1)
    back = await content.templates.restore(content.brand_id, made.id, 1)
    kept = await content.templates.versions(content.brand_id, made.id)

    assert (old.version, old.content) == (1, made.content)
    assert (back.version, back.content) == (3, made.content)
    assert [(one.version, one.languages) for one in kept] == [(3, ("en", "de")), (2, ("en",)), (1, ("en", "de"))]
    with pytest.raises(NotFound):
        await content.templates.version(content.brand_id, made.id, 4)
    for brand_id, template_id in ((new_id(), made.id), (content.brand_id, new_id())):
        with pytest.raises(NotFound):
            await content.templates.versions(brand_id, template_id)
        with pytest.raises(NotFound):
            await content.templates.restore(brand_id, template_id, 1)


async def test_what_was_made_of_an_older_state_changes_nothing(content: Content):
    made = await content.template(en="One")
    named = await content.templates.update(
        content.brand_id, made.id, TemplatePatch(name="Renamed"), edited_from=made.updated_at
    )

    for change in (TemplatePatch(name="Mine"), TemplatePatch(variants={"en": {"text": "Mine"}})):
        with pytest.raises(Conflict, match="meanwhile"):
            await content.templates.update(content.brand_id, made.id, change, edited_from=made.updated_at)
    with pytest.raises(Conflict):
        await content.templates.restore(content.brand_id, made.id, 1, edited_from=made.updated_at)

    assert await content.templates.get(content.brand_id, made.id) == named


async def test_where_templates_are_said_is_told_by_route_and_step(content: Content):
    first, second, unused = [await content.template(name, en="Hi") for name in ("A", "B", "C")]
    later = Step(wait="1h", routes=(Route(ChannelKind.SMS, first.id),))
    own = (Route(ChannelKind.SMS, second.id), Route(ChannelKind.SMS, first.id, when=Known(field="email")))
    draft = CampaignDraft(name="Z", consent_basis="none", routes=own[::-1], steps=(later,))
    campaign = await content.campaigns.create(content.brand_id, draft)
    generator = GeneratorDraft(name="G", campaign_id=campaign.id, context_schema=None)
    await content.generators.create(content.brand_id, generator, generator_id="g")

    uses = await content.templates.uses(content.brand_id, [first.id, second.id, unused.id])
    running = await content.templates.generators(content.brand_id, [campaign.id])

    assert [(use.template_id, use.campaign_name, use.step, use.route) for use in uses] == [
        (first.id, "Z", 0, 0),
        (second.id, "Z", 0, 1),
        (first.id, "Z", 1, 0),
    ]
    assert [(one.id, one.campaign_id) for one in running] == [("g", campaign.id)]
    assert await content.templates.uses(new_id(), [first.id]) == []
