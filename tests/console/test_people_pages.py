"""People in the console: found, looked at, chosen for, suppressed, merged, erased; the same as the API says of them."""

import re
from typing import Any
from uuid import UUID

import msgspec
import pytest
from httpx import AsyncClient, Response

from browsing import submit
from console_world import ConsoleWorld, a_campaign, a_run, fields_in, press
from stentor.audience.model import CustomerPatch, TopicDraft
from stentor.audience.segments import expressions as ex
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind

pytestmark = pytest.mark.anyio

EMAIL = ChannelKind.EMAIL.bit
HOSTILE = {
    "first_name": '<script>alert("1")</script>',
    "last_name": "\u202eمرحبا " + "x" * 200,
    '"><img src=x onerror=alert(1)>': ["</bdi>", 10_482_117],
}


def id_of(console: ConsoleWorld, external_id: str, brand_id: UUID | None = None) -> UUID:
    return customer_id(brand_id or console.brand.id, external_id)


def at_person(console: ConsoleWorld, external_id: str) -> str:
    return f"{console.root}/customers/{id_of(console, external_id)}"


async def person(console: ConsoleWorld, external_id: str, brand_id: UUID | None = None, **said: Any) -> UUID:
    brand = brand_id or console.brand.id
    await console.services.customers.upsert(brand, CustomerPatch(external_id=external_id, **said))
    return id_of(console, external_id, brand)


async def post(at: AsyncClient, page: str, action: str, **fields: str) -> Response:
    return await submit(at, page, f"{page}/{action}", **fields)


async def test_people_are_found_by_whatever_is_known_and_shown_as_they_are(console: ConsoleWorld):
    other = await console.services.accounts.create_brand("Other")
    await person(console, "crm-1", email="aino@example.org", phone="+14155550142", attributes=HOSTILE)
    await person(console, "crm-2", attributes={"first_name": "Bo"})
    await person(console, "theirs", other.id, attributes={"first_name": "Bo"})
    tag = await console.services.tags.create(console.brand.id, "<i>Members")
    await console.services.tags.tag(console.brand.id, tag.id, "crm-1")
    viewer = await console.enters("viewer")

    async def found(query: str) -> set[str]:
        page = await viewer.get(f"{console.root}/customers?{query}")
        assert page.status_code == 200, page.text
        return set(re.findall(r'<small class="mono"><bdi>([^<]*)</bdi>', page.text))

    assert await found("") == {"crm-1", "crm-2"}
    for text in ("crm-1", "AINO@example.org", "(415) 555-0142&channel=sms", "alert", f"{id_of(console, 'crm-1')}"):
        assert await found(f"search={text.replace('(415) 555-0142', '%2B1 (415) 555-0142')}") == {"crm-1"}, text
    assert await found("search=Bo") == {"crm-2"}
    assert await found(f"tag={tag.id}") == await found("channel=email") == {"crm-1"}
    assert await found("search=theirs") == set()
    led = await viewer.get(f"{console.root}/customers/by-id/crm-1")
    assert (led.status_code, led.headers["location"]) == (303, at_person(console, "crm-1"))
    shown = await viewer.get(at_person(console, "crm-1"))
    assert shown.status_code == 200
    assert "<script>alert" not in shown.text
    assert "<img" not in shown.text
    assert "&lt;i&gt;Members" in shown.text
    # Whoever is somebody else's is as absent as nobody, to the byte.
    theirs = await viewer.get(f"{console.root}/customers/{id_of(console, 'theirs', other.id)}")
    nobody = await viewer.get(f"{console.root}/customers/{UUID(int=7)}")
    assert theirs.status_code == nobody.status_code == 404
    assert blank(theirs) == blank(nobody)


def blank(page: Response) -> str:
    """A page without what is different each time it is asked for."""
    return re.sub(r'nonce="[^"]+"|customer \S+', "", page.text)


async def test_a_person_is_made_and_changed_in_a_form_and_nobody_writes_over_another(console: ConsoleWorld):
    at = await console.enters()
    page = await at.get(f"{console.root}/customers/new")
    typed = {
        "external_id": "crm-1",
        "email": "Aino@EXAMPLE.org",
        "time_zone": "Nowhere/Land",
        "name-0": "first_name",
        "value-0": "Aino",
        "name-1": "visits",
        "kind-1": "number",
        "value-1": "many",
    }
    wrong = await press(at, page, "save", typed)
    assert (wrong.status_code, "Write a number" in wrong.text) == (400, True)
    wrong = await press(at, wrong, "save", {"value-1": "3"})
    assert "This is no time zone" in wrong.text
    more = await press(at, wrong, "rows", {"time_zone": "Europe/Helsinki"})
    made = await press(at, more, "save", {"name-2": "vip", "kind-2": "yes_no", "value-2": "yes"})
    assert (made.status_code, made.headers["location"]) == (303, f"{at_person(console, 'crm-1')}?saved=yes")
    stored = await console.services.customers.get(console.brand.id, "crm-1")
    assert stored.email == "Aino@example.org"
    assert stored.attributes == {"first_name": "Aino", "visits": 3, "vip": True}
    again = await press(at, page, "save", {"external_id": "crm-1"})
    assert "There is a customer with this id already" in again.text

    form = await at.get(f"{at_person(console, 'crm-1')}/edit")
    await console.services.customers.upsert(console.brand.id, CustomerPatch(external_id="crm-1", locale="fi"))
    late = await press(at, form, "save", {"email": ""})
    assert late.status_code == 409
    form = await at.get(f"{at_person(console, 'crm-1')}/edit")
    names = {value: name for name, value in fields_in(form).items() if name.startswith("name-")}
    changed = await press(
        at, form, "save", {"email": "", names["vip"]: "", names["visits"].replace("name", "value"): "4"}
    )
    assert "Name this attribute" in changed.text
    changed = await press(at, form, "save", {"email": "", names["visits"].replace("name", "value"): "4"})
    assert changed.status_code == 303
    stored = await console.services.customers.get(console.brand.id, "crm-1")
    assert (stored.email, stored.locale, stored.attributes["visits"]) == (None, "fi", 4)


async def test_what_is_chosen_for_somebody_is_in_the_ledger_with_who_said_it(console: ConsoleWorld):
    await person(console, "crm-1", email="aino@example.org", phone="+14155550142")
    topic = await console.services.topics.create(
        console.brand.id, TopicDraft(key="news", name="<b>News", channels=EMAIL | ChannelKind.SMS.bit)
    )
    at, here = await console.enters(), at_person(console, "crm-1")

    unproven = await post(at, here, "choices", do=f"subscribe {topic.id} email")
    assert (unproven.status_code, "Say how they agreed" in unproven.text) == (400, True)
    assert (await post(at, here, "choices", do=f"subscribe {topic.id} email", note="a letter")).status_code == 303
    assert (await post(at, here, "choices", do=f"unsubscribe {topic.id} email")).status_code == 303
    for nonsense in ("", "subscribe x email", f"subscribe {topic.id} pigeon", f"subscribe {topic.id} voice"):
        assert (await post(at, here, "choices", do=nonsense, note="a letter")).status_code in {400, 404}, nonsense
    assert (await post(at, here, "suppress", channel="sms", note="asked by phone")).status_code == 303
    assert (await post(at, here, "suppress", channel="pigeon")).status_code == 400

    ledger = await console.services.subscriptions.ledger(console.brand.id, "crm-1")
    assert [(one.kind, one.source, one.note) for one in reversed(ledger)] == [
        ("subscribed", "console", "a letter"),
        ("unsubscribed", "console", ""),
        ("refused", "console", "asked by phone"),
    ]
    assert {(one.actor.partition(".")[0], str(one.ip)) for one in ledger} == {("marketer", "192.0.2.7")}
    page = (await at.get(here)).text
    for told in ("a letter", "192.0.2.7", "unsubscribed", "somebody wrote it down", "&lt;b&gt;News"):
        assert told in page, told
    assert (await at.get(f"{here}/ledger")).text.count("here in the console") == 3
    viewer = await console.enters("viewer")
    assert "<button" not in (await viewer.get(here)).text.partition("<main")[2]


async def test_the_timeline_is_the_apis_and_each_run_says_why(console: ConsoleWorld):
    await person(console, "crm-1", email="aino@example.org", attributes={"first_name": "Aino"})
    segment = await console.services.segments.create(console.brand.id, "All", ex.Known(field="email"))
    campaign = await a_campaign(console, console.brand.id, name="<u>Spring")
    execution = await a_run(console, campaign.id, segment.id)
    at, here = await console.enters("viewer"), at_person(console, "crm-1")

    before = await at.get(f"{here}/runs/{execution}")
    page = await at.get(here)
    older = await at.get(f"{here}/timeline?before=nonsense")
    exported = await at.get(f"{here}/export")

    assert (before.status_code, "not planned yet" in before.text) == (200, True)
    assert (page.status_code, older.status_code) == (200, 200)
    assert exported.headers["content-disposition"].startswith("attachment")
    said = msgspec.json.decode(exported.content)
    assert said["person"]["external_id"] == "crm-1"
    assert (await at.get(f"{here}/runs/{UUID(int=7)}")).status_code == 404
    assert (await at.get(f"{here}/runs/{execution}?as=nobody")).status_code == 404


async def test_two_profiles_become_one_and_the_old_id_leads_to_the_new(console: ConsoleWorld):
    await person(console, "crm-1", email="aino@example.org")
    gone = await person(console, "crm-2", phone="+14155550142")
    at, here = await console.enters(), at_person(console, "crm-1")

    for other, why in (("nobody", "no customer"), ("crm-1", "same person")):
        assert why in (await at.get(f"{here}/merge?other={other}")).text
    asked = await at.get(f"{here}/merge?other={gone}")
    assert "+14155550142" in asked.text
    assert "no customer" in (await post(at, here, "merge", other="nobody")).text
    assert (await post(at, here, "merge", other="crm-2")).status_code == 303
    led = await at.get(f"{console.root}/customers/{gone}")
    assert (led.status_code, led.headers["location"]) == (303, f"{here}?merged=yes")
    assert "was merged into this person" in (await at.get(led.headers["location"])).text
    assert (await console.services.customers.get(console.brand.id, "crm-1")).phone == "+14155550142"


async def test_who_is_erased_is_named_first_and_gone_then(console: ConsoleWorld):
    await person(console, "crm <1>", email="aino@example.org")
    at, here = await console.enters(), at_person(console, "crm <1>")

    refused = await post(at, here, "erase", typed="crm 1")
    assert (refused.status_code, "nobody is erased" in refused.text) == (400, True)
    erased = await post(at, here, "erase", typed="crm <1>")
    assert erased.headers["location"] == f"{console.root}/customers?erased=yes"
    assert (await at.get(here)).status_code == 404
    (record,) = await console.services.erasures.page(console.brand.id)
    assert record.asked_by.startswith("user marketer.")


async def test_tags_are_given_and_taken(console: ConsoleWorld):
    await person(console, "crm-1")
    tag = await console.services.tags.create(console.brand.id, "Members")
    at, here = await console.enters(), at_person(console, "crm-1")

    assert (await post(at, here, "tags", tag=str(tag.id))).status_code == 303
    assert [one.name for one in await console.services.finder.tags(console.brand.id, id_of(console, "crm-1"))] == [
        "Members"
    ]
    assert (await post(at, here, "tags", untag=str(tag.id))).status_code == 303
    assert (await post(at, here, "tags", untag=str(tag.id))).status_code == 404
    assert (await post(at, here, "tags")).status_code == 400
