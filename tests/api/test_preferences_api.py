"""The Preference Centre, asked as its clients ask: no key, parameters in either order."""

import itertools
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from httpx import Response

from api_world import World
from stentor.api.throttle import line_of

pytestmark = pytest.mark.anyio

MISCONFIGURED = "check preference center configuration"


class Centre:
    def __init__(self, world: World) -> None:
        self.world = world

    async def ask(
        self, method: str, customer: str = "c-1", *, tenant: str = "1", group: str = "", **more: Any
    ) -> Response:
        query = f"brandGroupId={group or self.world.brand.id}&customerId={customer}"
        headers = {"X-Tenant-Id": tenant, "Accept": "application/json", "Content-Type": "application/json"}
        return await self.world.client.request(method, f"/api/v1/preferences?{query}", headers=headers, **more)


@pytest.fixture
async def centre(world: World) -> Centre:
    await world.services.accounts.update_brand_settings(world.brand.id, {"preferences_enabled": True})
    for key in ("education", "updates"):
        await world.ask("POST", "/topics", json={"key": key, "name": key.title(), "channels": ["email", "sms"]})
    return Centre(world)


async def test_what_was_put_is_got(centre: Centre):
    before = await centre.ask("GET", "somebody+new")
    topic = before.json()["topics"][0]["topicId"]
    put = await centre.ask("PUT", "somebody+new", json=[{"topicId": topic, "channelSubscription": [15, 493]}])
    after = await centre.ask("GET", "somebody+new")
    customer = await centre.world.ask("GET", "/customers/somebody%20new")

    assert before.json() == {
        "topics": [
            {"topicId": topic, "topicName": "Education", "topicDescription": "", "channelSubscription": []},
            {**before.json()["topics"][1], "topicName": "Updates", "channelSubscription": []},
        ],
        "channels": [15, 493],
    }
    assert (put.status_code, put.content, put.headers["content-length"]) == (200, b"", "0")
    assert after.json()["topics"][0]["channelSubscription"] == [15, 493]
    assert customer.status_code == 200


async def test_only_listed_topics_change_and_an_empty_list_withdraws(centre: Centre):
    first, second = [topic["topicId"] for topic in (await centre.ask("GET")).json()["topics"]]
    both = [{"topicId": first, "channelSubscription": [15]}, {"topicId": second, "channelSubscription": [493]}]
    await centre.ask("PUT", json=both)

    await centre.ask("PUT", json=[{"topicId": first, "channelSubscription": []}])
    found = (await centre.ask("GET")).json()["topics"]

    assert [topic["channelSubscription"] for topic in found] == [[], [493]]


async def test_a_wrong_set_up_is_told_in_one_sentence(centre: Centre):
    wrong = [
        {"tenant": "2"},
        {"tenant": "x"},
        {"tenant": ""},
        {"tenant": "9" * 30},
        {"group": "not-a-uuid"},
        {"group": "00000000-0000-4000-8000-000000000000"},
    ]

    for method, told in itertools.product(("GET", "PUT"), wrong):
        answer = await centre.ask(method, **told, json=[])

        assert (answer.status_code, answer.text) == (400, MISCONFIGURED)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_it_is_off_until_the_brand_turns_it_on(world: World):
    answer = await Centre(world).ask("GET")

    assert (answer.status_code, answer.text) == (400, MISCONFIGURED)


async def test_a_wrong_put_changes_nothing_and_says_why(centre: Centre):
    for body in (b"{}", b"[1]", b"[", b'[{"topicId":"x","channelSubscription":[15]}]', b'[{"topicId":"x"}]', b"[[[]]]"):
        answer = await centre.ask("PUT", content=body)

        assert answer.status_code == 400
        assert answer.headers["content-type"].startswith("text/plain")
    assert (await centre.world.ask("GET", "/customers/c-1")).status_code == 404


async def test_a_person_who_exists_looks_like_one_who_does_not(centre: Centre):
    await centre.world.ask("POST", "/customers", json={"external_id": "here"})

    assert (await centre.ask("GET", "here")).content == (await centre.ask("GET", "not-here")).content


async def test_a_page_of_another_origin_may_ask(centre: Centre):
    answer = await centre.ask("OPTIONS")

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "X-Tenant-Id" in answer.headers["access-control-allow-headers"]


async def test_one_customer_asked_about_too_often_is_refused(centre: Centre):
    answers = [await centre.ask("GET", "often") for _ in range(40)]

    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await centre.ask("GET", "seldom")).status_code == 200


async def test_a_body_is_read_for_nobody_while_the_door_is_shut(world: World):
    answers = [await Centre(world).ask("PUT", tenant=tenant, content=b"not JSON") for tenant in ("1", "2", "x")]

    assert {answer.text for answer in answers} == {MISCONFIGURED}


async def test_an_id_that_is_too_long_is_refused_and_not_remembered(centre: Centre):
    answers = [await centre.ask("GET", "c" * 256) for _ in range(40)]

    assert {answer.status_code for answer in answers} == {400}


async def test_a_line_of_ipv6_is_one_caller_whatever_addresses_it_takes():
    addresses = [IPv6Address(f"2001:db8:1:2::{number:x}") for number in (1, 2)]

    assert line_of(addresses[0]) == line_of(addresses[1])
    assert line_of(addresses[0]) != line_of(IPv6Address("2001:db8:1:3::1"))
    assert line_of(IPv4Address("192.0.2.1")) != line_of(IPv4Address("192.0.2.2"))


async def test_what_a_put_may_hold_is_limited(centre: Centre):
    (topic, *_) = (await centre.ask("GET")).json()["topics"]
    wrong: list[list[dict[str, Any]]] = [
        [{"topicId": topic["topicId"], "channelSubscription": [15] * 10}],
        [{"topicId": "x" * 37, "channelSubscription": []}],
    ]

    answers = [await centre.ask("PUT", json=body) for body in wrong]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert "length" in answers[0].text
    assert "length" in answers[1].text


async def test_topics_are_made_and_changed_with_a_key(world: World):
    def path(end: str = "") -> str:
        return f"/api/v1/topics{end}?brandGroupId={world.brand.id}"

    client, headers = world.client, {"x-api-key": world.token.partition("|")[2]}
    made = await client.post(
        path(), headers=headers, json={"topicKey": "reds", "topicName": "Reds", "channels": [15, 493]}
    )
    place = path(f"/{made.json()['topicId']}")
    changed = await client.put(place, headers=headers, json={"topicName": "The Reds", "channels": [15]})
    listed = await client.get(path(), headers=headers)
    gone = await client.delete(path("/reds"), headers=headers)
    without_key = await client.get(path())

    assert made.status_code == 201
    assert changed.json() == {**made.json(), "topicName": "The Reds", "channels": [15]}
    assert listed.json() == {"topics": [changed.json()]}
    assert gone.status_code == 204
    assert without_key.status_code == 401


async def test_channels_that_have_no_number_survive_what_was_read_being_put_back(world: World):
    headers = {"x-api-key": world.token.partition("|")[2]}
    for key, channels in {"both": ["email", "voice"], "voice": ["voice"]}.items():
        await world.ask("POST", "/topics", json={"key": key, "name": key, "channels": channels})

    shown = {}
    for key in ("both", "voice"):
        path = f"/api/v1/topics/{key}?brandGroupId={world.brand.id}"
        topic = (await world.client.get(path, headers=headers)).json()
        put = await world.client.put(
            path, headers=headers, json={"topicName": topic["topicName"], "channels": topic["channels"]}
        )
        assert put.status_code == 200
        shown[key] = (await world.ask("GET", f"/topics/{key}")).json()["channels"]

    assert shown == {"both": ["email", "voice"], "voice": ["voice"]}


async def test_a_topic_needs_a_channel(world: World):
    path = f"/api/v1/topics?brandGroupId={world.brand.id}"
    headers = {"x-api-key": world.token.partition("|")[2]}

    answer = await world.client.post(path, headers=headers, json={"topicKey": "x", "topicName": "X", "channels": []})

    assert answer.status_code == 400
    assert answer.json()["violations"][0]["pointer"] == "/channels"
