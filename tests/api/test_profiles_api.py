"""Single profiles on the wire: erased, by their own id or by ours."""

import pytest

from api_world import World

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
