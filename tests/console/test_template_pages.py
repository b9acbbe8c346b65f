"""Templates are written with their look and their checks beside them, compared, restored and sent as a test."""

import html
import re
from uuid import UUID

import pytest
from httpx import Response

from browsing import form_token
from console_world import OWN, ConsoleWorld, fields_in, press
from stentor.audience.model import CustomerPatch
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route, Template, TemplateContent, TemplatePatch
from stentor.console.authoring.templates import TEMPLATE_FORM_BYTES_MAX
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import NotFound

pytestmark = pytest.mark.anyio

HOSTILE = '</textarea><script>alert(1)</script><img src=x onerror=alert(1)> "q" שלום ' + "x" * 100
HTML = '<p>Hi {{ customer.first_name }}</p>\n<a href="{{ unsubscribe_url }}">out</a>'


async def a_mail(console: ConsoleWorld, name: str = "Letter", source: str = HTML) -> Template:
    content = TemplateContent(
        "en", {"en": {"subject": "Hello", "html": source}, "de": {"subject": "Hallo", "html": source}}
    )
    return await console.services.templates.create(
        console.brand.id, name=name, channel=ChannelKind.EMAIL, content=content
    )


async def a_campaign_saying(console: ConsoleWorld, template: Template, name: str = "Spring") -> UUID:
    draft = CampaignDraft(name=name, consent_basis="channel", routes=(Route(template.channel, template.id),))
    return (await console.services.campaigns.create(console.brand.id, draft)).id


def told(page: Response, part: str) -> str:
    """The words of a part of the page, and of some that is behind it."""
    _, begins, rest = page.text.partition(f'id="{part}"')
    assert begins, page.text
    return html.unescape(re.sub(r"<[^>]+>", " ", rest[:8000]))


@pytest.mark.parametrize("channel", [kind.label for kind in ChannelKind if kind is not ChannelKind.EXTERNAL])
async def test_a_template_of_each_channel_begins_with_what_can_be_sent(console: ConsoleWorld, channel: str):
    at = await console.enters("marketer")
    new = await at.get(f"{console.root}/templates/new", params={"channel": channel})

    saved = await press(at, new, "save", {"name": HOSTILE, "channel": channel})
    page = await at.get(saved.headers["location"])
    listed = await at.get(f"{console.root}/templates", params={"channel": channel})

    assert "0 errors" in told(new, "checks")
    (made,) = await console.services.templates.page(console.brand.id)
    assert (made.name, made.channel.label, made.languages) == (HOSTILE, channel, ("en",))
    assert "Saved." in page.text
    for each in (page, listed):
        assert html.escape(HOSTILE, quote=False)[:30] in each.text.replace("&#34;", '"')
        assert "<script>alert" not in each.text
        assert "<img src=x" not in each.text


async def test_what_is_typed_is_looked_at_and_checked_without_being_saved(console: ConsoleWorld):
    template = await a_mail(console)
    schema = {
        "type": "object",
        "required": ["league"],
        "properties": {"league": {"type": "string", "examples": ["NFL"]}},
    }
    campaign = await a_campaign_saying(console, template)
    generator = GeneratorDraft(name="Match", campaign_id=campaign, context_schema=schema)
    await console.services.generators.create(console.brand.id, generator, generator_id="match")
    person = CustomerPatch(external_id="fan", email="fan@example.org", attributes={"first_name": "Aino <b>"})
    await console.services.customers.upsert(console.brand.id, person)
    at = await console.enters("marketer")
    page = await at.get(f"{console.root}/templates/{template.id}")

    typed = {
        "p-subject": "{{ context.league }} {{ leauge }}",
        "p-source": f"{HTML}\n{{{{ brand.colour }}}}",
        "who": "fan",
    }
    broken = await press(at, page, "look", typed, by_htmx=True)
    mended = await press(at, page, "look", {**typed, "p-source": HTML, "p-text": "no way out"}, by_htmx=True)
    nobody = await press(at, page, "look", {"who": "no-such"}, by_htmx=True)
    no_json = await press(at, page, "look", {"context": "[1]"}, by_htmx=True)

    assert '"league": "NFL"' in fields_in(page)["context"]
    assert "context.league" in page.text
    assert "html, line 3" in told(broken, "checks")
    assert '"p-source": [3]' in html.unescape(broken.text)
    assert "Did you mean context.league?" in told(mended, "checks")
    assert "The text part has no link to unsubscribe" in told(mended, "checks")
    assert "NFL" in told(mended, "look")
    assert "<form" not in mended.text
    assert "There is no customer 'no-such' here." in told(nobody, "look")
    assert "no JSON object" in told(no_json, "look")
    assert await console.services.templates.get(console.brand.id, template.id) == template


async def test_a_mail_is_framed_under_a_policy_of_its_own(console: ConsoleWorld):
    script = '<script>alert(1)</script><img src="https://example.org/x.png" alt="">'
    dark = "<style>@media (prefers-color-scheme:dark){p{color:red}}</style>"
    template = await a_mail(console, source=f"<html><body>{script}{HTML}</body></html>")
    person = CustomerPatch(external_id="fan", attributes={"first_name": "<script>alert(2)</script>"})
    await console.services.customers.upsert(console.brand.id, person)
    at = await console.enters("marketer")
    page = await at.get(f"{console.root}/templates/{template.id}")
    form, frame = fields_in(page), f"{console.root}/templates/frame"

    stored = await at.get(f"{console.root}/templates/{template.id}/frame")
    typed = await at.post(frame, data={**form, "who": "fan", "dark": "yes"}, headers=OWN)
    knowing = await at.post(
        frame, data={**form, "p-source": dark + HTML, "dark": "yes", "pictures": "yes"}, headers=OWN
    )
    light = await at.post(frame, data={**form, "p-source": dark + HTML}, headers=OWN)
    foreign = await at.post(
        frame, data=form, headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    )
    broken = await at.post(frame, data={**form, "p-source": "{% if %}"}, headers=OWN)

    for answer in (stored, typed, knowing, light, broken):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'; ")
        assert "script-src" not in policy
        assert "allow-" not in policy
        assert "frame-ancestors 'self'" in policy
    assert "img-src data:;" in stored.headers["content-security-policy"]
    assert "img-src data: https: http:;" in knowing.headers["content-security-policy"]
    assert "&lt;script&gt;alert(2)" in typed.text
    assert "invert(1)" in typed.text
    assert "(min-width: 0){p" in knowing.text
    assert "invert(1)" not in knowing.text
    assert "(max-width: 0){p" in light.text
    assert foreign.status_code == 403
    assert "Nothing can be shown" in broken.text
    assert 'sandbox referrerpolicy="no-referrer"' in page.text


async def test_whoever_was_slower_loses_nothing_and_sees_both(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    template = await a_mail(console)
    at = await console.enters("marketer")
    page = await at.get(f"{console.root}/templates/{template.id}")
    theirs = {**template.content.variants, "en": {"subject": "Theirs", "html": HTML}}
    now = await services.templates.update(brand, template.id, TemplatePatch(variants=theirs))

    mine = {"p-subject": f"Mine {HOSTILE[:40]}", "name": "Renamed"}
    refused = await press(at, page, "save", mine)
    again = await press(at, refused, "save")
    over = await press(at, refused, f"overwrite {now.updated_at.isoformat()}")

    assert (refused.status_code, again.status_code) == (409, 409)
    assert fields_in(refused)["p-subject"] == mine["p-subject"]
    assert re.search(r"<mark>Theirs|Theirs</mark>", refused.text)
    assert over.status_code == 303
    after = await services.templates.get(brand, template.id)
    assert (after.name, after.version, after.content.variants["en"]["subject"]) == ("Renamed", 3, mine["p-subject"])
    assert after.content.variants["de"] == template.content.variants["de"]


async def test_languages_are_added_made_the_default_and_removed(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    template = await a_mail(console)
    here = f"{console.root}/templates/{template.id}"
    at = await console.enters("marketer")

    fresh = await at.get(here, params={"language": "fi_fi"})
    saved = await press(at, fresh, "save", {"p-subject": "Hei", "is_default": "yes"})
    dropped = await press(at, await at.get(here, params={"language": "de"}), "drop")
    none = await at.get(here, params={"language": "no language"})

    assert (saved.status_code, dropped.status_code, none.status_code) == (303, 303, 404)
    content = (await services.templates.get(brand, template.id)).content
    assert (content.default_language, set(content.variants)) == ("fi-FI", {"en", "fi-FI"})
    assert content.variants["fi-FI"] == {"subject": "Hei", "html": HTML}


async def test_mistakes_are_marked_at_their_fields(console: ConsoleWorld):
    await a_mail(console, "Taken")
    template = await a_mail(console)
    at = await console.enters("marketer")
    page = await at.get(f"{console.root}/templates/{template.id}")

    broken = await press(at, page, "save", {"name": "", "p-subject": "{{ brand.colour }}", "p-source": "{% if %}"})
    empty = await press(at, page, "save", {"p-source": "  "})
    taken = await press(at, page, "save", {"name": "Taken"})
    long = await at.post(
        str(page.url), data={**fields_in(page), "p-source": "x" * TEMPLATE_FORM_BYTES_MAX}, headers=OWN
    )

    assert re.findall(r'class="err" id="([^"]+)-error"', broken.text) == ["name"]
    assert re.findall(r'class="err" id="([^"]+)-error"', empty.text) == ["p-source"]
    assert (taken.status_code, long.is_success) == (409, False)
    assert "Somebody changed" not in taken.text
    assert (await console.services.templates.get(console.brand.id, template.id)) == template


async def test_versions_are_compared_and_an_old_one_comes_back(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    template = await a_mail(console, HOSTILE, source="\n".join(f"<p>{number}</p>" for number in range(30)))
    lines = [f"<p>{number}</p>" for number in range(30)]
    lines[9] = "<p><script>alert(3)</script></p>"
    second = {**template.content.variants, "en": {"subject": "Hello", "html": "\n".join([*lines, "last"])}}
    await services.templates.update(brand, template.id, TemplatePatch(variants=second))
    at, here = await console.enters("marketer"), f"{console.root}/templates/{template.id}/versions"

    page = await at.get(here)
    fields = {"form_token": form_token(page), "seen": re.findall(r'name="seen" value="([^"]+)"', page.text)[0]}
    back = await at.post(f"{here}/1/restore", data=fields, headers=OWN)
    late = await at.post(f"{here}/1/restore", data=fields, headers=OWN)
    after = await at.get(back.headers["location"])
    same = await at.get(here, params={"from": 1, "to": 3})

    assert "2 came" in page.text
    assert "1 went" in page.text
    assert "lines the same" in page.text
    assert re.search(r"<mark>&lt;script&gt;alert\(3\)&lt;/script&gt;</mark>", page.text)
    assert "<script>alert" not in page.text
    assert late.status_code == 409
    assert "Version 3 says what version 1 said." in after.text
    assert "They say the same" in same.text
    assert (await services.templates.get(brand, template.id)).content == template.content
    for odd in ("0", "x", "9" * 30, "-1"):
        assert (await at.get(here, params={"from": odd, "to": odd})).status_code == 200


async def test_a_test_goes_to_test_recipients_by_a_campaign_that_says_it(console: ConsoleWorld):
    services, brand = console.services, console.brand
    template = await a_mail(console)
    await services.test_recipients.add(brand, "editor@example.org", "<b>Editor</b>")
    await services.test_recipients.add(brand, "+358401112222", "Phone")
    at, here = await console.enters("marketer"), f"{console.root}/templates/{template.id}"

    unused = await at.get(here)
    campaign = await a_campaign_saying(console, template, "<b>Spring</b>")
    page = await at.get(here)
    chosen = dict.fromkeys(re.findall(r'name="(to-[^"]+)"', page.text), "yes")
    form = fields_in(page)
    nobody = await at.post(f"{here}/test", data=form, headers=OWN)
    unsaved = await at.post(f"{here}/test", data={**form, **chosen, "p-subject": "Typed"}, headers=OWN)
    elsewhere = await at.post(f"{here}/test", data={**form, **chosen, "route": f"{campaign} 0 7"}, headers=OWN)
    sent = await at.post(f"{here}/test", data={**form, **chosen}, headers=OWN)

    assert "Make one" in unused.text
    assert len(chosen) == 1
    assert [each.status_code for each in (nobody, unsaved, elsewhere)] == [400, 409, 400]
    assert "Choose at least one test recipient." in nobody.text
    assert fields_in(unsaved)["p-subject"] == "Typed"
    assert "A test says what is saved" in unsaved.text
    assert sent.status_code == 200
    assert re.search(rf'href="/inbox/{brand.id}/[a-z2-7]+"', sent.text)
    assert "<b>Editor" not in page.text
    assert "<b>Spring" not in page.text


async def test_data_rows_come_and_go_with_all_that_was_typed(console: ConsoleWorld):
    at = await console.enters("marketer")
    new = await at.get(f"{console.root}/templates/new", params={"channel": "push"})

    one = await press(at, new, "add", {"name": "Push", "p-title": "Typed"})
    two = await press(at, one, "add", {"d-0-name": "screen", "d-0-text": "{{ context.id | default: 1 }}"})
    less = await press(at, two, "remove 1")
    saved = await press(at, less, "save")

    assert saved.status_code == 303, told(saved, "checks")
    (made,) = await console.services.templates.page(console.brand.id)
    content = (await console.services.templates.get(console.brand.id, made.id)).content
    assert content.variants["en"] == {
        "title": "Typed",
        "body": "Say it here.",
        "data.screen": "{{ context.id | default: 1 }}",
    }


async def test_who_may_read_sees_and_who_may_not_write_changes_nothing(console: ConsoleWorld):
    template = await a_mail(console)
    other = await console.services.accounts.create_brand("Other")
    viewer, stranger = await console.enters("viewer"), await console.enters("marketer", other)
    here = f"{console.root}/templates/{template.id}"
    writer = await console.enters("marketer")

    page = await viewer.get(here)
    form = {"form_token": form_token(page), "do": "save", "name": "Mine", "seen": template.updated_at.isoformat()}
    answers = [
        await viewer.post(f"{here}{path}", data=form, headers=OWN)
        for path in ("", "/delete", "/test", "/versions/1/restore")
    ]
    foreign = [await stranger.get(f"{here}{path}") for path in ("", "/frame", "/versions")]
    kept = await writer.get(here)
    gone = await writer.post(f"{here}/delete", data={"form_token": form_token(kept)}, headers=OWN)

    assert page.status_code == 200
    assert f'src="{here}/frame?language=en"' in page.text
    assert "Make the template" not in page.text
    assert 'data-live="' not in page.text
    assert [each.status_code for each in answers] == [403] * 4
    assert [each.status_code for each in foreign] == [404] * 3
    assert gone.status_code == 303
    with pytest.raises(NotFound):
        await console.services.templates.get(console.brand.id, template.id)
