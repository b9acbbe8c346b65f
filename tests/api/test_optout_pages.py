"""Opt-out links of mailings that others send: looking changes nothing, posting opts out at once."""

from collections.abc import AsyncIterator

import pytest

from api_world import Client, World, client_of
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.doors import doors
from stentor.wiring.core import Core

pytestmark = pytest.mark.anyio

ANN = "ann@example.org"


@pytest.fixture
async def client(installation: Core, services: Services) -> AsyncIterator[Client]:
    settings = ApiSettings(secret=b"s")
    async with client_of(create_app(services, settings, doors=doors(installation, services, settings))) as opened:
        yield opened


@pytest.fixture
async def world(client: Client, services: Services) -> World:
    return await World.made(client, services, "Shoes & <Sons>")


async def made(world: World, **more: object) -> str:
    """The code of a new list."""
    return (await world.ask("POST", "/optout-lists", json={"name": "L", **more})).json()["code"]


def in_main(page: str) -> str:
    """What it says beside the head, which keeps what its address said."""
    return page.partition("<main>")[2]


async def entries(world: World) -> list[dict[str, str]]:
    """Who is on the list."""
    return (await world.ask("GET", "/optout-lists/L/entries")).json()["data"]


async def test_looking_asks_and_changes_nothing(client: Client, world: World):
    code = await made(world, channels=["email"])

    for method in ("GET", "HEAD"):
        page = await client.request(method, f"/u/l/{code}?c=May&a=%3Cscript%3E&address={ANN}")
        assert page.status_code == 200
        assert not page.cookies
    page = await client.get(f"/u/l/{code.upper()}")

    assert "Shoes &amp; &lt;Sons&gt;" in page.text
    assert 'type="email"' in page.text
    assert "<script" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert await entries(world) == []


async def test_posting_opts_out_with_where_the_link_was(client: Client, world: World):
    code = await made(world)

    first = await client.post(f"/u/l/{code}?c=May+sale&a=aff-1&s=sub", data={"address": " Ann@Example.org "})
    again = await client.post(f"/u/l/{code}?c=June", data={"address": " Ann@Example.org "})
    (entry,) = await entries(world)

    assert (first.status_code, again.status_code) == (200, 200)
    # Who had opted out before learns nothing else than who had not.
    assert in_main(first.text) == in_main(again.text)
    assert (entry["address"], entry["cause"], entry["campaign"], entry["affiliate"], entry["sub_affiliate"]) == (
        ANN,
        "collect",
        "May sale",
        "aff-1",
        "sub",
    )
    assert entry["ip"] == "127.0.0.1"


async def test_a_number_may_be_written_as_the_groups_country_writes_it(
    client: Client, world: World, services: Services
):
    await services.accounts.update_brand_settings(world.brand.id, {"default_country": "DE"})
    code = await made(world, channels=["sms"])

    for text in ("030 123456", "+49 30 123456"):
        assert (await client.post(f"/u/l/{code}", data={"address": text})).status_code == 200

    assert [entry["address"] for entry in await entries(world)] == ["+4930123456"]


@pytest.mark.parametrize(
    ("channels", "text", "told"),
    [
        (["email"], "", "Write an email address, as ann@example.com."),
        (["email"], "@example.org", "Write an email address, as ann@example.com."),
        (["email"], "+14155550123", "Write an email address, as ann@example.com."),
        (["email"], "ann@@example.org", "The part after the @-sign"),
        (["sms"], "f" * 32, "Write a phone number with its country code, as +14155550123."),
        (["sms"], ANN, "Write a phone number with its country code, as +14155550123."),
        (["sms"], "+1 23", "The phone number is too short"),
        (["sms"], "4155550123", "country code"),
        (
            ["email", "sms"],
            "hello",
            "Write an email address, as ann@example.com, or a phone number with its country code",
        ),
        (["email", "sms"], "0049 30", "The phone number lacks its area code"),
    ],
)
async def test_whoever_errs_reads_what_to_write_and_finds_what_they_wrote(
    client: Client, world: World, channels: list[str], text: str, told: str
):
    code = await made(world, channels=channels)

    page = await client.post(f"/u/l/{code}", data={"address": text})

    assert page.status_code == 400
    assert told in page.text
    assert f'value="{text}"' in page.text
    # Of hashes and domains, which lists may have, a page for people says nothing.
    assert "hash" not in page.text
    assert await entries(world) == []


async def test_an_address_that_browsers_do_not_know_is_let_through_to_be_judged_here(client: Client, world: World):
    code = await made(world, channels=["email"])

    page = await client.get(f"/u/l/{code}")
    done = await client.post(f"/u/l/{code}", data={"address": "jörg@exämple.com"})

    assert "novalidate" in page.text
    assert "jörg@exämple.com" in done.text
    assert [entry["address"] for entry in await entries(world)] == ["jörg@xn--exmple-cua.com"]


@pytest.mark.parametrize("text", ["", "ann", "@example.org", "f" * 32, "<b>@x", "a" * 3000, "\x00"])
async def test_what_is_no_persons_address_is_asked_for_again(client: Client, world: World, text: str):
    code = await made(world)

    page = await client.post(f"/u/l/{code}", data={"address": text})

    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert "<b>" not in page.text
    assert await entries(world) == []


async def test_what_a_mailer_wrote_into_the_link_never_stands_in_the_way(client: Client, world: World):
    code = await made(world)

    page = await client.post(
        f"/u/l/{code}", params={"c": "x" * 5000, "a": "two\nlines", "s": "\u2028", "z": "?"}, data={"address": ANN}
    )
    (entry,) = await entries(world)

    assert page.status_code == 200
    assert (len(entry["campaign"]), entry["affiliate"], entry["sub_affiliate"]) == (200, "twolines", "")


@pytest.mark.parametrize("code", ["0" * 16, "x", "..%2f..", "0" * 5000, "built-in"])
async def test_a_link_to_no_list_is_told_as_a_page(client: Client, world: World, code: str):
    for method in ("GET", "POST"):
        page = await client.request(method, f"/u/l/{code}")
        assert page.status_code == 404
        assert "This link does not work" in page.text


async def test_nobody_opts_out_on_a_list_that_is_disabled_deleted_or_has_no_entries(client: Client, world: World):
    code = await made(world)
    group = (await world.ask("POST", "/optout-lists", json={"name": "G", "kind": "grouped"})).json()["code"]
    await world.ask("PATCH", f"/optout-lists/{code}", json={"enabled": False})

    for link in (code, group):
        assert (await client.get(f"/u/l/{link}")).status_code == 404
        assert (await client.post(f"/u/l/{link}", data={"address": ANN})).status_code == 404
    await world.ask("DELETE", f"/optout-lists/{code}")
    assert (await client.post(f"/u/l/{code}", data={"address": ANN})).status_code == 404


async def test_who_comes_too_often_is_told_to_wait(client: Client, world: World):
    code = await made(world)

    posts = [await client.post(f"/u/l/{code}", data={"address": f"p{n}@example.org"}) for n in range(60)]
    looks = [(await client.get(f"/u/l/{code}")).status_code for _ in range(300)]

    assert posts[0].status_code == 200
    refused = next(page for page in posts if page.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert "That did not work" in refused.text
    assert looks[0] == 200
    assert 429 in looks


async def test_another_way_than_these_is_none(client: Client, world: World):
    code = await made(world)

    page = await client.delete(f"/u/l/{code}")

    assert page.status_code == 405
    assert "This link does not work" in page.text
