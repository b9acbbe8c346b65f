"""A/B tests through the API: from the campaign to the arms' numbers, and a winner that is chosen by hand."""

from typing import Any

import pytest

from api_world import World
from stentor.wiring.core import Core
from stentor.wiring.roles import caster

pytestmark = pytest.mark.anyio

ARMS = [{"name": "Short", "share": 0.25}, {"name": "Long", "share": 0.25}]
WINNER = {"by": "opened", "after": "2h"}


@pytest.fixture
async def draft(world: World) -> dict[str, Any]:
    """A campaign by text with a route for each arm."""
    routes = []
    for arm in ("Short", "Long"):
        said = {"name": arm, "channel": "sms", "default_language": "en", "variants": {"en": {"text": arm}}}
        made = await world.ask("POST", "/templates", json=said)
        routes.append({"channel": "sms", "template_id": made.json()["id"], "arm": arm})
    experiment = {"arms": ARMS, "holdout": 0.1, "winner": WINNER}
    kind = {"kind": "scheduled", "consent_basis": "channel"}
    return {"name": "Sale", **kind, "routes": routes, "experiment": experiment}


async def test_an_experiment_is_run_looked_at_and_decided(world: World, installation: Core, draft: dict[str, Any]):
    for number in range(40):
        person = {"external_id": f"p{number}", "phone": f"+3584011122{number:02}"}
        assert (await world.ask("POST", "/customers", json=person)).is_success
    everybody = {"name": "All", "expression": {"type": "known", "field": "phone"}}
    segment = (await world.ask("POST", "/segments", json=everybody)).json()["id"]
    made = (await world.ask("POST", "/campaigns", json=draft)).json()
    await world.ask("POST", f"/campaigns/{made['id']}/publish")
    tried = await world.ask("POST", f"/campaigns/{made['id']}/run?dry_run=true", json={"segment_id": segment})
    run = await world.ask("POST", f"/campaigns/{made['id']}/run", json={"segment_id": segment})
    path = f"/executions/{run.json()['execution_id']}/experiment"
    before = await world.ask("GET", path)
    await caster(installation).cast_next()

    told = (await world.ask("GET", path)).json()
    unplanned = await world.ask("POST", f"{path}/winner", json={"arm": "Long"})
    unknown = await world.ask("POST", f"{path}/winner", json={"arm": "Red"})
    writing = await world.key("write")
    unscoped = await world.ask("POST", f"{path}/winner", token=writing, json={"arm": "Long"})
    ended = await world.ask("POST", f"{path}/cancel")
    again = await world.ask("POST", f"{path}/cancel")
    log = (await world.ask("GET", "/audit", params={"thing_kind": "experiment"})).json()["data"]

    assert made["experiment"]["winner"] == {**WINNER, "at_least": 100, "otherwise": "ask"}
    assert [route["arm"] for route in made["routes"]] == ["Short", "Long"]
    assert before.status_code == 404
    people = {arm["name"]: arm["people"] for arm in told["arms"]}
    assert tried.json()["parted"] == {**people, "held_out": told["held_out"], "rest": told["rest"]}
    assert (told["state"], sum(people.values()) + told["held_out"] + told["rest"]) == ("waiting", 40)
    assert told["arms"][0]["opened"] == {"people": 0, "rate": None, "low": None, "high": None}
    assert (unplanned.status_code, "this one is queued" in unplanned.json()["detail"]) == (409, True)
    assert (unscoped.status_code, "the scope `run`" in unscoped.json()["detail"]) == (403, True)
    assert unknown.json()["violations"][0]["pointer"] == "/arm"
    assert (ended.json()["state"], again.status_code) == ("cancelled", 409)
    assert [entry["action"] for entry in log] == ["experiment.cancelled"]


async def test_each_mistake_in_an_experiment_is_told_with_its_place(world: World, draft: dict[str, Any]):
    async def refused(**changed: Any) -> list[str]:
        answer = await world.ask("POST", "/campaigns", json={**draft, **changed})
        assert not answer.is_success
        return [violation["pointer"] for violation in answer.json()["violations"]]

    experiment = draft["experiment"]
    assert await refused(experiment={**experiment, "winner": None}) == ["/experiment/arms"]
    assert await refused(experiment={**experiment, "holdout": 0.5}) == ["/experiment/arms"]
    assert await refused(experiment={**experiment, "winner": {**WINNER, "after": "soon"}}) == [
        "/experiment/winner/after"
    ]
    assert await refused(experiment={**experiment, "arms": [ARMS[0], ARMS[0]]}) == [
        "/routes/1/arm",
        "/experiment/arms/1/name",
    ]
    assert await refused(experiment=None) == ["/routes/0/arm", "/routes/1/arm"]
    assert await refused(routes=draft["routes"][:1]) == ["/routes"]
