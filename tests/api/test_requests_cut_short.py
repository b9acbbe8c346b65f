"""A request that dies anywhere has changed all that it was to change or nothing, and is said again."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from httpx import Response

from api_world import World
from stentor.failpoints import arm
from stentor.testing.torture.sweep import failpoints_of_requests

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC).replace(microsecond=0)
PROFILE = {"external_id": "crm-77", "person": {"first_name": "Aino", "email_address": "aino@example.org"}}

Request: TypeAlias = Callable[[], Awaitable[Response]]


class Dead(Exception):
    """This process came to its end."""


def die() -> None:
    raise Dead


async def said_again(point: str, request: Request) -> Response:
    """The answer to the request, said once more after it died at that place."""
    arm(f"{point}=die@1", {"die": die})
    try:
        assert (await request()).status_code == 500
    finally:
        arm("")
    return await request()


async def campaign_of(world: World) -> str:
    content = {"subject": "Hi", "html": "<p>Hi</p>", "text": "Hi"}
    draft = {"name": "Winter", "channel": "email", "default_language": "en", "variants": {"en": content}}
    template = (await world.ask("POST", "/templates", json=draft)).json()["id"]
    routes = [{"channel": "email", "template_id": template}]
    said = {"name": "Winter", "kind": "batch", "consent_basis": "channel", "routes": routes}
    campaign = (await world.ask("POST", "/campaigns", json=said)).json()["id"]
    assert (await world.ask("POST", f"/campaigns/{campaign}/publish")).status_code == 200
    return campaign


def written(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")


def test_these_are_all_the_places():
    themes = {point.partition(".")[0] for point in failpoints_of_requests()}

    assert themes == {"batch_change", "stream_begin", "customer_events", "merge", "test_send"}


@pytest.mark.fault("F1")
@pytest.mark.parametrize("point", ["batch_change.before_commit", "batch_change.after_commit"])
async def test_a_batch_whose_time_is_changed_still_runs_once(world: World, point: str):
    schedule = {"start_at": written(NOW + timedelta(days=1)), "campaign": {"uuid": await campaign_of(world)}}
    made = (await world.ask("POST", "/batches", json={"profiles": [PROFILE], "schedule": schedule})).json()
    path, later = f"/schedules/{made['schedule']['uuid']}", written(NOW + timedelta(days=30))

    changed = await said_again(point, lambda: world.ask("PATCH", path, json={"start_at": later}))
    executions = (await world.ask("GET", "/executions")).json()["data"]

    assert changed.json()["start_at"] == (NOW + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert [execution["state"] for execution in executions] == ["scheduled"]


@pytest.mark.fault("F1")
@pytest.mark.parametrize("point", ["test_send.before_commit", "test_send.after_commit"])
async def test_a_test_send_that_is_cut_short_is_on_disk_as_a_whole_or_not_at_all(world: World, point: str):
    await world.ask("POST", "/test-recipients", json={"address": "editor@example.org"})
    path = f"/campaigns/{await campaign_of(world)}/test-sends"

    sent = await said_again(point, lambda: world.ask("POST", path, json={"to": ["editor@example.org"], "wait_s": 0}))
    executions = (await world.ask("GET", "/executions")).json()["data"]
    log = (await world.ask("GET", "/audit", params={"thing_kind": "campaign"})).json()["data"]

    assert sent.status_code == 202
    assert len(executions) == (1 if point.endswith("before_commit") else 2)
    assert [entry["action"] for entry in log].count("campaign.test_sent") == len(executions)


@pytest.mark.fault("F1")
@pytest.mark.parametrize("point", ["stream_begin.before_commit", "stream_begin.after_commit"])
async def test_a_stream_that_is_begun_again_makes_one_batch(world: World, point: str):
    line = b'{"external_id": "p", "person": {"email_address": "p@example.org"}}\n'

    def send() -> Awaitable[Response]:
        headers = {"Content-Type": "application/x-ndjson"}
        return world.ask("POST", "/batches:bulk?source=crm", content=line, headers=headers)

    sent = await said_again(point, send)
    batches: list[Any] = (await world.ask("GET", "/batches")).json()["data"]

    assert (sent.status_code, sent.json()["import"]["added"]) == (201, 1)
    assert [batch["uuid"] for batch in batches] == [sent.json()["batch"]["uuid"]]


@pytest.mark.fault("F1")
@pytest.mark.parametrize("point", ["customer_events.before_commit", "customer_events.after_commit"])
async def test_an_event_that_is_told_again_has_happened_once(world: World, point: str):
    await world.ask("POST", "/customers", json={"external_id": "ann"})
    event = {"external_id": "ann", "name": "order", "at": (NOW - timedelta(hours=1)).isoformat(), "id": "o1"}

    told = await said_again(point, lambda: world.ask("POST", "/events", json={"events": [event]}))
    twice = {"type": "event", "name": "order", "at_least": 2}
    once = {"type": "event", "name": "order", "at_least": 1}
    counts = [
        (await world.ask("POST", "/segments:count", json={"expression": one})).json()["people"] for one in (once, twice)
    ]

    assert told.json() == {"taken": 1, "added": 1 if point.endswith("before_commit") else 0}
    assert counts == [1, 0]


@pytest.mark.fault("F1")
@pytest.mark.parametrize("point", ["merge.halfway", "merge.at_its_end", "people.after_commit"])
async def test_two_profiles_are_merged_or_they_are_not(world: World, point: str):
    for name in ("old", "new"):
        said = {"external_id": name, "person": {"email_address": f"{name}@example.org", "first_name": name}}
        await world.ask("POST", "/profiles", json=said)
    who = []

    async def request() -> Response:
        who.append((await world.ask("GET", "/profiles/old")).json()["external_id"])
        return await world.ask("POST", "/profiles/new/merge", json={"external_id": "old"})

    merged = await said_again(point, request)

    assert who == ["old", "new" if point == "people.after_commit" else "old"]
    assert (merged.status_code, merged.json()["person"]["email_address"]) == (200, "new@example.org"), merged.text
    listed = (await world.ask("GET", "/profiles")).json()["data"]
    assert [profile["external_id"] for profile in listed] == ["new"]
