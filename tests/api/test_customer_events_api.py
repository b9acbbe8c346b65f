"""What happened to customers is told once, whole or not at all, and conditions count it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api_world import World
from stentor.audience.customer_events import drop_event_month, make_event_months
from stentor.deliver.partitions import giving_way

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)


def event(number: int, **more: Any) -> dict[str, Any]:
    at = (NOW - timedelta(days=number, hours=1)).isoformat()
    return {
        "external_id": "ann",
        "name": "order",
        "at": at,
        "id": f"o{number}",
        "properties": {"total": number},
        **more,
    }


async def test_events_are_told_once_and_counted_by_segments(world: World):
    await world.ask("PATCH", "/customers", json={"customers": [{"external_id": "ann"}, {"external_id": "bob"}]})
    told = {"events": [event(1), event(2), event(40), event(1, external_id="bob")]}
    first = (await world.ask("POST", "/events", json=told)).json()
    again = (await world.ask("POST", "/events", json=told)).json()
    nameless = {"events": [event(3, id=None)]}
    twice = [(await world.ask("POST", "/events", json=nameless)).json()["added"] for _ in range(2)]

    recent = {"type": "event", "name": "order", "at_least": 2, "within": {"days": 30}}
    large = {"type": "event", "name": "order", "where": [{"name": "total", "test": {"op": "greater", "value": 2}}]}
    counts = [
        (await world.ask("POST", "/segments:count", json={"expression": one})).json()["people"]
        for one in (recent, large, {"type": "event", "name": "order", "at_most": 1}, {"type": "event", "name": "login"})
    ]

    assert (first, again) == ({"taken": 4, "added": 4}, {"taken": 4, "added": 0})
    assert twice == [1, 1]
    assert counts == [1, 1, 1, 0]


async def test_one_event_that_cannot_be_taken_refuses_all(world: World):
    await world.ask("POST", "/customers", json={"external_id": "ann"})
    bad = {
        "/external_id": event(1, external_id="nobody"),
        "/at": event(500),
        "/properties": event(1, properties={"x": "y" * 9000}),
        "/name": event(1, name=""),
    }
    for pointer, one in bad.items():
        answer = await world.ask("POST", "/events", json={"events": [event(1), one]})

        assert answer.status_code == 400
        assert [each["pointer"] for each in answer.json()["violations"]] == [f"/events/1{pointer}"]
    none = await world.ask("POST", "/segments:count", json={"expression": {"type": "event", "name": "order"}})
    assert none.json()["people"] == 0


async def test_months_are_made_ahead_and_dropped_when_history_is_over(world: World):
    database = world.services.database
    await world.ask("POST", "/customers", json={"external_id": "ann"})
    await world.ask("POST", "/events", json={"events": [event(1), event(200)]})

    made = await make_event_months(database, giving_way)
    dropped = 0
    while await giving_way(database, lambda conn: drop_event_month(conn, 100)):
        dropped += 1
    async with database.read() as conn:
        left = await (await conn.execute("SELECT count(*) FROM customer_event")).fetchone()

    assert made == 0
    assert dropped >= 9
    assert left == (1,)
