"""The catalogue tells what can be called as it is now, and is shared by links that open for a time and are taken back."""

import html
import re

import msgspec
import pytest

from console_world import OWN, ConsoleWorld
from stentor.accounts.audit_model import Narrowed
from stentor.audience.model import TopicDraft
from stentor.campaigns.catalogue_shares import SHARES_MAX
from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route, TemplateContent
from stentor.console.authoring.catalogue_text import anchor_of
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound, QuotaExceeded

pytestmark = pytest.mark.anyio

HOSTILE = '<img src=x onerror=alert(1)> | `x` "q" שלום ' + "x" * 100
SCHEMA = {
    "type": "object",
    "properties": {"match": {"type": "string", "description": f"Who plays\n\n{HOSTILE}", "examples": ["```Reds```"]}},
    "required": ["match"],
}


async def a_generator(console: ConsoleWorld, generator_id: str) -> None:
    services, brand = console.services, console.brand.id
    text = TemplateContent("en", {"en": {"text": "{{ context.match }}"}})
    template = await services.templates.create(brand, name=generator_id, channel=ChannelKind.SMS, content=text)
    draft = CampaignDraft(name=HOSTILE, consent_basis="topic", routes=(Route(ChannelKind.SMS, template.id),))
    campaign = await services.campaigns.create(brand, draft)
    said = GeneratorDraft(name=HOSTILE, campaign_id=campaign.id, context_schema=SCHEMA)
    await services.generators.create(brand, said, generator_id=generator_id)
    await services.topics.create(brand, TopicDraft(key="team|42", name=HOSTILE, channels=ChannelKind.SMS.bit))


async def test_the_catalogue_tells_what_calls_are_checked_against(console: ConsoleWorld):
    services, brand = console.services, console.brand
    await a_generator(console, "a b|c")
    await services.generators.publish(brand.id, "a b|c")
    held = await services.generators.get(brand.id, "a b|c")
    edited = GeneratorDraft(name="Renamed", campaign_id=held.campaign_id, context_schema={"type": "object"})
    await services.generators.update(brand.id, "a b|c", edited)
    at = await console.enters("viewer")

    page = await at.get(f"{console.root}/catalogue")
    document = await at.get(f"{console.root}/catalogue/catalogue.md")
    as_json = await at.get(f"{console.root}/catalogue/catalogue.json")

    (generator,) = (await services.catalogue.of(brand)).generators
    assert (generator.name, generator.schema, generator.sample) == ("Renamed", SCHEMA, {"match": "```Reds```"})
    assert msgspec.json.decode(as_json.content)["generators"][0]["schema"] == SCHEMA
    assert f'id="{anchor_of("a b|c")}"' in page.text
    assert "<img src=x" not in page.text
    assert "\n### Renamed\n" in document.text
    assert "| match | string | yes | Who plays \\<img src=x onerror=alert(1)\\> \\|" in document.text
    assert "\n````json\n" in document.text
    assert "team\\|42" in document.text
    assert document.headers["content-disposition"] == 'attachment; filename="catalogue.md"'
    assert "Share it" not in page.text
    assert (await at.get(f"{console.root}/catalogue/passwd")).status_code == 404
    assert len({anchor_of(each) for each in ("a b", "a_b", "a-b", "a_20_b", "A b")}) == 5


async def test_a_link_opens_for_strangers_until_it_is_taken_back(console: ConsoleWorld):
    services, brand = console.services, console.brand
    await a_generator(console, "kick-off")
    other = await services.accounts.create_brand("Other")
    at, stranger = await console.enters("marketer"), console.browser()
    page = await at.get(f"{console.root}/catalogue")
    token = re.search(r'name="form_token" value="([0-9a-f]+)"', page.text)
    assert token is not None
    form = {"form_token": token[1]}

    wrong = await at.post(f"{console.root}/catalogue/shares", data={**form, "days": "0"}, headers=OWN)
    made = await at.post(f"{console.root}/catalogue/shares", data={**form, "note": HOSTILE, "days": "30"}, headers=OWN)
    listed = await at.get(f"{console.root}/catalogue")
    (link,) = re.findall(r'<code id="share-[^"]+">https://[^/]+([^<]+)</code>', listed.text)
    (share,) = await services.catalogue_shares.all(brand.id)
    seen = await stranger.get(html.unescape(link))
    files = [await stranger.get(f"{link}/{name}") for name in ("catalogue.md", "catalogue.json", "x")]
    forged = [
        await stranger.get(each) for each in (link[:-1] + ("A" if link[-1] != "A" else "B"), "/u/c/x", f"{link}x")
    ]
    foreign = services.catalogue_shares.token(other.id, share.id)

    assert (wrong.status_code, made.status_code, seen.status_code) == (400, 303, 200)
    assert "kick-off" in seen.text
    assert console.brand.brand_key not in seen.text + files[0].text + files[1].text
    assert seen.headers["x-robots-tag"] == "noindex, nofollow"
    assert seen.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in seen.headers
    assert "<img src=x" not in seen.text + listed.text
    assert [each.status_code for each in files] == [200, 200, 404]
    assert [each.status_code for each in forged] == [404, 404, 404]
    assert await services.catalogue_shares.opened(foreign) is None
    with pytest.raises(NotFound):
        await services.catalogue_shares.end(other.id, share.id)
    assert (await stranger.get(link)).status_code == 200

    ended = await at.post(f"{console.root}/catalogue/shares/{share.id}/end", data=form, headers=OWN)

    assert ended.status_code == 303
    assert (await stranger.get(link)).status_code == 404
    told = await services.audit.page(brand.id, Narrowed(thing_kind="catalogue_share"))
    assert [each.action for each in told] == ["catalogue_share.deleted", "catalogue_share.created"]
    assert link.rpartition("/")[2] not in msgspec.json.encode(told).decode()
    viewer = await console.enters("viewer")
    token = re.search(r'name="form_token" value="([0-9a-f]+)"', (await viewer.get(f"{console.root}/catalogue")).text)
    assert token is not None
    refused = await viewer.post(
        f"{console.root}/catalogue/shares", data={"form_token": token[1], "days": "1"}, headers=OWN
    )
    assert refused.status_code == 403


async def test_links_end_by_themselves_and_are_few(console: ConsoleWorld):
    shares, brand = console.services.catalogue_shares, console.brand.id
    share = await shares.make(brand, note="", days=1, made_by="x" * 999)
    assert await shares.opened(shares.token(brand, share.id)) == brand
    async with console.core.db.transaction() as conn:
        await conn.execute("UPDATE catalogue_share SET expires_at = expires_at - interval '1 day'")
    assert await shares.opened(shares.token(brand, share.id)) is None
    assert [each.is_over for each in await shares.all(brand)] == [True]
    for note, days in (("x" * 201, 1), ("a\nb", 1), ("", 366)):
        with pytest.raises(Invalid):
            await shares.make(brand, note=note, days=days, made_by="")
    for _ in range(SHARES_MAX - 1):
        await shares.make(brand, note="", days=1, made_by="")
    with pytest.raises(QuotaExceeded):
        await shares.make(brand, note="", days=1, made_by="")


async def test_strangers_who_come_too_often_are_told_to_wait(console: ConsoleWorld):
    stranger = console.browser()
    answers = [(await stranger.get("/u/c/none")).status_code for _ in range(60)]
    assert answers[0] == 404
    assert 429 in answers
