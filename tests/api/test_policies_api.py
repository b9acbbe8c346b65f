"""A group's policy and a campaign's over HTTP: kept as it was sent, and refused with what to do."""

from typing import Any

import pytest

from api_world import World

pytestmark = pytest.mark.anyio

CAPS = [{"at_most": 3, "per": "7d", "channels": ["sms"]}, {"at_most": 2, "per": "24h", "tags": ["promo"]}]


async def refused(world: World, path: str, method: str, body: dict[str, Any]) -> list[tuple[str, str]]:
    answer = await world.ask(method, path, json=body)
    assert answer.status_code == 400
    return [(violation["pointer"], violation["message"]) for violation in answer.json()["violations"]]


async def test_a_groups_policy_is_kept_as_it_was_sent(world: World):
    before = await world.ask("GET", "/policy")
    put = await world.ask("PUT", "/policy", json={"caps": CAPS})

    brand = await world.services.accounts.brand(world.brand.id)
    assert (before.status_code, before.json()) == (200, {})
    assert (put.status_code, put.json()) == (200, {"caps": CAPS})
    assert [cap.at_most for cap in brand.settings.policy.caps] == [3, 2]


async def test_a_group_that_says_nothing_any_more_has_no_caps(world: World):
    await world.ask("PUT", "/policy", json={"caps": CAPS})

    put = await world.ask("PUT", "/policy", json={})

    assert put.json() == (await world.ask("GET", "/policy")).json() == {}


async def test_a_key_that_only_writes_changes_no_policy(world: World):
    token = await world.key("write", "read")

    assert (await world.ask("PUT", "/policy", json={}, token=token)).status_code == 403


async def test_a_test_key_changes_nothing_that_holds_for_real(world: World):
    key = await world.services.accounts.create_key("t", brand_id=world.brand.id, scopes=("admin",), is_test=True)
    kept = (await world.ask("POST", "/test-recipients", json={"address": "+358401112222"})).json()
    brand = await world.services.accounts.brand(world.brand.id)

    answers = [
        await world.ask(method, path, token=key.token, json=body)
        for method, path, body in (
            ("PUT", "/policy", {"caps": CAPS}),
            ("PUT", "/retention", {"history_days": 60}),
            ("POST", "/test-recipients", {"address": "editor@example.org"}),
            ("DELETE", f"/test-recipients/{kept['id']}", None),
        )
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert all("Use a key that is no test key." in answer.json()["detail"] for answer in answers)
    assert (await world.services.accounts.brand(world.brand.id)).settings == brand.settings
    assert [one["id"] for one in (await world.ask("GET", "/test-recipients")).json()["data"]] == [kept["id"]]


@pytest.mark.parametrize(
    ("policy", "pointer", "told"),
    [
        ({"caps": [{"at_most": 1, "per": "a week"}]}, "/caps/0/per", "send a whole number and its unit"),
        ({"caps": [{"at_most": 1, "per": "1d", "channels": ["fax"]}]}, "/caps/0/channels/0", "choose from email"),
        ({"caps": [{"at_most": 0, "per": "1d"}]}, "/caps/0/at_most", ">= 1"),
        ({"caps": [{"per": "1d"}]}, "/caps/0/at_most", "is needed"),
        ({"caps": [{"at_most": 1, "per": "1d", "topic": "x"}]}, "/caps/0/topic", "Check its spelling"),
    ],
)
async def test_what_is_wrong_is_named_with_what_to_do(world: World, policy: dict[str, Any], pointer: str, told: str):
    ((place, message),) = await refused(world, "/policy", "PUT", policy)
    campaign = {"name": "Match", "routes": [{"channel": "sms", "template_id": str(world.brand.id)}], "policy": policy}
    ((place_in_campaign, _),) = await refused(world, "/campaigns", "POST", campaign)

    assert place == pointer
    assert told in message
    assert place_in_campaign == f"/policy{pointer}"


async def test_a_campaign_has_quiet_hours_of_its_own(world: World):
    night = {"from": "21:00", "to": "9am"}
    campaign = {"name": "Match", "routes": [{"channel": "sms", "template_id": str(world.brand.id)}]}

    ((pointer, _),) = await refused(world, "/campaigns", "POST", campaign | {"policy": {"quiet_hours": [night]}})

    assert pointer == "/policy/quiet_hours/0/to"
