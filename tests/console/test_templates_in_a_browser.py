"""A template is written, checked, saved, compared, restored and tried in a real browser, with the scripts and policies of the page."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from documents import ROOT
from served import STENTOR, Served, serving
from stentor.cli.premises import temporary_directory

PASSWORD = "correct horse battery"
PATIENCE_MS = 60_000
AXE = (ROOT / "tests" / "assets" / "axe.min.js").read_text("utf-8")
PICTURES = os.environ.get("STENTOR_TEST_PICTURES")
"""A folder for pictures of the pages, for whoever wants to look at them."""


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
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(served.told["owner_link"])
    for field, text in {"email": "olga@example.org", "name": "Olga", "password": PASSWORD, "again": PASSWORD}.items():
        page.fill(f"#{field}", text)
    page.click("button.primary")
    page.wait_for_url("**/console")
    return page


def looked_at(page: Page, name: str) -> None:
    """Nobody is kept out of the page, and pictures of it are taken if somebody wants them."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == [], name
    if PICTURES is None:
        return
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in (360, 768, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("document.documentElement.scrollWidth")
            page.screenshot(path=f"{PICTURES}/{name}-{theme}-{width}.png", full_page=True)
            assert wide <= width, (name, width, wide)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.prove
@pytest.mark.timeout(240)
def test_a_template_is_written_checked_compared_and_tried_in_a_browser(chromium: Browser):
    with temporary_directory() as data, serving(data) as served:
        root = f"/console/brands/{served.told['group_id']}"
        person = {"external_id": "fan", "email": "fan@example.org", "attributes": {"first_name": "Aino"}}
        served.native("POST", "/customers", json=person)
        scopes = [word for scope in ("run", "read", "write", "admin") for word in ("--scope", scope)]
        made = [*STENTOR, "key", "create", "--brand", "My brand", *scopes, "--data", str(data), "--json"]
        key = json.loads(subprocess.run(made, check=True, capture_output=True, text=True).stdout)["token"]
        served.told["token"] = key
        served.native("POST", "/test-recipients", json={"address": "editor@example.org"})
        page = owner_of(served, chromium)
        base = page.url.removesuffix("/console")
        refused: list[str] = []
        page.on("console", lambda told: refused.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: refused.append(str(error)))

        page.goto(f"{base}{root}/templates/new?channel=email")
        page.fill("#name", "Spring letter")
        page.select_option("#markup", "html")
        source = page.locator("#p-source")
        source.fill("<p>Hello</p>\n")
        mail = page.frame_locator("iframe[data-mail]:not([hidden])")
        expect(mail.locator("p")).to_have_text("Hello", timeout=PATIENCE_MS)
        # What can be typed is offered, and taken by keyboard.
        source.press("Control+End")
        source.press_sequentially("<b>{{ customer.fir")
        expect(page.locator("#choices li").first).to_contain_text("customer.first_name")
        source.press("Enter")
        source.press_sequentially("</b>")
        assert "<b>{{ customer.first_name }}</b>" in source.input_value()
        expect(page.locator("#checks")).to_contain_text("customer.first_name printed nothing", timeout=PATIENCE_MS)
        page.fill("#who", "fan")
        expect(mail.locator("b")).to_have_text("Aino", timeout=PATIENCE_MS)
        expect(page.locator("#checks")).to_contain_text("no link to unsubscribe")
        # Tab indents; after Esc it leaves.
        source.focus()
        source.press("Tab")
        expect(source).to_be_focused()
        source.press("Escape")
        source.press("Tab")
        expect(source).not_to_be_focused()
        source.press("Control+End")
        source.press_sequentially("\n{{ brand.colour }}")
        expect(page.locator(".editing.is-code .ln.bad")).to_have_count(1, timeout=PATIENCE_MS)
        source.fill('<p>Hello {{ customer.first_name }}</p>\n<a href="{{ unsubscribe_url }}">out</a>')
        expect(page.locator(".editing.is-code .ln.bad")).to_have_count(0, timeout=PATIENCE_MS)
        looked_at(page, "new")
        page.click("button.primary:has-text('Make the template')")
        expect(page.locator("h1")).to_have_text("Spring letter")
        here = page.url.partition("?")[0]

        # What is in the field list is put where the caret is.
        page.locator("#p-subject").focus()
        page.fill("#p-subject", "For ")
        page.locator("#p-subject").press("End")
        page.click("button.insert:has-text('customer.external_id')")
        expect(page.locator("#p-subject")).to_have_value("For {{ customer.external_id }}")
        page.click("button.primary:has-text('Save')")
        page.goto(f"{here}/versions")
        expect(page.locator(".compare mark")).not_to_have_count(0)
        looked_at(page, "versions")
        page.click("button:has-text('Restore')")
        expect(page.locator("[role=status]")).to_contain_text("Version 3 says what version 1 said.")

        template_id = here.rpartition("/")[2]
        routes = [{"channel": "email", "template_id": template_id}]
        draft = {"name": "Spring", "kind": "scheduled", "consent_basis": "channel", "routes": routes}
        served.native("POST", "/campaigns", json=draft)
        page.goto(here)
        page.fill("#who", "fan")
        page.check("text=editor@example.org")
        page.check("text=In the dark")
        expect(mail.locator("p")).to_contain_text("Hello Aino", timeout=PATIENCE_MS)
        looked_at(page, "template")
        page.click("button:has-text('Send the test')")
        page.click("a:has-text('See it in the sandbox inbox')")
        expect(page.locator("h1")).to_contain_text("[Test] News from", timeout=PATIENCE_MS)
        page.goto(f"{base}{root}/templates")
        expect(page.locator("table")).to_contain_text("Spring letter")
        looked_at(page, "list")
        page.close()

        assert refused == []
