"""Batches on the wire of the older groups API: what its documentation shows, what it leaves open, and hostile input."""

import asyncio
import json
import re
from typing import Any
from uuid import UUID

import pytest

from api_world import World
from stentor.audience.profiles import SYSTEM_FIELDS

pytestmark = pytest.mark.anyio

AINO = {
    "external_id": "crm-77",
    "person": {
        "first_name": "Aino",
        "last_name": "Laine",
        "phone_number": "+358401112222",
        "email_address": "aino@example.org",
    },
    "attributes": [{"name": "Tier", "value": "Gold"}],
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
# The documentation's own curl command, with the comma that JSON does not have.
DOCUMENTED = """{
  "profiles": [
    {
      "person": {
        "first_name": "Jane",
        "last_name": "Doe",
        "phone_number": "+35840123456",
        "email_address": "jane.doe@example.com"
      },
      "attributes": [
        {
          "name": "CustomerType",
          "value": "New"
        }
      ]
    },
  ]
}"""


def person(**more: Any) -> dict[str, Any]:
    return {"person": {"email_address": "somebody@example.org", **more}}


async def batch(world: World, *profiles: object, **more: Any) -> Any:
    return await world.ask("POST", "/batches", json={"profiles": list(profiles), **more})


async def customers(world: World) -> list[dict[str, Any]]:
    return (await world.ask("GET", "/customers")).json()["data"]


async def one(world: World) -> dict[str, str]:
    return (await batch(world, AINO)).json()["profiles"][0]


async def nothing_came_of_it(world: World) -> bool:
    lists = [(await world.ask("GET", path)).json()["data"] for path in ("/customers", "/batches", "/profile-tags")]
    return lists == [[], [], []]


async def test_the_documented_request_gets_the_documented_answer(world: World):
    answer = await world.ask("POST", "/batches", content=DOCUMENTED.replace("},\n  ]", "}\n  ]"))

    said = answer.json()
    assert answer.status_code == 201, answer.text
    assert list(said) == [
        "metadata",
        "profiles",
        "uuid",
        "updated_at",
        "created_at",
        "group",
        "campaign",
        "profile_tag",
        "schedule",
    ]
    assert said["metadata"] == []
    assert said["profiles"][0]["external_id"].startswith("EXT-")
    assert UUID(said["profiles"][0]["uuid"])
    assert TIME.fullmatch(said["created_at"])
    assert said["group"] == {"uuid": str(world.brand.id), "name": "Matchday"}
    assert (said["campaign"], said["schedule"]) == (None, None)
    assert re.fullmatch(r"Batch - \d{12} - [0-9a-f]{8}", said["profile_tag"]["name"])
    [jane] = await customers(world)
    assert jane["attributes"] == {"first_name": "Jane", "last_name": "Doe", "CustomerType": "New"}
    assert (jane["phone"], jane["email"]) == ("+35840123456", "jane.doe@example.com")


async def test_the_documents_own_comma_is_refused_with_its_place_and_what_to_do(world: World):
    refused = await world.ask("POST", "/batches", content=DOCUMENTED)

    assert refused.status_code == 400
    assert "line 17, column 3" in refused.json()["detail"]
    assert "remove the one before this bracket" in refused.json()["message"]
    assert await nothing_came_of_it(world)


async def test_profiles_come_back_in_the_order_of_the_request(world: World):
    names = [f"p-{number}" for number in range(50)]
    made = await batch(world, *({"external_id": name, **person(email_address=f"{name}@example.org")} for name in names))

    read = await world.ask("GET", f"/batches/{made.json()['uuid']}")

    assert [profile["external_id"] for profile in made.json()["profiles"]] == names
    assert read.json()["profiles"] == made.json()["profiles"]
    assert read.json()["profiles_count"] == 50


@pytest.mark.parametrize(
    ("profile", "key", "sentence"),
    [
        ({}, "profiles.0.person", "The profiles.0.person field is required."),
        (
            {"person": {"first_name": "Aino"}},
            "profiles.0.person.phone_number",
            "The profiles.0.person.phone_number field is required when profiles.0.person.email_address is not present.",
        ),
        (
            {"person": {"phone_number": "123"}},
            "profiles.0.person.phone_number",
            "The profiles.0.person.phone_number field must be a valid phone number.",
        ),
        (
            person(email_address="nobody"),
            "profiles.0.person.email_address",
            "The profiles.0.person.email_address field must be a valid email address.",
        ),
        (
            person(first_name=7),
            "profiles.0.person.first_name",
            "The profiles.0.person.first_name field must be a string.",
        ),
        (
            person(last_name="x" * 256),
            "profiles.0.person.last_name",
            "The profiles.0.person.last_name field must not be greater than 255 characters.",
        ),
        (
            {**person(), "attributes": [{"name": f"a{n}", "value": n} for n in range(10_000)]},
            "profiles.0.attributes",
            "The profiles.0.attributes field must not have more than 1000 items.",
        ),
        (
            {**person(), "attributes": [{"name": "email_address", "value": "x@example.org"}]},
            "profiles.0.attributes.0.name",
            "The profiles.0.attributes.0.name field must not be 'email_address', which is a field of its own.",
        ),
        (
            {**person(), "attributes": [{"name": "Tier", "value": 1}, {"name": "Tier", "value": 2}]},
            "profiles.0.attributes.1.name",
            "The profiles.0.attributes.1.name field has a duplicate value.",
        ),
        ({**person(), "external_id": ""}, "profiles.0.external_id", "The profiles.0.external_id field is invalid."),
        (
            {**person(), "external_id": "addr:x"},
            "profiles.0.external_id",
            "The profiles.0.external_id field is invalid.",
        ),
        (
            person(time_zone="Mars/Olympus"),
            "profiles.0.person.time_zone",
            "The profiles.0.person.time_zone field is invalid.",
        ),
        ("Aino", "profiles.0", "The profiles.0 field must be an object."),
    ],
)
async def test_a_profile_that_breaks_a_rule_refuses_the_batch(world: World, profile: Any, key: str, sentence: str):
    refused = await batch(world, profile, AINO)

    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"][key][0].startswith(sentence)
    assert refused.json()["violations"][0]["pointer"] == "/" + key.replace(".", "/")
    assert await nothing_came_of_it(world)


async def test_no_attribute_is_called_like_a_field_or_a_name_that_templates_share(world: World):
    names = sorted(SYSTEM_FIELDS)

    refused = await batch(world, {**person(), "attributes": [{"name": name, "value": "x"} for name in names]})

    keys = [f"profiles.0.attributes.{index}.name" for index in range(len(names))]
    assert (refused.status_code, sorted(refused.json()["errors"])) == (422, sorted(keys))
    assert {violation["code"] for violation in refused.json()["violations"]} == {"reserved-name"}
    assert await nothing_came_of_it(world)


async def test_all_mistakes_are_told_at_once(world: World):
    refused = await batch(world, person(phone_number="1"), {}, schedule={"start_at": "2026-02-30 10:00:00"})

    assert set(refused.json()["errors"]) == {
        "profiles.0.person.phone_number",
        "profiles.1.person",
        "schedule.start_at",
        "schedule.campaign.uuid",
    }
    assert refused.json()["message"].endswith("(and 3 more errors)")


async def test_a_batch_is_as_large_as_the_group_has_it(world: World):
    many = [person(email_address=f"p{number}@example.org") for number in range(51)]

    refused = await batch(world, *many)
    await world.services.accounts.update_brand_settings(world.brand.id, {"batch_profiles_max": 51})
    none = await batch(world)

    assert refused.status_code == 422
    assert refused.json()["errors"]["profiles"][0].startswith("The profiles field must not have more than 50 items.")
    assert none.json()["errors"] == {"profiles": ["The profiles field must have at least 1 items."]}


async def test_a_profile_may_come_once_in_a_batch(world: World):
    same_id = await batch(world, AINO, {**AINO, "person": {"email_address": "other@example.org"}})
    same_address = await batch(world, person(), person(first_name="Sam"))

    assert list(same_id.json()["errors"]) == ["profiles.1.external_id"]
    assert list(same_address.json()["errors"]) == ["profiles.1.person"]
    assert await nothing_came_of_it(world)


async def test_whoever_came_without_an_external_id_is_found_again_by_address(world: World):
    first = (await batch(world, person(first_name="Sam"))).json()["profiles"][0]
    again = (await batch(world, person(phone_number="+358401112222"))).json()["profiles"][0]
    by_phone = (await batch(world, {"person": {"phone_number": "+358 40 111 2222"}})).json()["profiles"][0]
    # Somebody else in the same house: the same number, another address.
    other = (await batch(world, person(email_address="kim@example.org", phone_number="+358401112222"))).json()
    many = (await batch(world, {"person": {"phone_number": "+358401112222"}})).json()["profiles"][0]

    assert first == again == by_phone
    assert other["profiles"][0] not in (first, many)
    sam = (await world.ask("GET", f"/profiles/{first['uuid']}")).json()
    assert (sam["person"]["first_name"], sam["person"]["phone_number"]) == ("Sam", "+358401112222")


async def test_the_same_people_at_once_are_made_once(world: World):
    answers = await asyncio.gather(*(batch(world, person(first_name=f"n{number}")) for number in range(8)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["profiles"][0]["uuid"] for answer in answers}) == 1


async def test_phone_numbers_are_read_as_the_groups_country_writes_them(world: World):
    await world.services.accounts.update_brand_settings(world.brand.id, {"default_country": "FI"})
    said = ["040 111 2222", "040-1112223", "(040) 1112224", "+358 40 111 2225", "00358401112226", "+49 30 901820"]

    made = await batch(world, *({"person": {"phone_number": number}} for number in said))

    assert made.status_code == 201, made.text
    assert {each["phone"] for each in await customers(world)} == {
        *(f"+35840111222{digit}" for digit in range(2, 7)),
        "+4930901820",
    }


async def test_names_are_whatever_people_are_called(world: World):
    names = {"first_name": "👩‍👩‍👧 Zoë", "last_name": "אבגד \u202eمرحبا"}

    made = await batch(world, {**person(**names), "attributes": [{"name": "عيد 🎂", "value": ["✓", {"x": None}]}]})
    read = (await world.ask("GET", f"/profiles/{made.json()['profiles'][0]['uuid']}")).json()

    assert read["person"]["first_name"] == names["first_name"]
    assert read["person"]["last_name"] == names["last_name"]
    assert read["attributes"] == [{"name": "عيد 🎂", "value": ["✓", {"x": None}]}]


@pytest.mark.parametrize(
    ("schedule", "key"),
    [
        ({"start_at": "2020-01-01 00:00:00"}, "schedule.start_at"),
        ({"start_at": "2026-13-01 00:00:00"}, "schedule.start_at"),
        ({"start_at": "tomorrow"}, "schedule.start_at"),
        ({"start_at": 17}, "schedule.start_at"),
        ({"start_at": "2999-01-01 00:00:00"}, "schedule.start_at"),
        ({"campaign": {"uuid": "00000000-0000-4000-8000-000000000000"}}, "schedule.campaign.uuid"),
        ({"campaign": {"uuid": "summer"}}, "schedule.campaign.uuid"),
        ({"campaign": "summer"}, "schedule.campaign.uuid"),
        ("soon", "schedule"),
    ],
)
async def test_a_schedule_that_cannot_be_kept_refuses_the_batch(world: World, schedule: Any, key: str):
    some = {"start_at": "2027-01-01 00:00:00", "campaign": {"uuid": "00000000-0000-4000-8000-000000000000"}}
    wanted = {**some, **schedule} if isinstance(schedule, dict) else schedule

    refused = await batch(world, AINO, schedule=wanted)

    assert refused.status_code == 422
    assert key in refused.json()["errors"]
    assert await nothing_came_of_it(world)


async def test_a_group_that_is_not_the_callers_is_not_there(world: World, other_world: World):
    path = f"/v1/groups/{other_world.brand.id}/batches"
    headers = {"Authorization": f"Bearer {world.token}"}
    foreign = await world.client.post(path, json={"profiles": [AINO]}, headers=headers)
    missing = await world.client.post(f"/v1/groups/{UUID(int=7)}/batches", json={}, headers=headers)
    malformed = await world.ask("POST", "/batches", token="293|nothing", json={"profiles": [AINO]})
    weak = await world.ask("POST", "/batches", token=await world.key("read"), json={"profiles": [AINO]})
    theirs = (await batch(other_world, AINO)).json()

    assert (foreign.status_code, foreign.content) == (missing.status_code, missing.content)
    for group in ("mine", "%ff", "00000000-0000-0000-0000-00000000000", f"{world.brand.id}x"):
        strange = await world.client.post(f"/v1/groups/{group}/batches", json={"profiles": [AINO]}, headers=headers)
        assert (strange.status_code, strange.content) == (missing.status_code, missing.content)
    assert (malformed.status_code, malformed.json()["message"]) == (401, "Unauthenticated.")
    assert (weak.status_code, weak.json()["message"]) == (403, "This action is unauthorized.")
    for path in (
        f"/batches/{theirs['uuid']}",
        f"/profile-tags/{theirs['profile_tag']['uuid']}",
        f"/profile-tags/{theirs['profile_tag']['uuid']}/profiles",
        f"/profiles/{theirs['profiles'][0]['uuid']}",
        f"/profiles?tag={theirs['profile_tag']['uuid']}",
    ):
        assert (await world.ask("GET", path)).status_code == 404


async def test_the_same_call_under_a_key_is_one_batch(world: World):
    headers = {"Idempotency-Key": "batch-1"}
    first = await world.ask("POST", "/batches", json={"profiles": [AINO]}, headers=headers)
    again = await world.ask("POST", "/batches", json={"profiles": [AINO]}, headers=headers)
    refused = await world.ask("POST", "/batches", json={"profiles": []}, headers={"Idempotency-Key": "batch-2"})

    assert first.content == again.content
    assert again.headers["idempotency-replayed"] == "true"
    assert refused.status_code == 422
    assert len((await world.ask("GET", "/batches")).json()["data"]) == 1


async def test_lists_are_read_by_cursors_and_by_page_numbers(world: World):
    for number in range(5):
        await batch(world, person(email_address=f"p{number}@example.org"))

    for path in ("/batches", "/profiles", "/profile-tags"):
        first = (await world.ask("GET", f"{path}?per_page=2")).json()
        second = (await world.ask("GET", f"{path}?page=2&per_page=2")).json()
        by_cursor = (await world.ask("GET", f"{path}?limit=2&cursor={first['next_cursor']}")).json()
        last = (await world.ask("GET", f"{path}?page=3&per_page=2")).json()

        assert first["meta"] == {
            "current_page": 1,
            "from": 1,
            "last_page": 3,
            "path": f"http://testserver.local/v1/groups/{world.brand.id}{path}",
            "per_page": 2,
            "to": 2,
            "total": 5,
        }
        assert set(first["links"]) == {"first", "last", "prev", "next"}
        assert second["data"] == by_cursor["data"]
        assert by_cursor["meta"]["current_page"] == 2
        assert (last["next_cursor"], last["links"]["next"], len(last["data"])) == (None, None, 1)
        followed = await world.client.get(first["links"]["next"], headers={"Authorization": f"Bearer {world.token}"})
        assert followed.json()["data"] == second["data"]
    too_far = await world.ask("GET", "/batches?page=5000&per_page=2")
    assert too_far.status_code == 400


async def test_a_batch_is_json_whatever_else_it_is(world: World):
    broken = ["", "[1", "'x'", '{"profiles": [{"person": {"email_address": "\\u0000"}}]}', "[" * 100]
    for body in broken:
        assert (await world.ask("POST", "/batches", content=body)).status_code == 400
    for body in ("[]", "7", '"x"', '{"profiles": {}}', "{}"):
        refused = await world.ask("POST", "/batches", content=body)
        assert refused.status_code == 422, refused.text
    for body, sentence in (("null", "The body must be an object."), ('"\\u0000"', "The body has a NUL character.")):
        for method, path in (("POST", "/profiles"), ("PATCH", f"/profiles/{(await one(world))['uuid']}")):
            refused = await world.ask(method, path, content=body)
            assert (refused.status_code // 100, refused.json()["message"][: len(sentence)]) == (4, sentence)
    large = json.dumps({"profiles": [{**person(), "attributes": [{"name": "x", "value": "y" * 66_000}]}]})
    assert (await world.ask("POST", "/batches", content=large)).status_code == 422
