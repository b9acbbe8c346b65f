"""An event generator is made by a form, tried, and called with lines to paste; no schema is changed by being looked at."""

import html
import re
import shlex
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from httpx import Response

from console_world import OWN, PUBLIC, ConsoleWorld, fields_in, press
from stentor.audience.model import Act, CustomerPatch, Source, TopicDraft
from stentor.campaigns.context_schema import ContextSchema
from stentor.campaigns.model import Campaign, CampaignDraft, Deduplication, GeneratorDraft, Route, TemplateContent
from stentor.campaigns.sample_payload import sample_payload
from stentor.console.authoring.schema_form import has_rows, rows_of, schema_of
from stentor.domain.vocabulary import ChannelKind

pytestmark = pytest.mark.anyio

HOSTILE = "<img src=x onerror=alert(1)> \"q\" 'it' שלום " + "x" * 100
RICH: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "title": HOSTILE,
    "properties": {
        "match": {"type": "object", "properties": {"id": {"type": "integer", "minimum": 7}}, "required": ["id"]},
        " odd  name ": {"type": "string", "description": "two\nlines", "examples": ["first\n\nsecond", "another"]},
        HOSTILE: {"type": ["string", "null"], "enum": ["a", None]},
        "minute": {"type": "integer", "minimum": 1, "maximum": 120, "examples": [45]},
        "kick_off": {"type": "string", "format": "date-time"},
        "mail": {"type": "string", "format": "email"},
        "team": {"$ref": "#/$defs/team"},
    },
    "required": ["match", "minute", " odd  name "],
    "additionalProperties": False,
    "$defs": {"team": {"type": "object", "properties": {"name": {"type": "string", "minLength": 6}}}},
}


async def a_called_campaign(console: ConsoleWorld) -> Campaign:
    content = TemplateContent("en", {"en": {"subject": "{{ context.match }}", "html": "<p>Hi</p>", "text": "Hi"}})
    template = await console.services.templates.create(
        console.brand.id, name=HOSTILE, channel=ChannelKind.EMAIL, content=content
    )
    draft = CampaignDraft(name=HOSTILE, consent_basis="topic", routes=(Route(ChannelKind.EMAIL, template.id),))
    return await console.services.campaigns.create(console.brand.id, draft)


async def test_a_generator_is_made_by_a_form_published_tried_and_called(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    campaign = await a_called_campaign(console)
    await services.topics.create(brand, TopicDraft(key="team-42", name=HOSTILE, channels=1 << ChannelKind.EMAIL))
    await services.customers.upsert(brand, CustomerPatch(external_id="fan", email="fan@example.org"))
    await services.subscriptions.subscribe(brand, "fan", "team-42", None, Act(source=Source.API))
    at = await console.enters("marketer")
    new = await at.get(f"{console.root}/generators/new")

    blank = await press(at, new, "save", {"f-0-name": ""})
    said = {"name": "Match starts", "id": "new", "campaign_id": str(campaign.id), "dedup_fields": "match\r\nminute"}
    one = {"f-0-name": "match", "f-0-description": "Who plays", "f-0-example": "Reds vs Blues"}
    two = await press(at, new, "add", {**said, **one, "dedup_window": "10m"})
    wrong = await press(at, two, "save", {"f-1-name": "minute", "f-1-type": "integer", "f-1-example": "soon"})
    saved = await press(at, two, "save", {"f-1-name": "minute", "f-1-type": "integer", "f-1-example": "45"})
    here = saved.headers["location"].partition("?")[0]
    token = {"form_token": fields_in(await at.get(here))["form_token"]}
    published = await at.post(f"{here}/publish", data=token, headers=OWN)
    page = await at.get(here)
    asked = {**token, "topic": "team-42", "context": '{"match": "Reds", "minute": 1}'}
    tried = await at.post(f"{here}/try", data=asked, headers=OWN)
    refused = await at.post(f"{here}/try", data={**asked, "context": '{"match": 7}'}, headers=OWN)

    assert re.findall(r'id="([^"]+)-error"', blank.text) == ["campaign_id", "f-0-name"]
    assert re.findall(r'id="([^"]+)-error"', wrong.text) == ["f-1-example"]
    assert here.endswith("/generators/id/new")
    generator = await services.generators.get(brand, "new")
    assert generator.context_schema == {
        "type": "object",
        "properties": {
            "match": {"type": "string", "description": "Who plays", "examples": ["Reds vs Blues"]},
            "minute": {"type": "integer", "examples": [45]},
        },
        "required": ["match", "minute"],
    }
    assert generator.deduplication == Deduplication(("match", "minute"), 600)
    assert "It is published" in published.text
    assert "1</b> person is meant" in tried.text
    assert "Subject" in tried.text or "Reds" in tried.text
    assert refused.status_code == 400
    assert "minute" in refused.text
    lines = [html.unescape(each) for each in re.findall(r"<code>(curl .*?)</code></pre>", page.text, re.DOTALL)]
    run = shlex.split(next(each for each in lines if "/run'" in each))
    assert f"{PUBLIC}/smart-campaigns/v1/event-generators/new/run" in run
    assert f"x-brand-key: {console.brand.brand_key}" in run
    assert "x-api-key: $API_KEY" in run
    assert msgspec.json.decode(run[-1]) == {"topic_key": "team-42", "context": {"match": "Reds vs Blues", "minute": 45}}
    assert "<img src=x" not in page.text + tried.text + (await at.get(f"{console.root}/generators")).text


async def test_what_rows_cannot_say_is_kept_and_what_they_say_is_changed_alone(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    campaign = await a_called_campaign(console)
    odd = 'a b?c#d%2Fe"<i>'
    await services.generators.create(
        brand, GeneratorDraft(name=HOSTILE, campaign_id=campaign.id, context_schema=RICH), generator_id=odd
    )
    at, here = await console.enters("marketer"), f"{console.root}/generators/id/{quote(odd, safe='')}"
    page = await at.get(here)

    async def sent(page: Response, **typed: str) -> Response:
        # Its path has what a URL would take for something else.
        return await at.post(here, data={**fields_in(page), **typed, "do": "save"}, headers=OWN)

    same = await sent(page)
    assert (await services.generators.get(brand, odd)).context_schema == RICH
    second = await at.get(here)
    row_of = {text: name.removesuffix("-was") for name, text in fields_in(second).items() if name.endswith("-was")}
    minute, mail = row_of["minute"], row_of["mail"]
    renamed = await sent(second, **{f"{minute}-name": "minutes", f"{minute}-example": "", f"{mail}-type": "integer"})
    stale = await sent(second, name="Mine")

    assert (same.status_code, renamed.status_code, stale.status_code) == (303, 303, 409)
    after = (await services.generators.get(brand, odd)).context_schema
    assert after is not None
    expected = msgspec.json.decode(msgspec.json.encode(RICH))
    changed = {"minutes": {"type": "integer", "minimum": 1, "maximum": 120}, "mail": {"type": "integer"}}
    names = {"minute": "minutes"}
    expected["properties"] = {
        names.get(name, name): changed.get(names.get(name, name), node) for name, node in RICH["properties"].items()
    }
    expected["required"] = ["match", "minutes", " odd  name "]
    assert after == expected
    assert "<img src=x" not in page.text
    viewer = await console.enters("viewer")
    shown = fields_in(await viewer.get(here))
    assert (await viewer.post(here, data={**shown, "do": "save"}, headers=OWN)).status_code == 403
    gone = await at.post(
        f"{here}/delete", data={"form_token": fields_in(await at.get(here))["form_token"]}, headers=OWN
    )
    assert gone.status_code == 303
    assert "The generator is deleted." in (await at.get(gone.headers["location"])).text


async def test_a_schema_is_written_as_json_where_fields_cannot_say_it(console: ConsoleWorld):
    campaign = await a_called_campaign(console)
    at = await console.enters("marketer")
    new = await at.get(f"{console.root}/generators/new")
    said = {"name": "J", "id": "j", "campaign_id": str(campaign.id), "f-0-name": "match"}

    as_json = await press(at, new, "draw", {**said, "way": "json"})
    kept = fields_in(as_json)
    broken = await press(at, as_json, "save", {"schema": "{"})
    unknown = await press(at, as_json, "save", {"schema": '{"type": "objekt"}'})
    choice = '{"anyOf": [{"required": ["a"]}], "required": ["a"]}'
    saved = await press(at, as_json, "save", {"schema": choice})

    assert msgspec.json.decode(kept["schema"]) == {
        "type": "object",
        "properties": {"match": {"type": "string"}},
        "required": ["match"],
    }
    for answer in (broken, unknown):
        assert (answer.status_code, re.findall(r'id="([^"]+)-error"', answer.text)) == (400, ["schema"])
    assert 'value="fields"' not in fields_in(broken).get("way", "")
    assert saved.status_code == 303, saved.text
    shown = fields_in(await at.get(saved.headers["location"]))
    assert (shown["way"], msgspec.json.decode(shown["schema"])) == ("json", msgspec.json.decode(choice))


def test_samples_pass_the_schemas_that_they_are_made_from():
    assert ContextSchema(RICH).violations(sample_payload(RICH)) == []
    assert sample_payload(None) == {}
    many = {"type": "object", "properties": {f"f{number}": {"$ref": "#/$defs/big"} for number in range(900)}}
    big = {**many, "$defs": {"big": {"type": "string", "examples": ["x" * 5_000]}}}
    assert len(msgspec.json.encode(sample_payload(big))) < 64 * 1024


@pytest.mark.parametrize(
    "schema", [{}, RICH, {"required": []}, {"properties": {"a": {}}}, {"type": "object", "properties": {}}]
)
def test_rows_that_nobody_touched_are_the_schema_that_they_were_drawn_from(schema: dict[str, Any]):
    assert has_rows(schema)
    assert schema_of(rows_of(schema), schema) == {"type": "object", **schema}


@pytest.mark.parametrize(
    "schema",
    [{"type": ["object", "null"]}, {"required": ["a"]}, {"properties": {"a": True}}, {"properties": {"a\nb": {}}}],
)
def test_what_is_no_list_of_fields_has_no_rows(schema: dict[str, Any]):
    assert not has_rows(schema)
