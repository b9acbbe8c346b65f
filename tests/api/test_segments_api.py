"""Segments as their backend uses them: made, counted, asked who is in them, and refused with a pointer."""

import asyncio
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from api_world import World, subscribe
from stentor.audience.segments.expressions import AnyOf, Attribute, On
from stentor.audience.segments.service import SEGMENTS_MAX, SegmentService
from stentor.campaigns.known import known_campaigns

pytestmark = pytest.mark.anyio

GOLD = {"type": "attribute", "name": "tier", "test": {"op": "is", "value": "gold"}}


async def people(world: World) -> None:
    told = [
        {
            "external_id": "ann",
            "email": "ann@example.org",
            "locale": "de-AT",
            "attributes": {"tier": "gold", "age": 40},
        },
        {"external_id": "bob", "email": "not an address", "attributes": {"tier": "gold", "age": "forty"}},
        {"external_id": "cem", "phone": "+4915112345678", "attributes": {"tier": "silver", "age": 40}},
    ]
    assert (await world.ask("PATCH", "/customers", json={"customers": told})).status_code == 200


async def made(world: World, expression: dict[str, Any] = GOLD, name: str = "Gold") -> dict[str, Any]:
    answer = await world.ask("POST", "/segments", json={"name": name, "expression": expression})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_segment_is_made_counted_read_changed_and_deleted(world: World):
    await people(world)
    segment = await made(world)
    path = f"/segments/{segment['id']}"

    counted = (await world.ask("GET", f"{path}/count")).json()
    members = (await world.ask("GET", f"{path}/members?limit=1")).json()
    rest = (await world.ask("GET", f"{path}/members?limit=1&cursor={members['next_cursor']}")).json()
    renamed = (await world.ask("PATCH", path, json={"name": "Gold indeed", "expression": GOLD})).json()
    changed = (await world.ask("PATCH", path, json={"expression": {"type": "none_of", "conditions": [GOLD]}})).json()
    listed = (await world.ask("GET", "/segments")).json()["data"]
    uses = (await world.ask("GET", f"{path}/uses")).json()
    gone = await world.ask("DELETE", path)

    assert (counted["people"], counted["estimate"], counted["sampled_share"]) == (2, None, 1.0)
    assert (counted["reachable"]["email"], counted["reachable"]["sms"]) == (1, 0)
    assert {one["external_id"] for one in [*members["data"], *rest["data"]]} == {"ann", "bob"}
    assert rest["next_cursor"] is None
    assert (renamed["version"], changed["version"]) == (1, 2)
    assert listed == [changed]
    assert uses == {"data": []}
    assert gone.status_code == 204
    assert (await world.ask("GET", path)).status_code == 404


async def test_an_expression_is_counted_without_being_kept(world: World):
    await people(world)
    await subscribe(world, "news", "ann")
    topic = (await world.ask("GET", "/topics/news")).json()["id"]
    expression = {
        "type": "any_of",
        "conditions": [
            {"type": "all_of", "conditions": [GOLD, {"type": "subscription", "topic_id": topic, "channel": "email"}]},
            {"type": "country", "values": ["de"]},
        ],
    }

    counted = await world.ask("POST", "/segments:count", json={"expression": expression})

    assert counted.status_code == 200, counted.text
    assert counted.json()["people"] == 2
    assert (await world.ask("GET", "/segments")).json()["data"] == []


@pytest.mark.parametrize(
    ("expression", "pointer", "says"),
    [
        ({"type": "atribute"}, "/type", "none of all_of, any_of"),
        ({**GOLD, "test": {"op": "equals", "value": 1}}, "/test/op", "is_not"),
        ({**GOLD, "test": {"op": "is", "value": ["gold"]}}, "/test/value", "not a list"),
        ({**GOLD, "nme": 1}, "/nme", "not a field"),
        ({**GOLD, "test": {"op": "between", "low": 5, "high": 1}}, "/test/high", "swap"),
        ({**GOLD, "test": {"op": "before", "value": "yesterday"}}, "/test/value", "2026-01-31"),
        ({**GOLD, "test": {"op": "within_last", "period": {}}}, "/test/period", "days"),
        ({**GOLD, "test": {"op": "anniversary", "time_zone": "Mars/Olympus"}}, "/test/time_zone", "Europe/Berlin"),
        ({"type": "all_of", "conditions": []}, "/conditions", "length >= 1"),
        ({"type": "country", "values": ["XX"]}, "/values/0", "ISO 3166"),
        ({"type": "locale", "values": ["german!"]}, "/values/0", "BCP 47"),
        ({"type": "tag", "tag_id": str(uuid4())}, "/tag_id", "has no tag"),
        ({"type": "any_of", "conditions": [GOLD, {"type": "subscription", "topic_id": str(uuid4())}]}, "/conditions/1/topic_id", "has no topic"),
        ({"type": "send", "what": "opened", "campaign_id": str(uuid4())}, "/campaign_id", "has no campaign"),
        ({"type": "event", "name": "order", "at_least": 3, "at_most": 2}, "/at_most", "swap"),
        ({"type": "any_of", "conditions": [GOLD] * 100}, "", "at most 100"),
        ({"type": "attribute", "name": "x", "test": {"op": "matches", "value": "(a+)+$"}}, "/test/op", "starts_with"),
    ],
)  # fmt: skip
@pytest.mark.fault("S19")
async def test_what_breaks_a_rule_is_refused_where_it_stands(
    world: World, expression: dict[str, Any], pointer: str, says: str
):
    for path, body in (
        ("/segments", {"name": "x", "expression": expression}),
        ("/segments:count", {"expression": expression}),
    ):
        answer = await world.ask("POST", path, json=body)

        assert answer.status_code == 400, answer.text
        assert [one["pointer"] for one in answer.json()["violations"]] == [f"/expression{pointer}"]
        assert says in answer.json()["detail"]


@pytest.mark.fault("S19")
async def test_groups_in_groups_without_end_are_refused_at_once(world: World):
    expression: dict[str, Any] = GOLD
    for kind in ["all_of", "any_of", "none_of"] * 3:
        expression = {"type": kind, "conditions": [expression]}
    deep: dict[str, Any] = {"type": "nonsense"}
    for _ in range(30):
        deep = {"type": "all_of", "conditions": [deep]}

    refused = await world.ask("POST", "/segments:count", json={"expression": expression})
    lost = await world.ask("POST", "/segments:count", json={"expression": deep})

    assert refused.json()["violations"][0]["code"] == "too-deep"
    assert lost.status_code == 400
    assert lost.json()["violations"][0]["pointer"].endswith("/type")


@pytest.mark.fault("S20")
async def test_a_brand_has_so_many_segments_and_no_more(world: World):
    async with world.services.database.autocommit() as conn:
        await conn.execute(
            "INSERT INTO segment (id, brand_id, name, expression, created_at, updated_at)"
            " SELECT gen_random_uuid(), %s, 's' || n, '{}', now(), now() FROM generate_series(3, %s) AS n",
            [world.brand.id, SEGMENTS_MAX],
        )
    answers = await asyncio.gather(
        *(world.ask("POST", "/segments", json={"name": f"new {n}", "expression": GOLD}) for n in range(5))
    )

    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert refused["code"] == "quota-exceeded"
    assert "Delete those" in refused["detail"]


async def test_a_name_belongs_to_one_segment(world: World):
    first, second = await made(world), await made(world, name="Silver")

    taken = await world.ask("POST", "/segments", json={"name": "Gold", "expression": GOLD})
    renamed = await world.ask("PATCH", f"/segments/{second['id']}", json={"name": "Gold"})
    same = await world.ask("PATCH", f"/segments/{first['id']}", json={"name": "Gold"})

    assert (taken.status_code, renamed.status_code, same.status_code) == (409, 409, 200)


async def test_fields_say_what_the_groups_people_have(world: World):
    await people(world)

    fields = (await world.ask("GET", "/segments/fields")).json()

    age, tier = sorted(fields["attributes"], key=lambda one: one["name"])
    assert fields["sampled"] == 3
    assert age["types"] == {"number": pytest.approx(2 / 3), "string": pytest.approx(1 / 3)}
    assert {"between", "exists"} <= set(age["tests"])
    assert tier["values"] == ["gold"]
    assert {one["name"] for one in fields["groups"]} == {"all_of", "any_of", "none_of"}
    event = next(one for one in fields["conditions"] if one["name"] == "event")
    assert event["required"] == ["name"]
    assert event["parameters"]["at_least"]["anyOf"][0]["maximum"] == 1000
    assert all(one["about"] for one in [*fields["conditions"], *fields["tests"]])


async def test_a_count_that_takes_too_long_is_an_estimate_and_says_so(world: World):
    database = world.services.database
    async with database.autocommit() as conn:
        await conn.execute(
            "INSERT INTO customer (part, customer_id, brand_id, external_id, created_at, updated_at, attributes)"
            " SELECT n %% 4096, md5(n::text)::uuid, %s, 'p' || n, now(), now(), jsonb_build_object('born', '1990-01-31')"
            " FROM generate_series(1, 16384) AS n",
            [world.brand.id],
        )
    born = AnyOf(conditions=tuple(Attribute(name="born", test=On(value=f"{year}-01-31")) for year in range(1983, 1991)))
    patient = SegmentService(database, known_campaigns)
    hasty = SegmentService(database, known_campaigns, count_s=0.02)

    whole, estimated = await patient.count(world.brand.id, born), await hasty.count(world.brand.id, born)
    async with await psycopg.AsyncConnection.connect(database.dsn) as other:
        # Whoever has the table alone makes readers of it wait, as people without end would.
        await other.execute("LOCK TABLE customer IN ACCESS EXCLUSIVE MODE")
        none = await SegmentService(database, known_campaigns, count_s=0.1, sample_s=0.1).count(world.brand.id, born)

    assert (whole.people, whole.estimate, whole.sampled_share) == (16384, None, 1.0)
    assert (estimated.people, estimated.estimate, estimated.sampled_share) == (None, 16384, 64 / 4096)
    assert (none.people, none.estimate, none.sampled_share, none.reachable) == (None, None, 0.0, {})


async def test_another_groups_segment_is_not_there(world: World, other_world: World):
    segment = await made(other_world)

    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "mine"}),
        ("DELETE", "", None),
        ("GET", "/count", None),
        ("GET", "/members", None),
        ("GET", "/uses", None),
    ):
        answer = await world.ask(method, f"/segments/{segment['id']}{path}", json=body)
        assert answer.status_code == 404, path
