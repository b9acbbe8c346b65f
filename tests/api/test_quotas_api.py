"""Of each thing a group has only so many, exactly, whoever makes one more at the same moment."""

import asyncio
from typing import Any

import pytest

from api_world import World
from stentor.accounts.service import KEYS_MAX
from stentor.audience.tags import TAGS_MAX
from stentor.audience.topics import TOPICS_MAX
from stentor.campaigns.generators import GENERATORS_MAX
from stentor.campaigns.service import CAMPAIGNS_MAX
from stentor.campaigns.templates import TEMPLATES_MAX
from stentor.channels.service import SENDERS_MAX
from stentor.db.pool import Database
from stentor.optouts.lists import LISTS_MAX

pytestmark = [pytest.mark.anyio, pytest.mark.fault("S20")]

# How a row of each is made, of which nothing but its being there matters: columns, values, and how many are there already.
ROWS: dict[str, tuple[str, str, str]] = {
    "/templates": (
        "template",
        "id, name, channel, version, created_at, updated_at",
        "gen_random_uuid(), n, 2, 1, now(), now()",
    ),
    "/campaigns": (
        "campaign",
        "id, name, consent_basis, mode, lane, routes, policy, created_at, updated_at",
        "gen_random_uuid(), n, 'topic', 'all', 'bulk', '[]', '{}', now(), now()",
    ),
    "/event-generators": (
        "event_generator",
        "id, name, type, campaign_id, created_at, updated_at",
        "n, n, 'api_triggered', %(campaign_id)s, now(), now()",
    ),
    "/topics": (
        "topic",
        "id, key, name, description, channels, enabled, created_at, updated_at",
        "gen_random_uuid(), n, n, '', 2, true, now(), now()",
    ),
    "/senders": (
        "sender",
        "id, name, channel, kind, enabled, created_at, updated_at",
        "gen_random_uuid(), n, 2, 'sandbox', true, now(), now()",
    ),
    "/optout-lists": ("optout_list", "id, name, created_at", "gen_random_uuid(), n, now()"),
    "/profile-tags": ("tag", "id, name, by_hand, created_at, updated_at", "gen_random_uuid(), n, true, now(), now()"),
    "/keys": (
        "api_key",
        "organisation_id, name, digest, hint, scopes, is_test, created_at",
        "%(organisation_id)s, n, sha256(n::bytea), '', '{}', false, now()",
    ),
}
AT_MOST = {
    "/templates": TEMPLATES_MAX,
    "/campaigns": CAMPAIGNS_MAX,
    "/event-generators": GENERATORS_MAX,
    "/topics": TOPICS_MAX,
    "/senders": SENDERS_MAX,
    "/optout-lists": LISTS_MAX,
    "/profile-tags": TAGS_MAX,
    "/keys": KEYS_MAX,
}


async def test_the_last_one_is_made_once_and_the_next_one_is_refused(world: World, db: Database):
    template = await world.ask("POST", "/templates", json=_draft("first"))
    routes = [{"channel": "sms", "template_id": template.json()["id"]}]
    campaign_id = (await world.ask("POST", "/campaigns", json={"name": "first", "routes": routes})).json()["id"]
    bodies: dict[str, Any] = {
        "/templates": _draft("last"),
        "/campaigns": {"name": "last", "routes": routes},
        "/event-generators": {"id": "last", "name": "last", "campaign_id": campaign_id},
        "/topics": {"key": "last", "name": "last", "channels": ["sms"]},
        "/senders": {"name": "last", "channel": "sms", "kind": "sandbox"},
        "/optout-lists": {"name": "last"},
        "/profile-tags": {"name": "last"},
        "/keys": {"name": "last"},
    }
    known = {"brand_id": world.brand.id, "organisation_id": world.brand.organisation_id, "campaign_id": campaign_id}
    for path, (table, columns, values) in ROWS.items():
        counted = {"optout_list": "NOT built_in", "tag": "by_hand", "api_key": "revoked_at IS NULL"}.get(table, "true")
        there = f"SELECT count(*) FROM {table} WHERE brand_id = %(brand_id)s AND {counted}"  # noqa: S608
        more = f"SELECT n::text FROM generate_series(2, %(at_most)s - ({there})) n"  # noqa: S608
        fill = f"INSERT INTO {table} (brand_id, {columns}) SELECT %(brand_id)s, {values} FROM ({more}) n"  # noqa: S608
        async with db.transaction() as conn:
            await conn.execute(fill.encode(), {**known, "at_most": AT_MOST[path]})
        body = bodies[path]
        others = [
            body | {name: f"{body[name]} {copy}" for name in {"name", "key", "id"} & body.keys()} for copy in (1, 2)
        ]
        answers = await asyncio.gather(*(world.ask("POST", path, json=other) for other in others))

        refused = [answer.json() for answer in answers if answer.status_code != 201]
        assert [answer["code"] for answer in refused] == ["quota-exceeded"], (path, refused)
        assert f"at most {AT_MOST[path]:,} " in refused[0]["detail"]


def _draft(name: str) -> dict[str, Any]:
    return {"name": name, "channel": "sms", "default_language": "en", "variants": {"en": {"text": "Hi"}}}
