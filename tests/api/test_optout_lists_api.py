"""Opt-out lists and their entries, as a backend uses them."""

import hashlib
from uuid import uuid4

import pytest

from api_world import World, mail_generator

pytestmark = pytest.mark.anyio

ANN = "ann@example.org"


async def made(world: World, name: str = "Partners", **more: object) -> str:
    """The code of a new list."""
    answer = await world.ask("POST", "/optout-lists", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["code"]


async def listed(world: World, code: str, *addresses: str) -> list[object]:
    """For each address the form by which the list has it."""
    answer = await world.ask("POST", f"/optout-lists/{code}/entries:check", json={"addresses": list(addresses)})
    assert answer.status_code == 200, answer.text
    return [one["invalid"] or one["form"] for one in answer.json()["data"]]


async def test_a_list_is_made_found_changed_and_deleted(world: World):
    code = await made(world, channels=["email"], expiry_days=30)
    found = (await world.ask("GET", f"/optout-lists/{code}")).json()
    changed = await world.ask("PATCH", f"/optout-lists/{found['id']}", json={"enabled": False, "expiry_days": None})
    names = [one["name"] for one in (await world.ask("GET", "/optout-lists")).json()["data"]]
    taken = await world.ask("POST", "/optout-lists", json={"name": "Partners"})
    gone = await world.ask("DELETE", "/optout-lists/Partners")

    assert (found["kind"], found["hash"], found["channels"], found["expiry_days"]) == ("plain", "md5", ["email"], 30)
    assert (changed.json()["enabled"], changed.json()["expiry_days"], changed.json()["name"]) == (
        False,
        None,
        "Partners",
    )
    assert names == ["built-in", "Partners"]
    assert (taken.status_code, gone.status_code) == (409, 204)
    assert (await world.ask("GET", f"/optout-lists/{code}")).status_code == 404


async def test_the_built_in_list_is_shown_and_stays(world: World):
    (built_in,) = (await world.ask("GET", "/optout-lists")).json()["data"]
    path = f"/optout-lists/{built_in['code']}"

    assert (built_in["kind"], built_in["built_in"], built_in["enabled"]) == ("plain", True, True)
    assert (await world.ask("DELETE", path)).status_code == 409
    assert (await world.ask("PATCH", path, json={"enabled": False})).status_code == 409


async def test_a_list_is_for_campaigns_and_topics_that_the_group_has(world: World, other_world: World):
    await mail_generator(world, "news")
    await mail_generator(other_world, "news")
    own = (await world.ask("GET", "/campaigns")).json()["data"][0]["id"]
    foreign = (await other_world.ask("GET", "/campaigns")).json()["data"][0]["id"]
    topic = (await world.ask("POST", "/topics", json={"key": "t", "name": "T", "channels": ["email"]})).json()["id"]

    await made(world, "A", scope="campaigns", scope_ids=[own])
    await made(world, "B", scope="topics", scope_ids=[topic])
    for scope, wrong in (("campaigns", foreign), ("campaigns", topic), ("topics", own)):
        refused = await world.ask("POST", "/optout-lists", json={"name": "C", "scope": scope, "scope_ids": [wrong]})
        assert refused.json()["violations"][0]["pointer"] == "/scope_ids/0"


async def test_entries_are_added_checked_found_and_taken_off(world: World):
    code = await made(world)
    body = {"entries": [ANN, "+14155550123", "@example.net"], "source": "a letter"}
    added = (await world.ask("POST", f"/optout-lists/{code}/entries", json=body)).json()
    checks = await listed(
        world, code, "ANN@example.org", "4155550123", "14155550123", "x@example.net", "b@example.org", "?", md5(ANN)
    )
    page = (await world.ask("GET", f"/optout-lists/{code}/entries?prefix=%2B1")).json()
    removal = {"address": ANN, "reason": "A mistake."}
    removed = await world.ask("POST", f"/optout-lists/{code}/entries:remove", json=removal)
    again = await world.ask("POST", f"/optout-lists/{code}/entries:remove", json=removal)
    found = (await world.ask("POST", f"/optout-lists/{code}/entries:find", json={"address": ANN})).json()

    assert added == {"added": 3, "listed": 0}
    assert checks[0] == checks[2] == checks[6] == "address"
    assert (checks[3], checks[4]) == ("domain", None)
    assert str(checks[5]).startswith("This")
    assert [(one["address"], one["channel"], one["cause"], one["source"]) for one in page["data"]] == [
        ("+14155550123", "sms", "api", "a letter")
    ]
    assert (removed.json(), again.status_code) == ({"removed": 1}, 404)
    assert (found["listed"], found["found"]) == (False, [])
    assert [(one["reason"], one["actor"].partition(" ")[0]) for one in found["history"]] == [("A mistake.", "key")]


async def test_entries_are_listed_page_by_page(world: World):
    code = await made(world, kind="sha256")
    await world.ask("POST", f"/optout-lists/{code}/entries", json={"entries": [f"p{n}@example.org" for n in range(5)]})

    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await world.ask("GET", f"/optout-lists/{code}/entries?limit=2{cursor and '&cursor=' + cursor}")).json()
        seen += [entry["hash"] for entry in page["data"]]
        assert {entry["address"] for entry in page["data"]} == {None}
        cursor = page["next_cursor"]

    assert set(seen) == {hashlib.sha256(f"p{n}@example.org".encode()).hexdigest() for n in range(5)}


async def test_ten_thousand_addresses_are_checked_at_once(world: World):
    code = await made(world)
    await world.ask("POST", f"/optout-lists/{code}/entries", json={"entries": ["p77@example.org"]})

    forms = await listed(world, code, *[f"p{n}@example.org" for n in range(10_000)])
    refused = await world.ask(
        "POST", f"/optout-lists/{code}/entries:check", json={"addresses": ["a@example.org"] * 10_001}
    )

    assert [place for place, form in enumerate(forms) if form] == [77]
    assert (refused.status_code, refused.json()["violations"][0]["pointer"]) == (400, "/addresses")


async def test_a_check_finds_every_form(world: World):
    code = await made(world, hash="sha1")
    await world.ask(
        "POST",
        f"/optout-lists/{code}/entries",
        json={
            "entries": [
                "ann@xn--exmple-cua.com",
                "@xn--bcher-kva.example",
                hashlib.sha1(b"h@example.org", usedforsecurity=False).hexdigest(),
            ]
        },
    )
    await world.ask("PATCH", f"/optout-lists/{code}", json={"enabled": True})

    assert await listed(
        world, code, "ann@ex\u00e4mple.com", "x@b\u00fccher.example", "H@Example.org", "ann@exemple.com"
    ) == ["address", "domain", "address", None]
    await world.ask("PATCH", f"/optout-lists/{code}", json={"enabled": False})
    assert await listed(world, code, "h@example.org") == [None]


async def test_another_groups_list_is_read_by_its_grant(world: World, other_world: World):
    theirs = await made(other_world, "Theirs")
    await other_world.ask("POST", f"/optout-lists/{theirs}/entries", json={"entries": [ANN]})
    path = f"/optout-lists/{theirs}/grants/{world.brand.id}"

    early = await world.ask("POST", "/optout-lists", json={"name": "L", "kind": "linked", "linked": theirs})
    granted = await other_world.ask("PUT", path)
    shown = (await world.ask("GET", "/granted-optout-lists")).json()["data"]
    link = await made(world, "L", kind="linked", linked=theirs)
    group = await made(world, "G", kind="grouped", members=["L", "built-in"])
    held = [await listed(world, code, ANN) for code in (link, group)]
    grants = (await other_world.ask("GET", f"/optout-lists/{theirs}/grants")).json()["data"]
    revoked = await other_world.ask("DELETE", path)

    assert (early.status_code, granted.status_code, revoked.status_code) == (400, 204, 204)
    assert [(one["code"], one["group_id"]) for one in shown] == [(theirs, str(other_world.brand.id))]
    assert [one["grantee_id"] for one in grants] == [str(world.brand.id)]
    assert held == [["address"], ["address"]]
    assert await listed(world, link, ANN) == [None]
    assert (await world.ask("GET", f"/optout-lists/{link}")).json()["link_open"] is False
    assert (await world.ask("GET", f"/optout-lists/{theirs}")).status_code == 404
    assert (await world.ask("POST", f"/optout-lists/{link}/entries", json={"entries": [ANN]})).status_code == 409


async def test_a_grant_tells_nobody_which_groups_there_are(world: World, other_world: World):
    code = await made(world)
    answers = []
    for grantee in (other_world.brand.id, uuid4()):
        path = f"/optout-lists/{code}/grants/{grantee}"
        answers.append([await world.ask(method, path) for method in ("PUT", "PUT", "DELETE", "DELETE")])

    (to_a_group, to_nobody) = [[(one.status_code, one.content) for one in each] for each in answers]
    assert to_a_group == to_nobody
    assert [status for status, _ in to_nobody] == [204, 204, 204, 404]


async def test_an_erased_address_stays_suppressed(world: World):
    code = await made(world)
    await world.ask("POST", f"/optout-lists/{code}/entries", json={"entries": [ANN]})

    erased = await world.ask("POST", "/optout-lists:erase", json={"address": ANN})
    (entry,) = (await world.ask("GET", f"/optout-lists/{code}/entries")).json()["data"]

    assert (erased.status_code, entry["address"], entry["hash"]) == (204, None, md5(ANN))
    assert await listed(world, code, ANN) == ["address"]


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
