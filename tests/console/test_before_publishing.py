"""Before a campaign is published its page says what would stop it, what each route says, and sends it to its makers alone."""

import pytest

from console_world import OWN, ConsoleWorld, a_campaign, fields_in
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route, TemplateContent
from stentor.domain.vocabulary import ChannelKind

pytestmark = pytest.mark.anyio

HOSTILE = "<img src=x onerror=alert(1)> שלום " + "x" * 60


async def test_what_stops_a_campaign_and_what_it_says_is_told_by_each_that_runs_it(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    text = TemplateContent("en", {"en": {"text": "{{ context.match }} {{ first_name }}"}})
    template = await services.templates.create(brand, name=HOSTILE, channel=ChannelKind.SMS, content=text)
    draft = CampaignDraft(name=HOSTILE, consent_basis="topic", routes=(Route(ChannelKind.SMS, template.id),))
    campaign = await services.campaigns.create(brand, draft)
    schema = {"type": "object", "properties": {"match": {"type": "string", "examples": [HOSTILE]}}}
    loose = GeneratorDraft(name="Loose", campaign_id=campaign.id, context_schema=schema)
    strict = GeneratorDraft(name="Strict", campaign_id=campaign.id, context_schema={**schema, "required": ["match"]})
    await services.generators.create(brand, loose, generator_id="loose")
    await services.generators.create(brand, strict, generator_id="strict")
    at = await console.enters("viewer")

    page = await at.get(f"{console.root}/campaigns/{campaign.id}/before")

    found = {one.generator_id: one for one in await services.publish_checks.of_campaign(brand, campaign.id)}
    assert [len(found[each].errors) for each in ("loose", "strict")] == [1, 0]
    assert "match" in found["loose"].errors[0].message
    assert [each.pointer != "" for each in found["strict"].warnings] == [True]
    (message,) = found["strict"].messages
    assert message.preview is not None
    assert HOSTILE in message.preview.parts["text"]
    assert {each.code for each in message.checks} >= {"segments"}
    assert "segments, each of which is billed" in page.text
    assert "cannot be published" in page.text
    assert "can be published, with blanks" in page.text
    assert "<img src=x" not in page.text
    assert (await services.generators.get(brand, "strict")).publication_id is None


async def test_a_test_goes_to_those_who_are_listed_and_chosen(console: ConsoleWorld):
    services, brand = console.services, console.brand
    campaign = await a_campaign(console, brand.id, publish=False)
    here = f"{console.root}/campaigns/{campaign.id}/before"
    at = await console.enters("marketer")
    nobody = await at.get(here)
    await services.test_recipients.add(brand, "editor@example.org", HOSTILE)
    token = {"form_token": fields_in(await at.get(f"{console.root}/campaigns/{campaign.id}"))["form_token"]}

    none_chosen = await at.post(f"{here}/test", data=token, headers=OWN)
    stranger = await at.post(f"{here}/test", data={**token, "to fan@example.org": "yes"}, headers=OWN)
    ours = {**token, "to editor@example.org": "yes"}
    bad_context = await at.post(f"{here}/test", data={**ours, "context": "{"}, headers=OWN)
    viewer = await console.enters("viewer")
    other = {"form_token": fields_in(await viewer.get(f"{console.root}/campaigns/{campaign.id}"))["form_token"]}
    refused = await viewer.post(f"{here}/test", data={**other, "to editor@example.org": "yes"}, headers=OWN)

    assert "Nobody is listed" in nobody.text
    assert [each.status_code for each in (none_chosen, stranger, bad_context, refused)] == [400, 400, 400, 403]
    assert "Choose who gets it." in none_chosen.text
    page = await at.get(here)
    assert "<img src=x" not in page.text
    assert "editor@example.org" in page.text
