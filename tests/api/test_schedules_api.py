"""Schedules through the native API."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_world import World
from stentor.db.pool import Database
from stentor.wiring.chores import schedule_keeper
from stentor.wiring.core import Core
from trigger_world import SCHEMA, make_generator

pytestmark = pytest.mark.anyio

WEEKLY: dict[str, Any] = {
    "name": "Fixtures",
    "event_generator_id": "fixtures",
    "topic_key": "team-42",
    "context": {"match_id": "m-1"},
    "time_zone": "Europe/Berlin",
    "cron": "0 9 * * mon",
}


@pytest.fixture
async def club(world: World, db: Database) -> World:
    await make_generator(db, world.brand, "fixtures", type="scheduled", schema=SCHEMA)
    return world


async def made(club: World, **changes: Any) -> dict[str, Any]:
    answer = await club.ask("POST", "/schedules", json={**WEEKLY, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_schedule_is_made_and_shows_when_it_is_due_next(club: World):
    schedule = await made(club, time_zone="europe/berlin")
    found = await club.ask("GET", f"/schedules/{schedule['id']}")
    listed = await club.ask("GET", "/schedules")

    assert found.json() == schedule == listed.json()["data"][0]
    assert {name: schedule[name] for name in WEEKLY} == WEEKLY
    assert (schedule["at"], schedule["misfire_grace_s"], schedule["enabled"]) == (None, 600, True)
    shown = schedule["next_occurrences"]
    assert len(shown) == 5
    assert all(one["local_at"].endswith("T09:00:00") for one in shown)
    assert all(datetime.fromisoformat(one["due_at"]).weekday() == 0 for one in shown)


async def test_it_is_replaced_disabled_and_deleted(club: World):
    schedule = await made(club)
    path = f"/schedules/{schedule['id']}"

    replaced = await club.ask("PUT", path, json={**WEEKLY, "cron": "30 18 * * fri", "enabled": False})
    gone = await club.ask("DELETE", path)

    assert (replaced.status_code, replaced.json()["cron"]) == (200, "30 18 * * fri")
    assert replaced.json()["next_occurrences"] == []
    assert gone.status_code == 204
    assert (await club.ask("GET", path)).status_code == 404


async def test_an_occurrence_leads_to_its_execution_and_back(club: World, installation: Core, db: Database):
    schedule = await made(club, cron=None, at=f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%MZ}")
    async with db.autocommit() as conn:
        await conn.execute("UPDATE schedule SET at = '2026-01-01T09:00Z', seen_at = '2025-12-31', next_at = now()")
        await conn.execute("UPDATE schedule SET misfire_grace_s = 2000000000")

    await schedule_keeper(installation).run_due()

    (occurrence,) = (await club.ask("GET", f"/schedules/{schedule['id']}/occurrences")).json()["data"]
    execution = (await club.ask("GET", f"/executions/{occurrence['execution_id']}")).json()
    assert (occurrence["outcome"], occurrence["reason"]) == ("started", None)
    assert (occurrence["due_at"], occurrence["local_at"]) == ("2026-01-01T09:00:00Z", "2026-01-01T10:00:00")
    assert occurrence["execution_state"] == execution["state"] == "queued"
    assert execution["schedule_id"] == schedule["id"]
    assert execution["occurrence_at"] == occurrence["due_at"]
    assert execution["triggered_by"] == "schedule Fixtures"


async def test_a_repeated_post_under_a_key_makes_one(club: World):
    answers = [await club.ask("POST", "/schedules", json=WEEKLY, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert answers[0].content == answers[1].content
    assert len((await club.ask("GET", "/schedules")).json()["data"]) == 1


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"cron": "0 9 * *"}, 400, "/cron"),
        ({"at": "2030-01-01T09:00"}, 400, "/cron"),
        ({"time_zone": "Mars"}, 400, "/time_zone"),
        ({"event_generator_id": "none"}, 400, "/event_generator_id"),
        ({"misfire_grace_s": 1}, 400, "/misfire_grace_s"),
        ({"start_at": "2030-01-01T09:00Z"}, 400, "/start_at"),
    ],
)
async def test_what_makes_no_schedule_is_refused(club: World, changes: dict[str, Any], status: int, pointer: str):
    refused = await club.ask("POST", "/schedules", json={**WEEKLY, **changes})

    assert refused.status_code == status
    assert refused.json()["violations"][0]["pointer"] == pointer


async def test_a_name_in_use_is_a_conflict(club: World):
    await made(club)

    assert (await club.ask("POST", "/schedules", json=WEEKLY)).status_code == 409


async def test_another_groups_schedule_is_the_same_404_as_none(club: World, other_world: World):
    schedule = await made(club)

    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/occurrences")):
        foreign = await other_world.ask(method, f"/schedules/{schedule['id']}{path}")
        missing = await other_world.ask(method, f"/schedules/{uuid4()}{path}")
        assert foreign.status_code == missing.status_code == 404
        assert foreign.json()["detail"] == missing.json()["detail"]


async def test_a_key_that_only_reads_makes_none(club: World):
    token = await club.key("read")

    refused = await club.ask("POST", "/schedules", json=WEEKLY, token=token)

    assert refused.status_code == 403


async def test_a_test_key_changes_only_schedules_that_are_tests(club: World):
    key = await club.services.accounts.create_key("test", brand_id=club.brand.id, scopes=("run", "write"), is_test=True)
    schedule = await made(club)
    test = (await club.ask("POST", "/schedules", token=key.token, json={**WEEKLY, "name": "Test"})).json()

    refused = await club.ask("PUT", f"/schedules/{schedule['id']}", token=key.token, json=WEEKLY)
    changed = await club.ask("PUT", f"/schedules/{test['id']}", token=key.token, json={**WEEKLY, "name": "Other"})
    ended = [
        (await club.ask(method, f"/schedules/{one['id']}{path}", token=key.token)).status_code
        for one in (schedule, test)
        for method, path in (("POST", "/cancel"), ("DELETE", ""))
    ]

    assert (refused.status_code, changed.status_code) == (403, 200)
    assert ended == [403, 403, 200, 204]
    assert (await club.ask("GET", f"/schedules/{schedule['id']}")).json()["status"] == "scheduled"
