"""Unsubscribe links: looking changes nothing, posting withdraws at once (RFC 8058)."""

import itertools
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import msgspec
import pytest

from api_world import Client, World, client_of, mail_generator
from stentor.api.app import Door, create_app
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, new_id
from stentor.domain.links import LinkSigner
from stentor.domain.vocabulary import ChannelKind
from stentor.pages.message_links import MessageLinks
from stentor.pages.unsubscribe import UnsubscribePages

if TYPE_CHECKING:
    from httpx import ASGITransport

pytestmark = pytest.mark.anyio

LINKS = LinkSigner(b"a key for tests")
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


class Mail(msgspec.Struct):
    """A message that somebody got, and the link in it."""

    world: World
    token: str

    async def flags(self) -> tuple[list[str], list[str]]:
        """The channels of the subscription, and those whose flag is no."""
        subscriptions = (await self.world.ask("GET", "/customers/c-1/subscriptions")).json()["data"]
        customer = (await self.world.ask("GET", "/customers/c-1")).json()
        return subscriptions[0]["channels"], customer["refused"]


@pytest.fixture
async def pages_client(services: Services):
    links = MessageLinks(LINKS, services.executions, services.brands, services.topics)
    pages = UnsubscribePages(links=links, subscriptions=services.subscriptions, caller=lambda _: None)
    door = Door(
        "/u/",
        [pages.routes()],
        lambda request, failure: pages.error_page(request, failure.status, failure.headers),
    )
    app = create_app(services, ApiSettings(secret=b"s"), doors=[door])
    async with client_of(app) as client:
        yield client


async def mail(client: Client, services: Services, db: Database, *, about_a_topic: bool) -> Mail:
    world = await World.made(client, services, "Matchday & <Sons>")
    topic = (await world.ask("POST", "/topics", json={"key": "nfl", "name": "NFL <b>", "channels": ["email"]})).json()
    await world.ask("POST", "/customers", json={"external_id": "c-1", "email": "a@example.org"})
    await world.ask("PUT", "/customers/c-1/subscriptions/nfl", json={})
    execution = new_id()
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO execution (id, brand_id, publication_id, topic_id, context, lane, state, created_at, status_at)"
            " VALUES (%s, %s, %s, %s, '{}', 1, 'queued', now(), now())",
            (execution, world.brand.id, new_id(), UUID(topic["id"]) if about_a_topic else None),
        )
    person = customer_id(world.brand.id, "c-1")
    return Mail(world, LINKS.unsubscribe_token(execution, person, ChannelKind.EMAIL))


async def test_looking_shows_a_page_and_changes_nothing(pages_client: Client, services: Services, db: Database):
    got = await mail(pages_client, services, db, about_a_topic=True)

    for method in ("GET", "HEAD"):
        page = await pages_client.request(method, f"/u/{got.token}")
        assert page.status_code == 200
        assert not page.cookies
    page = await pages_client.get(f"/u/{got.token}")

    assert "NFL &lt;b&gt;" in page.text
    assert "Matchday &amp; &lt;Sons&gt;" in page.text
    assert await got.flags() == (["email"], [])


@pytest.mark.fault("F19")
async def test_one_click_withdraws_the_subscription_at_once(pages_client: Client, services: Services, db: Database):
    got = await mail(pages_client, services, db, about_a_topic=True)

    answer = await pages_client.post(f"/u/{got.token}", data=ONE_CLICK, follow_redirects=False)
    again = await pages_client.post(f"/u/{got.token}", files={"List-Unsubscribe": (None, "One-Click")})
    ledger = (await got.world.ask("GET", "/customers/c-1/consents")).json()["data"]

    assert (answer.status_code, again.status_code) == (200, 200)
    assert not answer.cookies
    assert await got.flags() == ([], [])
    assert [line["source"] for line in ledger if line["kind"] == "unsubscribed"] == ["one_click"]


BOUNDARY = "multipart/form-data; boundary=b"
UNREADABLE = {
    "no UTF-8": (BOUNDARY, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--\r\n'),
    "no charset": (
        BOUNDARY,
        b'--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=foo\r\n\r\nx\r\n--b--',
    ),
    "no boundary": ("multipart/form-data", b"x"),
    "cut off": (BOUNDARY, b"--b\r\nContent-Disp"),
    "no form": ("application/json", b"{"),
    "no form of ours": ("application/x-www-form-urlencoded", b"\xff=%ff&" * 20),
    "too long": ("application/x-www-form-urlencoded", b"a" * 5000),
}


@pytest.mark.parametrize("form", UNREADABLE)
async def test_a_post_counts_whatever_is_in_it(pages_client: Client, services: Services, db: Database, form: str):
    got = await mail(pages_client, services, db, about_a_topic=True)
    kind, content = UNREADABLE[form]

    answer = await pages_client.post(f"/u/{got.token}", content=content, headers={"Content-Type": kind})

    assert answer.status_code == 200
    assert "You are unsubscribed" in answer.text
    assert await got.flags() == ([], [])


async def test_a_post_counts_whose_body_breaks_off(pages_client: Client, services: Services, db: Database):
    got = await mail(pages_client, services, db, about_a_topic=True)

    await post_and_go_away(pages_client, f"/u/{got.token}", b"List-Unsub")

    assert await got.flags() == ([], [])


async def post_and_go_away(client: Client, path: str, begun: bytes) -> None:
    """Posts a form that says to be longer than what comes of it."""
    # httpx cannot break off a request.
    app = cast("ASGITransport", client._transport).app
    events = iter([{"type": "http.request", "body": begun, "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return next(events)

    async def send(_event: MutableMapping[str, Any]) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-length", b"26"), (b"content-type", b"application/x-www-form-urlencoded")],
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)


async def test_a_message_without_a_topic_unsubscribes_from_all(pages_client: Client, services: Services, db: Database):
    got = await mail(pages_client, services, db, about_a_topic=False)

    await pages_client.post(f"/u/{got.token}", data=ONE_CLICK)

    assert (await got.flags())[1] != []


async def test_the_built_in_list_tells_of_which_campaign_the_link_was(
    pages_client: Client, services: Services, db: Database
):
    got = await mail(pages_client, services, db, about_a_topic=False)
    await mail_generator(got.world, "May sale")
    async with db.transaction() as conn:
        await conn.execute("UPDATE execution SET publication_id = (SELECT id FROM publication)")

    await pages_client.post(f"/u/{got.token}", data=ONE_CLICK)
    (entry,) = (await got.world.ask("GET", "/optout-lists/built-in/entries")).json()["data"]

    assert (entry["address"], entry["campaign"], entry["cause"]) == ("a@example.org", "May sale", "unsubscribe")


async def test_the_page_offers_to_end_everything(pages_client: Client, services: Services, db: Database):
    got = await mail(pages_client, services, db, about_a_topic=True)

    page = await pages_client.post(f"/u/{got.token}", data={"from": "everything"})

    assert page.status_code == 200
    assert "email" in (await got.flags())[1]


async def test_a_link_that_is_not_ours_leads_nowhere(pages_client: Client):
    for method, token in itertools.product(("GET", "POST"), ("x", "A" * 66, "%00", "..%2F..", "A" * 5000)):
        answer = await pages_client.request(method, f"/u/{token}", data=ONE_CLICK if method == "POST" else None)
        assert answer.status_code in {400, 404}
        assert "This link does not work" in answer.text


async def test_our_own_troubles_are_told_as_a_page(pages_client: Client, services: Services, db: Database):
    got = await mail(pages_client, services, db, about_a_topic=True)
    await db.aclose()

    answer = await pages_client.get(f"/u/{got.token}")

    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")
    assert "That did not work" in answer.text
