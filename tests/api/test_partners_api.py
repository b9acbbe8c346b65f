"""Partner channels and hub clients through the native API."""

from typing import Any

import pytest

from api_world import World

pytestmark = pytest.mark.anyio

CHANNEL = {"name": "SMS house", "channel": "sms", "number": 505}
CLIENT = {
    "name": "SMS house",
    "username": "sms-house",
    "channels": [{"number": 505, "attributes": ["phone", "tier", "teir"]}],
}


async def test_a_partner_gets_its_channel_and_its_credentials_once(world: World):
    await world.ask("PATCH", "/customers", json={"customers": [{"external_id": "a", "attributes": {"tier": "gold"}}]})
    channel = await world.ask("POST", "/partner-channels", json=CHANNEL)
    made = await world.ask("POST", "/hub-clients", json=CLIENT)
    listed = await world.ask("GET", "/hub-clients")
    shown = await world.ask("GET", f"/hub-clients/{made.json()['client']['id']}")

    assert (channel.status_code, channel.json()["number"], channel.json()["channel"]) == (201, 505, "sms")
    assert made.status_code == 201
    assert made.json()["client"]["channels"] == [{"number": 505, "attributes": ["Phone", "tier", "teir"], "writes": []}]
    assert made.json()["unseen_attributes"] == ["teir"]
    caller = await world.services.hub_callers.authenticate_key(made.json()["api_key"])
    assert caller is not None
    assert caller.brand_id == world.brand.id
    assert await world.services.hub_callers.authenticate("sms-house", made.json()["password"]) == caller
    for later in (listed, shown):
        assert made.json()["password"] not in later.text
        assert made.json()["api_key"] not in later.text
    native = await world.ask("GET", "/topics", token=made.json()["api_key"])
    assert native.status_code == 401


async def test_a_client_is_changed_rotated_and_revoked(world: World):
    await world.ask("POST", "/partner-channels", json=CHANNEL)
    made = (await world.ask("POST", "/hub-clients", json=CLIENT)).json()
    path = f"/hub-clients/{made['client']['id']}"

    changed = await world.ask("PATCH", path, json={"channels": []})
    rotated = await world.ask("POST", f"{path}/rotate")
    kept = await world.ask("POST", f"{path}/rotate", headers={"Idempotency-Key": "once"})
    gone = [(await world.ask("DELETE", path)).status_code for _ in range(2)]
    after = await world.ask("PATCH", path, json={"name": "Still there?"})
    listed = [await world.ask("GET", f"/hub-clients{query}") for query in ("", "?state=all")]

    assert changed.json()["client"]["channels"] == []
    assert rotated.json()["password"] != made["password"]
    assert (kept.status_code, gone, after.status_code) == (400, [204, 204], 409)
    assert [len(one.json()["data"]) for one in listed] == [0, 1]
    log = await world.ask("GET", "/audit?thing_kind=hub_client")
    assert [one["action"] for one in log.json()["data"]] == [
        "hub_client.revoked",
        "hub_client.rotated",
        "hub_client.updated",
        "hub_client.created",
    ]
    assert rotated.json()["password"] not in log.text
    assert rotated.json()["api_key"] not in log.text


async def test_templates_and_apps_are_synced_listed_and_deleted(world: World):
    await world.ask("POST", "/partner-channels", json=CHANNEL)
    said = [{"number": number, "name": f"T{number}"} for number in (9, 0, 7)]
    added = await world.ask("POST", "/partner-channels/505/templates", json={"templates": said})
    await world.ask("POST", "/partner-channels/505/templates", json={"templates": [{"number": 7, "name": "Welcome"}]})
    apps = [{"app_id": "b/%2F", "name": "B"}, {"app_id": "a", "name": "A"}]
    await world.ask("POST", "/partner-channels/505/apps", json={"apps": apps})

    first = (await world.ask("GET", "/partner-channels/505/templates?limit=2")).json()
    second = (await world.ask("GET", f"/partner-channels/505/templates?limit=2&cursor={first['next_cursor']}")).json()
    gone = [(await world.ask("DELETE", "/partner-channels/505/templates/7")).status_code for _ in range(2)]
    gone.append((await world.ask("DELETE", "/partner-channels/505/apps/b%2F%252F")).status_code)
    left = (await world.ask("GET", "/partner-channels/505/apps")).json()

    assert added.status_code == 204
    assert [one["name"] for one in first["data"] + second["data"]] == ["T0", "Welcome", "T9"]
    assert second["next_cursor"] is None
    assert gone == [204, 404, 204]
    assert [one["app_id"] for one in left["data"]] == ["a"]


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("/partner-channels", {"name": "x", "channel": "fax"}),
    ("/partner-channels", {"name": "x", "channel": "sms", "number": 0}),
    ("/partner-channels", {"name": "x", "channel": "sms", "number": 2**31}),
    ("/partner-channels", {"name": " ", "channel": "sms"}),
    ("/partner-channels/505/templates", {"templates": [{"number": "7", "name": "x"}]}),
    ("/partner-channels/505/templates", {"templates": [{"number": n, "name": "x"} for n in range(101)]}),
    ("/partner-channels/505/apps", {"apps": []}),
    ("/hub-clients", {"name": "x", "username": "a b"}),
    ("/hub-clients", {"name": "x", "username": "x", "channels": [{"number": 505}, {"number": 505}]}),
    ("/hub-clients", {"name": "x", "username": "x", "channels": [{"number": 505, "attributes": ["a;b"]}]}),
    ("/senders", {"name": "x", "channel": "sms", "kind": "listener"}),
]


async def test_what_is_wrong_is_named_and_nothing_is_done(world: World):
    await world.ask("POST", "/partner-channels", json=CHANNEL)

    for path, body in WRONG:
        refused = await world.ask("POST", path, json=body)
        assert (refused.status_code, path) == (400, path), body
        assert refused.json()["violations"]

    for path in ("/partner-channels/505/templates", "/partner-channels/505/apps", "/hub-clients"):
        assert (await world.ask("GET", path)).json()["data"] == []
    assert len((await world.ask("GET", "/partner-channels")).json()["data"]) == 1


async def test_a_test_key_makes_no_partner(world: World):
    test = (await world.ask("POST", "/keys", json={"name": "t", "scopes": ["admin"], "is_test": True})).json()["token"]

    for path, body in (("/partner-channels", CHANNEL), ("/hub-clients", CLIENT)):
        assert (await world.ask("POST", path, json=body, token=test)).status_code == 403
