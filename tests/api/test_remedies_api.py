"""The end of an execution over HTTP: its books, its exports, and what can be ordered after it."""

import asyncio
import csv
import io
import json
from uuid import uuid4

import pytest

from api_world import World, mail_generator, subscribe
from stentor.executions.remedies import carry_out_next
from stentor.wiring.core import Core
from stentor.wiring.roles import deliverer, open_channels, planner

pytestmark = pytest.mark.anyio

DROP = {"effect": "drop", "recipients": "ann@*"}
REFUSE = {"effect": "refuse", "recipients": "bob@*"}


@pytest.fixture
async def path(world: World, installation: Core) -> str:
    """Where an execution is that ended: one person in doubt, one refused, one reached."""
    await subscribe(world, "nfl", "ann", "bob", "=cay")
    await mail_generator(world, "g")
    await world.services.accounts.update_brand_settings(world.brand.id, {"from_address": "news@example.org"})
    assert (await world.ask("PUT", "/inbox/chaos", json={"rules": [DROP, REFUSE]})).status_code == 200
    run = await world.ask("POST", "/event-generators/g/run", json={"topic_key": "nfl", "context": {}})
    await work(installation)
    return f"/executions/{run.json()['execution_id']}"


async def work(installation: Core) -> None:
    """What workers do until nothing is left."""
    channels, planning = open_channels(installation), planner(installation)
    delivering = deliverer(installation, channels, "worker")
    while await planning.plan_next() or await carry_out_next(installation.db):
        continue
    while claim := await delivering.claim():
        await delivering.deliver(claim, stop=asyncio.Event())
    await channels.aclose()


async def test_an_execution_shows_the_books_of_its_end(world: World, path: str):
    shown = (await world.ask("GET", path)).json()
    listed = (await world.ask("GET", f"{path}/reconciliations")).json()

    books = shown["reconciliation"]
    assert (shown["state"], shown["to_decide"], shown["remedies"]) == ("ended", 0, [])
    assert (books["number"], books["balanced"]) == (1, True)
    assert books["channels"] == shown["channels"]
    assert {name: books["channels"][0][name] for name in ("audience", "handed_over", "failed", "unknown")} == {
        "audience": 3,
        "handed_over": 1,
        "failed": 1,
        "unknown": 1,
    }
    assert listed["data"] == [books]


async def test_failed_sends_are_retried_and_doubt_is_decided(world: World, path: str, installation: Core):
    await world.ask("PUT", "/inbox/chaos", json={"rules": []})

    asked = await world.ask("POST", f"{path}/retry-failed")
    decided = await world.ask("POST", f"{path}/unknown", json={"action": "settle_as_handed_over", "channel": "email"})
    await work(installation)
    shown = (await world.ask("GET", path)).json()

    assert (asked.status_code, asked.json()["state"], asked.json()["remedies"][0]["done_at"]) == (202, "sending", None)
    assert [one["action"] for one in decided.json()["remedies"]] == ["settle_as_handed_over", "retry_failed"]
    assert (shown["state"], shown["channels"][0]["handed_over"], shown["reconciliation"]["number"]) == ("ended", 3, 2)
    assert [(one["channel"], one["sends"]) for one in shown["remedies"]] == [("email", 1), (None, 1)]
    assert shown["remedies"][0]["asked_by"].startswith("key ")


async def test_a_sender_that_asks_says_how_many_wait_for_an_answer(world: World, path: str, installation: Core):
    async with installation.db.autocommit() as conn:
        await conn.execute("UPDATE sender SET in_doubt = 'ask'")

    assert (await world.ask("GET", path)).json()["to_decide"] == 1


async def test_a_wrong_question_is_refused(world: World, path: str):
    unnamed = await world.ask("POST", f"{path}/unknown", json={"action": "forget"})
    nowhere = await world.ask("POST", f"{path}/retry-failed?channel=pigeon")
    missing = await world.ask("POST", f"/executions/{uuid4()}/retry-failed")
    gone = [
        await world.ask("GET", f"/executions/{uuid4()}/{name}") for name in ("recipients.csv", "reconciliations.csv")
    ]

    assert [one.status_code for one in (unnamed, nowhere, missing, *gone)] == [400, 400, 404, 404, 404]


async def test_the_books_and_the_people_are_exported(world: World, path: str):
    books = list(csv.DictReader(io.StringIO((await world.ask("GET", f"{path}/reconciliations.csv")).text)))
    lines = [json.loads(line) for line in (await world.ask("GET", f"{path}/reconciliations.ndjson")).iter_lines()]
    people = await world.ask("GET", f"{path}/recipients.csv")
    failed = [
        json.loads(line) for line in (await world.ask("GET", f"{path}/recipients.ndjson?state=failed")).iter_lines()
    ]

    nobody = [await world.ask("GET", f"{path}/recipients.{form}?state=held") for form in ("csv", "ndjson")]

    assert {(one["state"], one["reason"], one["sends"], one["counted"]) for one in books} == {
        ("audience", "", "3", "3"),
        ("handed_over", "", "1", "1"),
        ("failed", "provider_rejected", "1", "1"),
        ("unknown", "", "1", "1"),
    }
    assert [{name: str(value) for name, value in line.items()} for line in lines] == books
    assert people.headers["content-type"].startswith("text/csv")
    assert "attachment" in people.headers["content-disposition"]
    assert {(one["external_id"], one["state"]) for one in csv.DictReader(io.StringIO(people.text))} == {
        ("ann", "unknown"),
        ("bob", "failed"),
        ("=cay", "handed_over"),
    }
    assert [one.text for one in nobody] == [
        "external_id,channel,state,reason,tries,doubts,decided_at,partner_channel\r\n",
        "",
    ]
    assert [(one["external_id"], one["reason"]) for one in failed] == [("bob", "provider_rejected")]


async def test_a_test_key_sends_nothing_again_that_is_no_test(world: World, path: str):
    made = await world.services.accounts.create_key(
        "test", brand_id=world.brand.id, scopes=("run", "write"), is_test=True
    )

    retried = await world.ask("POST", f"{path}/retry-failed", token=made.token)
    resent = await world.ask("POST", f"{path}/unknown", token=made.token, json={"action": "resend"})

    assert [answer.status_code for answer in (retried, resent)] == [403, 403]
    assert (await world.ask("GET", path)).json()["remedies"] == []


async def test_what_sends_again_needs_the_scope_that_starts_sends(world: World, path: str):
    accounts, brand_id = world.services.accounts, world.brand.id
    writer = (await accounts.create_key("writer", brand_id=brand_id, scopes=("write",))).token
    both = (await accounts.create_key("both", brand_id=brand_id, scopes=("run", "write"))).token

    async def asked(token: str) -> list[int]:
        return [
            (await world.ask("POST", f"{path}/retry-failed", token=token)).status_code,
            (await world.ask("POST", f"{path}/unknown", token=token, json={"action": "resend"})).status_code,
            (await world.ask("POST", f"{path}/unknown", token=token, json={"action": "settle_as_failed"})).status_code,
        ]

    assert await asked(writer) == [403, 403, 202]
    assert await asked(both) == [202, 202, 202]
