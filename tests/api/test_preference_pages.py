"""Preference links in messages: looking changes nothing, saving changes what was shown and nothing else."""

import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from api_world import Client, World, client_of
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.doors import doors
from stentor.wiring.core import Core

pytestmark = pytest.mark.anyio

NAME = "Match & <Sons>"


class Reader(msgspec.Struct):
    """Somebody who got a message, and the link in it."""

    world: World
    client: Client
    path: str

    async def shown(self, **headers: str) -> str:
        return (await self.client.get(self.path, headers=headers)).text

    async def save(self, *on: str, **more: str) -> str:
        """The page after everything that it shows came back, with these switches on (`nfl.email`)."""
        page = await self.shown()
        hidden = dict(re.findall(r'name="(shown\.[^"]+)" value="([^"]*)"', page))
        topics = {one["key"]: one["id"] for one in (await self.world.ask("GET", "/topics")).json()["data"]}
        switches = {f"on.{topics[one.partition('.')[0]]}.{one.partition('.')[2]}": "on" for one in on}
        answer = await self.client.post(self.path, data={**hidden, **switches, "break": "none", **more})
        assert answer.status_code == 200
        return answer.text

    async def chosen(self) -> dict[str, list[str]]:
        listed = (await self.world.ask("GET", "/customers/c-1/subscriptions")).json()["data"]
        return {one["topic_key"]: one["channels"] for one in listed}

    async def customer(self) -> dict[str, Any]:
        return (await self.world.ask("GET", "/customers/c-1")).json()


@pytest.fixture
async def reader(installation: Core, services: Services, db: Database) -> AsyncIterator[Reader]:
    settings = ApiSettings(secret=b"s")
    async with client_of(create_app(services, settings, doors=doors(installation, services, settings))) as client:
        world = await World.made(client, services, NAME)
        await services.accounts.update_brand_settings(world.brand.id, {"color": "#1b3a6b"})
        for key, channels in (("nfl", ["email", "sms"]), ("offers", ["email"]), ("app", ["push"])):
            topic = {"key": key, "name": f"{key} <b>", "description": "<i>", "channels": channels}
            assert (await world.ask("POST", "/topics", json=topic)).status_code == 201
        person = {"external_id": "c-1", "email": "annette@example.org", "phone": "+4915112345042"}
        await world.ask("POST", "/customers", json=person)
        await world.ask("PUT", "/customers/c-1/subscriptions/nfl", json={"channels": ["email"]})
        execution_id = new_id()
        async with db.transaction() as conn:
            await conn.execute(
                "INSERT INTO execution (id, brand_id, publication_id, context, lane, state, created_at, status_at)"
                " VALUES (%s, %s, %s, '{}', 1, 'queued', now(), now())",
                (execution_id, world.brand.id, new_id()),
            )
        link = installation.links.unsubscribe_token(execution_id, customer_id(world.brand.id, "c-1"), ChannelKind.EMAIL)
        yield Reader(world, client, f"/p/{link}")


async def test_looking_shows_choices_and_hints_and_changes_nothing(reader: Reader):
    for method in ("GET", "HEAD"):
        page = await reader.client.request(method, reader.path)
        assert (page.status_code, len(page.cookies)) == (200, 0)
    page = await reader.client.get(reader.path)

    assert "Match &amp; &lt;Sons&gt;" in page.text
    assert "nfl &lt;b&gt;" in page.text
    # What they have no address for cannot be chosen.
    assert "app &lt;b&gt;" not in page.text
    assert page.text.count(" checked>Email") == 1
    assert "a•••••e@example.org" in page.text
    assert "•••••42" in page.text
    assert not any(told in page.text for told in ("annette", "4915112345", "c-1", "<script"))
    assert page.headers["cache-control"] == "no-store"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert await reader.chosen() == {"nfl": ["email"]}


async def test_saving_changes_what_was_shown_with_its_proof_and_leaves_the_rest(reader: Reader):
    await reader.world.ask("PUT", "/customers/c-1/subscriptions/app", json={})

    page = await reader.save("nfl.sms", "offers.email")

    assert "Your choices are saved." in page
    assert await reader.chosen() == {"nfl": ["sms"], "offers": ["email"], "app": ["push"]}
    ledger = (await reader.world.ask("GET", "/customers/c-1/consents")).json()["data"]
    assert {(one["kind"], one["source"], one["text_version"], one["ip"]) for one in ledger[:3]} == {
        ("subscribed", "preference_page", "preference page 1, en", "127.0.0.1"),
        ("unsubscribed", "preference_page", "preference page 1, en", "127.0.0.1"),
    }


async def test_who_left_everything_can_choose_again_and_gets_no_more_than_that(reader: Reader):
    left = await reader.client.post(reader.path, data={"all": "off"})
    gone = await reader.customer()

    await reader.save("nfl.email")
    back = await reader.customer()

    assert "You are unsubscribed" in left.text
    assert {"email", "sms"} <= set(gone["refused"])
    assert "email" not in back["refused"]
    assert "sms" in back["refused"]
    assert back["agreed"] == []


async def test_saving_without_a_change_lifts_nothing(reader: Reader):
    await reader.world.ask("POST", "/customers", json={"external_id": "c-1"})
    await reader.client.post(reader.path, data={"all": "off"})

    await reader.save()

    assert {"email", "sms"} <= set((await reader.customer())["refused"])


async def test_a_break_is_taken_told_and_ended(reader: Reader):
    page = await reader.save("nfl.email", **{"break": "week"})
    until = (await reader.customer())["break_until"]
    kept = await reader.save("nfl.email", **{"break": ""})
    still = (await reader.customer())["break_until"]
    await reader.save("nfl.email", **{"break": "none"})

    assert f"You are on a break until \u2068{until[:10]}\u2069." in page
    assert "You are on a break until" in kept
    assert until is not None
    assert still == until
    assert (await reader.customer())["break_until"] is None
    assert await reader.chosen() == {"nfl": ["email"]}


async def test_the_page_is_in_the_readers_language_and_the_brands_colour(reader: Reader):
    german = await reader.shown(**{"Accept-Language": "de-CH,de;q=0.9"})
    arabic = (await reader.client.get(f"{reader.path}?lang=ar&x=%3Cb%3E")).text
    sheet = await reader.client.get("/u/colors/1b3a6b.css")

    assert "Was möchten Sie von \u2068Match &amp; &lt;Sons&gt;\u2069 hören?" in german
    assert 'lang="ar" dir="rtl"' in arabic
    assert 'name="x" value="&lt;b&gt;"' in arabic
    assert '/u/colors/1b3a6b.css"' in arabic
    assert "--brand: #1b3a6b; --on-brand: #ffffff;" in sheet.text
    assert (await reader.client.get("/u/colors/red;}.css")).status_code == 404


@pytest.mark.parametrize(
    "form",
    [
        b"shown.x=email&on.x.email=on",
        b"shown.00000000-0000-0000-0000-000000000000=email+fax&on.00000000-0000-0000-0000-000000000000.email=on",
        b"break=for+ever&all=maybe",
        b"\xff\xfe=\x00&shown.%00=%00",
        b"&&&===" * 1_000,
    ],
)
async def test_what_no_page_of_ours_sends_changes_nothing(reader: Reader, form: bytes):
    answer = await reader.client.post(
        reader.path, content=form, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )

    assert answer.status_code in {200, 400}
    assert await reader.chosen() == {"nfl": ["email"]}
    assert (await reader.customer())["break_until"] is None


async def test_links_that_nobody_made_and_those_of_people_who_are_gone_look_the_same(reader: Reader):
    forged = await reader.client.get(f"{reader.path[:-2]}AA")
    await reader.world.ask("DELETE", "/customers/c-1")
    erased = await reader.client.get(reader.path)

    assert forged.status_code == erased.status_code == 404
    assert forged.text == erased.text
    for method in ("PUT", "DELETE"):
        assert (await reader.client.request(method, reader.path)).status_code == 405


async def test_who_asks_too_often_is_told_to_wait(reader: Reader):
    answers = [await reader.client.get("/p/nothing") for _ in range(300)]

    assert {answer.status_code for answer in answers} == {404, 429}
    assert "Nothing was changed" in next(answer for answer in answers if answer.status_code == 429).text
