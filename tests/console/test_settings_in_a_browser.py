"""A token, a topic and a look-up made by hand in a real browser; settings, topics, opt-out lists and pulls have no barrier."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from httpx import AsyncClient
from playwright.async_api import Page, Route, async_playwright, expect

from console_world import PUBLIC, ConsoleWorld, a_campaign, a_pull, a_run
from stentor.audience.model import TopicDraft
from stentor.audience.segments import expressions as ex
from stentor.channels.model import NewSender
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.model import ListDraft

pytestmark = [pytest.mark.anyio, pytest.mark.prove, pytest.mark.timeout(240)]

HOSTILE = ("<script>alert(1)</script> محمد عبد الله " + "Donaudampfschifffahrt" * 9)[:200]
AXE = (Path(__file__).parents[1] / "assets" / "axe.min.js").read_text(encoding="utf-8")
SECTIONS = (
    "",
    "/rules",
    "/limits",
    "/retention",
    "/senders",
    "/test-recipients",
    "/integration",
    "/developer",
    "/usage",
    "/audit",
)


@asynccontextmanager
async def page_of(at: AsyncClient, refused: list[str]) -> AsyncIterator[Page]:
    """A page of a browser whose requests the application answers in this process, as whoever is signed in at `at`."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.exit("This needs a browser: apt-get install --yes chromium", returncode=2)
    # Its own sandbox cannot be had by root, as whom containers run.
    flags = ["--disable-background-networking", "--no-first-run", *(["--no-sandbox"] if os.geteuid() == 0 else [])]

    async def answered(route: Route) -> None:
        asked = route.request
        said = {name: value for name, value in asked.headers.items() if name in {"content-type", "origin", "referer"}}
        told = await at.request(
            asked.method,
            asked.url.removeprefix(PUBLIC),
            content=asked.post_data_buffer,
            headers={**said, "sec-fetch-site": "same-origin"},
            follow_redirects=True,
        )
        headers = {
            name: value for name, value in told.headers.items() if not name.startswith(("content-e", "content-l"))
        }
        await route.fulfill(status=told.status_code, headers=headers, body=told.content)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=flags)
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: refused.append(str(error)))
        page.on("console", lambda told: refused.append(told.text) if told.type == "error" else None)
        await page.route("**/*", answered)
        yield page
        await browser.close()


async def barriers(page: Page) -> list[object]:
    """What axe has against the page, and whether it scrolls sideways where it is narrow."""
    await page.evaluate(AXE)
    told = await page.evaluate("axe.run('#main', {resultTypes: ['violations']})")
    found: list[object] = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in told["violations"]]
    await page.set_viewport_size({"width": 360, "height": 900})
    if await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        found.append("scrolls sideways")
    await page.set_viewport_size({"width": 1280, "height": 900})
    return found


async def test_an_owner_makes_a_token_and_a_topic_and_looks_somebody_up(console: ConsoleWorld):
    services, brand = console.services, console.brand
    topic = await services.topics.create(brand.id, TopicDraft(key=HOSTILE, name=HOSTILE, channels=ChannelKind.SMS.bit))
    held = await services.optout_lists.create(brand.id, ListDraft(name=HOSTILE, kind="sha256"))
    await services.optout_entries.add(brand.id, str(held.id), ["aino@example.org"], source=HOSTILE)
    job = await services.optout_jobs.prepare_import(brand.id, str(held.id), asked_by=HOSTILE)
    relay = {"host": "relay.example.org", "envelope_from": "b@example.org"}
    sender = await services.senders.create(
        brand.id, NewSender(name=HOSTILE, channel=ChannelKind.EMAIL, kind="smtp", enabled=False, settings=relay)
    )
    campaign = await a_campaign(console, brand.id)
    segment = await services.segments.create(brand.id, "All", ex.Known(field="phone"))
    await services.partner_channels.create(brand.id, HOSTILE, ChannelKind.SMS, number=505)
    run = await a_run(console, campaign.id, segment.id)
    pull = await a_pull(console, brand.id, run, 505, rows=10_482_117)
    today = datetime.now(UTC).date()
    async with console.core.db.transaction() as conn:
        for days in range(3):
            await conn.execute(
                "INSERT INTO topic_day (topic_id, day, shard, brand_id, gained, lost) VALUES (%s, %s, 0, %s, 10482117, 7)",
                [topic.id, today - timedelta(days=days), brand.id],
            )
    at = await console.enters("owner")
    root = f"{PUBLIC}{console.root}"
    paths = [f"/settings{section}" for section in SECTIONS]
    paths += [f"/settings/senders/{sender.id}", "/settings/senders/new?kind=webhook", "/topics", "/topics/new"]
    paths += [f"/topics/{topic.id}", "/optouts", "/optouts/new", f"/optouts/lists/{held.id}", "/optouts/jobs"]
    paths += [f"/optouts/jobs/{job.id}", "/partners/pulls", f"/partners/pulls/{pull}"]
    refused: list[str] = []

    async with page_of(at, refused) as page:
        await page.goto(f"{root}/settings/integration")
        await page.fill("#name", "Backend")
        await page.click("button:has-text('New API token')")
        token = await page.input_value("#made-token")
        await page.goto(f"{root}/topics/new")
        await page.fill("#key", "reds")
        await page.fill("#name", "The Reds play")
        await page.click("text=Make the topic")
        await expect(page.locator("h1")).to_have_text("The Reds play")
        await page.goto(f"{root}/optouts")
        await page.fill("#address", "Aino@example.org")
        await page.click("button:has-text('Look up')")
        await expect(page.locator("[role=status]")).to_contain_text("the address itself")
        assert "aino" not in page.url.lower()
        found: list[tuple[str, object]] = []
        for path in paths:
            await page.goto(root + path)
            found += [(path, barrier) for barrier in await barriers(page)]

    (key,) = await services.accounts.keys_of_brand(brand.id)
    assert token.startswith(f"{key.number}|{key.hint.rstrip('…')}")
    assert (await services.topics.get(brand.id, "reds")).channels == ChannelKind.EMAIL.bit
    assert found == []
    assert refused == []
