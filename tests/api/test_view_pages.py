"""View-in-browser links: the message as the person got it, without scripts, for nobody else."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api_world import Client, World, client_of
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.doors import doors
from stentor.erasures.sweeping import sweep
from stentor.wiring.core import Core
from stentor.wiring.roles import deliverer, open_channels, planner

pytestmark = pytest.mark.anyio

MAIL = {
    "subject": "Kick-off",
    "html": '<p>Hi {{ customer.first_name }}</p><script>steal()</script><a href="{{ view_url }}">view</a> <a href="{{ preferences_url }}">choose</a>',
    "text": "Hi {{ customer.first_name }}\n{{ unsubscribe_url }}",
}


@pytest.fixture
async def client(installation: Core, services: Services) -> AsyncIterator[Client]:
    settings = ApiSettings(secret=b"s")
    async with client_of(create_app(services, settings, doors=doors(installation, services, settings))) as opened:
        yield opened


async def deliver(installation: Core) -> None:
    planning, channels = planner(installation), open_channels(installation)
    delivering = deliverer(installation, channels, "worker-1")
    while await planning.plan_next():
        continue
    while claim := await delivering.claim():
        await delivering.deliver(claim, stop=asyncio.Event())
    await channels.aclose()


async def mailed(world: World, installation: Core, channel: str, content: dict[str, str]) -> dict[str, Any]:
    """The message that somebody gets of that template, as the inbox has it."""
    await world.ask("POST", "/topics", json={"key": "nfl", "name": "NFL", "channels": [channel]})
    person = {"external_id": "c-1", "email": "a@example.org", "phone": "+4915112345042"}
    await world.ask("POST", "/customers", json={**person, "attributes": {"first_name": "Ann <3"}})
    await world.ask("PUT", "/customers/c-1/subscriptions/nfl", json={})
    draft = {"name": "T", "channel": channel, "default_language": "en", "variants": {"en": content}}
    template = await world.ask("POST", "/templates", json=draft)
    route = {"channel": channel, "template_id": template.json()["id"]}
    campaign = await world.ask("POST", "/campaigns", json={"name": "C", "routes": [route]})
    said = {"id": "kick-off", "name": "Kick-off", "campaign_id": campaign.json()["id"]}
    await world.ask("POST", "/event-generators", json=said)
    published = await world.ask("POST", "/event-generators/kick-off/publish")
    assert published.status_code == 200, published.text
    run = await world.ask("POST", "/event-generators/kick-off/run", json={"topic_key": "nfl", "context": {}})
    assert run.status_code == 202, run.text
    await deliver(installation)
    (letter,) = (await world.ask("GET", "/inbox/messages")).json()["data"]
    return (await world.ask("GET", f"/inbox/messages/{letter['id']}")).json()


def path_in(text: str, page: str) -> str:
    found = re.search(rf"/{page}/[\w-]{{66}}", text)
    assert found is not None, text
    return found[0]


async def test_a_mail_is_shown_as_it_was_sent_and_runs_nothing(client: Client, services: Services, installation: Core):
    world = await World.made(client, services, "Matchday")
    mail = await mailed(world, installation, "email", MAIL)

    page = await client.get(path_in(mail["html"], "v"))
    chosen = await client.get(path_in(mail["html"], "p"))

    assert page.text == mail["html"]
    assert "Hi Ann &lt;3" in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    assert "a•••••" not in page.text
    assert chosen.status_code == 200


async def test_a_text_is_shown_as_text_and_only_to_who_has_its_link(
    client: Client, services: Services, installation: Core
):
    world = await World.made(client, services, "Matchday & Sons")
    text = await mailed(world, installation, "sms", {"text": "<b>{{ customer.first_name }} {{ view_url }}"})
    path = path_in(text["text"], "v")

    page = await client.get(path)
    forged = await client.get(f"{path[:-3]}AAA")
    await world.ask("DELETE", "/customers/c-1")
    await sweep(installation.db)

    assert "&lt;b&gt;Ann &lt;3" in page.text
    assert "Matchday &amp; Sons" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert (forged.status_code, (await client.post(path)).status_code) == (404, 405)
    assert (await client.get(path)).status_code == 404
