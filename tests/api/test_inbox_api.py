from collections.abc import AsyncIterator

import msgspec
import pytest
from litestar.testing import AsyncTestClient

from api_world import Client, World
from sandbox_letters import SEND_IDS, Letter, deliver, letter, reassemble, wave_for
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.channels.sandbox.inbox import InboxService
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind

pytestmark = pytest.mark.anyio


@pytest.fixture
async def app_client(services: Services, db: Database) -> AsyncIterator[Client]:
    """The app with an inbox that puts the letters of these tests together."""
    with_inbox = msgspec.structs.replace(services, inbox=InboxService(db, SEND_IDS, reassemble))
    app = create_app(with_inbox, ApiSettings(secret=b"a secret for tests"))
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        yield client


async def send(db: Database, world: World, *letters: Letter) -> None:
    sandbox = SandboxChannel(db, ChaosSource(db))
    for one in letters:
        await deliver(db, sandbox, wave_for(world.brand.id, SEND_IDS.decode(one.send_id)[2]), [one])


async def test_a_test_finds_the_mail_that_its_call_sent_and_reads_it(world: World, db: Database):
    mail = letter(world.brand.id, "ann@example.com", subject="Kick-off", body="Hi Ann")
    await send(db, world, letter(world.brand.id, "ben@example.com"), mail)

    found = await world.ask("GET", "/inbox/messages", params={"search": "ANN@"})
    shown = await world.ask("GET", f"/inbox/messages/{mail.send_id}")
    raw = await world.ask("GET", f"/inbox/messages/{mail.send_id}/raw")

    assert [message["id"] for message in found.json()["data"]] == [mail.send_id]
    told = shown.json()
    assert told["subject"] == "Kick-off"
    assert (told["channel"], told["recipient"]) == ("email", "ann@example.com")
    assert (told["text"], told["html"], told["payload"]) == ("Hi Ann", "<p>Hi Ann</p>", None)
    assert {"name": "Subject", "value": "Kick-off"} in told["headers"]
    assert told["bytes"] == len(mail.wire())
    assert raw.content == mail.wire()


async def test_a_raw_message_is_nothing_that_a_browser_shows(world: World, db: Database):
    mail = letter(world.brand.id, body="<script>alert(1)</script>")
    await send(db, world, mail)

    raw = await world.ask("GET", f"/inbox/messages/{mail.send_id}/raw")

    assert raw.headers["content-type"] == "application/octet-stream"
    assert raw.headers["x-content-type-options"] == "nosniff"


async def test_pages_lead_through_the_inbox_newest_first(world: World, db: Database):
    letters = [letter(world.brand.id, f"person{number}@example.com") for number in range(5)]
    await send(db, world, *letters)

    seen, cursor = list[str](), None
    while True:
        page = await world.ask("GET", "/inbox/messages", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        seen += [message["id"] for message in page.json()["data"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break

    assert seen == [one.send_id for one in reversed(letters)]


async def test_a_channel_that_carries_json_shows_its_payload(world: World, db: Database):
    push = letter(
        world.brand.id,
        "token-1",
        channel=ChannelKind.PUSH,
        content=b'{"title": "Kick-off", "body": "\x00"}',
        body="In 15 minutes",
    )
    await send(db, world, push)

    listed = await world.ask("GET", "/inbox/messages", params={"channel": "push"})
    shown = await world.ask("GET", f"/inbox/messages/{push.send_id}")

    assert [message["channel"] for message in listed.json()["data"]] == ["push"]
    assert shown.json()["payload"] == {"title": "Kick-off", "body": "In 15 minutes"}
    assert (shown.json()["text"], shown.json()["html"]) == ("In 15 minutes", None)


async def test_messages_are_deleted_one_by_one_and_all_at_once(world: World, db: Database):
    letters = [letter(world.brand.id, f"person{number}@example.com") for number in range(4)]
    await send(db, world, *letters)

    one = await world.ask("DELETE", f"/inbox/messages/{letters[0].send_id}")
    again = await world.ask("DELETE", f"/inbox/messages/{letters[0].send_id}")
    rest = await world.ask("DELETE", "/inbox/messages")
    left = await world.ask("GET", "/inbox/messages")

    assert (one.status_code, again.status_code) == (204, 404)
    assert rest.json() == {"deleted": 3}
    assert left.json()["data"] == []


async def test_the_inbox_of_another_group_does_not_exist(world: World, other_world: World, db: Database):
    mail = letter(world.brand.id)
    await send(db, world, mail)

    missing = await other_world.ask("GET", "/inbox/messages/nothing")
    for method in ("GET", "DELETE"):
        foreign = await other_world.ask(method, f"/inbox/messages/{mail.send_id}")
        assert (foreign.status_code, foreign.content) == (404, missing.content)
    assert (await other_world.ask("GET", "/inbox/messages")).json()["data"] == []
    assert (await other_world.ask("DELETE", "/inbox/messages")).json() == {"deleted": 0}
    assert (await world.ask("GET", f"/inbox/messages/{mail.send_id}")).status_code == 200


async def test_reading_needs_the_scope_read_and_deleting_write(world: World, db: Database):
    run, read = await world.key("run"), await world.key("read")

    assert (await world.ask("GET", "/inbox/messages", token=run)).status_code == 403
    assert (await world.ask("GET", "/inbox/messages", token=read)).status_code == 200
    assert (await world.ask("DELETE", "/inbox/messages", token=read)).status_code == 403
    assert (await world.ask("PUT", "/inbox/chaos", token=read, json={"rules": []})).status_code == 403
    assert (await world.client.get(f"/v1/groups/{world.brand.id}/inbox/messages")).status_code == 401


@pytest.mark.parametrize(
    "query", [{"channel": "fax"}, {"search": "x" * 201}, {"cursor": "abc"}, {"limit": 0}, {"limit": 101}]
)
async def test_a_question_that_breaks_a_rule_is_answered_with_the_rule(world: World, query: dict[str, str | int]):
    answer = await world.ask("GET", "/inbox/messages", params=query)

    assert answer.status_code == 400
    assert answer.json()["violations"][0]["pointer"] == f"/{next(iter(query))}"


async def test_chaos_is_set_shown_and_ended(world: World):
    rules = [{"effect": "bounce", "share": 0.02, "recipients": "*", "after_s": 5.0, "text": ""}]

    before = await world.ask("GET", "/inbox/chaos")
    put = await world.ask("PUT", "/inbox/chaos", json={"rules": [{"effect": "bounce", "share": 0.02, "after_s": 5}]})
    shown = await world.ask("GET", "/inbox/chaos")
    ended = await world.ask("PUT", "/inbox/chaos", json={"rules": []})

    assert before.json() == {"rules": []}
    assert put.json() == shown.json() == {"rules": rules}
    assert ended.json() == {"rules": []}


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"effect": "explode"},
        {"effect": "refuse", "share": 0},
        {"effect": "refuse", "share": 1.1},
        {"effect": "refuse", "share": "half"},
        {"effect": "refuse", "recipients": ""},
        {"effect": "refuse", "recipients": "x" * 321},
        {"effect": "bounce", "after_s": -1},
        {"effect": "bounce", "after_s": 86401},
        {"effect": "refuse", "regex": ".*"},
    ],
)
async def test_a_rule_that_is_none_is_refused_with_its_place(world: World, rule: dict[str, object]):
    answer = await world.ask("PUT", "/inbox/chaos", json={"rules": [rule]})

    assert answer.status_code == 400
    assert answer.json()["violations"][0]["pointer"].startswith("/rules/0")


async def test_more_rules_than_can_hold_are_refused(world: World):
    answer = await world.ask("PUT", "/inbox/chaos", json={"rules": [{"effect": "refuse"}] * 21})

    assert answer.status_code == 400
