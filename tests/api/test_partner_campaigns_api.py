"""A campaign that an outside service sends, from the template that it syncs to the list that it reads, through the native API."""

import pytest

from api_world import World
from stentor.db.pool import Database
from stentor.testing.engine import Engine, ScriptedChannel

pytestmark = pytest.mark.anyio


async def test_what_a_service_synced_is_published_run_and_read_by_it(world: World, db: Database):
    engine = Engine(db, ScriptedChannel())
    channel = {"name": "SMS house", "channel": "sms", "number": 505}
    template = {"number": 7, "name": "Welcome", "app_id": "bingo"}
    await world.ask("POST", "/partner-channels", json=channel)
    await world.ask("POST", "/partner-channels/505/templates", json={"templates": [template]})
    synced = (await world.ask("GET", "/partner-channels/505/templates")).json()["data"][0]
    people = [{"external_id": name, "phone": f"+49151234567{place}"} for place, name in enumerate(("a", "b"))]
    await world.ask("PATCH", "/customers", json={"customers": people})
    everybody = {"name": "Phones", "expression": {"type": "known", "field": "phone"}}
    segment = (await world.ask("POST", "/segments", json=everybody)).json()
    route = {"channel": "sms", "template_id": synced["id"]}
    draft = {"name": "Sale", "kind": "external", "consent_basis": "channel", "routes": [route]}

    made = await world.ask("POST", "/campaigns", json=draft)
    path = f"/campaigns/{made.json()['id']}"
    published = await world.ask("POST", f"{path}/publish")
    tried = await world.ask("POST", f"{path}/run?dry_run=true", json={"segment_id": segment["id"]})
    run = await world.ask("POST", f"{path}/run", json={"segment_id": segment["id"]})
    await engine.drain()
    execution = f"/executions/{run.json()['execution_id']}"
    waiting = (await world.ask("GET", execution)).json()
    pull = await world.ask("POST", "/pulls", json={"campaign": waiting["run_number"], "channel": 505})
    lease = await world.ask("POST", f"/pulls/{pull.json()['id']}/leases", json={"rows": 10})
    await world.ask("POST", f"/pulls/{pull.json()['id']}/leases/{lease.json()['id']}/acknowledge")
    over = (await world.ask("GET", execution)).json()
    listed = (await world.ask("GET", f"{execution}/recipients")).json()["data"]
    story = (await world.ask("GET", f"{execution}/recipients/a")).json()["channels"][0]

    assert (made.status_code, published.status_code, run.status_code) == (201, 200, 202), published.text
    assert [one["message"] for one in tried.json()["samples"]] == [
        "TemplateID 7 of channel 505: Welcome (app bingo)"
    ] * 2
    assert (waiting["state"], waiting["run_number"], waiting["partner_channels"]) == ("sending", 1, [505])
    assert (waiting["channels"][0]["pending"], over["channels"][0]["handed_over"], over["state"]) == (2, 2, "ended")
    assert {(one["external_id"], one["state"], one["partner_channel"]) for one in listed} == {
        ("a", "handed_over", 505),
        ("b", "handed_over", 505),
    }
    assert story["partner"] == {
        "channel_number": 505,
        "template_number": 7,
        "template_name": "Welcome",
        "app_id": "bingo",
    }
