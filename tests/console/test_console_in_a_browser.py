"""From an idea to people's inboxes in a real browser, with the scripts and the policies that a reader has."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from served import Served, serving
from stentor.cli.premises import temporary_directory

PASSWORD = "correct horse battery"
PATIENCE_MS = 60_000
AXE = Path(__file__).parents[1] / "assets" / "axe.min.js"


def soon(seconds: int) -> str:
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


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
        expect(page.locator("#ledger")).to_contain_text("Balances to the person")
        assert page.locator("#ledger dd a").nth(1).inner_text() == "3"
        page.click(".side >> text=Sandbox inbox")
        assert page.locator("text=fan1@example.org").count() > 0
        assert refused == []


def axe(page: Page) -> list[str]:
    """What axe finds wrong with the page, each with where."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{page.url} {one['id']}: {node['target']}" for one in found["violations"] for node in one["nodes"]]


@pytest.mark.timeout(120)
def test_an_execution_moves_while_it_is_looked_at_and_does_what_it_is_told(chromium: Browser):
    with temporary_directory() as data, serving(data) as served:
        for number in range(40):
            served.native(
                "POST", "/customers", json={"external_id": f"fan-{number}", "email": f"f{number}@example.org"}
            )
        mail = {"subject": "Spring", "html": "<p>Spring</p>", "text": "Spring"}
        template = {"name": "Letter", "channel": "email", "default_language": "en", "variants": {"en": mail}}
        route = {"channel": "email", "template_id": served.native("POST", "/templates", json=template)["id"]}
        draft = {"name": "Sale", "kind": "scheduled", "consent_basis": "channel", "routes": [route]}
        campaign = served.native("POST", "/campaigns", json=draft)["id"]
        served.native("POST", f"/campaigns/{campaign}/publish")
        everybody = {"name": "Everybody", "expression": {"type": "sample", "share": 1}}
        segment = served.native("POST", "/segments", json=everybody)["id"]
        (sender,) = [one for one in served.native("GET", "/senders")["data"] if one["channel"] == "email"]
        served.native("PATCH", f"/senders/{sender['id']}", json={"pace_per_s": 4})
        page = owner_of(served, chromium)
        refused: list[str] = []
        page.on("console", lambda told: refused.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: refused.append(str(error)))
        started = served.native("POST", f"/campaigns/{campaign}/run", json={"segment_id": segment})["execution_id"]
        path = f"{served.told['url']}/console/brands/{served.told['group_id']}/executions"

        page.goto(f"{path}/{started}")
        page.evaluate("window.isTheSame = true")
        handed = page.locator("#funnel li").nth(2).locator(".fig")
        expect(handed).not_to_have_text("0", timeout=PATIENCE_MS)
        before = int(handed.inner_text())
        expect(handed).not_to_have_text(str(before), timeout=PATIENCE_MS)
        expect(page.locator("#limits")).to_contain_text("4/s")
        page.click("text=Pause")
        expect(page.locator("#state")).to_contain_text("paused", timeout=PATIENCE_MS)
        expect(page.locator("#limits")).to_contain_text("It is paused")
        violations = axe(page)
        page.click("text=Resume")
        expect(page.locator("#state .pill", has_text="paused")).to_have_count(0, timeout=PATIENCE_MS)
        page.evaluate("window.isTheSame = true")
        # A question that is open stays open while its numbers move.
        page.click("summary:has-text('Cancel')")
        now = int(handed.inner_text())
        expect(handed).not_to_have_text(str(now), timeout=PATIENCE_MS)
        served.native("POST", f"/executions/{started}/pause")
        expect(page.locator("#state")).to_contain_text("paused", timeout=PATIENCE_MS)
        assert page.evaluate("window.isTheSame")
        page.click("button:has-text('Cancel for')")
        expect(page.locator("#state")).to_contain_text("cancelled", timeout=PATIENCE_MS)
        expect(page.locator("#reasons")).to_contain_text("cancelled before their turn", timeout=PATIENCE_MS)
        told = served.native("GET", f"/executions/{started}")["channels"][0]
        assert int(page.locator("#ledger dd").nth(6).locator("a").inner_text()) == told["skipped"]
        page.set_viewport_size({"width": 360, "height": 800})
        for at in (path, f"{path}/{started}", f"{path}/{started}/people", f"{path}/{started}/people/fan-1"):
            page.goto(at)
            violations += axe(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), at
        assert violations == []
        assert refused == []
