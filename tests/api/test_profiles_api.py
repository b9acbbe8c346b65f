"""Single profiles on the wire: merged, erased by their own id or by ours, and coming to an address that somebody refused."""

from typing import Any

import pytest

from api_world import World
from stentor.audience.model import Act, Source
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind

pytestmark = pytest.mark.anyio


async def made(world: World, external_id: str, **person: str) -> str:
    said = {"external_id": external_id, "person": {"email_address": f"{external_id}@example.org", **person}}
    answer = await world.ask("POST", "/profiles", json=said)
    assert answer.status_code == 201, answer.text
    return answer.json()["uuid"]


async def test_deleting_a_profile_erases_it_by_either_id_and_once(world: World):
    by_ours, by_yours = await made(world, "crm-1"), await made(world, "crm-2")

    for name, kept in ((by_ours, "crm-1"), ("crm-2", by_yours)):
        erased = await world.ask("DELETE", f"/profiles/{name}")
        again = await world.ask("DELETE", f"/profiles/{name}")

        assert (erased.status_code, erased.json()["is_new"]) == (200, True), erased.text
        assert (again.json()["is_new"], again.json()["erasure"]["id"]) == (False, erased.json()["erasure"]["id"])
        for each in (name, kept):
            assert (await world.ask("GET", f"/profiles/{each}")).status_code == 404
    listed = (await world.ask("GET", "/erasures")).json()["data"]
    assert len(listed) == 2
    assert (await world.ask("DELETE", "/profiles/nobody")).status_code == 404


P = "+358401112222"
KNOWN = {"external_id": "known", "person": {"phone_number": P}}
DOORS = {
    "a batch of somebody new": (
        "POST",
        "/batches",
        {"profiles": [{"external_id": "new", "person": {"phone_number": P}}]},
    ),
    "a batch of somebody known": ("POST", "/batches", {"profiles": [KNOWN]}),
    "a new profile": ("POST", "/profiles", {"external_id": "new", "person": {"phone_number": P}}),
    "a changed profile": ("PATCH", "/profiles/known", {"person": {"phone_number": P}}),
    "a customer": ("POST", "/customers", {"external_id": "known", "phone": P}),
    "an import": ("PUT", "/imports/{}/content", "external_id,phone\nknown,0401112222\n"),
}


@pytest.mark.parametrize("door", DOORS)
async def test_whoever_comes_to_a_number_that_somebody_else_refused_refuses_it_too(world: World, door: str):
    sms, bystander = ChannelKind.SMS.bit, await made(world, "bystander", phone_number="+358409998888")
    await made(world, "refuser", phone_number=P)
    await made(world, "known", phone_number="+358403334444")
    service, page = world.services.subscriptions, Act(source=Source.PREFERENCE_PAGE)
    await service.refuse(world.brand.id, customer_id(world.brand.id, "refuser"), sms, page, cause="unsubscribe")
    await service.agree(world.brand.id, customer_id(world.brand.id, "known"), sms, page)

    method, path, said = DOORS[door]
    if isinstance(said, str):
        job = {"kind": "customers", "format": "csv", "source": "people", "region": "FI"}
        path = path.format((await world.ask("POST", "/imports", json=job)).json()["id"])
        answer = await world.ask(method, path, content=said, headers={"Content-Type": "text/csv"})
    else:
        answer = await world.ask(method, path, json=said)
    assert answer.is_success, answer.text

    people: list[dict[str, Any]] = (await world.ask("GET", "/customers")).json()["data"]
    refusing = {one["external_id"]: one["refused"] for one in people if one["phone"] == P}
    assert len(refusing) == 2
    assert all(channels == ["sms"] for channels in refusing.values())
    assert all("sms" not in one["agreed"] for one in people if one["phone"] == P)
    (comer,) = refusing.keys() - {"refuser"}
    ledger = (await world.ask("GET", f"/customers/{comer}/consents")).json()["data"]
    assert [one["channels"] for one in ledger if one["kind"] == "refused"] == [["sms"]]
    (other,) = [one for one in people if one["id"] == bystander]
    assert other["refused"] == []


@pytest.mark.parametrize("said", [[], {}, 7, "another"])
async def test_an_external_id_cannot_be_changed_whatever_it_is_said_to_be(world: World, said: object):
    await made(world, "crm-1")

    answer = await world.ask("PATCH", "/profiles/crm-1", json={"external_id": said})

    assert answer.status_code == 422, answer.text
    assert list(answer.json()["errors"]) == ["external_id"]


async def test_whoever_was_merged_answers_as_the_survivor_and_is_told_of_under_no_other_id(world: World):
    old, new = await made(world, "old", phone_number="+4915112345678"), await made(world, "new", first_name="Aino")

    merged = await world.ask("POST", f"/profiles/{new}/merge", json={"external_id": "old"})

    assert merged.status_code == 200, merged.text
    person = merged.json()["person"]
    assert (person["first_name"], person["email_address"], person["phone_number"]) == (
        "Aino",
        "new@example.org",
        "+4915112345678",
    )
    for path in ("/profiles/old", f"/profiles/{old}"):
        assert (await world.ask("GET", path)).json() == merged.json()
    assert (await world.ask("GET", "/customers/old")).json()["external_id"] == "new"
    again = {"profiles": [{"external_id": "old", "person": {"email_address": "old@example.org"}}]}
    refused = await world.ask("POST", "/batches", json=again)
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["profiles.0.external_id"])
    assert "merged into 'new'" in refused.json()["message"]
    exported = (await world.ask("GET", "/customers/old/export")).json()
    assert exported["person"]["merged_into"] == new
    assert (await world.ask("GET", "/customers/new/export")).json()["merged"][0]["external_id"] == "old"
    assert (await world.ask("GET", "/customers/old/consents")).status_code == 200
    unknown = await world.ask("POST", "/profiles/new/merge", json={"external_id": "nobody"})
    itself = await world.ask("POST", "/profiles/new/merge", json={"external_id": new})
    assert (unknown.status_code, itself.status_code) == (404, 400)
