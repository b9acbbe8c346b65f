"""Listeners and their notices by the native API."""

import pytest

from api_world import World
from owned_things import harvested
from stentor.integrations.listeners.enqueueing import enqueue
from stentor.integrations.listeners.model import Event

pytestmark = pytest.mark.anyio

SINCE_EVER = {"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}


async def test_a_listener_is_registered_watched_switched_off_and_replayed(world: World):
    ids = await harvested(world)
    path, client_id = f"/listeners/{ids['listener_id']}", ids["client_id"]
    new = {"client_id": client_id, "event": "revocation", "url": "https%3A%2F%2Fhooks.example.org%2Fr%3Fa%3D1"}

    again = await world.ask("POST", "/listeners", json=new)
    refused = await world.ask("POST", "/listeners", json={**new, "url": "https://10.0.0.1/"})
    async with world.services.database.transaction() as conn:
        await enqueue(conn, world.brand.id, Event.REVOCATION, b"{}")
    waiting = (await world.ask("GET", path)).json()
    off = await world.ask("PATCH", path, json={"enabled": False})
    too_early = await world.ask("POST", f"{path}/replay", json=SINCE_EVER)
    missed = (await world.ask("GET", f"{path}/notices?state=missed")).json()["data"]
    await world.ask("PATCH", path, json={"enabled": True})
    replayed = await world.ask("POST", f"{path}/replay", json={**SINCE_EVER, "notice_id": missed[0]["id"]})
    (listed,) = (await world.ask("GET", "/listeners")).json()["data"]
    secrets = [
        (await world.ask(verb, f"/hub-clients/{client_id}/signing-secret{more}")).json()["signing_secret"]
        for verb, more in (("GET", ""), ("POST", "/rotate"), ("GET", ""))
    ]

    assert (again.status_code, again.json()["id"], again.json()["url"]) == (
        201,
        ids["listener_id"],
        "https://hooks.example.org/r?a=1",
    )
    assert (refused.status_code, refused.json()["violations"][0]["pointer"]) == (400, "/url")
    assert (waiting["enabled"], waiting["waiting"], waiting["event_type_id"]) == (True, 1, None)
    assert (off.json()["enabled"], off.json()["waiting"]) == (False, 0)
    assert too_early.status_code == 409
    assert (missed[0]["body"], missed[0]["state"], missed[0]["due_at"]) == ("{}", "missed", None)
    assert replayed.json() == {"notices": 1}
    assert (listed["enabled"], listed["waiting"]) == (True, 1)
    assert secrets[0] != secrets[1] == secrets[2]
    assert (await world.ask("DELETE", path)).status_code == 204
    assert (await world.ask("GET", path)).status_code == 404
