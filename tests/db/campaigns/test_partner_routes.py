"""Campaigns whose content lies with outside services: what may be chosen, what is frozen, and what of it can be looked at."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from campaign_world import Content
from stentor.campaigns.compose import CampaignRenderers
from stentor.campaigns.experiments import Arm, Experiment
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, PartnerContent, PublishedContent, Route, Step
from stentor.campaigns.sources import PublicationSource
from stentor.campaigns.test_content import draft_of, frozen_for_test
from stentor.channels.partners.chosen import offered_templates
from stentor.channels.service import sandbox_sender
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid
from stentor.executions.forecasting import Trial
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Partner, Someone, World

pytestmark = pytest.mark.anyio

SMS, PUSH, EXTERNAL = ChannelKind.SMS, ChannelKind.PUSH, ChannelKind.EXTERNAL


def drafted(*routes: Route, **said: Any) -> CampaignDraft:
    given: dict[str, Any] = {"kind": "external", "consent_basis": "channel", **said}
    return CampaignDraft(name=f"Sale {new_id()}", routes=routes, **given)


async def frozen(db: Database, content: Content, draft: CampaignDraft) -> PublishedContent:
    made = await content.campaigns.create(content.brand_id, draft)
    published = (await content.campaigns.publish(content.brand_id, made.id)).campaign
    assert published.publication_id is not None
    assert not published.is_stale
    return (await PublicationSource(db).load(content.brand_id, published.publication_id)).content


async def refused(content: Content, draft: CampaignDraft) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        await content.campaigns.create(content.brand_id, draft)
    return [(violation.pointer, violation.code) for violation in caught.value.violations]


async def partner_of(db: Database, brand_id: UUID, channel: ChannelKind = SMS, **said: Any) -> Partner:
    return await World(db, brand_id, new_id()).partner(channel, **said)


async def synced_app(db: Database, brand_id: UUID, number: int, app_id: str, name: str) -> None:
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO partner_app (brand_id, channel_number, app_id, name, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, now(), now())",
            [brand_id, number, app_id, name],
        )


async def deleted(db: Database, template_id: UUID) -> None:
    async with db.transaction() as conn:
        await conn.execute("UPDATE partner_template SET deleted_at = now() WHERE id = %s", [template_id])


async def test_a_campaign_of_partner_templates_is_frozen_with_the_ids_of_their_services(
    db: Database, brand_id: UUID, content: Content
):
    partner = await partner_of(db, brand_id)
    ads = await partner_of(db, brand_id, EXTERNAL, number=15, template=8, name="Autumn {{ x }}")
    await synced_app(db, brand_id, 15, "a1", "Bingo")

    found = await frozen(
        db,
        content,
        drafted(
            Route(SMS, partner.template_id),
            Route(EXTERNAL, ads.template_id, app="Bingo"),
            steps=(Step(wait="2d", routes=(Route(SMS, partner.template_id, partner.sender_id),)),),
        ),
    )

    by_sms, by_ads = found.routes
    assert (by_sms.partner, by_ads.partner) == (partner.content, PartnerContent(15, 8, "Autumn {{ x }}", "a1"))
    assert [route.sender_id for route in found.routes] == [partner.sender_id, ads.sender_id]
    assert [len(route.variants) for route in found.routes] == [1, 1]
    assert found.partner_channels == [15, 505]
    step = (await PublicationSource(db).load(brand_id, found.steps[0].publication_id)).content
    assert step.routes[0].partner == partner.content
    async with db.read() as conn:
        assert [one.number for one in await offered_templates(conn, brand_id)] == [8, 7]


async def test_own_templates_and_partners_share_a_campaign_and_nothing_of_ours_goes_by_a_listener(
    db: Database, brand_id: UUID, content: Content
):
    partner = await partner_of(db, brand_id)
    own = await content.template("Ours", en="Hello")
    arms = Experiment(arms=(Arm("ours", 0.5), Arm("theirs", 0.5)))
    routes = (Route(SMS, own.id, arm="ours"), Route(SMS, partner.template_id, arm="theirs"))

    found = await frozen(db, content, drafted(*routes, kind="scheduled", experiment=arms))

    async with db.read() as conn:
        sandbox = await sandbox_sender(conn, brand_id, SMS)
    assert [(route.partner, route.sender_id) for route in found.routes] == [
        (None, sandbox.id),
        (partner.content, partner.sender_id),
    ]
    assert found.variant_bases == [0, 1]


async def test_what_cannot_be_chosen_is_refused_at_its_place(
    db: Database, brand_id: UUID, other_brand_id: UUID, content: Content
):
    partner = await partner_of(db, brand_id)
    foreign = await partner_of(db, other_brand_id)
    gone = await partner_of(db, brand_id, number=506, template=9)
    await deleted(db, gone.template_id)
    own = await content.template("Ours", en="Hello")

    assert await refused(content, drafted(Route(SMS, gone.template_id))) == [
        ("/routes/0/template_id", "unknown-template")
    ]
    assert await refused(content, drafted(Route(SMS, foreign.template_id), kind="scheduled")) == [
        ("/routes/0/template_id", "unknown-template")
    ]
    assert await refused(content, drafted(Route(PUSH, partner.template_id))) == [
        ("/routes/0/template_id", "wrong-channel")
    ]
    assert await refused(content, drafted(Route(SMS, partner.template_id, gone.sender_id))) == [
        ("/routes/0/sender_id", "wrong-sender")
    ]
    assert await refused(content, drafted(Route(SMS, own.id, partner.sender_id), kind="scheduled")) == [
        ("/routes/0/sender_id", "wrong-sender")
    ]
    assert await refused(content, drafted(Route(SMS, own.id))) == [("/routes/0/template_id", "own-template")]


async def test_what_a_service_deletes_goes_on_where_it_is_published_and_is_published_no_more(
    db: Database, brand_id: UUID, content: Content
):
    partner = await partner_of(db, brand_id)
    made = await content.campaigns.create(brand_id, drafted(Route(SMS, partner.template_id)))
    published = (await content.campaigns.publish(brand_id, made.id)).campaign
    await deleted(db, partner.template_id)

    again = await content.campaigns.get(brand_id, made.id)
    with pytest.raises(Invalid) as caught:
        await content.campaigns.publish(brand_id, made.id)

    assert (again.publication_id, again.is_stale) == (published.publication_id, True)
    assert [one.pointer for one in caught.value.violations] == ["/routes/0/template_id"]
    assert "TemplateID 7 of channel 505 was deleted" in caught.value.detail


async def test_an_app_is_found_by_name_or_id_and_one_that_was_not_synced_is_worth_a_warning(
    db: Database, brand_id: UUID, content: Content
):
    partner = await partner_of(db, brand_id, PUSH)
    await synced_app(db, brand_id, 505, "a1", "Bingo")
    await synced_app(db, brand_id, 505, "Bingo", "Casino")
    apps: list[tuple[str | None, list[str]]] = []
    for app in (None, "a1", "Bingo", "Casino", "Poker"):
        made = await content.campaigns.create(
            brand_id, drafted(Route(PUSH, partner.template_id, app=app), kind="scheduled")
        )
        result = await content.campaigns.publish(brand_id, made.id)
        assert result.campaign.publication_id is not None
        found = (await PublicationSource(db).load(brand_id, result.campaign.publication_id)).content.routes[0].partner
        assert found is not None
        apps.append((found.app_id, [one.pointer for one in result.warnings]))

    assert apps == [(None, []), ("a1", []), ("Bingo", []), ("Bingo", []), ("Poker", ["/routes/0/app"])]


async def test_a_generator_runs_what_its_campaign_leaves_to_a_service(db: Database, brand_id: UUID, content: Content):
    partner = await partner_of(db, brand_id, PUSH)
    draft = drafted(
        Route(PUSH, partner.template_id, app="Poker"), kind="api_triggered", consent_basis="topic", lane="alert"
    )
    campaign = await content.campaigns.create(brand_id, draft)
    generator = await content.generators.create(
        brand_id, GeneratorDraft(name="goals", campaign_id=campaign.id), generator_id="goals"
    )

    result = await content.generators.publish(brand_id, generator.id)

    assert [one.code for one in result.warnings] == ["unknown-app"]
    assert result.generator.publication_id is not None
    found = (await PublicationSource(db).load(brand_id, result.generator.publication_id)).content
    assert found.routes[0].partner == msgspec.structs.replace(partner.content, app_id="Poker")


async def test_a_test_send_tells_in_the_sandbox_what_the_service_would_be_asked_for(
    db: Database, brand_id: UUID, content: Content
):
    partner = await partner_of(db, brand_id)
    made = await content.campaigns.create(brand_id, drafted(Route(SMS, partner.template_id)))

    async with db.transaction() as conn:
        draft = await draft_of(conn, brand_id, made.id, [SMS])
        sandbox = await sandbox_sender(conn, brand_id, SMS)
    (route,) = (await frozen_for_test(draft, context_fields=(), language=None)).content.routes

    assert draft.sender_kinds == {SMS: "sandbox"}
    assert (route.sender_id, route.partner) == (sandbox.id, None)
    assert route.variants[0].parts == {"text": "TemplateID 7 of channel 505: Kick-off"}


async def test_a_dry_run_counts_people_and_shows_what_the_service_would_be_asked_for(db: Database):
    world = await World.made(db)
    await world.people(
        [Someone(name, channels=SMS.bit, address_mask=SMS.bit, valid_mask=SMS.bit) for name in ("one", "two")]
    )
    publication_id = await world.publication((SMS,), partners=[await world.partner()])
    engine = Engine(db, ScriptedChannel(), renderers=CampaignRenderers())

    found = await engine.executions.dry_run(world.brand_id, publication_id, Trial("news", {}, Clock().now()))

    assert [(one.would_send, one.skipped) for one in found.channels] == [(2, {})]
    assert [one.message for one in found.samples] == ["TemplateID 7"] * 2
