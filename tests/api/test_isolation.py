"""What a key cannot see does not exist: every operation of the reference, asked with every wrong key (OWASP API1).

The operations come from the document, so that a new one is asked with the others. Its ids have to be among those that
`owned_things.harvested` makes.
"""

from uuid import uuid4

import pytest
from httpx import Response

from api_world import World
from owned_things import Brand, Operation, ask, harvested, operations
from stentor.accounts import store
from stentor.accounts.model import SCOPES
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.testing.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.fault("S1")]

# What people's own devices ask takes no key; what it tells is what a person may see of a person.
KEYLESS = {"getPreferences", "putPreferences"}
# Somebody else's customer has an id that is free here, so naming it makes one.
FREE_HERE = {"updateCustomer"}
# What was run may be asked for by whoever runs or reads.
EITHER = {"getSmartCampaignStatus"}
# It tells of the key's own organisation, and names none.
OWN = {"listOrganisations"}
# It reads nothing of the brand's by what its path names, so any id is as good as any other.
NAMES_NOTHING_OF_OURS = {"grantOptoutList"}


async def test_without_a_valid_key_nothing_answers(world: World):
    key = (await world.ask("POST", "/keys", json={"name": "gone", "scopes": ["admin"]})).json()
    await world.ask("DELETE", f"/keys/{key['number']}")
    revoked, token = key["token"], world.token
    brand = await Brand.of(world, {"optout_list": "0" * 16})
    wrong = [None, revoked, "", "x", token[:-1], token + "x", "999|" + token.partition("|")[2], token.replace("|", " ")]
    await eventually(lambda: _is_refused(world, revoked), within_s=2)

    for operation in await operations(world.client):
        if not operation.schemes:
            assert operation.id in KEYLESS
            continue
        for presented in wrong:
            if "bearer" not in operation.schemes and (presented or "").endswith("|" + token.partition("|")[2]):
                continue  # Without the number, for which there is no place here, it is a good key.
            answer = await ask(world.client, operation, presented, brand, {})
            assert (answer.status_code, operation.id) == (401, operation.id)
            assert "www-authenticate" in answer.headers or "bearer" not in operation.schemes


async def test_another_brand_is_a_missing_brand_to_the_byte(world: World, other_world: World, db: Database):
    theirs = await harvested(other_world)
    stranger = await _key_of_another_organisation(world, db)
    nowhere = Brand.missing()
    there = await Brand.of(other_world, theirs)

    for operation in await operations(world.client):
        if operation.id in KEYLESS | OWN:
            continue
        for token in (world.token, stranger):
            foreign = await ask(world.client, operation, token, there, theirs)
            missing = await ask(world.client, operation, token, nowhere, {})
            # A family whose paths and headers name no brand goes by the key's own, in which the ids are foreign.
            allowed = {403, 404} if _names_brand(operation) else {400, 403, 404}
            assert foreign.status_code in allowed, (operation.id, foreign.status_code)
            assert _told(foreign) == _told(missing), operation.id


async def test_what_another_brand_owns_is_what_does_not_exist(world: World, other_world: World):
    theirs = await harvested(other_world)
    own_list = (await world.ask("POST", "/optout-lists", json={"name": "ours"})).json()
    here = await Brand.of(world, {"optout_list": own_list["code"]})

    for operation in await operations(world.client):
        unknown = [name for name in operation.names if name not in theirs]
        assert unknown == [], f"let `harvested` make what {operation.path} names"
        if not operation.names or operation.id in KEYLESS | FREE_HERE | NAMES_NOTHING_OF_OURS:
            continue
        foreign = await ask(world.client, operation, world.token, here, theirs)
        missing = await ask(world.client, operation, world.token, here, {"other": str(uuid4())})

        # Where a name can be of no one's, the rest of the request is looked at first.
        if missing.status_code == 400:
            assert foreign.status_code == 400
            continue
        assert (foreign.status_code, operation.id) in {(404, operation.id), (403, operation.id)}
        assert foreign.content == missing.content


async def test_a_key_does_only_what_its_scopes_say(world: World):
    owned = await harvested(world)
    here = await Brand.of(world, owned)
    weaker = {scope: await world.key(*(one for one in SCOPES if one not in {scope, "admin"})) for scope in SCOPES}

    only_write = await world.key("write")
    # To a key of one brand there is no organisation to be refused in.
    of_all = await world.services.accounts.create_key(
        "all brands", organisation_id=world.brand.organisation_id, scopes=("run", "read", "write")
    )
    for operation in await operations(world.client):
        if operation.id in KEYLESS:
            continue
        assert operation.scope is not None
        token = only_write if operation.id in EITHER else weaker[operation.scope]
        token = of_all.token if operation.path.startswith("/v1/organisations") else token
        answer = await ask(world.client, operation, token, here, owned)
        assert (answer.status_code, operation.id) == (403, operation.id)
    refused = await world.ask("GET", "/keys", token=weaker["admin"])

    assert refused.json()["message"] == "This action is unauthorized."


def _names_brand(operation: Operation) -> bool:
    named = {parameter.get("name") for parameter in operation.said["parameters"]}
    return bool({"group_id", "brandGroupId", "x-brand-key"} & named)


def _told(answer: Response) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if not name.startswith("x-rate-limit")}
    return answer.status_code, answer.content, headers


async def _key_of_another_organisation(world: World, db: Database) -> str:
    organisation_id = new_id()
    async with db.transaction() as conn:
        await store.insert_organisation(conn, organisation_id, "Strangers")
    key = await world.services.accounts.create_key("s", organisation_id=organisation_id, scopes=["admin"])
    return key.token


async def _is_refused(world: World, token: str) -> bool:
    """A revoked key is remembered for less than a second."""
    return (await world.ask("GET", "/keys", token=token)).status_code == 401
