import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx import Response

from api_world import World
from stentor.accounts.roles import ROLES
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio


class Organisation:
    """A brand's organisation, asked with a key of all of it."""

    def __init__(self, world: World, token: str) -> None:
        self.world = world
        self.token = token

    async def ask(self, method: str, path: str, **more: Any) -> Response:
        root = f"/v1/organisations/{self.world.brand.organisation_id}"
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self.world.client.request(method, root + path, headers=headers, **more)


@pytest.fixture
async def organisation(world: World) -> Organisation:
    key = await world.services.accounts.create_key(
        "all", organisation_id=world.brand.organisation_id, scopes=("admin",)
    )
    return Organisation(world, key.token)


async def _another_organisation(world: World) -> UUID:
    organisation_id = new_id()
    async with world.services.database.transaction() as conn:
        await conn.execute(
            "INSERT INTO organisation (id, name, created_at) VALUES (%s, 'Other', now())", [organisation_id]
        )
    return organisation_id


async def test_people_are_invited_given_roles_and_removed(organisation: Organisation, world: World, db: Database):
    users = world.services.users
    ann = await users.create("ann@example.org", "Ann", organisation_id=world.brand.organisation_id, role="viewer")
    own = await world.client.get("/v1/organisations", headers={"Authorization": f"Bearer {organisation.token}"})

    invited = await organisation.ask("POST", "/invitations", json={"email": "ben@example.org", "role": "developer"})
    again = await organisation.ask("POST", "/invitations", json={"email": "ann@example.org", "role": "developer"})
    owner = await organisation.ask("POST", "/invitations", json={"email": "x@example.org", "role": "owner"})
    changed = await organisation.ask(
        "PUT", f"/members/{ann.id}", json={"role": "marketer", "group_id": str(world.brand.id)}
    )
    made_owner = await organisation.ask("PUT", f"/members/{ann.id}", json={"role": "owner"})
    waiting = await organisation.ask("GET", "/invitations")
    withdrawn = await organisation.ask("DELETE", f"/invitations/{invited.json()['id']}")
    members = await organisation.ask("GET", "/members")
    removed = await organisation.ask("DELETE", f"/members/{ann.id}")
    roles = await organisation.ask("GET", "/roles")

    assert own.json()["data"][0]["id"] == str(world.brand.organisation_id)
    assert (invited.status_code, again.status_code, owner.status_code, made_owner.status_code) == (201, 409, 409, 409)
    assert "/console/invitation/" in invited.json()["link"]
    assert [{**each, "is_mailed": False} for each in waiting.json()["data"]] == [invited.json()]
    assert (withdrawn.status_code, removed.status_code) == (204, 204)
    assert changed.json() == members.json()["data"][0]
    assert changed.json()["group_roles"] == [{"brand_id": str(world.brand.id), "role": "marketer"}]
    assert [each["role"] for each in roles.json()["data"]] == list(ROLES)
    assert (await organisation.ask("GET", "/members")).json()["data"] == []
    async with db.read() as conn:
        told = b"SELECT action, actor_kind, after->>'role' FROM audit_entry WHERE actor_kind = 'key' ORDER BY number"
        assert await (await conn.execute(told)).fetchall() == [
            ("invitation.created", "key", "developer"),
            ("member.changed", "key", "marketer"),
            ("invitation.withdrawn", "key", None),
            ("member.removed", "key", None),
        ]


async def test_a_key_expires_says_who_made_it_and_is_revoked_everywhere(
    organisation: Organisation, world: World, db: Database
):
    soon = datetime.now(UTC) + timedelta(days=3)
    body = {"name": "CI", "scopes": ["read"], "group_id": str(world.brand.id), "expires_at": soon.isoformat()}

    made = await organisation.ask("POST", "/keys", json=body)
    past = await organisation.ask("POST", "/keys", json={"name": "CI", "expires_at": "2020-01-01T00:00:00Z"})
    far = await organisation.ask("POST", "/keys", json={"name": "CI", "expires_at": "2126-01-01T00:00:00Z"})
    listed = (await organisation.ask("GET", "/keys")).json()["data"][-1]
    lasting = await organisation.ask("POST", "/keys", json={"name": "All", "scopes": ["read"]})
    here = [await world.ask("GET", "/topics", token=each.json()["token"]) for each in (made, lasting)]

    assert [each.status_code for each in (made, past, far, *here)] == [201, 400, 400, 200, 200]
    assert listed["made_by"].startswith("key ")
    assert listed["expires_at"] is not None
    async with db.transaction() as conn:
        await conn.execute(b"UPDATE api_key SET expires_at = created_at WHERE expires_at IS NOT NULL")
    await organisation.ask("DELETE", f"/keys/{lasting.json()['number']}")

    async def are_dead() -> bool:
        answers = [await world.ask("GET", "/topics", token=each.json()["token"]) for each in (made, lasting)]
        return [answer.status_code for answer in answers] == [401, 401]

    assert await eventually(are_dead, within_s=2)
    assert (await organisation.ask("DELETE", "/keys/x")).status_code == 404


async def test_an_organisations_audit_log_has_its_own_entries_and_those_of_its_groups(
    organisation: Organisation, world: World, other_world: World
):
    elsewhere = await world.services.accounts.create_brand("Elsewhere", await _another_organisation(world))
    body = {"name": "CI", "scopes": ["read"], "group_id": str(world.brand.id)}
    key = (await organisation.ask("POST", "/keys", json=body)).json()
    await organisation.ask("POST", "/invitations", json={"email": "ben@example.org", "role": "admin"})
    await organisation.ask("POST", "/invitations", json={"email": "ben@example.org", "role": "viewer"})
    await organisation.ask("DELETE", f"/keys/{key['number']}")
    await other_world.ask("POST", "/topics", json={"key": "t", "name": "T", "channels": ["sms"]})

    listed = (await organisation.ask("GET", "/audit", params={"limit": "7"})).json()
    rest = (await organisation.ask("GET", "/audit", params={"cursor": listed["next_cursor"]})).json()
    narrowed = (await organisation.ask("GET", "/audit", params={"thing_kind": "invitation"})).json()["data"]
    whole = [json.loads(line) for line in (await organisation.ask("GET", "/audit/export.ndjson")).text.splitlines()]
    table = await organisation.ask("GET", "/audit/export.csv", params={"spreadsheet": "true"})
    of_group = (await world.ask("GET", "/audit", params={"thing_kind": "key"})).json()["data"]
    hidden = await Organisation(world, world.token).ask("GET", "/audit/export.ndjson")

    here, there = str(world.brand.id), str(other_world.brand.id)
    assert [(entry["action"], entry["group_id"]) for entry in listed["data"]][:6] == [
        ("topic.created", there),
        ("key.revoked", here),
        ("invitation.created", None),
        ("invitation.withdrawn", None),
        ("invitation.created", None),
        ("key.created", here),
    ]
    assert [entry["number"] for entry in whole][::-1] == [entry["number"] for entry in listed["data"] + rest["data"]]
    assert len(narrowed) == 3
    assert str(elsewhere.id) not in {entry["brand_id"] for entry in whole}
    assert table.headers["content-disposition"] == (
        f'attachment; filename="audit-{world.brand.organisation_id}.spreadsheet.csv"'
    )
    assert [(entry["action"], entry["thing"]["id"]) for entry in of_group][:2] == [
        ("key.revoked", str(key["number"])),
        ("key.created", str(key["number"])),
    ]
    number = organisation.token.partition("|")[0]
    assert of_group[0]["actor"] == {"kind": "key", "id": number, "label": f"key {number} (all)", "ip": "127.0.0.1"}
    assert hidden.status_code == 404


async def test_an_organisation_is_there_for_keys_of_all_of_it_alone(organisation: Organisation, world: World):
    of_brand = Organisation(world, world.token)
    weak = await world.services.accounts.create_key("w", organisation_id=world.brand.organisation_id, scopes=("write",))

    hidden = await of_brand.ask("GET", "/members")
    foreign = await world.client.get(
        f"/v1/organisations/{world.brand.id}/members", headers={"Authorization": f"Bearer {organisation.token}"}
    )
    refused = await Organisation(world, weak.token).ask("POST", "/keys", json={"name": "CI"})

    assert (hidden.status_code, foreign.status_code, refused.status_code) == (404, 404, 403)
    assert hidden.content == foreign.content


async def test_groups_are_made_and_named_in_the_own_organisation_alone(
    organisation: Organisation, world: World, db: Database
):
    made = await organisation.ask("POST", "/groups", json={"name": "Rowing"})
    again = await organisation.ask("POST", "/groups", json={"name": "Rowing"})
    group = made.json()["id"]
    renamed = await organisation.ask("PATCH", f"/groups/{group}", json={"name": "Rowers"})
    taken = await organisation.ask("PATCH", f"/groups/{group}", json={"name": world.brand.name})
    blank = await organisation.ask("PATCH", f"/groups/{group}", json={"name": " "})
    second = await world.services.accounts.create_organisation("Second")
    theirs = await world.services.accounts.create_brand("Theirs", second.id)
    foreign, missing = [
        await organisation.ask("PATCH", f"/groups/{one}", json={"name": "Ours"}) for one in (theirs.id, uuid4())
    ]
    listed = (await organisation.ask("GET", "/groups")).json()["data"]
    named = await organisation.ask("PATCH", "", json={"name": "Club"})
    as_second = await organisation.ask("PATCH", "", json={"name": "Second"})
    topic = await world.client.get(
        f"/v1/groups/{group}/topics", headers={"Authorization": f"Bearer {organisation.token}"}
    )

    answers = (made, again, renamed, taken, blank, foreign, missing, named, as_second, topic)
    assert [each.status_code for each in answers] == [201, 409, 200, 409, 400, 404, 404, 200, 409, 200]
    assert {one["name"] for one in listed} >= {"Rowers", world.brand.name}
    assert "Theirs" not in {one["name"] for one in listed}
    assert named.json()["name"] == "Club"
    async with db.read() as conn:
        told = b"SELECT action FROM audit_entry WHERE actor_kind = 'key' ORDER BY number"
        assert await (await conn.execute(told)).fetchall() == [
            ("brand.created",),
            ("brand.renamed",),
            ("organisation.updated",),
        ]


async def test_a_test_key_of_a_group_makes_and_revokes_test_keys_alone_and_leaves_the_policy(world: World):
    accounts = world.services.accounts
    live = await accounts.create_key("live", brand_id=world.brand.id)
    tested = await accounts.create_key("t", brand_id=world.brand.id, scopes=("admin",), is_test=True)

    made = await world.ask("POST", "/keys", json={"name": "k", "is_test": False}, token=tested.token)
    refused = [
        await world.ask("DELETE", f"/keys/{live.number}", token=tested.token),
        await world.ask("PUT", "/policy", json={"caps": []}, token=tested.token),
    ]
    own = await world.ask("DELETE", f"/keys/{made.json()['number']}", token=tested.token)

    assert made.json()["token"].partition("|")[2].startswith("st_test_")
    assert ([each.status_code for each in refused], own.status_code) == ([404, 403], 204)
    keys = {key.number: key for key in await accounts.keys_of_brand(world.brand.id, "all")}
    assert (keys[live.number].revoked_at, keys[made.json()["number"]].revoked_at is None) == (None, False)


async def test_a_test_key_neither_sees_nor_changes_people_and_keys(organisation: Organisation, world: World):
    accounts = world.services.accounts
    tested = await accounts.create_key(
        "t", organisation_id=world.brand.organisation_id, scopes=("admin",), is_test=True
    )
    ann = await world.services.users.create(
        "ann@example.org", "Ann", organisation_id=world.brand.organisation_id, role="viewer"
    )
    by_test = Organisation(world, tested.token)

    answers = [
        await by_test.ask("POST", "/invitations", json={"email": "ben@example.org", "role": "admin"}),
        await by_test.ask("PUT", f"/members/{ann.id}", json={"role": "admin"}),
        await by_test.ask("DELETE", f"/members/{ann.id}"),
        await by_test.ask("DELETE", f"/keys/{organisation.token.partition('|')[0]}"),
        await by_test.ask("POST", "/keys", json={"name": "live"}),
        await by_test.ask("GET", "/keys"),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert "no test key" in answers[0].text
    assert (await organisation.ask("GET", "/members")).json()["data"][0]["role"] == "viewer"
