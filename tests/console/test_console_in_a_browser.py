"""From an idea to people's inboxes in a real browser, with the scripts and the policies that a reader has."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from served import Served, serving
from stentor.cli.premises import temporary_directory

PASSWORD = "correct horse battery"
PATIENCE_MS = 60_000


def soon(seconds: int) -> str:
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.exit("This needs a browser: apt-get install --yes chromium", returncode=2)
    # Its own sandbox cannot be had by root, as whom containers run.
    flags = ["--disable-background-networking", "--no-first-run", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


def owner_of(served: Served, browser: Browser) -> Page:
    page = browser.new_page()
    page.goto(served.told["owner_link"])
    for field, text in {"email": "olga@example.org", "name": "Olga", "password": PASSWORD, "again": PASSWORD}.items():
        page.fill(f"#{field}", text)
    page.click("button.primary")
    page.wait_for_url("**/console")
    return page


@pytest.mark.prove
@pytest.mark.timeout(240)
def test_a_marketer_goes_from_an_idea_to_the_inbox_in_a_browser(chromium: Browser):
    with temporary_directory() as data, serving(data) as served:
        for number in range(4):
            person = {"external_id": f"fan-{number}", "email": f"fan{number}@example.org"}
            served.native("POST", "/customers", json={**person, "attributes": {"tier": "gold" if number else "tin"}})
        mail = {"subject": "Spring", "html": "<p>Spring</p>", "text": "Spring"}
        template = {"name": "Letter", "channel": "email", "default_language": "en", "variants": {"en": mail}}
        served.native("POST", "/templates", json=template)
        page = owner_of(served, chromium)
        refused: list[str] = []
        page.on("console", lambda told: refused.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: refused.append(str(error)))

        page.click(".side >> text=Segments")
        page.click("text=New segment")
        page.fill("#name", "Gold")
        page.select_option("#r-0-kind", "attribute")
        page.fill("#r-0-name", "tier")
        page.fill("#r-0-value", "gold")
        # Counted while it is written, without leaving the page.
        expect(page.locator(".count")).to_contain_text("3 people", timeout=PATIENCE_MS)
        page.click("text=Make the segment")
        expect(page.locator("h1")).to_have_text("Gold")

        page.click(".side >> text=Campaigns")
        page.click("text=New campaign")
        page.fill("#name", "Spring sale")
        page.select_option("#t-0-template_id", index=1)
        page.click("text=Make the campaign")
        page.click("button:has-text('Publish')")
        page.click("text=Schedule it")
        page.fill("#name", "Spring, now")
        page.select_option("#whom", label="Segment: Gold")
        page.select_option("#when", "instant")
        page.fill("#at", soon(60))
        page.click("text=Who would get it")
        expect(page.locator(".figure")).to_contain_text("3 people are meant", timeout=PATIENCE_MS)
        page.fill("#at", soon(5))
        page.click("text=Make the schedule")

        over = page.locator("text=Execution: ended")
        while not over.count():
            # Until the test's own time is up: the page is looked at anew, as its reader would.
            page.wait_for_timeout(500)
            page.reload()
        over.click()
        expect(page.locator(".reasons").first).to_contain_text("handed over")
        assert page.locator(".reasons li b").first.inner_text() == "3"
        page.click(".side >> text=Sandbox inbox")
        assert page.locator("text=fan1@example.org").count() > 0
        assert refused == []
