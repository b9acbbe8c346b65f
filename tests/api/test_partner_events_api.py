"""Partners tell what became of messages, thousands a call, and the reference's reader sees it beside the totals."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import Response

from api_world import World
from reporting_world import CHANNEL, Carried, carried
from stentor.integrations.metrics.model import FACTS_MAX

pytestmark = pytest.mark.anyio

EVENT = {
    "id": "e-1",
    "campaign": 324,
    "channel": CHANNEL,
    "template": 7,
    "external_id": "ann",
    "event": "delivered",
    "at": datetime.now(UTC).isoformat(),
}


@pytest.fixture
async def run(world: World) -> Carried:
    await world.ask("POST", "/customers", json={"external_id": "ann", "phone": "+358401112222"})
    return await carried(world.services.database, world.brand.id, ["ann"])


async def tell(world: World, *lines: dict[str, Any] | bytes, **headers: str) -> Response:
    body = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    said = {"Content-Type": "application/x-ndjson", **headers}
    return await world.ask("POST", "/partner-events", content=body, headers=said)


async def test_events_are_told_a_line_each_and_shown_beside_what_was_reported(world: World, run: Carried):
    opt_out = {**EVENT, "id": "e-2", "event": "unsubscribed", "template": None, "detail": "STOP"}
    told = await tell(world, EVENT, b"", opt_out, {**EVENT, "id": "e-3", "external_id": "bob"}, b"")
    again = await tell(world, EVENT)
    reported = (await world.ask("GET", f"/executions/{run.execution_id}/reported")).json()

    assert (told.status_code, told.json()) == (200, {"taken": 3, "added": 2, "repeated": 0, "unknown": 1})
    assert again.json() == {"taken": 1, "added": 0, "repeated": 1, "unknown": 0}
    assert [(one["channel_name"], one["template"], one["figures"]) for one in reported["templates"]] == [
        ("Texts", 0, [figure("unsubscribed", people=1)]),
        ("Texts", 7, [figure("delivered", people=1)]),
    ]
    words = "SELECT kind, answer FROM delivery_event WHERE brand_id = %s ORDER BY kind"
    assert await run.rows(words) == [("delivered", ""), ("unsubscribed", "STOP")]


def figure(metric: str, *, people: int) -> dict[str, Any]:
    return {
        "metric": metric,
        "reported": None,
        "people": people,
        "counted": people,
        "difference": None,
        "reported_at": None,
    }


async def test_a_line_that_cannot_be_read_is_named_and_nothing_is_taken(world: World, run: Carried):
    bad: dict[str, dict[str, Any] | bytes] = {
        "/1/event": {**EVENT, "event": "liked"},
        "/1/at": {**EVENT, "at": "2026-11-21T10:04:00"},
        "/1/campaign": {**EVENT, "campaign": "324"},
        "/1/id": {**EVENT, "id": ""},
        "/1/surplus": {**EVENT, "surplus": 1},
        "/1": b'{"id": ',
        "/1/template": {**EVENT, "template": 99},
        "/2/template": b"\n" + json.dumps({**EVENT, "template": 99}).encode(),
        "/2/external_id": b"\n" + json.dumps({**EVENT, "external_id": ""}).encode(),
    }
    for ago in ("1969-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "2016-01-01T00:00:00Z"):
        answer = await tell(world, b"", {**EVENT, "at": ago})
        assert (answer.status_code, answer.json()["violations"][0]["pointer"]) == (400, "/1/at"), answer.text
    for pointer, line in bad.items():
        answer = await tell(world, {**EVENT, "id": "e-9"}, line)

        assert (answer.status_code, answer.json()["violations"][0]["pointer"]) == (400, pointer), answer.text

    many = await tell(world, *[b"{}"] * (FACTS_MAX + 1))
    assert (many.status_code, many.json()["code"]) == (413, "too-large")
    assert (await tell(world, EVENT, **{"Content-Type": "text/csv"})).status_code == 415
    assert (await tell(world)).json()["taken"] == 0
    assert await run.history() == []


async def test_a_test_key_tells_nothing_of_real_people(world: World, run: Carried):
    opt_out = json.dumps({**EVENT, "event": "unsubscribed"}).encode()
    headers = {"Content-Type": "application/x-ndjson"}

    key = await world.services.accounts.create_key("t", brand_id=world.brand.id, scopes=("write",), is_test=True)
    refused = await world.ask("POST", "/partner-events", token=key.token, content=opt_out, headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert await run.history() == []
