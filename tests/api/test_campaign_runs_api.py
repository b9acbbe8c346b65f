"""Campaigns that are published themselves and run for a tag, through the native API."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_world import World
from stentor.db.pool import Database
from trigger_world import rows

pytestmark = pytest.mark.anyio


async def campaign(world: World, *, text: str = "Hello {{ first_name | default: 'you' }}", **changes: Any) -> str:
    template = await world.ask(
        "POST",
        "/templates",
        json={"name": str(uuid4()), "channel": "sms", "default_language": "en", "variants": {"en": {"text": text}}},
    )
    asked = {
        "name": str(uuid4()),
        "kind": "batch",
        "consent_basis": "channel",
        "routes": [{"channel": "sms", "template_id": template.json()["id"]}],
        **changes,
    }
    made = await world.ask("POST", "/campaigns", json=asked)
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def tag(db: Database, world: World) -> str:
    tag_id = uuid4()
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO tag (id, brand_id, name, created_at, updated_at) VALUES (%s, %s, %s, now(), now())",
            [tag_id, world.brand.id, str(tag_id)],
        )
    return str(tag_id)


async def test_a_campaign_is_published_and_run_once_for_each_key(world: World, db: Database):
    campaign_id, tag_id = await campaign(world), await tag(db, world)
    published = await world.ask("POST", f"/campaigns/{campaign_id}/publish")
    again = await world.ask("POST", f"/campaigns/{campaign_id}/publish")
    run = {"json": {"tag_id": tag_id}, "headers": {"Idempotency-Key": "once"}}

    answers = [await world.ask("POST", f"/campaigns/{campaign_id}/run", **run) for _ in range(2)]
    other = await world.ask("POST", f"/campaigns/{campaign_id}/run", json={"tag_id": tag_id})

    assert published.json()["campaign"]["published_at"] == again.json()["campaign"]["published_at"] is not None
    assert published.json()["bindings"] == {"first_name": "customer.attributes.first_name"}
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json() != other.json()
    shown = (await world.ask("GET", f"/executions/{other.json()['execution_id']}")).json()
    assert (shown["campaign_id"], shown["audience"]) == (campaign_id, {"kind": "tag", "tag_id": tag_id})
    found = await rows(db, "SELECT state, awaits_cast, lane, campaign_id FROM execution")
    assert found == [("queued", True, 2, UUID(campaign_id))] * 2


async def test_a_run_to_come_is_scheduled_and_a_dry_run_writes_nothing(world: World, db: Database):
    campaign_id, tag_id = await campaign(world), await tag(db, world)
    await world.ask("POST", f"/campaigns/{campaign_id}/publish")
    at = (datetime.now(UTC) + timedelta(hours=2)).isoformat()

    tried = await world.ask("POST", f"/campaigns/{campaign_id}/run?dry_run=true", json={"tag_id": tag_id})
    later = await world.ask("POST", f"/campaigns/{campaign_id}/run", json={"tag_id": tag_id, "start_at": at})

    assert (tried.status_code, tried.json()["audience_size"]) == (200, 0)
    assert later.status_code == 202
    assert await rows(db, "SELECT state FROM execution") == [("scheduled",)]


async def test_what_cannot_run_is_refused(world: World, other_world: World, db: Database):
    by_generator = await campaign(world, kind="api_triggered")
    unpublished = await campaign(world)
    published = await campaign(world)
    foreign = await tag(db, other_world)
    own = await tag(db, world)
    await world.ask("POST", f"/campaigns/{published}/publish")
    with_gap = await campaign(world, text="Hello {{ context.team }}")

    async def asked(campaign_id: str, **body: Any) -> int:
        return (await world.ask("POST", f"/campaigns/{campaign_id}/run", json=body)).status_code

    assert (await world.ask("POST", f"/campaigns/{by_generator}/publish")).status_code == 409
    assert (await world.ask("POST", f"/campaigns/{with_gap}/publish")).status_code == 400
    assert await asked(by_generator, tag_id=own) == 422
    assert await asked(unpublished, tag_id=own) == 422
    assert await asked(str(uuid4()), tag_id=own) == 404
    assert await asked(published, tag_id=foreign) == 400
    assert await asked(published, segment_id=str(uuid4())) == 400
    assert await asked(published) == await asked(published, tag_id=own, segment_id=own) == 400
    assert await asked(published, tag_id=own, start_at="2020-01-01T00:00:00Z") == 400
    no_topic = await world.ask(
        "PUT",
        f"/campaigns/{published}",
        json={
            "name": "x",
            "kind": "batch",
            "consent_basis": "topic",
            "routes": [{"channel": "sms", "template_id": own}],
        },
    )
    assert (no_topic.status_code, no_topic.json()["violations"][0]["pointer"]) == (400, "/consent_basis")
