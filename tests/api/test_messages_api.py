"""Messages to named recipients through the native API, the app over the real flow: planned, guarded, rendered, in the inbox."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx import Response

from api_world import World, shop_generator
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.address import email_digest
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from stentor.testing.waiting import eventually
from stentor.wiring.core import Core
from stentor.wiring.roles import deliverer, open_channels, planner

pytestmark = pytest.mark.anyio

Drain = Callable[[], Awaitable[None]]


@pytest.fixture
async def shop(world: World) -> World:
    """A brand with a published transactional generator that sends mails, one that also sends texts, and two customers."""
    for name in ("ann", "bob"):
        await world.ask("POST", "/customers", json={"external_id": name, "email": f"{name}@example.org"})
    await shop_generator(world, "order-shipped", ["email"])
    await shop_generator(world, "by-all-means", ["email", "sms"])
    await shop_generator(world, "by-any-means", ["email", "sms"], mode="first")
    return world


@pytest.fixture
def drain(installation: Core) -> Drain:
    """Plans and delivers what there is, as a worker does."""

    async def drained() -> None:
        planning, channels = planner(installation), open_channels(installation)
        delivering = deliverer(installation, channels, "worker-1")
        while await planning.plan_next():
            continue
        while claim := await delivering.claim():
            await delivering.deliver(claim, stop=asyncio.Event())
        await channels.aclose()

    return drained


async def send(world: World, *recipients: dict[str, Any], via: str = "order-shipped", **more: Any) -> Response:
    """The answer to a call whose context is complete unless another is given."""
    body = {"event_generator_id": via, "context": {"order": "A-1"}, "recipients": list(recipients)}
    asked = {name: more.pop(name) for name in ("token", "headers") if name in more}
    return await world.ask("POST", "/messages", json={**body, **more}, **asked)


async def told(world: World, sent: Response) -> list[dict[str, Any]]:
    """What the API tells of each message of a call."""
    assert sent.status_code == 202, sent.text
    return [(await world.ask("GET", f"/messages/{one['id']}")).json() for one in sent.json()["messages"]]


async def inbox(world: World) -> dict[str, str]:
    """The subjects in the sandbox inbox by recipient."""
    listed = await world.ask("GET", "/inbox/messages")
    return {one["recipient"]: one["subject"] for one in listed.json()["data"]}


async def test_each_recipient_gets_a_message_with_their_own_context(shop: World, drain: Drain):
    sent = await send(
        shop,
        {"external_id": "ann", "context": {"order": "A-2"}},
        {"external_id": "bob"},
        {"email": "Guest@Example.org", "context": {"shop": "Fan Shop"}},
    )
    before = await told(shop, sent)
    await drain()
    after = await told(shop, sent)

    assert [(one["recipient"], one["channel"]) for one in sent.json()["messages"]] == [
        (0, "email"),
        (1, "email"),
        (2, "email"),
    ]
    assert [one["state"] for one in before] == ["pending"] * 3
    assert await inbox(shop) == {"ann@example.org": "A-2", "bob@example.org": "A-1", "Guest@example.org": "A-1"}
    assert [one["state"] for one in after] == ["handed_over"] * 3
    assert [event["what"] for event in after[0]["timeline"]][:2] == ["queued", "planned"]
    assert {check["outcome"] for check in after[0]["checks"]} == {"passed"}
    guest = await shop.ask("GET", f"/inbox/messages/{after[2]['id']}")
    assert guest.json()["text"].strip() == "Fan Shop"


async def test_the_execution_of_a_call_adds_up_and_explains_its_people(shop: World, drain: Drain):
    sent = await send(shop, {"external_id": "ann"}, {"phone": "+4915112345678"}, via="by-all-means")
    await drain()
    path = f"/executions/{sent.json()['execution_id']}"
    execution = (await shop.ask("GET", path)).json()
    people = (await shop.ask("GET", f"{path}/recipients")).json()["data"]
    bare = sent.json()["messages"][2]["external_id"]
    story = (await shop.ask("GET", f"{path}/recipients/{bare}")).json()
    outside = (await shop.ask("GET", f"{path}/recipients/bob")).json()

    assert (execution["state"], execution["lane"], execution["audience_size"]) == ("ended", "transactional", 2)
    assert (execution["recipients"], execution["topic_key"]) == (2, "")
    for channel in execution["channels"]:
        assert (channel["audience"], channel["handed_over"], channel["skipped"]) == (2, 1, 1)
    assert len(people) == 4
    assert bare.startswith("addr:")
    assert {one["channel"]: one["state"] for one in story["channels"]} == {"email": "skipped", "sms": "handed_over"}
    assert outside["outside"] == "Not among the recipients that the call named."


async def test_of_several_channels_the_first_that_reaches_the_person_is_taken(shop: World, drain: Drain):
    sent = await send(shop, {"phone": "+4915112345678"}, {"external_id": "ann"}, via="by-any-means")
    await drain()
    found = await told(shop, sent)
    execution = (await shop.ask("GET", f"/executions/{sent.json()['execution_id']}")).json()

    assert [(one["channel"], one["state"], one["reason"]) for one in found] == [
        ("email", "skipped", "other_channel"),
        ("sms", "handed_over", ""),
        ("email", "handed_over", ""),
        ("sms", "skipped", "other_channel"),
    ]
    assert "sms" in found[0]["note"]
    assert sum(channel["audience"] for channel in execution["channels"]) == execution["audience_size"] == 2


async def test_a_test_key_writes_to_the_sandbox_alone(shop: World):
    key = await shop.services.accounts.create_key("t", brand_id=shop.brand.id, scopes=("run",), is_test=True)
    sent = await send(shop, {"external_id": "ann"}, token=key.token)

    assert [one["is_test"] for one in await told(shop, sent)] == [True]


async def test_a_call_under_a_key_is_answered_once(shop: World):
    key = {"Idempotency-Key": "order-1"}
    answers = await asyncio.gather(*(send(shop, {"email": "guest@example.org"}, headers=key) for _ in range(5)))
    other = await send(shop, {"external_id": "ann"}, headers=key)
    refused = await send(shop, {"external_id": "nobody"}, headers={"Idempotency-Key": "order-2"})
    mended = await send(shop, {"external_id": "ann"}, headers={"Idempotency-Key": "order-2"})

    assert {answer.content for answer in answers} == {answers[0].content}
    assert sorted(answer.headers.get("idempotency-replayed", "") for answer in answers) == [""] + ["true"] * 4
    assert other.status_code == 422
    assert (refused.status_code, mended.status_code) == (400, 202)
    assert len((await shop.ask("GET", "/executions")).json()["data"]) == 2

    await shop.ask("DELETE", "/event-generators/order-shipped")
    later = await send(shop, {"email": "guest@example.org"}, headers=key)
    assert (later.status_code, later.content) == (202, answers[0].content)


@pytest.mark.parametrize(
    ("recipients", "pointer", "code"),
    [
        ([], "/recipients", "invalid"),
        ([{"external_id": "ann"}] * 101, "/recipients", "invalid"),
        ([{"external_id": "ann"}, {"external_id": "nobody"}], "/recipients/1/external_id", "unknown-customer"),
        (
            [{"external_id": "ann"}, {"external_id": "bob"}, {"external_id": "ann"}],
            "/recipients/2",
            "duplicate-recipient",
        ),
        ([{"email": "a@example.org"}, {"email": "A@EXAMPLE.org"}], "/recipients/1", "duplicate-recipient"),
        ([{}], "/recipients/0", "one-of"),
        ([{"external_id": "ann", "email": "a@example.org"}], "/recipients/0", "one-of"),
        ([{"email": "no address"}], "/recipients/0/email", "invalid-email"),
        ([{"phone": "12"}], "/recipients/0/phone", "invalid-phone"),
        ([{"email": "a@example.org", "name": "A"}], "/recipients/0/name", "unknown-field"),
        ([{"external_id": "x" * 256}], "/recipients/0/external_id", "invalid"),
        ([{"external_id": "addr:abc"}], "/recipients/0/external_id", "invalid-external-id"),
        ([{"external_id": "a\x00b"}], "/recipients/0/external_id", "nul-character"),
        ([{"external_id": "ann", "context": {"order": 5}}], "/recipients/0/context/order", "schema"),
        ([{"external_id": "ann", "context": {"shop": "\x00"}}], "/recipients/0/context/shop", "nul-character"),
        ([{"external_id": "ann", "context": {"shop": "x" * 70_000}}], "/recipients/0/context", "too-large"),
        ([{"external_id": "ann", "context": {"shop": 10**30}}], "/recipients/0/context/shop", "number-too-large"),
        ([{"external_id": "ann", "context": []}], "/recipients/0/context", "invalid"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_sent(
    shop: World, recipients: list[dict[str, Any]], pointer: str, code: str
):
    answer = await send(shop, *recipients)

    assert answer.status_code == 400, answer.text
    violation = answer.json()["violations"][0]
    assert (violation["pointer"], violation["code"]) == (pointer, code)
    assert (await shop.ask("GET", "/executions")).json()["data"] == []


async def test_the_calls_context_has_to_fit_where_a_recipient_has_none(shop: World):
    alone = await send(shop, {"external_id": "ann"}, {"external_id": "bob", "context": {"order": "B"}}, context={})
    filled = await send(shop, {"external_id": "bob", "context": {"order": "B"}}, context={})

    assert alone.status_code == 400
    assert [violation["pointer"] for violation in alone.json()["violations"]] == ["/context/order"]
    assert filled.status_code == 202


async def test_only_a_published_transactional_campaign_sends_messages(shop: World):
    await shop_generator(shop, "for-subscribers", ["email"], consent_basis="topic")
    await shop_generator(shop, "in-bulk", ["email"], lane="bulk")
    answers = [await send(shop, {"external_id": "ann"}, via=name) for name in ("for-subscribers", "in-bulk", "none")]

    assert [answer.status_code for answer in answers] == [422, 422, 404]
    assert "`topic`" in answers[0].json()["detail"]


async def test_channel_flags_do_not_stop_a_message_and_hard_suppression_does(shop: World, drain: Drain):
    people = ("says-no", "bounced", "complained", "listed")
    for name in people:
        await shop.ask("POST", "/customers", json={"external_id": name, "email": f"{name}@example.org"})
    async with shop.services.database.transaction() as conn:
        await conn.execute(
            "UPDATE customer SET refused_mask = 2 * (external_id = 'says-no')::integer,"
            " bounced_mask = 2 * (external_id = 'bounced')::integer,"
            " complained_mask = 2 * (external_id = 'complained')::integer"
        )
        listed = [
            OptOut(ChannelKind.EMAIL, email_digest(address), "unsubscribe")
            for address in ("listed@example.org", "guest@example.org")
        ]
        await add_to_builtin(conn, shop.brand.id, listed)

    sent = await send(shop, *({"external_id": name} for name in people), {"email": "Guest@example.org"})
    await drain()
    found = await told(shop, sent)

    assert [(one["state"], one["reason"]) for one in found] == [
        ("handed_over", ""),
        ("skipped", "bounced_before"),
        ("skipped", "complained"),
        ("skipped", "suppressed"),
        ("skipped", "suppressed"),
    ]


@pytest.mark.fault("F19")
async def test_an_opt_out_after_planning_stops_the_message(shop: World, drain: Drain, installation: Core):
    sent = await send(shop, {"external_id": "ann"}, {"external_id": "bob"})
    while await planner(installation).plan_next():
        continue
    async with shop.services.database.transaction() as conn:
        opt_out = OptOut(ChannelKind.EMAIL, email_digest("ann@example.org"), "unsubscribe")
        await add_to_builtin(conn, shop.brand.id, [opt_out])
    await drain()

    assert [one["reason"] for one in await told(shop, sent)] == ["suppressed", ""]
    assert await inbox(shop) == {"bob@example.org": "A-1"}


async def test_messages_and_runs_of_one_moment_are_planned_together_and_each_for_its_own(shop: World, drain: Drain):
    await shop_generator(shop, "for-subscribers", ["email"], consent_basis="topic", lane="bulk")
    await shop.ask("POST", "/topics", json={"key": "news", "name": "News", "channels": ["email"]})
    await shop.ask("PUT", "/customers/bob/subscriptions/news", json={})
    run = await shop.ask(
        "POST", "/event-generators/for-subscribers/run", json={"topic_key": "news", "context": {"order": "all"}}
    )
    by_topic = await shop.ask(
        "POST", "/event-generators/order-shipped/run", json={"topic_key": "news", "context": {"order": "topic"}}
    )
    sent = [await send(shop, {"external_id": name}, context={"order": name}) for name in ("ann", "bob")]
    await drain()

    executions = {one["id"]: one for one in (await shop.ask("GET", "/executions")).json()["data"]}
    assert [(executions[one.json()["execution_id"]]["audience_size"]) for one in (run, by_topic, *sent)] == [1, 1, 1, 1]
    assert {one["state"] for one in executions.values()} == {"ended"}
    letters = {one["subject"]: one["id"] for one in (await shop.ask("GET", "/inbox/messages")).json()["data"]}
    of_run = (await shop.ask("GET", f"/messages/{letters['all']}")).json()
    assert sorted(letters) == ["all", "ann", "bob", "topic"]
    assert (of_run["event_generator_id"], of_run["external_id"], of_run["state"]) == (
        "for-subscribers",
        "bob",
        "handed_over",
    )


async def test_a_call_takes_one_token_and_a_replay_none(shop: World):
    await shop.services.accounts.update_brand_settings(shop.brand.id, {"run_rate_per_s": 1})
    key = {"Idempotency-Key": "order-1"}
    answers = [await send(shop, {"external_id": "ann"}, {"email": "guest@example.org"}, headers=key)]
    while answers[-1].status_code == 202:
        answers.append(await send(shop, {"email": f"guest-{len(answers)}@example.org"}))
    replayed = await send(shop, {"external_id": "ann"}, {"email": "guest@example.org"}, headers=key)

    assert (answers[-1].status_code, answers[-1].headers["retry-after"]) == (429, "1")
    assert (replayed.status_code, replayed.content) == (202, answers[0].content)
    async with shop.services.database.read() as conn:
        kept = await (await conn.execute("SELECT count(*) FROM customer WHERE anonymous")).fetchone()
    # Of a call that was refused nothing is kept.
    assert kept == (len(answers) - 1,)


async def test_caps_and_quiet_hours_do_not_hold_a_message_back(shop: World, drain: Drain):
    from_, to = (f"{Clock().now() + timedelta(hours=hours):%H:%M}" for hours in (-1, 1))
    settings = {"policy": {"caps": [{"at_most": 1, "per": "1d"}]}, "quiet_hours": [{"from": from_, "to": to}]}
    await shop.services.accounts.update_brand_settings(shop.brand.id, settings)

    sent = [await send(shop, {"external_id": "ann"}) for _ in range(2)]
    await drain()

    assert [(await told(shop, one))[0]["state"] for one in sent] == ["handed_over"] * 2


async def test_an_address_that_two_recipients_share_is_written_to_once(shop: World, drain: Drain):
    sent = await send(shop, {"external_id": "ann"}, {"email": "ann@example.org"})
    await drain()

    fates = sorted((one["state"], one["reason"]) for one in await told(shop, sent))
    assert fates == [("handed_over", ""), ("skipped", "duplicate_address")]


async def test_a_bare_address_is_nobodys_customer(shop: World, drain: Drain):
    sent = await send(shop, {"email": "guest@example.org"})
    again = await send(shop, {"email": "guest@example.org"})
    await drain()
    name = sent.json()["messages"][0]["external_id"]
    listed = (await shop.ask("GET", "/customers")).json()["data"]
    answers = [
        await shop.ask("GET", f"/customers/{name}"),
        await shop.ask("PUT", f"/customers/{name}/subscriptions/news", json={}),
        await shop.ask("GET", f"/customers/{name}/subscriptions"),
    ]
    made = await shop.ask("POST", "/customers", json={"external_id": name})

    assert again.json()["messages"][0]["external_id"] == name
    assert "guest" not in name
    assert sorted(one["external_id"] for one in listed) == ["ann", "bob"]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert (made.status_code, made.json()["violations"][0]["pointer"]) == (400, "/external_id")


async def test_what_another_brand_sent_is_what_does_not_exist(shop: World, other_world: World):
    sent = await send(shop, {"external_id": "ann"})
    message_id = sent.json()["messages"][0]["id"]
    foreign = await other_world.ask("GET", f"/messages/{message_id}")
    forged = await other_world.ask("GET", f"/messages/{'a' * 60}")
    missing = await other_world.ask("GET", "/messages/none")
    theirs = await send(other_world, {"external_id": "ann"})

    assert [one.status_code for one in (foreign, forged, missing, theirs)] == [404] * 4
    assert foreign.content == forged.content == missing.content == theirs.content


async def test_a_key_that_may_only_read_sends_nothing(shop: World):
    reading, running = await shop.key("read"), await shop.key("run")

    refused = await send(shop, {"external_id": "ann"}, token=reading)
    sent = await send(shop, {"external_id": "ann"}, token=running)
    looked = await shop.ask("GET", f"/messages/{sent.json()['messages'][0]['id']}", token=running)

    assert [refused.status_code, sent.status_code, looked.status_code] == [403, 202, 403]


async def test_a_cancelled_message_says_so(shop: World):
    sent = await send(shop, {"external_id": "ann"})
    await shop.ask("POST", f"/executions/{sent.json()['execution_id']}/cancel")
    (message,) = await told(shop, sent)

    assert (message["state"], message["reason"]) == ("skipped", "execution_cancelled")
    assert [event["what"] for event in message["timeline"]] == ["queued", "cancelled"]


async def test_a_bare_address_that_is_being_erased_is_written_to(shop: World, db: Database, drain: Drain):
    await send(shop, {"email": "guest@example.org"})

    async with db.transaction() as conn:
        await conn.execute(
            "DELETE FROM address_owner WHERE customers && (SELECT array_agg(customer_id) FROM customer WHERE anonymous)"
        )
        await conn.execute("DELETE FROM customer WHERE anonymous")
        sending = asyncio.create_task(send(shop, {"email": "guest@example.org"}))
        await eventually(lambda: _has_waiter(db))
    sent = await sending
    await drain()

    assert [message["state"] for message in await told(shop, sent)] == ["handed_over"]


async def _has_waiter(db: Database) -> bool:
    async with db.read() as conn:
        return bool(await (await conn.execute("SELECT FROM pg_locks WHERE NOT granted")).fetchall())
