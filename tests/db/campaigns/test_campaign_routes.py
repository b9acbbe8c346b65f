"""Routes of campaigns as they are saved: conditions and apps, what is refused and where, and what they keep from going away."""

from uuid import UUID

import msgspec
import pytest

from campaign_world import Content
from stentor.audience.segments.expressions import AllOf, Attribute, Before, Expression, Is, Language, Sent, Tagged
from stentor.audience.segments.service import SegmentService
from stentor.audience.tags import TagService
from stentor.campaigns.known import known_campaigns
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route, TemplateContent
from stentor.campaigns.sources import PublicationSource
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid
from stentor.triggers.uses import needed_tag

pytestmark = pytest.mark.anyio

SMS, PUSH = ChannelKind.SMS, ChannelKind.PUSH
GOLD = Attribute(name="tier", test=Is(value="gold"))


@pytest.fixture
def tags(db: Database) -> TagService:
    return TagService(db, needed=[needed_tag])


async def a_draft(content: Content, *whens: Expression | None, kind: str = "scheduled") -> CampaignDraft:
    """A campaign by text with a route for each condition, each saying something else."""
    templates = [await content.template(f"Text {new_id()}", en=f"Number {place}") for place, _ in enumerate(whens)]
    routes = tuple(Route(SMS, template.id, when=when) for template, when in zip(templates, whens, strict=True))
    draft = CampaignDraft(name=f"Sale {new_id()}", consent_basis="channel", routes=routes)
    return msgspec.structs.replace(draft, kind=kind)


async def refusal(content: Content, draft: CampaignDraft) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        await content.campaigns.create(content.brand_id, draft)
    return [(violation.pointer, violation.code) for violation in caught.value.violations]


async def test_a_route_is_kept_and_published_with_its_condition_in_its_one_spelling(db: Database, content: Content):
    draft = await a_draft(content, Language(values=("de_at",)), GOLD, None)

    made = await content.campaigns.create(content.brand_id, draft)
    published = (await content.campaigns.publish(content.brand_id, made.id)).campaign
    assert published.publication_id is not None
    frozen = (await PublicationSource(db).load(content.brand_id, published.publication_id)).content

    assert [route.when for route in made.routes] == [Language(values=("de-AT",)), GOLD, None]
    assert [route.when for route in frozen.routes] == [route.when for route in made.routes]
    assert [route.variants[0].parts["text"] for route in frozen.routes] == ["Number 0", "Number 1", "Number 2"]
    assert frozen.needs_cast
    changed = msgspec.structs.replace(draft, routes=(made.routes[0], made.routes[2]))
    assert (await content.campaigns.update(content.brand_id, made.id, changed)).is_stale


async def test_each_mistake_in_a_route_is_told_with_its_place(content: Content):
    unknown = AllOf(conditions=(Language(values=("en",)), Tagged(tag_id=new_id())))
    backwards = Attribute(name="born", test=Before(value="yesterday"))

    by_form = await a_draft(content, None, GOLD, backwards)
    by_name = await a_draft(content, GOLD, unknown, Sent(what="sent", campaign_id=new_id()))
    apps = tuple(msgspec.structs.replace(route, app="Fan App") for route in (await a_draft(content, None)).routes)

    assert await refusal(content, by_form) == [
        ("/routes/2/when/test/value", "invalid-date"),
        ("/routes/1", "unreachable-route"),
        ("/routes/2", "unreachable-route"),
    ]
    assert await refusal(content, by_name) == [
        ("/routes/1/when/conditions/1/tag_id", "unknown-tag"),
        ("/routes/2/when/campaign_id", "unknown-campaign"),
    ]
    assert await refusal(content, msgspec.structs.replace(by_name, routes=apps)) == [("/routes/0/app", "no-app")]
    assert await refusal(content, msgspec.structs.replace(by_name, routes=by_name.routes * 11)) == [
        ("/routes", "routes-count")
    ]


async def test_a_push_route_goes_out_by_the_app_that_it_names(db: Database, content: Content):
    parts = TemplateContent("en", {"en": {"title": "Kick-off", "body": "Now"}})
    template = await content.templates.create(content.brand_id, name="Push", channel=PUSH, content=parts)
    draft = CampaignDraft(
        name="Push", consent_basis="channel", kind="scheduled", routes=(Route(PUSH, template.id, app="Fan App"),)
    )

    made = await content.campaigns.create(content.brand_id, draft)
    published = (await content.campaigns.publish(content.brand_id, made.id)).campaign
    assert published.publication_id is not None
    frozen = (await PublicationSource(db).load(content.brand_id, published.publication_id)).content

    assert [route.app for route in frozen.routes] == ["Fan App"]
    nameless = msgspec.structs.replace(draft, name="None", routes=(Route(PUSH, template.id, app="\n"),))
    assert await refusal(content, nameless) == [("/routes/0/app", "invalid-app")]


async def refuses_to_delete(tags: TagService, brand_id: UUID, tag_id: UUID, name: str) -> None:
    with pytest.raises(Conflict, match=f"used by the campaign {name}"):
        await tags.delete(brand_id, tag_id)


async def test_a_tag_stays_as_long_as_a_route_is_edited_or_run_by_it(content: Content, tags: TagService):
    brand_id, vip = content.brand_id, await tags.create(content.brand_id, "vip")
    draft = await a_draft(content, Tagged(tag_id=vip.id), None, kind="api_triggered")
    campaign = await content.campaigns.create(brand_id, draft)
    await refuses_to_delete(tags, brand_id, vip.id, draft.name)
    run_by = GeneratorDraft(name="Sale", campaign_id=campaign.id)
    await content.generators.create(brand_id, run_by, generator_id="sale")
    await content.generators.publish(brand_id, "sale")

    await content.campaigns.update(brand_id, campaign.id, msgspec.structs.replace(draft, routes=draft.routes[1:]))
    await refuses_to_delete(tags, brand_id, vip.id, draft.name)
    await content.generators.publish(brand_id, "sale")

    await tags.delete(brand_id, vip.id)


async def test_a_campaign_stays_as_long_as_a_condition_names_it(db: Database, content: Content):
    brand_id = content.brand_id
    first = await content.campaigns.create(brand_id, await a_draft(content, None))
    got_it = Sent(what="delivered", campaign_id=first.id)
    second = await content.campaigns.create(brand_id, await a_draft(content, got_it))
    segments = SegmentService(db, known_campaigns)
    segment = await segments.create(brand_id, "Got it", got_it)

    with pytest.raises(Conflict, match=f"name this campaign: the campaign '{second.name}', the segment 'Got it'"):
        await content.campaigns.delete(brand_id, first.id)
    await segments.delete(brand_id, segment.id)
    await content.campaigns.delete(brand_id, second.id)

    await content.campaigns.delete(brand_id, first.id)
