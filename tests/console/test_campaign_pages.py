"""A campaign on a calendar is made from templates, published with its warnings, and loses nothing that the API gave it."""

import re

import msgspec
import pytest

from console_world import OWN, ConsoleWorld, a_campaign, a_run, fields_in, press
from stentor.audience.model import CustomerPatch
from stentor.audience.segments import expressions as ex
from stentor.campaigns.model import CampaignDraft, Route, TemplateContent
from stentor.domain.ids import new_id
from stentor.domain.policy import CampaignCap
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

HOSTILE = '<img src=x onerror=alert(1)> "q" שלום ' + "x" * 100


async def test_a_campaign_is_made_published_and_offered_to_schedules(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    mail = TemplateContent("en", {"en": {"subject": "Hi {{ first_name }}", "html": "<p>Hi</p>", "text": "Hi"}})
    letter = await services.templates.create(brand, name=HOSTILE, channel=ChannelKind.EMAIL, content=mail)
    text = TemplateContent("en", {"en": {"text": "Hi"}})
    sms = await services.templates.create(brand, name="Short", channel=ChannelKind.SMS, content=text)
    at = await console.enters("marketer")
    new = await at.get(f"{console.root}/campaigns/new")

    two = await press(at, new, "add", {"name": "Spring", "t-0-template_id": str(letter.id), "holdout": "12.5"})
    up = await press(at, two, "up 1", {"t-1-template_id": str(sms.id)})
    blank = await press(at, new, "save", {"name": "", "holdout": "all"})
    long = await press(at, up, "save", {"deadline": "2h", "clearance": "3h"})
    longer = await press(at, up, "save", {"clearance": "8d"})
    saved = await press(at, up, "save", {"deadline": "2h", "clearance": "90m"})
    here = saved.headers["location"].partition("?")[0]
    page = await at.get(here)
    published = await at.post(f"{here}/publish", data={"form_token": fields_in(page)["form_token"]}, headers=OWN)

    assert re.findall(r'id="([^"]+)-error"', blank.text) == ["holdout", "t-0-template_id"]
    assert [re.findall(r'id="([^"]+)-error"', each.text) for each in (long, longer)] == [["clearance"]] * 2
    assert fields_in(page)["clearance"] == "90m"
    (campaign,) = await services.campaigns.page(brand)
    assert [(route.channel, route.template_id) for route in campaign.routes] == [
        (ChannelKind.SMS, sms.id),
        (ChannelKind.EMAIL, letter.id),
    ]
    policy = campaign.policy
    assert (campaign.kind, policy.deadline, policy.clearance, policy.holdout) == ("scheduled", "2h", "90m", 0.125)
    assert "It is published" in published.text
    assert "first_name" in published.text
    assert "<img src=x" not in page.text
    assert str(campaign.id) in (await at.get(f"{console.root}/schedules/new")).text
    assert "published" in (await at.get(f"{console.root}/campaigns")).text


async def test_what_only_the_api_says_is_shown_and_kept(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    made = await a_campaign(console, brand)
    draft = CampaignDraft(**{name: getattr(made, name) for name in CampaignDraft.__struct_fields__})
    route = msgspec.structs.replace(made.routes[0], when=ex.Known(field="email"))
    policy = msgspec.structs.replace(made.policy, caps=(CampaignCap(at_most=3, per="7d"),), tags=("spring",))
    full = msgspec.structs.replace(draft, routes=(route,), policy=policy)
    await services.campaigns.update(brand, made.id, full)
    at = await console.enters("marketer")

    shown = await at.get(f"{console.root}/campaigns/{made.id}")
    foreign = await press(at, shown, "save", {"t-0-template_id": str(made.id)})
    renamed = await press(at, shown, "save", {"name": "Another"})

    assert renamed.status_code == 303, renamed.text
    after = await services.campaigns.get(brand, made.id)
    assert (after.name, after.routes, after.policy) == ("Another", (route,), policy)
    assert "at_most" in shown.text
    assert "known" in shown.text
    assert re.findall(r'id="([^"]+)-error"', foreign.text) == ["t-0-template_id"]


async def test_what_a_service_sends_is_chosen_with_its_app_and_without_a_sender(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    partner = await World(console.core.db, brand, new_id()).partner(ChannelKind.PUSH, number=506, name=HOSTILE[:50])
    at = await console.enters("marketer")
    new = await at.get(f"{console.root}/campaigns/new")

    theirs = {"name": "Ads", "kind": "external", "t-0-template_id": str(partner.template_id)}
    drawn = await press(at, new, "draw", theirs)
    saved = await press(at, drawn, "save", {"t-0-app": "Bingo", "t-0-sender_id": str(partner.template_id)})
    here = saved.headers["location"].partition("?")[0]
    page = await at.get(here)
    published = await at.post(f"{here}/publish", data={"form_token": fields_in(page)["form_token"]}, headers=OWN)

    (campaign,) = await services.campaigns.page(brand)
    assert campaign.routes == (Route(ChannelKind.PUSH, partner.template_id, app="Bingo"),)
    assert (campaign.kind, campaign.publication_id is not None) == ("external", True)
    assert "t-0-sender_id" in new.text
    assert "t-0-sender_id" not in drawn.text
    assert fields_in(page)["t-0-app"] == "Bingo"
    assert "no app" in published.text
    assert "<img src=x" not in page.text


async def test_a_form_that_was_drawn_before_somebody_edited_the_campaign_changes_nothing(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    made = await a_campaign(console, brand)
    text = TemplateContent("en", {"en": {"text": "Hi"}})
    sms = await services.templates.create(brand, name="Short", channel=ChannelKind.SMS, content=text)
    draft = CampaignDraft(**{name: getattr(made, name) for name in CampaignDraft.__struct_fields__})
    mail = msgspec.structs.replace(made.routes[0], when=ex.Known(field="email"))
    both = (mail, Route(ChannelKind.SMS, sms.id))
    first = await services.campaigns.update(brand, made.id, msgspec.structs.replace(draft, routes=both))
    at = await console.enters("marketer")
    shown = await at.get(f"{console.root}/campaigns/{made.id}")
    turned = msgspec.structs.replace(draft, routes=both[::-1])
    await services.campaigns.update(brand, made.id, turned)

    drawn = await press(at, shown, "up 1")
    answers = [drawn, await press(at, drawn, "save"), await press(at, shown, "save", {"name": "Mine"})]
    with pytest.raises(Conflict):
        await services.campaigns.update(brand, made.id, draft, edited_from=first.updated_at)
    anew = await press(at, await at.get(f"{console.root}/campaigns/{made.id}"), "save", {"name": "Mine"})

    assert [answer.status_code for answer in answers] == [409] * 3
    assert all("Somebody changed this campaign meanwhile" in answer.text for answer in answers)
    assert 'value="Mine"' in answers[2].text
    assert anew.status_code == 303
    after = await services.campaigns.get(brand, made.id)
    assert (after.name, after.routes) == ("Mine", both[::-1])


async def test_an_execution_tells_how_many_and_why_not(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    await services.customers.upsert(brand, CustomerPatch(external_id="fan", email="fan@example.org"))
    segment = await services.segments.create(brand, "Everybody", ex.Sample(share=1))
    campaign = await a_campaign(console, brand)
    execution = await a_run(console, campaign.id, segment.id)
    at = await console.enters("viewer")

    listed = await at.get(f"{console.root}/executions")
    shown = await at.get(f"{console.root}/executions/{execution}")

    assert f'href="{console.root}/executions/{execution}"' in listed.text
    for link in (f"campaigns/{campaign.id}", f"segments/{segment.id}"):
        assert f'href="{console.root}/{link}"' in shown.text
    assert "Nobody is counted yet" in shown.text
