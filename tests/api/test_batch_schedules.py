"""A batch's schedule, from the call to the last message: read, changed, cancelled, finished."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api_world import World
from stentor.audience.model import Act, Source
from stentor.executions.service import start_due
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.wiring.core import Core

pytestmark = pytest.mark.anyio

THEMSELVES = Act(source=Source.PREFERENCE_PAGE)


@pytest.fixture
async def campaign(world: World) -> str:
    """A published campaign that mails whoever it is run for."""
    content = {"subject": "Hi {{ first_name | default: 'you' }}", "html": "<p>{{ Tier }}</p>", "text": "Hi"}
    draft = {"name": "Winter", "channel": "email", "default_language": "en", "variants": {"en": content}}
    template = await world.ask("POST", "/templates", json=draft)
    route = {"channel": "email", "template_id": template.json()["id"]}
    said = {"name": "Winter voice", "kind": "batch", "consent_basis": "channel", "routes": [route]}
    made = await world.ask("POST", "/campaigns", json=said)
    published = await world.ask("POST", f"/campaigns/{made.json()['id']}/publish")
    assert published.status_code == 200, published.text
    return made.json()["id"]


def aino(**more: Any) -> dict[str, Any]:
    person = {"first_name": "Aino", "email_address": "aino@example.org"}
    return {"external_id": "crm-77", "person": person, "attributes": [{"name": "Tier", "value": "Gold"}], **more}


def written(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")


async def scheduled(world: World, campaign: str, start_at: datetime, *profiles: object) -> dict[str, Any]:
    schedule = {"start_at": written(start_at), "campaign": {"uuid": campaign}}
    made = await world.ask("POST", "/batches", json={"profiles": list(profiles) or [aino()], "schedule": schedule})
    assert made.status_code == 201, made.text
    return made.json()


async def test_a_batch_is_scheduled_runs_for_its_people_and_is_finished(
    world: World, campaign: str, installation: Core
):
    start_at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    others = {"external_id": "other", "person": {"email_address": "other@example.org"}}
    await world.ask("POST", "/batches", json={"profiles": [others]})
    refused = {"external_id": "gone", "person": {"email_address": "gone@example.org"}}
    made = await scheduled(world, campaign, start_at, aino(), refused)
    customer = UUID(made["profiles"][1]["uuid"])
    await world.services.subscriptions.withdraw_all(world.brand.id, customer, THEMSELVES)

    assert made["campaign"] == {"uuid": campaign, "name": "Winter voice"}
    assert re.fullmatch(r"Winter voice - \d{12} - [0-9a-f]{8}", made["profile_tag"]["name"])
    assert list(made["schedule"]) == ["metadata", "status", "start_at", "uuid", "updated_at", "created_at"]
    assert made["schedule"]["status"] == "scheduled"
    assert made["schedule"]["start_at"] == start_at.strftime("%Y-%m-%dT%H:%M:%S.000000Z")

    channel = ScriptedChannel()
    installation.db.shift = timedelta(hours=2, seconds=1)
    engine = Engine(installation.db, channel)
    assert await start_due(installation.db) == 1
    running = await world.ask("GET", f"/schedules/{made['schedule']['uuid']}")
    (due,) = (await world.ask("GET", f"/schedules/{made['schedule']['uuid']}/occurrences")).json()["data"]
    await engine.drain()

    finished = (await world.ask("GET", f"/batches/{made['uuid']}")).json()
    assert (running.json()["status"], finished["schedule"]["status"]) == ("running", "finished")
    execution = await world.ask("GET", f"/executions/{running.json()['execution_id']}")
    assert execution.json()["triggered_by"] == f"batch {made['uuid']}"
    assert (due["due_at"], due["outcome"], due["execution_state"]) == (
        start_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "started",
        "queued",
    )
    assert channel.addresses == ["aino@example.org"]


async def test_a_start_of_this_minute_begins_at_once(world: World, campaign: str, installation: Core):
    made = await scheduled(world, campaign, datetime.now(UTC) - timedelta(seconds=30))

    assert made["schedule"]["status"] == "running"


async def test_a_schedule_is_changed_and_cancelled_as_long_as_it_is_to_come(world: World, campaign: str):
    start_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    made = await scheduled(world, campaign, start_at)
    path = f"/schedules/{made['schedule']['uuid']}"
    later = start_at + timedelta(days=30)

    changed = await world.ask("PATCH", path, json={"start_at": written(later)})
    wrong = await world.ask("PATCH", path, json={"start_at": "2020-01-01 00:00:00", "campaign": {"uuid": "x"}})
    past = await world.ask("PATCH", path, json={"start_at": "2020-01-01 00:00:00"})
    tested = await world.services.accounts.create_key(
        "t", brand_id=world.brand.id, scopes=("run", "write"), is_test=True
    )
    to_come = await world.ask("GET", f"{path}/occurrences")
    of_test = await world.ask("PATCH", path, token=tested.token, json={"start_at": written(later)})
    ended_by_test = [
        (await world.ask(method, path + order, token=tested.token)).status_code
        for method, order in (("POST", "/cancel"), ("DELETE", ""))
    ]
    kept = await world.ask("DELETE", f"/profile-tags/{made['profile_tag']['uuid']}")
    cancelled = await world.ask("POST", f"{path}/cancel")
    again = [await world.ask("PATCH", path, json={"start_at": written(later)}), await world.ask("DELETE", path)]
    executions = (await world.ask("GET", "/executions")).json()["data"]

    assert changed.json()["start_at"] == later.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert changed.json()["uuid"] == made["schedule"]["uuid"]
    assert (wrong.status_code, list(wrong.json()["errors"])) == (422, ["campaign.uuid"])
    assert (past.status_code, list(past.json()["errors"])) == (422, ["start_at"])
    assert (of_test.status_code, kept.status_code) == (403, 409)
    assert ended_by_test == [403, 403]
    after = await world.ask("GET", f"{path}/occurrences")
    assert (to_come.json()["data"], after.json()["data"]) == ([], [])
    assert (cancelled.json()["status"], [answer.status_code for answer in again]) == ("cancelled", [409, 409])
    assert [execution["state"] for execution in executions] == ["cancelled"]
    told = (await world.ask("GET", f"/audit?thing_kind=schedule&thing_id={made['schedule']['uuid']}")).json()["data"]
    assert [(entry["action"], sorted(entry["after"])) for entry in told] == [
        ("schedule.cancelled", ["status"]),
        ("schedule.updated", ["start_at"]),
    ]
    assert told[0]["before"] == {"status": "scheduled"}
    assert (await world.ask("DELETE", f"/profile-tags/{made['profile_tag']['uuid']}")).status_code == 204


async def test_schedules_of_batches_stand_among_the_others(world: World, other_world: World, campaign: str):
    start_at = datetime.now(UTC) + timedelta(days=1)
    made = [(await scheduled(world, campaign, start_at))["schedule"]["uuid"] for _ in range(3)]

    first = (await world.ask("GET", "/schedules?per_page=2")).json()
    second = (await world.ask("GET", f"/schedules?limit=2&cursor={first['next_cursor']}")).json()

    assert [each["uuid"] for each in (*first["data"], *second["data"])] == made
    assert (first["meta"]["total"], second["next_cursor"]) == (3, None)
    assert {each["campaign"]["name"] for each in first["data"]} == {"Winter voice"}
    assert all(each["id"] == each["uuid"] and each["next_occurrences"] for each in first["data"])
    for method, path in (
        ("GET", ""),
        ("GET", "/occurrences"),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
    ):
        foreign = await other_world.ask(method, f"/schedules/{made[0]}{path}", json={})
        missing = await other_world.ask(method, f"/schedules/{UUID(int=7)}{path}", json={})
        assert (foreign.status_code, foreign.content) == (404, missing.content)


async def test_each_kind_of_schedule_says_how_it_is_changed(world: World, campaign: str):
    made = await scheduled(world, campaign, datetime.now(UTC) + timedelta(days=1))
    said = {"name": "S", "campaign_id": campaign, "tag_id": made["profile_tag"]["uuid"], "cron": "0 9 * * *"}
    own = (await world.ask("POST", "/schedules", json=said)).json()
    changed = await world.ask("PATCH", f"/schedules/{own['uuid']}", json={"campaign": {"uuid": campaign}})
    replaced = await world.ask("PUT", f"/schedules/{made['schedule']['uuid']}", json=said)
    cancelled = await world.ask("POST", f"/schedules/{own['uuid']}/cancel")
    both = (await world.ask("GET", "/schedules")).json()["data"]

    assert (changed.status_code, replaced.status_code) == (409, 409)
    assert ("PUT" in changed.json()["detail"], "PATCH" in replaced.json()["detail"]) == (True, True)
    assert (cancelled.json()["status"], cancelled.json()["next_occurrences"]) == ("cancelled", [])
    assert [(each["campaign"]["name"], each["tag_id"]) for each in both] == [("Winter voice", said["tag_id"])] * 2


async def test_a_campaign_that_cannot_run_refuses_the_batch(world: World, other_world: World, campaign: str):
    start_at = written(datetime.now(UTC) + timedelta(days=1))
    route = (await world.ask("GET", f"/campaigns/{campaign}")).json()["routes"]
    unpublished = await world.ask(
        "POST", "/campaigns", json={"name": "New", "kind": "batch", "consent_basis": "channel", "routes": route}
    )
    by_api = await world.ask("POST", "/campaigns", json={"name": "API", "routes": route})
    for asked, uuid in ((world, unpublished.json()["id"]), (world, by_api.json()["id"]), (other_world, campaign)):
        schedule = {"start_at": start_at, "campaign": {"uuid": uuid}}
        refused = await asked.ask("POST", "/batches", json={"profiles": [aino()], "schedule": schedule})
        assert (refused.status_code, list(refused.json()["errors"])) == (422, ["schedule.campaign.uuid"]), refused.text
        assert (await asked.ask("GET", "/customers")).json()["data"] == []


async def test_a_stream_runs_its_campaign_when_all_of_it_is_in(world: World, campaign: str, installation: Core):
    start_at = datetime.now(UTC) + timedelta(hours=1)
    query = f"source=a&campaign={campaign}&start_at={written(start_at)}"
    lines = b"".join(
        b'{"external_id":"p-%d","person":{"email_address":"p%d@example.org"}}\n' % (number, number)
        for number in range(20)
    )
    made = await world.ask(
        "POST", f"/batches:bulk?{query}", content=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    assert made.status_code == 201, made.text
    channel = ScriptedChannel()
    installation.db.shift = timedelta(hours=1, seconds=1)
    await start_due(installation.db)
    await Engine(installation.db, channel).drain()

    batch = (await world.ask("GET", f"/batches/{made.json()['batch']['uuid']}")).json()
    assert batch["schedule"]["status"] == "finished"
    assert sorted(channel.addresses) == sorted(f"p{number}@example.org" for number in range(20))


def crowd(people: int) -> bytes:
    said = b'{"external_id":"p-%d","person":{"email_address":"p%d@example.org"}}\n'
    return b"".join(said % (number, number) for number in range(people))


async def stream(world: World, query: str, content: bytes | AsyncIterator[bytes]) -> Any:
    path = f"/v1/groups/{world.brand.id}/batches:bulk?{query}"
    headers = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {world.token}"}
    return await world.client.post(path, content=content, headers=headers)


async def breaking(content: bytes) -> AsyncIterator[bytes]:
    yield content
    raise ConnectionError


async def test_a_stream_goes_on_after_its_start_and_then_runs_its_campaign(
    world: World, campaign: str, installation: Core
):
    start_at = datetime.now(UTC) + timedelta(hours=1)
    query = f"source=a&campaign={campaign}&start_at={written(start_at)}"
    await stream(world, query, breaking(crowd(3)))
    installation.db.shift = timedelta(hours=5)

    ended = await stream(world, query, crowd(3))
    channel = ScriptedChannel()
    await start_due(installation.db)
    await Engine(installation.db, channel).drain()
    again = await stream(world, query, crowd(3))

    assert ended.status_code == 201, ended.text
    assert len(channel.addresses) == 3
    assert again.json()["batch"]["schedule"]["status"] == "finished"
    assert len((await world.ask("GET", "/executions")).json()["data"]) == 1


async def test_a_stream_that_broke_off_is_cancelled_and_lets_its_tag_go(world: World, campaign: str):
    start_at = datetime.now(UTC) + timedelta(hours=1)
    query = f"source=a&campaign={campaign}&start_at={written(start_at)}"
    await stream(world, query, breaking(crowd(3)))
    [batch] = (await world.ask("GET", "/batches")).json()["data"]
    tag, schedule = f"/profile-tags/{batch['profile_tag']['uuid']}", f"/schedules/{batch['schedule']['uuid']}"

    kept = await world.ask("DELETE", tag)
    cancelled = [await world.ask("POST", f"{schedule}/cancel") for _ in range(2)]
    again = await stream(world, query, crowd(3))
    changed = await world.ask("PATCH", schedule, json={"start_at": written(start_at + timedelta(days=1))})
    job = (await world.ask("GET", f"/imports/{batch['uuid']}")).json()
    gone = await world.ask("DELETE", tag)
    [entry] = (await world.ask("GET", f"/audit?thing_kind=schedule&thing_id={batch['schedule']['uuid']}")).json()[
        "data"
    ]

    assert batch["schedule"]["status"] == "scheduled"
    assert (kept.status_code, [answer.status_code for answer in cancelled]) == (409, [200, 409])
    assert (cancelled[0].json()["status"], entry["before"]) == ("cancelled", {"status": "scheduled"})
    assert (again.status_code, changed.status_code) == (409, 409)
    assert (job["state"], job["problem"]) == ("failed", "Its schedule was cancelled.")
    assert gone.status_code == 204
    assert (await world.ask("GET", "/executions")).json()["data"] == []


async def test_a_paused_schedule_is_resumed_before_it_is_changed(world: World, campaign: str):
    start_at = datetime.now(UTC) + timedelta(days=1)
    made = await scheduled(world, campaign, start_at)
    path, later = f"/schedules/{made['schedule']['uuid']}", written(start_at + timedelta(days=1))
    [execution] = (await world.ask("GET", "/executions")).json()["data"]

    paused = await world.ask("POST", f"/executions/{execution['id']}/pause")
    refused = await world.ask("PATCH", path, json={"start_at": later})
    [still] = (await world.ask("GET", "/executions")).json()["data"]
    await world.ask("POST", f"/executions/{execution['id']}/resume")
    changed = await world.ask("PATCH", path, json={"start_at": later})

    assert paused.status_code == 200, paused.text
    assert (refused.status_code, "paused" in refused.json()["detail"], still["id"]) == (409, True, execution["id"])
    assert changed.status_code == 200


async def test_two_changes_of_a_schedule_at_once_are_both_kept(world: World, campaign: str, installation: Core):
    start_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    made = await scheduled(world, campaign, start_at)
    path, later = f"/schedules/{made['schedule']['uuid']}", start_at + timedelta(days=2)
    other = (await world.ask("GET", f"/campaigns/{campaign}")).json()
    said = {"name": "Other", "kind": "batch", "consent_basis": "channel", "routes": other["routes"]}
    second = (await world.ask("POST", "/campaigns", json=said)).json()["id"]
    await world.ask("POST", f"/campaigns/{second}/publish")

    async with installation.db.transaction() as conn:
        await conn.execute("SELECT FROM batch WHERE id = %s FOR UPDATE", [made["uuid"]])
        changes = [
            asyncio.create_task(world.ask("PATCH", path, json=body))
            for body in ({"start_at": written(later)}, {"campaign": {"uuid": second}})
        ]
        async with asyncio.timeout(10):
            while True:
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
                if (await (await conn.execute(waiting)).fetchone() or (0,))[0] == 2:
                    break
    answers = [await change for change in changes]
    batch = (await world.ask("GET", f"/batches/{made['uuid']}")).json()

    assert [answer.status_code for answer in answers] == [200, 200]
    assert batch["schedule"]["start_at"] == later.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert batch["campaign"]["uuid"] == second


async def test_a_tag_or_a_segment_that_something_goes_by_stays(world: World, campaign: str):
    tag = (await world.ask("POST", "/profile-tags", json={"name": "Left out"})).json()["uuid"]
    without = {"type": "none_of", "conditions": [{"type": "tag", "tag_id": tag}]}
    segment = (await world.ask("POST", "/segments", json={"name": "Rest", "expression": without})).json()["id"]
    said = {"name": "Daily", "campaign_id": campaign, "segment_id": segment, "cron": "0 9 * * *"}
    schedule = (await world.ask("POST", "/schedules", json=said)).json()["id"]
    start_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    waits = {"start_at": start_at}
    for audience in ({"segment_id": segment}, {"tag_id": tag}):
        run = await world.ask("POST", f"/campaigns/{campaign}/run", json={**waits, **audience})
        assert run.status_code < 300, run.text
    executions = (await world.ask("GET", "/executions")).json()["data"]

    uses = (await world.ask("GET", f"/segments/{segment}/uses")).json()["data"]
    kept = [await world.ask("DELETE", f"/segments/{segment}"), await world.ask("DELETE", f"/profile-tags/{tag}")]
    await world.ask("POST", f"/schedules/{schedule}/cancel")
    for execution in executions:
        await world.ask("POST", f"/executions/{execution['id']}/cancel")
    named = await world.ask("DELETE", f"/profile-tags/{tag}")
    gone = [await world.ask("DELETE", f"/segments/{segment}"), await world.ask("DELETE", f"/profile-tags/{tag}")]

    assert [(use["kind"], use["name"]) for use in uses] == [("schedule", "Daily"), ("execution", "Winter voice")]
    assert [answer.status_code for answer in kept] == [409, 409]
    assert "the schedule 'Daily'" in kept[0].json()["detail"]
    assert "the segment Rest, the execution Winter voice" in kept[1].json()["detail"]
    assert (named.status_code, "the segment Rest." in named.json()["detail"]) == (409, True)
    assert [answer.status_code for answer in gone] == [204, 204]
