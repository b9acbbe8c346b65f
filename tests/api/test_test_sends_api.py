"""Test sends through the native API, the app over the real flow: to test recipients alone, counted nowhere."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from httpx import Response

from api_world import Client, World, client_of
from stentor.accounts.letters import LetterKeeper
from stentor.accounts.mail import Letter
from stentor.api.app import Door, create_app
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.db.pool import Database
from stentor.domain.address import email_digest
from stentor.domain.vocabulary import ChannelKind
from stentor.erasures.sweeping import sweep
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from stentor.pages.message_links import MessageLinks
from stentor.pages.unsubscribe import UnsubscribePages
from stentor.testing.waiting import eventually
from stentor.wiring.core import Core, account_links
from stentor.wiring.roles import deliverer, open_channels, planner

pytestmark = pytest.mark.anyio

Drain = Callable[[], Awaitable[None]]
MAIL = {
    "subject": "{{ customer.first_name }} at {{ context.shop }}",
    "html": '<p>Hi {{ customer.first_name }}</p><a href="{{ unsubscribe_url }}">Leave</a>',
    "text": "Hi {{ customer.first_name }}",
}


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


async def campaign_of(world: World, variants: dict[str, dict[str, str]], name: str = "News") -> str:
    """An unpublished campaign that mails this, and sends a text."""
    routes = []
    for channel, said in (("email", variants), ("sms", {"en": {"text": "Hello {{ first_name }}"}})):
        draft = {"name": f"{name} {channel}", "channel": channel, "default_language": "en", "variants": said}
        made = await world.ask("POST", "/templates", json=draft)
        routes.append({"channel": channel, "template_id": made.json()["id"]})
    body = {"name": name, "kind": "scheduled", "consent_basis": "channel", "routes": routes}
    return (await world.ask("POST", "/campaigns", json=body)).json()["id"]


async def send(world: World, campaign_id: str, *to: str, **more: Any) -> Response:
    asked = {name: more.pop(name) for name in ("token",) if name in more}
    body = {"to": list(to), "wait_s": 0, **more}
    return await world.ask("POST", f"/campaigns/{campaign_id}/test-sends", json=body, **asked)


async def states(world: World, sent: Response) -> list[tuple[str, str, str, str]]:
    found = []
    for message in sent.json()["messages"]:
        told = (await world.ask("GET", f"/messages/{message['id']}")).json()
        found.append((message["to"], message["channel"], told["state"], told["reason"]))
    return found


async def letters(world: World) -> list[dict[str, Any]]:
    listed = (await world.ask("GET", "/inbox/messages")).json()["data"]
    return [(await world.ask("GET", f"/inbox/messages/{letter['id']}")).json() for letter in listed]


@pytest.fixture
async def pages_client(installation: Core, services: Services) -> AsyncIterator[Client]:
    message_links = MessageLinks(installation.links, services.executions, services.brands, services.topics)
    pages = UnsubscribePages(links=message_links, subscriptions=services.subscriptions, caller=lambda _: None)
    door = Door(
        "/u/", [pages.routes()], lambda request, failure: pages.error_page(request, failure.status, failure.headers)
    )
    async with client_of(create_app(services, ApiSettings(secret=b"s"), doors=[door])) as client:
        yield client


async def test_a_draft_is_sent_to_test_recipients_as_a_customer_would_get_it(
    world: World, db: Database, drain: Drain, pages_client: Client
):
    for address in ("editor@example.org", "+358401112222"):
        assert (await world.ask("POST", "/test-recipients", json={"address": address})).status_code == 201
    ann = {"external_id": "ann", "email": "ann@example.org", "locale": "de", "attributes": {"first_name": "Ann"}}
    await world.ask("POST", "/customers", json=ann)
    campaign_id = await campaign_of(world, {"en": MAIL, "de": {**MAIL, "text": "Hallo {{ customer.first_name }}"}})

    sent = await send(
        world, campaign_id, "editor@example.org", "+358401112222", external_id="ann", context={"shop": "Us"}
    )
    await drain()

    assert sent.status_code == 202, sent.text
    assert await states(world, sent) == [
        ("editor@example.org", "email", "handed_over", ""),
        ("+358401112222", "sms", "handed_over", ""),
    ]
    assert [(one["language"], one["blanks"], one["problem"]) for one in sent.json()["findings"]] == [
        ("de", {}, ""),
        ("en", {}, ""),
    ]
    mail = next(letter for letter in await letters(world) if letter["channel"] == "email")
    assert (mail["recipient"], mail["subject"]) == ("editor@example.org", "[Test] Ann at Us")
    # Its link works, and nobody is unsubscribed by it.
    link = re.search(r'href="[^"]*(/u/[\w-]+)"', mail["html"])
    assert link is not None
    assert "This was a test message" in (await pages_client.post(link[1], data={"List-Unsubscribe": "One-Click"})).text
    again = await send(world, campaign_id, "editor@example.org", external_id="ann", context={"shop": "Us"})
    await drain()
    assert [state for *_, state, _ in await states(world, again)] == ["handed_over"]
    # Counted nowhere: no totals, no past send, one content for both.
    async with db.read() as conn:
        cursor = await conn.execute("SELECT count(*), bool_and(is_test_send) FROM publication")
        assert await cursor.fetchone() == (2, True)
    entries = (await world.ask("GET", "/audit", params={"thing_id": campaign_id})).json()["data"]
    assert [entry["action"] for entry in entries].count("campaign.test_sent") == 2


async def test_whoever_opted_out_gets_no_test_and_what_is_blank_is_named(world: World, db: Database, drain: Drain):
    await world.ask("POST", "/test-recipients", json={"address": "editor@example.org"})
    campaign_id = await campaign_of(world, {"en": MAIL})
    async with db.transaction() as conn:
        gone = OptOut(ChannelKind.EMAIL, email_digest("editor@example.org"), "complaint")
        await add_to_builtin(conn, world.brand.id, [gone])

    sent = await send(world, campaign_id, "editor@example.org", routes=[0], customer={"locale": "en"})
    await drain()

    assert await states(world, sent) == [("editor@example.org", "email", "skipped", "suppressed")]
    (findings,) = sent.json()["findings"]
    assert findings["blanks"].keys() == {"subject", "html", "text"}
    assert sent.json()["warnings"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"to": ["stranger@example.org"]}, "/to/0"),
        ({"to": ["editor@example.org", "Editor@EXAMPLE.org", "editor@example.org"]}, "/to/1"),
        ({"to": ["editor@example.org", "editor@example.org"]}, "/to/1"),
        ({"to": ["not an address@"]}, "/to/0"),
        ({"to": ["editor@example.org"], "routes": [7]}, "/routes/0"),
        ({"to": ["editor@example.org"], "routes": [1]}, "/routes/0"),
        ({"to": ["editor@example.org"], "external_id": "nobody"}, "/external_id"),
        ({"to": ["editor@example.org"], "external_id": "x", "customer": {}}, "/customer"),
        ({"to": ["editor@example.org"], "customer": {"note": "x" * 70_000}}, "/customer"),
    ],
)
async def test_what_is_wrong_with_a_test_send_is_named(world: World, body: dict[str, Any], pointer: str):
    await world.ask("POST", "/test-recipients", json={"address": "editor@example.org"})
    campaign_id = await campaign_of(world, {"en": MAIL})

    refused = await send(world, campaign_id, *body.pop("to"), **body)

    assert refused.status_code == 400, refused.text
    assert refused.json()["violations"][0]["pointer"] == pointer


async def test_an_address_that_nobody_confirmed_gets_nothing_from_a_sender_that_reaches_people(
    world: World, installation: Core
):
    recipient = (await world.ask("POST", "/test-recipients", json={"address": "editor@example.org"})).json()
    campaign_id = await campaign_of(world, {"en": MAIL})
    async with installation.db.transaction() as conn:
        await conn.execute("UPDATE sender SET kind = 'smtp' WHERE channel = 1")
        await conn.execute(
            "INSERT INTO account_letter VALUES (%s, 'test_recipient', %s, 0, now(), now())", [recipient["id"]] * 2
        )
    await world.services.accounts.update_brand_settings(world.brand.id, {"from_address": "news@example.org"})

    before = await send(world, campaign_id, "editor@example.org", context={"shop": "Us"})
    mailer = Mailbox()
    await LetterKeeper(installation.db, mailer, account_links(installation), "https://brand.example").send_due()
    (letter,) = mailer.letters
    (code,) = re.findall(r"^[\w=-]{40,}$", letter.text, re.MULTILINE)
    wrong = await world.ask("POST", f"/test-recipients/{recipient['id']}/confirm", json={"code": code[::-1]})
    confirmed = await world.ask("POST", f"/test-recipients/{recipient['id']}/confirm", json={"code": code})
    after = await send(world, campaign_id, "editor@example.org", context={"shop": "Us"})

    assert before.status_code == 400
    assert before.json()["violations"][0]["code"] == "unconfirmed"
    assert (letter.to, wrong.status_code) == ("editor@example.org", 400)
    assert (confirmed.status_code, confirmed.json()["confirmed_at"] is not None) == (200, True)
    assert (after.status_code, after.json()["messages"][0]["inbox_path"]) == (202, None)


async def test_who_is_removed_while_a_test_send_is_made_gets_none(world: World, db: Database):
    recipient = (await world.ask("POST", "/test-recipients", json={"address": "editor@example.org"})).json()
    campaign_id = await campaign_of(world, {"en": MAIL})

    async with db.transaction() as conn:
        await conn.execute(b"DELETE FROM test_recipient WHERE id = %s", [recipient["id"]])
        sending = asyncio.create_task(send(world, campaign_id, "editor@example.org", context={"shop": "Us"}))

        async def waits_or_is_sent() -> bool:
            async with db.read() as other:
                query = b"SELECT FROM pg_locks WHERE NOT granted"
                return sending.done() or bool(await (await other.execute(query)).fetchall())

        await eventually(waits_or_is_sent)
    refused = await sending

    assert (refused.status_code, refused.json()["violations"][0]["code"]) == (400, "unknown-recipient")
    assert (await world.ask("GET", "/executions")).json()["data"] == []


async def test_a_test_key_goes_to_the_sandbox_and_ten_calls_a_minute_are_enough(world: World):
    await world.ask("POST", "/test-recipients", json={"address": "editor@example.org"})
    campaign_id = await campaign_of(world, {"en": MAIL})
    key = await world.services.accounts.create_key("test", brand_id=world.brand.id, scopes=("run",), is_test=True)

    answers = [await send(world, campaign_id, "editor@example.org", token=key.token) for _ in range(11)]

    assert answers[0].json()["messages"][0]["inbox_path"].startswith(f"/inbox/{world.brand.id}/")
    assert [answer.status_code for answer in answers] == [202] * 10 + [429]


async def test_who_is_erased_is_gone_from_the_letters_of_tests_too(world: World, installation: Core, drain: Drain):
    await world.ask("POST", "/test-recipients", json={"address": "editor@example.org"})
    ann = {"external_id": "ann", "email": "ann@example.org", "attributes": {"first_name": "Ann"}}
    await world.ask("POST", "/customers", json=ann)
    sent = await send(world, await campaign_of(world, {"en": MAIL}), "editor@example.org", external_id="ann")
    await drain()
    before = len(await letters(world))

    await world.ask("DELETE", "/customers/ann")
    await sweep(installation.db)

    assert (sent.status_code, before, await letters(world)) == (202, 1, [])


async def test_a_step_is_tested_at_once_whatever_it_waits_for(world: World, drain: Drain):
    await world.ask("POST", "/test-recipients", json={"address": "editor@example.org"})
    campaign_id = await campaign_of(world, {"en": MAIL})
    campaign = (await world.ask("GET", f"/campaigns/{campaign_id}")).json()
    later = {
        "name": "Later",
        "channel": "email",
        "default_language": "en",
        "variants": {"en": {**MAIL, "subject": "Later"}},
    }
    routes = [{"channel": "email", "template_id": (await world.ask("POST", "/templates", json=later)).json()["id"]}]
    step = {"wait": "2d", "when": {"type": "step", "what": "clicked"}, "routes": routes}
    campaign = {name: campaign[name] for name in ("name", "kind", "consent_basis", "routes")}
    changed = await world.ask("PUT", f"/campaigns/{campaign_id}", json={**campaign, "steps": [step]})
    assert changed.status_code == 200, changed.text

    sent = await send(world, campaign_id, "editor@example.org", step=1, context={"shop": "Us"})
    nowhere = await send(world, campaign_id, "editor@example.org", step=2)
    unrouted = await send(world, campaign_id, "editor@example.org", step=1, routes=[1])
    await drain()

    assert (sent.status_code, [letter["subject"] for letter in await letters(world)]) == (202, ["[Test] Later"])
    refused = [(one.status_code, one.json()["violations"][0]["pointer"]) for one in (nowhere, unrouted)]
    assert refused == [(400, "/step"), (400, "/routes/0")]
    assert "0, its own routes, to 1" in nowhere.text
    assert "The step has no route 1" in unrouted.text


class Mailbox:
    """Keeps the letters that it is to mail."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []

    async def send(self, letter: Letter) -> None:
        self.letters.append(letter)
