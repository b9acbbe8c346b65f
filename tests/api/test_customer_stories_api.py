"""Customers on the wire as a person looks at them: searched for, with what happened to them, and whether they may be written to."""

from datetime import UTC, datetime, timedelta

import pytest

from api_world import World

pytestmark = pytest.mark.anyio


async def test_customers_are_searched_for_by_whatever_is_known_of_them(world: World):
    tag = (await world.ask("POST", "/profile-tags", json={"name": "Members"})).json()["uuid"]
    people = [
        {"external_id": "crm-1", "email": "aino@example.org", "attributes": {"first_name": "Aino"}},
        {"external_id": "crm-2", "phone": "+358401112222", "attributes": {"first_name": "Ainoa"}},
    ]
    assert (await world.ask("PATCH", "/customers", json={"customers": people})).status_code == 200
    await world.services.tags.tag(world.brand.id, tag, "crm-2")

    async def found(query: str) -> list[str]:
        answer = await world.ask("GET", f"/customers?{query}")
        assert answer.status_code == 200, answer.text
        return sorted(each["external_id"] for each in answer.json()["data"])

    assert await found("search=crm-1") == await found("search=Aino@example.org") == ["crm-1"]
    assert await found("search=aino") == await found("") == ["crm-1", "crm-2"]
    assert await found(f"tag={tag}") == await found("channel=sms") == await found(f"search=aino&tag={tag}") == ["crm-2"]
    assert await found(f"search=crm-1&tag={tag}") == []
    first = (await world.ask("GET", "/customers?search=aino&limit=1")).json()
    second = (await world.ask("GET", f"/customers?search=aino&limit=1&cursor={first['next_cursor']}")).json()
    assert {each["data"][0]["external_id"] for each in (first, second)} == {"crm-1", "crm-2"}
    assert (await world.ask("GET", "/customers?tag=00000000-0000-0000-0000-000000000007")).status_code == 404


async def test_a_customers_timeline_and_reach_are_told(world: World):
    await world.ask("POST", "/topics", json={"key": "news", "name": "News", "channels": ["email"]})
    await world.ask("PUT", "/policy", json={"caps": [{"at_most": 3, "per": "7d", "channels": ["email"]}]})
    await world.ask("POST", "/customers", json={"external_id": "crm-1", "email": "aino@example.org"})
    await world.ask("PUT", "/customers/crm-1/subscriptions/news", json={"channels": ["email"]})
    ago = datetime.now(UTC) - timedelta(days=1)
    event = {"external_id": "crm-1", "name": "ordered", "at": ago.isoformat(), "properties": {"order": "A-1"}}
    assert (await world.ask("POST", "/events", json={"events": [event]})).status_code < 300

    page = (await world.ask("GET", "/customers/crm-1/timeline?limit=1")).json()
    rest = (await world.ask("GET", f"/customers/crm-1/timeline?cursor={page['next_cursor']}")).json()
    reach = (await world.ask("GET", "/customers/crm-1/reach")).json()

    (consent,) = page["data"]
    assert (consent["kind"], consent["consent"]["kind"], consent["consent"]["source"]) == (
        "consent",
        "subscribed",
        "api",
    )
    assert [each["event"] for each in rest["data"]] == [{"name": "ordered", "properties": {"order": "A-1"}}]
    assert rest["next_cursor"] is None
    assert reach["clocks"][0]["time_zone"] == "UTC"
    assert reach["zone_from"] == "group"
    email = next(each for each in reach["channels"] if each["channel"] == "email")
    assert email == {"channel": "email", "may_be_written_to": True, "reason": "", "until": None}
    assert [(each["number"], each["used"], each["left"], each["opens_at"]) for each in reach["caps"]] == [
        (1, 0, 3, None)
    ]
    assert reach["opt_outs"] == []
    for path in ("timeline", "reach"):
        assert (await world.ask("GET", f"/customers/nobody/{path}")).status_code == 404
