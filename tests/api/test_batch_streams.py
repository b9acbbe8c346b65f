"""Batches as streams: a profile on each line, whatever their number, and what is said of people's consent."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from api_world import World
from stentor.audience.model import Act, Source
from stentor.triggers.batches.streaming import StreamCall
from stentor.wiring.core import Core

pytestmark = pytest.mark.anyio

NDJSON = {"Content-Type": "application/x-ndjson"}


def line(number: int, **more: Any) -> bytes:
    person = {"first_name": f"N{number}", "email_address": f"p{number}@example.org"}
    profile = {"external_id": f"p-{number}", "person": person, "attributes": [{"name": "Tier", "value": "Gold"}]}
    return json.dumps({**profile, **more}).encode() + b"\n"


async def stream(world: World, content: bytes, query: str = "source=a", **headers: str) -> Any:
    return await world.ask("POST", f"/batches:bulk?{query}", content=content, headers={**NDJSON, **headers})


async def begun(world: World, source: str, content: bytes) -> None:
    """A stream that breaks off behind these lines."""

    async def broken() -> Any:
        yield content
        raise ConnectionError

    headers = {**NDJSON, "Authorization": f"Bearer {world.token}"}
    path = f"/v1/groups/{world.brand.id}/batches:bulk?source={source}"
    await world.client.post(path, content=broken(), headers=headers)


async def batch(world: World, *profiles: object) -> dict[str, Any]:
    made = await world.ask("POST", "/batches", json={"profiles": list(profiles)})
    assert made.status_code == 201, made.text
    return made.json()


async def profile(world: World, name: str) -> dict[str, Any]:
    return (await world.ask("GET", f"/profiles/{name}")).json()


async def ledger(world: World, name: str) -> list[dict[str, Any]]:
    return (await world.ask("GET", f"/customers/{name}/consents")).json()["data"]


async def test_a_stream_conserves_its_lines_and_tells_of_those_it_left_out(world: World):
    bad = [
        b"{\n",
        b'{"person":{}}\n',
        line(9, person={"phone_number": "1"}),
        line(3, person={"email_address": "p3@example.org"}),
    ]
    unnamed = json.dumps({"person": {"email_address": "p4@example.org", "phone_number": "+358401112222"}}).encode()

    made = await stream(world, b"".join(map(line, range(5))) + b"".join(bad) + b"\n" + unnamed, "source=a&name=Crowd")

    assert made.status_code == 201, made.text
    job, whole = made.json()["import"], made.json()["batch"]
    assert (job["state"], job["added"], job["changed"], job["unchanged"], job["rejected"]) == ("succeeded", 5, 0, 2, 3)
    assert (whole["profiles_count"], whole["profiles"]) == (7, [])
    assert whole["profile_tag"]["name"].startswith("Crowd - ")
    rejects = (await world.ask("GET", f"/imports/{whole['uuid']}/rejects")).json()["data"]
    assert [reject["line"] for reject in rejects] == [6, 7, 8]
    assert rejects[1]["reason"].startswith("The person.phone_number field is required when person.email_address")
    tagged = await world.ask("GET", f"/profile-tags/{whole['profile_tag']['uuid']}/profiles")
    assert tagged.json()["meta"]["total"] == 5
    assert (await profile(world, "p-4"))["person"]["phone_number"] == "+358401112222"


async def test_a_stream_that_broke_off_goes_on_in_the_same_batch(world: World):
    content = b"".join(line(number) for number in range(12_000))
    query = {"Upload-Offset": "0"}

    await begun(world, "a", content[: len(content) * 3 // 4])
    [broken] = (await world.ask("GET", "/batches")).json()["data"]
    again = await stream(world, content, **query)

    assert again.json()["batch"]["uuid"] == broken["uuid"]
    assert again.json()["import"]["lines_done"] == 12_000
    assert again.json()["batch"]["profiles_count"] == 12_000
    assert len((await world.ask("GET", "/batches")).json()["data"]) == 1


async def test_a_source_is_one_stream(world: World):
    tested = await world.services.accounts.create_key(
        "t", brand_id=world.brand.id, scopes=("run", "write"), is_test=True
    )
    content = b"".join(map(line, range(3)))
    first = await stream(world, content, "source=a&name=Monday")

    again = await stream(world, content, "source=a&name=Monday")
    rest = await stream(world, line(2), "source=a&name=Monday", **{"Upload-Offset": str(len(line(0) + line(1)))})
    others = [
        await stream(world, content, "source=a&name=Tuesday"),
        await stream(world, line(1), "source=a&name=Monday"),
        await stream(world, content + line(4), "source=a&name=Monday"),
        await stream(world, content, "source=a&name=Monday", Authorization=f"Bearer {tested.token}"),
    ]
    batches = (await world.ask("GET", "/batches")).json()["data"]

    assert first.status_code == 201, first.text
    assert again.json() == first.json() == rest.json()
    assert [other.status_code for other in others] == [409] * 4
    assert ["name differs" in others[0].text, "key differs" in others[3].text] == [True, True]
    assert all("choose another source" in other.json()["detail"].lower() for other in others)
    assert [each["uuid"] for each in batches] == [first.json()["batch"]["uuid"]]
    assert (await world.ask("GET", "/profiles/p-4")).status_code == 404


async def test_a_shorter_stream_does_not_end_one_that_broke_off(world: World):
    await begun(world, "a", b"".join(map(line, range(6_000))))

    other = await stream(world, line(1))
    [batch_now] = (await world.ask("GET", "/batches")).json()["data"]
    job = (await world.ask("GET", f"/imports/{batch_now['uuid']}")).json()

    assert (other.status_code, job["state"]) == (409, "running"), other.text


async def test_a_source_that_came_in_long_ago_makes_a_new_batch(world: World, installation: Core):
    first = await stream(world, line(1))
    installation.db.shift = timedelta(days=7, minutes=1)

    second = await stream(world, line(1))

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["batch"]["uuid"] != second.json()["batch"]["uuid"]


async def test_two_that_begin_one_source_at_once_begin_one_batch(world: World):
    call = StreamCall(
        brand_id=world.brand.id, source="a", name=None, start_at=None, campaign_id=None, region=None, made_by="key 1"
    )

    begun = await asyncio.gather(*(world.services.streams.begin(call) for _ in range(4)))

    assert len({one.batch_id for one in begun}) == 1


async def test_a_stream_that_cannot_be_kept_is_refused_before_a_line_is_read(world: World):
    for query, key in (
        ("source=a&start_at=soon&campaign=x", "start_at"),
        ("source=a&start_at=2027-01-01%2000:00:00", "campaign"),
        ("source=a&campaign=00000000-0000-4000-8000-000000000000", "start_at"),
        ("source=a%0Ab", "source"),
    ):
        refused = await stream(world, line(1), query)
        assert (refused.status_code, key in refused.json()["errors"]) == (422, True), refused.text
    assert (await stream(world, line(1), "name=x")).status_code == 400
    assert (await world.ask("GET", "/customers")).json()["data"] == []


async def test_new_people_are_said_to_have_agreed_and_nobody_else(world: World):
    await world.ask("POST", "/customers", json={"external_id": "known", "email": "known@example.org"})
    known = {"external_id": "known", "person": {"email_address": "known@example.org", "phone_number": "+358401112222"}}
    new = {"external_id": "new", "person": {"email_address": "new@example.org", "phone_number": "+358401112223"}}

    made = await batch(world, known, new)
    streamed = await stream(world, line(1))

    assert ((await profile(world, "known"))["agreed"], await ledger(world, "known")) == ([], [])
    assert (await profile(world, "new"))["agreed"] == ["email", "sms", "voice", "whatsapp"]
    [said] = await ledger(world, "new")
    assert (said["kind"], said["source"], said["actor"]) == ("agreed", "batch", made["uuid"])
    assert set(said["channels"]) == {"email", "sms", "voice", "whatsapp"}
    [said] = await ledger(world, "p-1")
    assert (said["source"], said["actor"]) == ("batch", streamed.json()["batch"]["uuid"])


@pytest.mark.parametrize("way", ["call", "stream"])
async def test_no_batch_lifts_a_refusal_not_even_under_another_name(world: World, way: str):
    made = await world.ask("POST", "/customers", json={"external_id": "left", "email": "left@example.org"})
    act = Act(source=Source.PREFERENCE_PAGE)
    await world.services.subscriptions.withdraw_all(world.brand.id, UUID(made.json()["id"]), act)
    for name, phone in (("left", None), ("alias", "+358401112222")):
        person = {"email_address": "left@example.org", "phone_number": phone}
        if way == "call":
            await batch(world, {"external_id": name, "person": person})
        else:
            await stream(world, json.dumps({"external_id": name, "person": person}).encode(), f"source={name}")

    assert "email" in (await profile(world, "left"))["refused"]
    assert (await profile(world, "left"))["agreed"] == []
    alias = await profile(world, "alias")
    assert (alias["agreed"], alias["refused"]) == (["sms", "voice", "whatsapp"], ["email"])
    assert {(event["kind"], *event["channels"]) for event in await ledger(world, "alias")} == {
        ("agreed", "sms", "voice", "whatsapp"),
        ("refused", "email"),
    }


async def test_a_tag_goes_with_its_people_kept(world: World):
    made = await batch(world, {"external_id": "a", "person": {"email_address": "a@example.org"}})
    tag = f"/profile-tags/{made['profile_tag']['uuid']}"
    await world.ask("POST", "/customers", json={"external_id": "b"})
    given = [await world.ask(method, f"{tag}/profiles/b") for method in ("PUT", "PUT", "DELETE", "DELETE", "PUT")]

    gone = await world.ask("DELETE", tag)
    batch_now = (await world.ask("GET", f"/batches/{made['uuid']}")).json()

    assert [answer.status_code for answer in given] == [204, 204, 204, 404, 204]
    assert (gone.status_code, (await world.ask("GET", tag)).status_code) == (204, 404)
    assert (batch_now["profile_tag"], batch_now["profiles"], batch_now["profiles_count"]) == (None, [], 1)
    assert (await world.ask("GET", "/profiles/a")).status_code == 200


async def test_profiles_are_made_changed_and_found(world: World):
    aino = {
        "external_id": "crm/77",
        "person": {"first_name": "Aino", "last_name": "Laine", "phone_number": "+358401112222"},
        "attributes": [{"name": "Tier", "value": "Gold"}],
    }
    made = await world.ask("POST", "/profiles", json=aino)
    taken = await world.ask("POST", "/profiles", json=aino)
    bare = await world.ask("POST", "/profiles", json={"person": {"email_address": "kim@example.org"}})
    changes = {
        "person": {"email_address": "aino@example.org", "phone_number": None},
        "attributes": [{"name": "Tier", "value": None}],
    }
    changed = await world.ask("PATCH", "/profiles/crm%2F77", json=changes)
    renamed = await world.ask("PATCH", "/profiles/crm%2F77", json={"external_id": "crm-78"})
    wrong = await world.ask("PATCH", "/profiles/crm%2F77", json={"person": {"email_address": "aino"}})

    assert (made.status_code, taken.status_code, bare.status_code) == (201, 422, 201)
    assert taken.json()["errors"]["external_id"][0].startswith("The external_id has already been taken.")
    assert made.json()["agreed"] == []
    person = changed.json()["person"]
    assert (person["first_name"], person["email_address"], person["phone_number"]) == ("Aino", "aino@example.org", None)
    assert changed.json()["attributes"] == []
    assert list(renamed.json()["errors"]) == ["external_id"]
    assert list(wrong.json()["errors"]) == ["person.email_address"]
    searches = {
        "email_address=aino@example.org": 1,
        "email_address=AINO@EXAMPLE.org": 1,
        "phone_number=%2B358401112222": 0,
        "name=lAIn": 1,
        "name=%25": 0,
        "external_id=crm/77": 1,
        "external_id=none": 0,
        "email_address=nonsense": 0,
        "": 2,
    }
    for search, count in searches.items():
        found = (await world.ask("GET", f"/profiles?{search}")).json()
        assert (search, len(found["data"]), found["meta"]["total"]) == (search, count, count)
    assert (await world.ask("GET", "/profiles?name=x&external_id=y")).status_code == 400
    assert (await world.ask("GET", f"/profiles/{made.json()['uuid']}")).json()["external_id"] == "crm/77"
