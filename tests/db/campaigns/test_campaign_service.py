"""Campaigns in the database: what is accepted, what is refused, and whose they are."""

from uuid import UUID

import msgspec
import pytest

from stentor.campaigns import template_store
from stentor.campaigns.model import CampaignDraft, Route, TemplateContent
from stentor.campaigns.service import CampaignService
from stentor.channels import store as channels_store
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.policy import CampaignCap, CampaignPolicy
from stentor.domain.quiet_hours import QuietRule
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound

pytestmark = pytest.mark.anyio


async def _template(db: Database, brand_id: UUID, channel: ChannelKind, name: str = "Match starts") -> UUID:
    template_id = new_id()
    async with db.transaction() as conn:
        await template_store.insert_template(conn, brand_id, template_id, name=name, channel=channel)
        content = TemplateContent("en", {"en": {"text": "Kick-off"}})
        await template_store.insert_version(conn, brand_id, template_id, 1, content)
    return template_id


@pytest.fixture
def service(db: Database) -> CampaignService:
    return CampaignService(db)


@pytest.fixture
async def draft(db: Database, brand_id: UUID) -> CampaignDraft:
    sms = await _template(db, brand_id, ChannelKind.SMS)
    return CampaignDraft(name="Match day", consent_basis="topic", routes=(Route(ChannelKind.SMS, sms),))


async def _refusal(service: CampaignService, brand_id: UUID, draft: CampaignDraft) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        await service.create(brand_id, draft)
    return [(violation.pointer, violation.code) for violation in caught.value.violations]


async def test_a_campaign_is_found_as_it_was_made(service: CampaignService, brand_id: UUID, draft: CampaignDraft):
    made = await service.create(brand_id, draft)

    found = await service.get(brand_id, made.id)

    assert found == made
    assert (found.name, found.mode, found.lane, found.routes) == ("Match day", "all", "bulk", draft.routes)


async def test_a_name_is_used_once_in_a_brand(service: CampaignService, brand_id: UUID, draft: CampaignDraft):
    await service.create(brand_id, draft)

    with pytest.raises(Conflict, match="'Match day' exists already"):
        await service.create(brand_id, draft)


async def test_a_route_that_is_never_reached_is_refused(service: CampaignService, brand_id: UUID, draft: CampaignDraft):
    twice = msgspec.structs.replace(draft, routes=draft.routes * 2)

    assert await _refusal(service, brand_id, twice) == [("/routes/1", "unreachable-route")]


async def test_a_campaign_without_routes_is_refused(service: CampaignService, brand_id: UUID, draft: CampaignDraft):
    empty = msgspec.structs.replace(draft, routes=())

    assert await _refusal(service, brand_id, empty) == [("/routes", "routes-count")]


async def test_a_policy_is_kept_as_it_was_made(service: CampaignService, brand_id: UUID, draft: CampaignDraft):
    policy = CampaignPolicy((CampaignCap(3, "7d", ("sms",)),), deadline="2h", holdout=0.05, tags=("promo",))

    made = await service.create(brand_id, msgspec.structs.replace(draft, policy=policy))

    assert (await service.get(brand_id, made.id)).policy == policy


async def test_a_policy_that_means_nothing_is_refused(service: CampaignService, brand_id: UUID, draft: CampaignDraft):
    policy = CampaignPolicy((CampaignCap(3, "a week"),), deadline="never")

    assert await _refusal(service, brand_id, msgspec.structs.replace(draft, policy=policy)) == [
        ("/policy/caps/0/per", "invalid-duration"),
        ("/policy/deadline", "invalid-duration"),
    ]


async def test_a_template_of_another_channel_is_refused(
    db: Database, service: CampaignService, brand_id: UUID, draft: CampaignDraft
):
    voice = await _template(db, brand_id, ChannelKind.VOICE, "Spoken")
    wrong = msgspec.structs.replace(draft, routes=(Route(ChannelKind.SMS, voice),))

    assert await _refusal(service, brand_id, wrong) == [("/routes/0/template_id", "wrong-channel")]


async def test_a_template_of_another_brand_is_as_unknown_as_a_missing_one(
    db: Database, service: CampaignService, brand_id: UUID, other_brand_id: UUID, draft: CampaignDraft
):
    foreign = await _template(db, other_brand_id, ChannelKind.SMS, "Foreign")
    wrong = msgspec.structs.replace(draft, routes=(Route(ChannelKind.SMS, foreign),))

    assert await _refusal(service, brand_id, wrong) == [("/routes/0/template_id", "unknown-template")]


async def test_a_sender_must_be_the_brands_own_and_fit_the_channel(
    db: Database, service: CampaignService, brand_id: UUID, other_brand_id: UUID, draft: CampaignDraft
):
    async with db.read() as conn:
        voice = await channels_store.default_sender(conn, brand_id, ChannelKind.VOICE)
        foreign = await channels_store.default_sender(conn, other_brand_id, ChannelKind.SMS)
    assert voice is not None
    assert foreign is not None
    [route] = draft.routes

    by_voice = msgspec.structs.replace(draft, routes=(msgspec.structs.replace(route, sender_id=voice.id),))
    by_stranger = msgspec.structs.replace(draft, routes=(msgspec.structs.replace(route, sender_id=foreign.id),))

    assert await _refusal(service, brand_id, by_voice) == [("/routes/0/sender_id", "wrong-channel")]
    assert await _refusal(service, brand_id, by_stranger) == [("/routes/0/sender_id", "unknown-sender")]


async def test_an_update_replaces_the_whole(service: CampaignService, brand_id: UUID, draft: CampaignDraft):
    made = await service.create(brand_id, msgspec.structs.replace(draft, lane="alert"))

    updated = await service.update(brand_id, made.id, msgspec.structs.replace(draft, name="Final", mode="first"))

    assert (updated.name, updated.mode, updated.lane) == ("Final", "first", "bulk")
    assert await service.get(brand_id, made.id) == updated


async def test_pages_of_campaigns_follow_each_other(service: CampaignService, brand_id: UUID, draft: CampaignDraft):
    made = [await service.create(brand_id, msgspec.structs.replace(draft, name=f"Day {day}")) for day in range(3)]

    first = await service.page(brand_id, limit=2)
    rest = await service.page(brand_id, after=first[-1].id, limit=2)

    assert [*first, *rest] == made


async def test_another_brand_sees_nothing_of_it(
    service: CampaignService, brand_id: UUID, other_brand_id: UUID, draft: CampaignDraft
):
    made = await service.create(brand_id, draft)

    assert await service.page(other_brand_id) == []
    for call in (service.get, service.delete):
        with pytest.raises(NotFound):
            await call(other_brand_id, made.id)
    with pytest.raises(NotFound):
        await service.update(other_brand_id, made.id, draft)
    assert await service.get(brand_id, made.id) == made


async def test_a_campaign_that_nobody_runs_can_be_deleted(
    service: CampaignService, brand_id: UUID, draft: CampaignDraft
):
    made = await service.create(brand_id, draft)

    await service.delete(brand_id, made.id)

    with pytest.raises(NotFound):
        await service.get(brand_id, made.id)


async def test_quiet_hours_are_a_policy_and_checked(service: CampaignService, brand_id: UUID, draft: CampaignDraft):
    policy = CampaignPolicy(quiet_hours=(QuietRule(from_="21:00", to="08:00"),))

    made = await service.create(brand_id, msgspec.structs.replace(draft, policy=policy))

    assert (await service.get(brand_id, made.id)).policy == policy
    broken = msgspec.structs.replace(draft, policy=CampaignPolicy(quiet_hours=(QuietRule(from_="9pm", to="08:00"),)))
    assert await _refusal(service, brand_id, broken) == [("/policy/quiet_hours/0/from", "invalid-time")]
