"""Every example in the reference is a request that works, in an order in which a newcomer would send them."""

import json
import re
from typing import Any

import pytest

from api_world import World, shop_generator

pytestmark = pytest.mark.anyio

METHODS = ("get", "post", "put", "patch", "delete")
# What others build on, first; what undoes something, late; what deletes, last.
FIRST = [
    "createTopic",
    "upsertCustomer",
    "subscribe",
    "createTemplate",
    "createCampaign",
    "createEventGenerator",
    "publishEventGenerator",
    "runEventGenerator",
    "sendMessages",
    "createSchedule",
    "createSender",
    "createPartnerChannel",
    "addPartnerTemplates",
    "addPartnerApps",
    "createHubClient",
    "createListener",
    "createSegment",
    "createKey",
    "addTestRecipient",
    "beginImport",
    "createOptoutList",
    "addOptoutEntries",
    "importOptouts",
    "pauseExecution",
    "resumeExecution",
]
LAST = [
    "resumeSender",
    "deletePartnerTemplate",
    "deletePartnerApp",
    "revokeHubClient",
    "revokeOptoutList",
    "unsubscribe",
    "cancelExecution",
    "untagProfile",
]
ERASING = ["eraseCustomer", "eraseCustomers", "getErasure"]
# A message comes to the inbox only when a worker delivers one; the inbox has tests of its own.
# The rejects of an import are there once one has read its file, a code once one has mailed it, and an experiment once one has
# fixed its people; and an import that is over is stopped no more.
NEEDS_A_WORKER = {
    "stopImport",
    "cancelImport",
    "confirmTestRecipient",
    "getInboxMessage",
    "getRawInboxMessage",
    "deleteInboxMessage",
    "downloadOptoutRejects",
    "getExperiment",
    "chooseWinner",
    "cancelExperiment",
}
# What a newcomer's campaign runs by is a generator; those that are published themselves have tests of their own. So have those
# that a partner executes, and those of hubs that are executed here.
NEEDS_ANOTHER_KIND = {
    "publishCampaign",
    "runCampaign",
    "changeSchedule",
    "cancelSchedule",
    "streamBatch",
    "tellPartnerEvents",
    "createPull",
    "getPull",
    "listPullPages",
    "listPullRows",
    "leasePullRows",
    "acknowledgePullLease",
    "releasePullLease",
    "listPullRevocations",
    "createConnector",
    "getConnector",
    "changeConnector",
    "checkConnector",
    "listConnectorRuns",
    "listRefusedRows",
    "deleteConnector",
}
STREAMS = {"watchExecution", "watchOptoutJob"}
ID_OF = {
    "createTopic": ("topic", "key"),
    "upsertCustomer": ("external_id", "external_id"),
    "createTemplate": ("template_id", "id"),
    "addTestRecipient": ("test_recipient_id", "id"),
    "createCampaign": ("campaign_id", "id"),
    "createEventGenerator": ("event_generator_id", "id"),
    "runEventGenerator": ("execution_id", "execution_id"),
    "createSchedule": ("schedule_id", "id"),
    "createSender": ("sender_id", "id"),
    "createOptoutList": ("optout_list", "id"),
    "importOptouts": ("job_id", "id"),
    "createSegment": ("segment_id", "id"),
    "createBatch": ("batch_id", "uuid"),
    "createProfile": ("profile", "external_id"),
    "createProfileTag": ("tag_id", "uuid"),
    "createKey": ("key_number", "number"),
    "createListener": ("listener_id", "id"),
    "beginImport": ("import_id", "id"),
}


def place(operation: dict[str, Any]) -> tuple[int, int]:
    name = operation["operationId"]
    if name in FIRST:
        return 0, FIRST.index(name)
    if name in LAST:
        return 2, 0
    if name.startswith("delete"):
        return 3, 0
    if name in ERASING:
        return 4, ERASING.index(name)
    return 1, 0


def request_of(operation: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """The example as the arguments of a request, with the ids of what was made in place of invented ones."""
    content = operation.get("requestBody", {}).get("content", {})
    for media, said in content.items():
        if media != "application/json":
            return {"content": said["example"], "headers": {"Content-Type": media}}
        text = json.dumps(said["example"])
        for name in ("template_id", "campaign_id", "client_id"):
            text = re.sub(rf'"{name}": "[^"]*"', f'"{name}": "{ids.get(name, "")}"', text)
        return {"json": json.loads(text)}
    return {}


async def test_every_example_works(world: World, other_world: World):
    document = (await world.client.get("/openapi.json")).json()
    operations = [
        (method.upper(), path, methods[method])
        for path, methods in document["paths"].items()
        for method in METHODS
        if method in methods
        and path.startswith("/v1/groups/{group_id}")
        and methods[method]["operationId"] not in NEEDS_A_WORKER
    ]
    # Its example has a campaign of another kind than that of the generator that a newcomer makes.
    await shop_generator(world, "order-shipped", ["email"])
    # What a partner's own numbers and ids are stands in the examples.
    ids = {"grantee_id": str(other_world.brand.id), "channel_number": "505", "template_number": "7", "app_id": "bingo"}
    ids["version_number"] = "1"
    failed: dict[str, str] = {}

    for method, path, operation in sorted(operations, key=lambda one: place(one[2])):
        name = operation["operationId"]
        if name in STREAMS | NEEDS_ANOTHER_KIND:
            continue
        filled = re.sub(r"{(\w+)}", lambda found: ids[found[1]], path.replace("/v1/groups/{group_id}", ""))
        answer = await world.ask(method, filled, **request_of(operation, ids))
        if name in ID_OF:
            key, field = ID_OF[name]
            ids[key] = str(answer.json().get(field))
        if name == "eraseCustomer":
            ids["erasure_id"] = answer.json()["erasure"]["id"]
        if name == "createHubClient":
            ids["client_id"] = answer.json()["client"]["id"]
        if name == "sendMessages":
            ids["message_id"] = answer.json()["messages"][0]["id"]
        # What is in use is not deleted, which is an answer that the reference tells of.
        if not (answer.is_success or (method == "DELETE" and answer.status_code == 409)):
            failed[name] = answer.text
        assert str(answer.status_code) in operation["responses"]

    assert failed == {}


async def test_every_body_has_an_example(world: World):
    document = (await world.client.get("/openapi.json")).json()

    assert [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for said in operation.get("requestBody", {}).get("content", {}).values()
        if "example" not in said
    ] == []


async def test_what_is_said_has_no_indentation_of_ours(world: World):
    document = (await world.client.get("/openapi.json")).text

    assert re.findall(r'"description":"[^"]*\\n {2,}[^"]*"', document) == []
