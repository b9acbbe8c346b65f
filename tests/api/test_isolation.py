"""What a key cannot see does not exist: every operation of the reference, asked with every wrong key (OWASP API1)."""

import re
from typing import Any
from uuid import uuid4

import pytest
from httpx import Response

from api_world import Client, World, shop_generator
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

# Reading and previewing are one right, running another.
RIGHTS_OF_THEIR_OWN = {
    "runEventGenerator",
    "sendMessages",
    "previewTemplate",
    "previewDraft",
    "checkOptoutEntries",
    "findOptoutEntry",
}

METHODS = ("get", "post", "put", "patch", "delete")

Operation = tuple[str, str, dict[str, Any]]


async def operations(client: Client) -> list[Operation]:
    """Every operation that needs a key for a group: method, path, and what the reference says of it."""
    document = (await client.get("/openapi.json")).json()
    return [
        (method.upper(), path, methods[method])
        for path, methods in document["paths"].items()
        for method in METHODS
        if method in methods and "{group_id}" in path
    ]


def body_of(operation: dict[str, Any]) -> dict[str, Any]:
    """The example of the reference as the arguments of a request."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        return {"json": content["application/json"].get("example", {})}
    for media, said in content.items():
        return {"content": said["example"], "headers": {"Content-Type": media}}
    return {}


async def ask(client: Client, operation: Operation, token: str | None, **ids: str) -> Response:
    method, path, said = operation
    more = body_of(said)
    headers = {"X-Request-Id": "the-same", **more.pop("headers", {})}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    filled = re.sub(r"{(\w+)}", lambda name: ids.get(name[1], ids["other"]), path)
    return await client.request(method, filled, headers=headers, **more)


async def test_without_a_valid_key_nothing_answers(world: World):
    key = (await world.ask("POST", "/keys", json={"name": "gone", "scopes": ["admin"]})).json()
    await world.ask("DELETE", f"/keys/{key['number']}")
    revoked, token = key["token"], world.token
    wrong = [None, revoked, "", "x", token[:-1], token + "x", "999|" + token.partition("|")[2], token.replace("|", " ")]
    await eventually(lambda: _is_refused(world, revoked), within_s=2)

    for operation in await operations(world.client):
        for presented in wrong:
            answer = await ask(world.client, operation, presented, group_id=str(world.brand.id), other=str(uuid4()))
            assert (answer.status_code, operation[:2]) == (401, operation[:2])
            assert "www-authenticate" in answer.headers


async def test_a_foreign_group_is_a_missing_group_to_the_byte(world: World, other_world: World):
    for operation in await operations(world.client):
        foreign = await ask(world.client, operation, world.token, group_id=str(other_world.brand.id), other="a")
        missing = await ask(world.client, operation, world.token, group_id=str(uuid4()), other="b")
        nonsense = await ask(world.client, operation, world.token, group_id="not-a-uuid", other="c")

        assert (foreign.status_code, operation[:2]) == (404, operation[:2])
        assert foreign.content == missing.content == nonsense.content
        assert dict(foreign.headers) == dict(missing.headers)


async def test_what_another_brand_owns_is_what_does_not_exist(world: World, other_world: World):
    owned = await harvested(other_world)

    for operation in await operations(world.client):
        names = [name for name in re.findall(r"{(\w+)}", operation[1]) if name != "group_id"]
        # Somebody else's customer has an id that is free here, so naming it makes one.
        if not names or operation[2]["operationId"] == "updateCustomer":
            continue
        group = str(world.brand.id)
        foreign = await ask(world.client, operation, world.token, group_id=group, **owned)
        missing = await ask(world.client, operation, world.token, group_id=group, other=str(uuid4()))

        if missing.status_code == 400:
            assert foreign.status_code == 400
            continue
        assert (foreign.status_code, operation[:2]) == (404, operation[:2])
        assert foreign.content == missing.content


async def test_a_key_does_only_what_its_scopes_say(world: World):
    tokens = {scope: await world.key(scope) for scope in ("run", "read", "write")}
    document = await operations(world.client)

    for scope, token in tokens.items():
        for operation in document:
            answer = await ask(world.client, operation, token, group_id=str(world.brand.id), other=str(uuid4()))
            allowed = operation[0] == "GET" if scope == "read" else scope == "write"
            if not allowed and answer.status_code != 403:
                assert operation[2]["operationId"] in RIGHTS_OF_THEIR_OWN
    refused = await world.ask(
        "POST", "/topics", token=tokens["read"], json={"key": "x", "name": "x", "channels": ["sms"]}
    )
    keys = await world.ask("GET", "/keys", token=tokens["write"])

    assert (refused.status_code, keys.status_code) == (403, 403)
    assert refused.json()["message"] == "This action is unauthorized."


async def harvested(world: World) -> dict[str, str]:
    """Ids of things that this brand owns, by the names that paths give them."""
    topic = await world.ask("POST", "/topics", json={"key": "theirs", "name": "Theirs", "channels": ["email"]})
    await world.ask("POST", "/customers", json={"external_id": "their-customer"})
    template = await world.ask(
        "POST",
        "/templates",
        json={"name": "T", "channel": "sms", "default_language": "en", "variants": {"en": {"text": "Hi"}}},
    )
    campaign = await world.ask(
        "POST", "/campaigns", json={"name": "C", "routes": [{"channel": "sms", "template_id": template.json()["id"]}]}
    )
    generator = await world.ask(
        "POST", "/event-generators", json={"id": "theirs", "name": "G", "campaign_id": campaign.json()["id"]}
    )
    await world.ask("POST", "/event-generators/theirs/publish")
    run = await world.ask("POST", "/event-generators/theirs/run", json={"topic_key": "theirs", "context": {}})
    await shop_generator(world, "orders", ["sms"])
    call = {"event_generator_id": "orders", "context": {"order": "1"}, "recipients": [{"phone": "+358401112222"}]}
    sent = await world.ask("POST", "/messages", json=call)
    schedule = await world.ask(
        "POST",
        "/schedules",
        json={
            "name": "S",
            "event_generator_id": "theirs",
            "topic_key": "theirs",
            "context": {},
            "time_zone": "UTC",
            "cron": "0 9 * * *",
        },
    )
    sender = await world.ask("POST", "/senders", json={"name": "S", "channel": "sms", "kind": "sandbox"})
    job = await world.ask("POST", "/imports", json={"kind": "customers", "format": "csv", "source": "theirs"})
    optout_list = await world.ask("POST", "/optout-lists", json={"name": "theirs"})
    optout_job = await world.ask("POST", "/optout-lists/theirs/imports", json={})
    key = await world.ask("POST", "/keys", json={"name": "K"})
    return {
        "topic": topic.json()["key"],
        "external_id": "their-customer",
        "template_id": template.json()["id"],
        "campaign_id": campaign.json()["id"],
        "event_generator_id": generator.json()["id"],
        "execution_id": run.json()["execution_id"],
        "message_id": sent.json()["messages"][0]["id"],
        "schedule_id": schedule.json()["id"],
        "sender_id": sender.json()["id"],
        "import_id": job.json()["id"],
        "optout_list": optout_list.json()["code"],
        "job_id": optout_job.json()["id"],
        "grantee_id": str(world.brand.id),
        "key_number": str(key.json()["number"]),
        "other": "a" * 60,
    }


async def _is_refused(world: World, token: str) -> bool:
    """A revoked key is remembered for less than a second."""
    return (await world.ask("GET", "/keys", token=token)).status_code == 401
