"""What happened to customers is told once, whole or not at all, and conditions count it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from api_world import World
from stentor.audience.customer_events import drop_old_events, make_event_months
from stentor.db.pool import Database
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


async def test_months_are_made_for_what_is_taken_and_dropped_when_history_is_over(world: World):
    database = world.services.database
    await world.ask("POST", "/customers", json={"external_id": "ann"})
    await world.ask("POST", "/events", json={"events": [event(1), event(200)]})

    made = [await make_event_months(database, giving_way, days=days) for days in (400, 500)]
    dropped = 0
    while await drop_old_events(database, giving_way, days=100):
        dropped += 1
    again = await make_event_months(database, giving_way, days=100)

    assert made[0] == 0
    assert made[1] >= 2
    assert dropped >= 11
    # What is dropped is not what is made.
    assert (again, await stored(database)) == (0, 1)


async def test_what_came_while_its_month_was_missing_goes_when_history_is_over(world: World):
    database = world.services.database
    await world.ask("POST", "/customers", json={"external_id": "ann"})
    async with database.transaction() as conn:
        months = "SELECT relname FROM pg_class WHERE relname ~ '^customer_event_[0-9]{4}m[0-9]{2}$'"
        for (month,) in await (await conn.execute(months)).fetchall():
            await conn.execute(f"DROP TABLE {month}".encode())
    await world.ask("POST", "/events", json={"events": [event(1), event(200), event(300)]})

    with structlog.testing.capture_logs() as logged:
        await make_event_months(database, giving_way, days=400)
    # A month of which something lies in the catch-all stays there.
    assert [entry["event"] for entry in logged] == ["event_months.blocked"] * 3
    for days, left in ((310, 3), (250, 2)):
        while await drop_old_events(database, giving_way, days=days):
            continue
        assert await stored(database) == left


async def stored(database: Database) -> int:
    async with database.read() as conn:
        row = await (await conn.execute("SELECT count(*) FROM customer_event")).fetchone()
        return 0 if row is None else row[0]
