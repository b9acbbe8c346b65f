"""What a person may ask for, by the API: all that is held of them, and to be forgotten."""

import json

import pytest

from api_world import World

pytestmark = pytest.mark.anyio


async def test_a_customer_is_exported_and_erased(world: World):
    await world.ask(
        "POST",
        "/customers",
        json={"external_id": "a/b", "email": "Aino@example.org", "attributes": {"tier": "gold"}},
        headers={"Idempotency-Key": "made"},
    )
    await world.ask("POST", "/topics", json={"key": "news", "name": "News", "channels": ["email"]})
    await world.ask("PUT", "/customers/a%2Fb/subscriptions/news", json={"channels": ["email"]})

    exported = await world.ask("GET", "/customers/a%2Fb/export")
    lines = await world.ask("GET", "/customers/a%2Fb/export.ndjson")
    erased = await world.ask("DELETE", "/customers/a%2Fb")
    again = await world.ask("DELETE", "/customers/a%2Fb")
    many = await world.ask("POST", "/customers:erase", json={"external_ids": ["a/b", "nobody"]})
    listed = await world.ask("GET", "/erasures")
    replayed = await world.ask(
        "POST",
        "/customers",
        json={"external_id": "a/b", "email": "Aino@example.org", "attributes": {"tier": "gold"}},
        headers={"Idempotency-Key": "made"},
    )

    document = exported.json()
    assert exported.headers["content-type"] == "application/json"
    assert document["person"]["email"] == "Aino@example.org"
    assert document["person"]["attributes"] == {"tier": "gold"}
    assert document["sends"] == []
    assert {json.loads(line)["section"] for line in lines.text.splitlines()} >= {"person"}
    assert (erased.status_code, erased.json()["is_new"]) == (200, True)
    assert (again.status_code, again.json()["is_new"]) == (200, False)
    assert again.json()["erasure"] == erased.json()["erasure"]
    assert many.json()["unknown"] == ["nobody"]
    assert [one["id"] for one in listed.json()["data"]] == [erased.json()["erasure"]["id"]]
    one = await world.ask("GET", f"/erasures/{erased.json()['erasure']['id']}")
    assert one.json() == listed.json()["data"][0]
    assert "Aino" not in listed.text
    assert (await world.ask("GET", "/customers/a%2Fb")).status_code == 404
    assert (await world.ask("GET", "/customers/a%2Fb/export")).status_code == 404
    assert (await world.ask("DELETE", "/customers/nobody")).status_code == 404
    assert replayed.status_code == 410
    assert (await world.ask("GET", "/customers/a%2Fb")).status_code == 404


async def test_an_export_has_what_was_sent_and_where_the_address_is_listed(world: World):
    await world.ask(
        "POST", "/customers", json={"external_id": "aino", "email": "aino@example.org", "phone": "+358401112222"}
    )
    await world.ask("POST", "/optout-lists/built-in/entries", json={"entries": ["aino@example.org"]})

    document = (await world.ask("GET", "/customers/aino/export")).json()

    assert [one["form"] for one in document["opt_outs"]] == ["address"]
    assert document["person"]["address"] == ["email", "sms", "voice", "whatsapp", *document["person"]["address"][4:]]
