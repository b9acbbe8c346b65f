"""The nouns of the native API, each as its backend uses it."""

from uuid import uuid4

import pytest

from api_world import World

pytestmark = pytest.mark.anyio


async def test_a_customer_is_made_changed_and_found(world: World):
    made = await world.ask("POST", "/customers", json={"external_id": "a/b %2F", "email": "Aino@Example.ORG"})
    path = "/customers/a%2Fb%20%252F"
    changed = await world.ask("PATCH", path, json={"attributes": {"tier": "gold"}})
    found = await world.ask("GET", path)

    assert (made.status_code, made.json()["fate"]) == (201, "added")
    assert (changed.status_code, changed.json()["fate"]) == (200, "changed")
    assert found.json()["external_id"] == "a/b %2F"
    assert found.json()["email"] == "Aino@example.org"
    assert found.json()["attributes"] == {"tier": "gold"}
    assert "email" in found.json()["reachable_on"]
    assert "sms" not in found.json()["reachable_on"]


async def test_many_customers_come_all_or_none(world: World):
    refused = await world.ask(
        "PATCH", "/customers", json={"customers": [{"external_id": "a"}, {"external_id": "b", "locale": "??"}]}
    )
    taken = await world.ask("PATCH", "/customers", json={"customers": [{"external_id": f"c-{n}"} for n in range(7)]})
    listed = await world.ask("GET", "/customers?limit=3")

    assert refused.status_code == 400
    assert refused.json()["violations"][0]["pointer"] == "/customers/1/locale"
    assert [one["fate"] for one in taken.json()["data"]] == ["added"] * 7
    assert len(listed.json()["data"]) == 3
    assert listed.json()["next_cursor"]


async def test_a_list_is_walked_by_its_cursor_and_ends_with_null(world: World):
    for number in range(5):
        await world.ask("POST", "/senders", json={"name": f"s{number}", "channel": "email", "kind": "sandbox"})

    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await world.ask("GET", f"/senders?limit=2{cursor and '&cursor=' + cursor}")).json()
        seen += [sender["name"] for sender in page["data"]]
        cursor = page["next_cursor"]

    assert len(seen) == len(set(seen)) == 14
    assert seen[-5:] == [f"s{number}" for number in range(5)]


async def test_a_numbered_page_has_links_and_meta(world: World):
    page = (await world.ask("GET", "/senders?page=2&per_page=4")).json()

    assert len(page["data"]) == 4
    assert page["meta"] == {
        "current_page": 2,
        "from": 5,
        "last_page": 3,
        "path": f"http://testserver.local/v1/groups/{world.brand.id}/senders",
        "per_page": 4,
        "to": 8,
        "total": 9,
    }
    assert page["links"]["next"] == page["meta"]["path"] + "?page=3&per_page=4"


async def test_a_cursor_of_somebody_else_is_refused(world: World):
    for cursor in ("x", "e30", "é", "A" * 200, "%00", "0e30"):
        assert (await world.ask("GET", f"/senders?cursor={cursor}")).status_code == 400


async def test_a_template_and_a_campaign_are_made(world: World):
    template = await world.ask(
        "POST",
        "/templates",
        json={
            "name": "Match",
            "channel": "email",
            "default_language": "en",
            "variants": {"en": {"subject": "{{ context.match_name }}", "html": "<p>Hi</p>"}},
        },
    )
    route = {"channel": "email", "template_id": template.json()["id"]}
    campaign = await world.ask("POST", "/campaigns", json={"name": "Match", "routes": [route]})
    listed = await world.ask("GET", "/templates?channel=email")

    assert template.status_code == 201, template.text
    assert campaign.status_code == 201, campaign.text
    assert campaign.json()["routes"] == [{**route, "sender_id": None, "when": None, "app": None, "arm": None}]
    assert [one["languages"] for one in listed.json()["data"]] == [["en"]]


async def test_of_a_template_that_is_changed_what_is_left_out_stays(world: World):
    variants = {"en": {"text": "Soon"}, "de": {"text": "Gleich"}}
    draft = {"name": "Match", "channel": "sms", "default_language": "en", "variants": variants}
    path = f"/templates/{(await world.ask('POST', '/templates', json=draft)).json()['id']}"

    renamed = (await world.ask("PATCH", path, json={"name": "Kick-off"})).json()
    turned = (await world.ask("PATCH", path, json={"default_language": "de"})).json()
    rewritten = (await world.ask("PATCH", path, json={"variants": {"de": {"text": "Jetzt"}}})).json()

    assert (renamed["name"], renamed["version"], renamed["variants"]) == ("Kick-off", 1, variants)
    assert (turned["default_language"], turned["version"], turned["variants"]) == ("de", 2, variants)
    assert (rewritten["name"], rewritten["version"], rewritten["default_language"]) == ("Kick-off", 3, "de")
    assert rewritten["variants"] == {"de": {"text": "Jetzt"}}


async def test_an_execution_that_is_not_there_is_a_404_everywhere(world: World):
    missing = uuid4()

    answers = [
        await world.ask(method, f"/executions/{missing}{path}")
        for method, path in [
            ("GET", ""), ("GET", "/events"), ("GET", "/recipients"), ("GET", "/recipients/a"), ("POST", "/pause"),
            ("POST", "/resume"), ("POST", "/cancel"),
        ]
    ]  # fmt: skip

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


async def test_a_customer_subscribes_to_a_topic_and_leaves_it(world: World):
    await world.ask("POST", "/topics", json={"key": "a/b+c", "name": "NFL", "channels": ["email", "sms"]})
    await world.ask("POST", "/customers", json={"external_id": "c-1", "email": "a@example.org"})
    path = "/customers/c-1/subscriptions/a%2Fb%2Bc"

    subscribed = await world.ask("PUT", path, json={})
    listed = await world.ask("GET", "/topics/a%2Fb%2Bc/subscribers")
    left = await world.ask("DELETE", f"{path}?channel=sms")
    kept = await world.ask("GET", "/customers/c-1/subscriptions")
    ledger = await world.ask("GET", "/customers/c-1/consents?limit=1")

    assert subscribed.json() == {"topic": "a/b+c", "channels": ["email", "sms"]}
    assert [one["external_id"] for one in listed.json()["data"]] == ["c-1"]
    assert left.json()["channels"] == ["email"]
    assert kept.json()["data"][0]["channels"] == ["email"]
    assert [(line["kind"], line["source"], line["actor"]) for line in ledger.json()["data"]] == [
        ("unsubscribed", "api", "key 1")
    ]
    assert ledger.json()["next_cursor"]


async def test_a_sender_that_was_deleted_is_not_there_for_anything(world: World):
    made = await world.ask("POST", "/senders", json={"name": "S", "channel": "email", "kind": "sandbox"})
    path = f"/senders/{made.json()['id']}"
    await world.ask("DELETE", path)

    answers = [await world.ask("GET", path), await world.ask("PATCH", path, json={}), await world.ask("DELETE", path)]
    answers += [await world.ask("POST", f"{path}/{verb}") for verb in ("pause", "resume")]

    assert [answer.status_code for answer in answers] == [404] * 5
