"""An A/B test, steps and conditions of a campaign are read and edited by forms, which keep what they cannot say."""

import re

import msgspec
import pytest

from console_world import ConsoleWorld, a_campaign, fields_in, press
from stentor.audience.segments import expressions as ex
from stentor.campaigns.experiments import Arm, Experiment, Winner
from stentor.campaigns.model import Campaign, CampaignDraft, Route, Step, TemplateContent
from stentor.campaigns.steps import AllHappened, AnyHappened, NoneHappened, StepCondition
from stentor.domain.vocabulary import ChannelKind

pytestmark = pytest.mark.anyio

HOSTILE = '<img src=x onerror=alert(1)> "q" שלום ' + "x" * 60


async def a_full_campaign(console: ConsoleWorld) -> Campaign:
    """One with an experiment, conditions, and steps of all kinds."""
    services, brand = console.services, console.brand.id
    made = await a_campaign(console, brand, name=HOSTILE)
    text = TemplateContent("en", {"en": {"text": "Hi"}})
    sms = await services.templates.create(brand, name=HOSTILE, channel=ChannelKind.SMS, content=text)
    route = Route(ChannelKind.SMS, sms.id)
    nested = AllHappened((AnyHappened((StepCondition(what="opened"),)), StepCondition(what="clicked", has=False)))
    draft = CampaignDraft(
        name=HOSTILE,
        kind="scheduled",
        consent_basis="channel",
        routes=(
            msgspec.structs.replace(made.routes[0], arm=HOSTILE, when=ex.Known(field="email")),
            msgspec.structs.replace(made.routes[0], arm="B"),
        ),
        experiment=Experiment(
            arms=(Arm(HOSTILE, 0.1), Arm("B", 0.123456789)),
            holdout=0.05,
            winner=Winner(by="clicked", after="4h", at_least=7, otherwise="first"),
        ),
        steps=(
            Step(wait="30m", routes=(msgspec.structs.replace(route, when=ex.Known(field="phone")), route)),
            Step(wait="2d", routes=(route,), when=StepCondition(what="replied", step=0, answer=HOSTILE), mode="first"),
            Step(wait="1h", routes=(route,), when=NoneHappened((StepCondition(what="opened", step=1),))),
            Step(wait="1h", routes=(route,), when=nested),
        ),
    )
    return await services.campaigns.update(brand, made.id, draft)


def said(campaign: Campaign) -> CampaignDraft:
    return CampaignDraft(**{name: getattr(campaign, name) for name in CampaignDraft.__struct_fields__})


async def test_forms_that_nobody_touched_leave_everything_as_it_is(console: ConsoleWorld):
    before = await a_full_campaign(console)
    here = f"{console.root}/campaigns/{before.id}"
    at = await console.enters("marketer")

    for part in ("experiment", "steps", "conditions/0", "conditions/s0-0"):
        page = await at.get(f"{here}/{part}")
        drawn = await press(at, page, "draw", by_htmx=True)
        saved = await press(at, drawn, "save")
        assert saved.status_code == 303, saved.text
        assert "<img src=x" not in page.text
    shown = await at.get(here)

    assert said(await console.services.campaigns.get(console.brand.id, before.id)) == said(before)
    for told in ("12.3456789%", "After 2d", "its first messages", "Something is known", "the rest gets the first arm"):
        assert told in shown.text, told
    assert "<img src=x" not in shown.text
    viewer = await console.enters("viewer")
    assert (await viewer.get(f"{here}/steps")).status_code == 200
    assert (await press(viewer, await viewer.get(f"{here}/steps"), "save")).status_code == 403
    for wrong in ("conditions/2", "conditions/s9-0", "conditions/s0-9", "conditions/x", "conditions/s-0"):
        assert (await at.get(f"{here}/{wrong}")).status_code == 404, wrong


async def test_an_experiment_is_made_by_its_form_and_taken_away(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    campaign = await a_campaign(console, brand)
    here = f"{console.root}/campaigns/{campaign.id}/experiment"
    at = await console.enters("marketer")
    new = await at.get(here)

    three = await press(at, new, "add", {"by": "opened"})
    wrong = await press(at, three, "save", {"arm-0-share": "half", "arm-2-name": "C", "arm-2-share": "10"})
    shares = {"arm-0-share": "10", "arm-1-share": "10", "arm-2-name": "C", "arm-2-share": "10", "after": "2h"}
    too_much = await press(at, three, "save", {**shares, "arm-0-share": "90"})
    dropped = await press(at, three, "remove 0", shares)
    saved = await press(at, dropped, "save")
    stale = await press(at, dropped, "save")
    made = (await services.campaigns.get(brand, campaign.id)).experiment
    plain = await press(at, await at.get(here), "none")

    assert re.findall(r'id="([^"]+)-error"', wrong.text) == ["arm-0-share", "after"]
    assert re.findall(r'id="([^"]+)-error"', too_much.text) == ["arm-0-share"]
    assert (saved.status_code, stale.status_code, plain.status_code) == (303, 409, 303)
    winner = Winner(by="opened", after="2h")
    assert made == Experiment(arms=(Arm("B", 0.1), Arm("C", 0.1)), winner=winner)
    assert (await services.campaigns.get(brand, campaign.id)).experiment is None


async def test_steps_are_made_by_their_form(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    campaign = await a_campaign(console, brand)
    template = str(campaign.routes[0].template_id)
    here = f"{console.root}/campaigns/{campaign.id}/steps"
    at = await console.enters("marketer")

    one = await press(at, await at.get(here), "add")
    two = await press(at, one, "add", {"s-0-t-0-template_id": template, "s-0-wait": "30m"})
    asked = await press(at, two, "condition 1", {"s-1-t-0-template_id": template, "s-1-wait": "soon"})
    wrong = await press(at, asked, "save")
    later = await press(at, asked, "save", {"s-1-wait": "2d", "s-1-c-0-step": "7"})
    saved = await press(at, asked, "save", {"s-1-wait": "2d", "s-1-c-0-has": "no", "s-1-c-0-step": "0"})
    after = await services.campaigns.get(brand, campaign.id)
    turned = await press(at, await press(at, await at.get(here), "up 1"), "save")
    emptied = await press(at, await press(at, await at.get(here), "uncondition 0 0"), "save")
    fewer = await press(at, await press(at, await at.get(here), "remove 1"), "save")

    assert re.findall(r'id="([^"]+)-error"', wrong.text) == ["s-1-wait"]
    assert re.findall(r'id="([^"]+)-error"', later.text) == ["s-1-c-0-step"]
    assert saved.status_code == 303, saved.text
    (route,) = campaign.routes
    assert after.steps == (
        Step(wait="30m", routes=(route,)),
        Step(wait="2d", routes=(route,), when=AllHappened((StepCondition(what="opened", step=0, has=False),))),
    )
    assert [each.status_code for each in (turned, emptied, fewer)] == [303, 303, 303]
    assert (await services.campaigns.get(brand, campaign.id)).steps == (Step(wait="2d", routes=(route,)),)


async def test_for_whom_a_route_is_is_written_like_a_segment(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    campaign = await a_campaign(console, brand)
    here = f"{console.root}/campaigns/{campaign.id}/conditions/0"
    at = await console.enters("marketer")

    drawn = await press(at, await at.get(here), "draw", {"r-0-kind": "attribute"})
    empty = await press(at, drawn, "save", {"r-0-name": ""})
    saved = await press(at, drawn, "save", {"r-0-name": "city", "r-0-value": "Berlin"})
    when = (await services.campaigns.get(brand, campaign.id)).routes[0].when
    foreign = await press(at, await press(at, drawn, "draw", {"r-0-kind": "tag"}), "draw", {"r-0-tag_id": str(brand)})
    foreign = await press(at, foreign, "save", {"seen": fields_in(await at.get(here))["seen"]})
    cleared = await press(at, await at.get(here), "none")

    assert re.findall(r'id="([^"]+)-error"', empty.text) == ["r-0-name", "r-0-value"]
    assert saved.status_code == 303, saved.text
    assert when == ex.AllOf(conditions=(ex.Attribute(name="city", test=ex.Is(value="Berlin")),))
    assert foreign.status_code == 400
    assert re.findall(r'id="([^"]+)-error"', foreign.text) == ["r-0-tag_id"]
    assert cleared.status_code == 303
    assert (await services.campaigns.get(brand, campaign.id)).routes[0].when is None
