"""Running, watching, pausing and explaining executions through the native API."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from api_world import World, mail_generator, subscribe
from stentor.executions.service import DRY_RUNS_OF_BRAND_MAX

pytestmark = pytest.mark.anyio

CALL = {"topic_key": "nfl", "context": {"match_name": "Reds vs Blues"}}
RUN = "/event-generators/match-starts/run"


@pytest.fixture
async def club(world: World) -> World:
    """A brand that is ready to run: a topic with two subscribers, and a published generator."""
    await subscribe(world, "nfl", "ann", "bob")
    schema = {"type": "object", "required": ["match_name"], "properties": {"match_name": {"type": "string"}}}
    await mail_generator(world, "match-starts", subject="{{ context.match_name }}", context_schema=schema)
    return world


async def tell_events_apart(club: World) -> None:
    """From now on a match of the same name, within ten minutes, is the same event."""
    generator = (await club.ask("GET", "/event-generators/match-starts")).json()
    changed = {name: generator[name] for name in ("name", "campaign_id", "context_schema")}
    said = {"fields": ["match_name"], "window_s": 600}
    answer = await club.ask("PUT", "/event-generators/match-starts", json={**changed, "deduplication": said})
    assert (answer.json()["deduplication"], answer.json()["is_stale"]) == (said, True)
    await club.ask("POST", "/event-generators/match-starts/publish")


async def test_a_run_is_an_execution_that_can_be_looked_at(club: World):
    run = await club.ask("POST", RUN, json=CALL, headers={"X-Request-Id": "the-call"})
    found = await club.ask("GET", f"/executions/{run.json()['execution_id']}")
    listed = await club.ask("GET", "/executions")

    assert (run.status_code, run.json()["status"]) == (202, "queued")
    assert found.json()["state"] == "queued"
    assert found.json()["context"] == CALL["context"]
    assert found.json()["event_generator_id"] == "match-starts"
    assert found.json()["request_id"] == "the-call"
    assert [one["id"] for one in listed.json()["data"]] == [run.json()["execution_id"]]


async def test_a_run_under_a_key_is_answered_once(club: World):
    answers = [await club.ask("POST", RUN, json=CALL, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert len((await club.ask("GET", "/executions")).json()["data"]) == 1


async def test_a_generator_that_tells_events_apart_runs_once_for_each(club: World):
    await tell_events_apart(club)

    first, second = [await club.ask("POST", RUN, json=CALL) for _ in range(2)]

    assert first.json() == second.json()
    assert [one.headers.get("stentor-deduplicated") for one in (first, second)] == [None, "true"]
    assert len((await club.ask("GET", "/executions")).json()["data"]) == 1


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"fields": [], "window_s": 60}, "/deduplication/fields"),
        ({"fields": ["a", "a"], "window_s": 60}, "/deduplication/fields"),
        ({"fields": ["a..b"], "window_s": 60}, "/deduplication/fields/0"),
        ({"fields": ["a"], "window_s": 0}, "/deduplication/window_s"),
    ],
)
async def test_a_deduplication_that_makes_no_sense_is_refused(club: World, said: dict[str, object], pointer: str):
    generator = (await club.ask("GET", "/event-generators/match-starts")).json()
    changed = {name: generator[name] for name in ("name", "campaign_id")}

    answer = await club.ask("PUT", "/event-generators/match-starts", json={**changed, "deduplication": said})

    assert (answer.status_code, answer.json()["violations"][0]["pointer"]) == (400, pointer)


async def test_a_context_that_breaks_the_schema_names_the_field(club: World):
    answer = await club.ask("POST", RUN, json={"topic_key": "nfl", "context": {"match_name": 5}})

    assert answer.status_code == 400
    assert answer.json()["violations"][0]["pointer"] == "/context/match_name"


async def test_a_dry_run_says_who_and_why_and_runs_nothing(club: World):
    await club.ask("POST", "/customers", json={"external_id": "cat"})
    await club.ask("PUT", "/customers/cat/subscriptions/nfl", json={})

    answer = await club.ask("POST", f"{RUN}?dry_run=true", json=CALL)
    with_key = await club.ask("POST", f"{RUN}?dry_run=true", json=CALL, headers={"Idempotency-Key": "k"})

    assert answer.status_code == 200
    assert answer.json()["audience_size"] == 3
    assert answer.json()["channels"] == [
        {"channel": "email", "audience": 3, "would_send": 2, "held": 0, "skipped": {"no_address": 1}}
    ]
    assert len(answer.json()["samples"]) == 3 or len(answer.json()["samples"]) == 2
    assert with_key.status_code == 400
    assert (await club.ask("GET", "/executions")).json()["data"] == []


async def test_an_execution_is_paused_resumed_and_cancelled(club: World):
    path = "/executions/" + (await club.ask("POST", RUN, json=CALL)).json()["execution_id"]

    paused = await club.ask("POST", f"{path}/pause")
    again = await club.ask("POST", f"{path}/pause")
    resumed = await club.ask("POST", f"{path}/resume")
    cancelled = await club.ask("POST", f"{path}/cancel")
    too_late = await club.ask("POST", f"{path}/resume")

    assert paused.json()["paused_at"] is not None
    assert again.status_code == 409
    assert resumed.json()["paused_at"] is None
    assert cancelled.json()["state"] == "cancelled"
    assert too_late.status_code == 409


async def test_a_test_key_holds_and_lets_go_on_nothing_that_goes_to_people(club: World):
    test = await club.services.accounts.create_key("test", brand_id=club.brand.id, scopes=("write",), is_test=True)
    path = "/executions/" + (await club.ask("POST", RUN, json=CALL)).json()["execution_id"]
    relay = {
        "name": "Relay",
        "channel": "email",
        "kind": "smtp",
        "settings": {"host": "mail.example.org", "envelope_from": "bounce@example.org"},
        "enabled": False,
    }
    sender = "/senders/" + (await club.ask("POST", "/senders", json=relay)).json()["id"]
    sandbox = "/senders/" + next(
        one["id"] for one in (await club.ask("GET", "/senders")).json()["data"] if one["kind"] == "sandbox"
    )

    answers = []
    held = await club.ask("POST", f"{path}/pause", token=test.token)
    for paused in (path, sender, sandbox):
        await club.ask("POST", f"{paused}/pause")
        answers.append((await club.ask("POST", f"{paused}/resume", token=test.token)).status_code)

    switched_on = await club.ask("PATCH", sender, token=test.token, json={"enabled": True})
    settled = await club.ask("POST", f"{path}/unknown", token=test.token, json={"action": "settle_as_failed"})

    cancelled = await club.ask("POST", f"{path}/cancel", token=test.token)

    assert (answers, cancelled.status_code, held.status_code) == ([403, 403, 200], 403, 403)
    assert (switched_on.status_code, settled.status_code) == (403, 403)
    assert (await club.ask("GET", path)).json()["paused_at"] is not None


async def test_what_a_test_key_was_answered_is_told_to_no_other(club: World):
    test = await club.services.accounts.create_key("test", brand_id=club.brand.id, scopes=("run",), is_test=True)
    headers = {"Idempotency-Key": "order-1001"}

    tried = await club.ask("POST", RUN, token=test.token, json=CALL, headers=headers)
    meant = await club.ask("POST", RUN, json=CALL, headers=headers)

    assert (tried.status_code, meant.status_code) == (202, 422)


async def test_a_brand_has_a_few_dry_runs_at_once_and_the_next_is_told_to_wait(club: World):
    answers = await asyncio.gather(*(club.ask("POST", f"{RUN}?dry_run=true", json=CALL) for _ in range(40)))
    afterwards = await club.ask("POST", f"{RUN}?dry_run=true", json=CALL)

    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert len(answers) - len(refused) >= DRY_RUNS_OF_BRAND_MAX
    assert {answer.headers["retry-after"] for answer in refused} == {"5"}
    assert afterwards.status_code == 200


async def test_a_stream_tells_what_changes_and_ends_with_the_execution(club: World):
    path = "/executions/" + (await club.ask("POST", RUN, json=CALL)).json()["execution_id"]

    async with asyncio.timeout(20):
        stream, _ = await asyncio.gather(club.ask("GET", f"{path}/events"), club.ask("POST", f"{path}/cancel"))
    seen = [json.loads(line.removeprefix("data: ")) for line in stream.text.splitlines() if line.startswith("data: ")]

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert "event: progress" in stream.text
    assert seen[-1]["state"] == "cancelled"


async def test_people_outside_an_execution_are_told_why(club: World):
    await club.ask("POST", "/customers", json={"external_id": "a/b"})
    path = "/executions/" + (await club.ask("POST", RUN, json=CALL)).json()["execution_id"]

    story = await club.ask("GET", f"{path}/recipients/a%2Fb")
    nobody = await club.ask("GET", f"{path}/recipients/nobody")
    listed = await club.ask("GET", f"{path}/recipients?state=skipped&reason=no_such_reason")
    await club.ask("POST", f"{path}/cancel")
    cancelled = await club.ask("GET", f"{path}/recipients/a%2Fb")

    assert (story.status_code, story.json()["external_id"], story.json()["channels"]) == (200, "a/b", [])
    assert story.json()["outside"]
    assert nobody.status_code == 404
    assert (listed.status_code, listed.json()["violations"][0]["pointer"]) == (400, "/reason")
    assert "no_address" in listed.json()["detail"]
    assert cancelled.json()["outside"].startswith("The execution was cancelled before anybody was planned (CANCELLED")


async def test_a_template_is_previewed(club: World):
    template = (await club.ask("GET", "/templates")).json()["data"][0]["id"]

    shown = await club.ask("POST", f"/templates/{template}/preview", json={"context": {"match_name": "A vs B"}})
    draft = await club.ask(
        "POST", "/template-previews", json={"channel": "sms", "parts": {"text": "Hi {{ customer.first_name }}"}}
    )

    assert shown.json()["parts"]["subject"] == "A vs B"
    assert shown.json()["language"] == "en"
    assert draft.status_code == 200, draft.text


async def test_a_run_to_come_is_scheduled_and_can_be_cancelled(club: World):
    start_at = datetime.now(UTC) + timedelta(days=2)

    run = await club.ask("POST", RUN, json={**CALL, "start_at": start_at.isoformat()})
    path = f"/executions/{run.json()['execution_id']}"
    found = (await club.ask("GET", path)).json()
    cancelled = await club.ask("POST", f"{path}/cancel")

    assert (run.status_code, run.json()["status"]) == (202, "scheduled")
    assert found["state"] == "scheduled"
    assert datetime.fromisoformat(found["start_at"]) == start_at
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")


async def test_a_call_about_an_event_told_before_says_whether_that_execution_is_still_to_start(club: World):
    await tell_events_apart(club)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    to_come = await club.ask("POST", RUN, json={**CALL, "start_at": tomorrow})
    again = await club.ask("POST", RUN, json=CALL)

    assert again.headers["stentor-deduplicated"] == "true"
    assert again.json() == to_come.json()
    assert again.json()["status"] == "scheduled"


@pytest.mark.parametrize("start_at", ["2026-12-24T18:00:00", "tomorrow", 1_800_000_000, "2020-01-01T00:00:00Z"])
async def test_a_start_without_an_offset_that_is_no_time_or_past_is_refused(club: World, start_at: object):
    refused = await club.ask("POST", RUN, json={**CALL, "start_at": start_at})

    assert refused.status_code == 400
    assert refused.json()["violations"][0]["pointer"] == "/start_at"
