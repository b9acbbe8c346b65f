import pytest

from api_world import World

pytestmark = pytest.mark.anyio


async def test_a_key_is_made_used_listed_and_revoked(world: World):
    made = await world.ask("POST", "/keys", json={"name": "Backend", "scopes": ["admin"]})
    listed = await world.ask("GET", "/keys", token=made.json()["token"])
    revoked = await world.ask("DELETE", f"/keys/{made.json()['number']}")

    assert made.status_code == 201
    assert [key["name"] for key in listed.json()["data"]] == ["all", "Backend"]
    assert made.json()["api_key"] not in listed.text
    assert (revoked.status_code, revoked.content) == (204, b"")


async def test_a_test_key_makes_test_keys_alone(world: World):
    test_key = await world.ask("POST", "/keys", json={"name": "CI", "scopes": ["admin"], "is_test": True})

    made = await world.ask("POST", "/keys", token=test_key.json()["token"], json={"name": "Live", "is_test": False})
    listed = await world.ask("GET", "/keys")

    assert made.json()["api_key"].startswith("st_test_")
    assert [key["is_test"] for key in listed.json()["data"]] == [False, True, True]
