"""One body, two readers: what clients of the older groups API read of campaigns and schedules stands beside our own fields."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api_world import World
from stentor.audience.model import Act, Source
from stentor.audience.reach import Mark, mark
from stentor.domain.address import PHONE_CHANNELS, email_digest
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind
from stentor.wiring.core import Core

pytestmark = pytest.mark.anyio

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
AINO = {"external_id": "crm-77", "person": {"email_address": "aino@example.org"}}


@pytest.fixture
async def campaign(world: World) -> dict[str, Any]:
    """A published campaign that mails whoever it is run for."""
    content = {"subject": "Hi", "html": "<p>Hi</p>", "text": "Hi"}
    draft = {"name": "Winter", "channel": "email", "default_language": "en", "variants": {"en": content}}
    template = await world.ask("POST", "/templates", json=draft)
    route = {"channel": "email", "template_id": template.json()["id"]}
    said = {"name": "Winter voice", "kind": "batch", "consent_basis": "channel", "routes": [route]}
    made = (await world.ask("POST", "/campaigns", json=said)).json()
    return (await world.ask("POST", f"/campaigns/{made['id']}/publish")).json()["campaign"]


def in_a_day() -> str:
    return f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d %H:%M:%S}"


async def test_campaigns_and_schedules_are_read_by_both_kinds_of_clients(
    world: World, campaign: dict[str, Any], installation: Core
):
    said = {"name": "S", "campaign_id": campaign["uuid"], "tag_id": None, "cron": "0 9 * * *"}
    tag = (await world.ask("POST", "/profile-tags", json={"name": "Members"})).json()
    await world.ask("POST", "/schedules", json={**said, "tag_id": tag["uuid"]})
    # What is made on the whole second has six digits too.
    async with installation.db.transaction() as conn:
        at = "created_at = '2026-11-21T10:00:00Z', updated_at = '2026-11-21T10:00:00Z'"
        for table in ("campaign", "schedule"):
            await conn.execute(f"UPDATE {table} SET {at}".encode())  # noqa: S608

    campaigns = (await world.ask("GET", "/campaigns")).json()
    numbered = (await world.ask("GET", "/campaigns?page=1&per_page=1")).json()
    one = (await world.ask("GET", f"/campaigns/{campaign['uuid']}")).json()
    schedules = (await world.ask("GET", "/schedules")).json()

    assert campaigns["data"] == numbered["data"] == [one]
    assert (one["uuid"], one["name"], one["metadata"]) == (one["id"], "Winter voice", [])
    assert (campaigns["meta"]["total"], campaigns["links"]["next"], campaigns["next_cursor"]) == (1, None, None)
    assert numbered["meta"]["current_page"] == 1
    for body in (one, *schedules["data"]):
        assert body["created_at"] == body["updated_at"] == "2026-11-21T10:00:00.000000Z"
    assert TIME.fullmatch(schedules["data"][0]["start_at"])
    assert schedules["data"][0]["campaign"] == {"uuid": one["uuid"], "name": "Winter voice"}


async def test_what_runs_a_campaign_needs_a_key_that_may_run(world: World, campaign: dict[str, Any]):
    writer, both = await world.key("read", "write"), await world.key("run", "write")
    wish = {"start_at": in_a_day(), "campaign": {"uuid": campaign["uuid"]}}
    line = b'{"person":{"email_address":"a@example.org"}}\n'
    stream = {"content": line, "headers": {"Content-Type": "application/x-ndjson"}}
    batch = (await world.ask("POST", "/batches", json={"profiles": [AINO], "schedule": wish})).json()
    own = {"name": "S", "campaign_id": campaign["uuid"], "tag_id": batch["profile_tag"]["uuid"], "cron": "0 9 * * *"}
    schedule = (await world.ask("POST", "/schedules", json=own)).json()["uuid"]
    nothing: dict[str, Any] = {}
    running = [
        ("POST", "/batches", {"json": {"profiles": [AINO], "schedule": wish}}),
        ("POST", "/batches", {"json": {"profiles": [AINO], "schedule": nothing}}),
        ("POST", f"/batches:bulk?source=a&campaign={campaign['uuid']}&start_at={wish['start_at']}", stream),
        ("POST", "/batches:bulk?source=a&start_at=now", stream),
        ("PATCH", f"/schedules/{batch['schedule']['uuid']}", {"json": {"start_at": wish["start_at"]}}),
        ("POST", "/schedules", {"json": {**own, "name": "Other"}}),
        ("PUT", f"/schedules/{schedule}", {"json": own}),
    ]

    refused = [await world.ask(method, path, token=writer, **more) for method, path, more in running]
    harmless = [
        await world.ask("POST", "/batches", token=writer, json={"profiles": [AINO], "schedule": None}),
        await world.ask("POST", "/batches:bulk?source=b", token=writer, **stream),
        await world.ask("POST", f"/schedules/{schedule}/cancel", token=writer),
    ]
    batches = (await world.ask("GET", "/batches")).json()["data"]
    done = [await world.ask(method, path, token=both, **more) for method, path, more in running]

    assert [answer.status_code for answer in refused] == [403] * 7
    assert {answer.json()["message"] for answer in refused} == {"This action is unauthorized."}
    assert "the scope `run`" in refused[0].json()["detail"]
    assert [answer.status_code for answer in harmless] == [201, 201, 200]
    assert len(batches) == 3
    assert [answer.status_code for answer in done] == [201, 422, 201, 422, 200, 201, 200], [one.text for one in done]


async def test_a_search_for_a_name_is_followed_by_its_links(world: World):
    for number in range(5):
        person = {"first_name": "Aino", "last_name": f"L{number}", "email_address": f"p{number}@example.org"}
        await world.ask("POST", "/profiles", json={"person": person})

    first = (await world.ask("GET", "/profiles?name=AINO&per_page=3&page=1")).json()
    headers = {"Authorization": f"Bearer {world.token}"}
    second = (await world.client.get(first["links"]["next"], headers=headers)).json()
    by_cursor = (await world.ask("GET", f"/profiles?name=aino&limit=3&cursor={first['next_cursor']}")).json()
    numbered = await world.ask("GET", "/profiles?name=aino&page=2")

    assert [len(first["data"]), len(second["data"])] == [3, 2]
    assert (second["links"]["next"], second["next_cursor"], second["links"]["prev"]) == (None, None, None)
    meta = {name: second["meta"][name] for name in ("current_page", "from", "to", "total", "last_page")}
    assert meta == {"current_page": 2, "from": 4, "to": 5, "total": 5, "last_page": 2}
    assert by_cursor["data"] == second["data"]
    assert (numbered.status_code, "links.next" in numbered.json()["detail"]) == (400, True)


async def test_a_batch_lifts_no_refusal_stop_bounce_complaint_or_listed_address(
    world: World, campaign: dict[str, Any], installation: Core
):
    names = ("fine", "left", "stopped", "bounced", "complained", "listed")
    people = {name: {"email_address": f"{name}@example.org"} for name in names}
    people["stopped"]["phone_number"] = "+358401112222"
    for name in names[:-1]:
        made = await world.ask("POST", "/profiles", json={"external_id": name, "person": people[name]})
        assert made.status_code == 201, made.text
    service, page = world.services.subscriptions, Act(source=Source.PREFERENCE_PAGE)
    who = {name: customer_id(world.brand.id, name) for name in names}
    await service.withdraw_all(world.brand.id, who["left"], page)
    await service.refuse(world.brand.id, who["stopped"], PHONE_CHANNELS, Act(source=Source.REPLY), cause="stop")
    async with installation.db.transaction() as conn:
        dead = Mark(who["bounced"], email_digest("bounced@example.org"), bounced=True, complained=False)
        spam = Mark(who["complained"], email_digest("complained@example.org"), bounced=False, complained=True)
        await mark(conn, world.brand.id, ChannelKind.EMAIL, [dead, spam])
    await world.ask("POST", "/optout-lists/built-in/entries", json={"entries": ["listed@example.org"]})
    standing = {name: (await world.ask("GET", f"/profiles/{name}")).json() for name in names[:-1]}

    batch = {"profiles": [{"external_id": name, "person": person} for name, person in people.items()]}
    made = await world.ask("POST", "/batches", json=batch)
    # By their addresses alone, and under other names, it is the same.
    alone = await world.ask("POST", "/batches", json={"profiles": [{"person": person} for person in people.values()]})
    others = [{"external_id": f"also-{name}", "person": people[name]} for name in ("left", "stopped", "listed")]
    aliases = await world.ask("POST", "/batches", json={"profiles": others})

    flags = ("agreed", "refused", "bounced", "complained")
    for name, before in standing.items():
        now = (await world.ask("GET", f"/profiles/{name}")).json()
        assert [now[flag] for flag in flags] == [before[flag] for flag in flags], name
    also = (await world.ask("GET", "/profiles/also-stopped")).json()
    assert (also["agreed"], also["refused"]) == (["email"], ["sms", "voice", "whatsapp"])
    told = []
    for answer in (made, alone, aliases):
        run = {"tag_id": answer.json()["profile_tag"]["uuid"]}
        forecast = await world.ask("POST", f"/campaigns/{campaign['uuid']}/run?dry_run=true", json=run)
        [email] = forecast.json()["channels"]
        told.append((email["audience"], email["would_send"], email["skipped"]))
    skipped = {"unsubscribed": 1, "bounced_before": 1, "complained": 1, "suppressed": 1}
    assert told == [(6, 2, skipped), (6, 2, skipped), (3, 1, {"unsubscribed": 1, "suppressed": 1})]
