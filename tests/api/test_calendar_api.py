"""The calendar of a group by the API: the figures of the console's page, on the clock that is asked for."""

from datetime import UTC, datetime

import pytest

from api_world import World, mail_generator, subscribe

pytestmark = pytest.mark.anyio


async def test_days_of_the_groups_clock_or_of_another_one(world: World):
    await subscribe(world, "team-42", "ann")
    await mail_generator(world, "kick-off")
    said = {"name": "Final", "event_generator_id": "kick-off", "topic_key": "team-42", "time_zone": "UTC"}
    made = await world.ask("POST", "/schedules", json={**said, "at": "2031-06-10T23:30"})
    assert made.status_code == 201, made.text

    own = await world.ask("GET", "/calendar?first=2031-06-10&days=2")
    theirs = await world.ask("GET", "/calendar?first=2031-06-10&days=2&time_zone=Europe/Berlin")
    today = await world.ask("GET", "/calendar")

    assert own.status_code == 200, own.text
    assert [len(day["entries"]) for day in own.json()["days"]] == [1, 0]
    (entry,) = theirs.json()["days"][1]["entries"]
    assert (entry["kind"], entry["name"], entry["local"], entry["people"]) == (
        "expected",
        "kick-off",
        "2031-06-11T01:30:00",
        None,
    )
    assert len(today.json()["days"]) == 7
    assert today.json()["days"][0]["day"] >= f"{datetime.now(UTC):%Y-%m-%d}"
    for wrong in ("first=x", "days=0", "days=43", "time_zone=Nowhere", "first=0001-01-01", "what=1"):
        assert (await world.ask("GET", f"/calendar?{wrong}")).status_code == 400, wrong
