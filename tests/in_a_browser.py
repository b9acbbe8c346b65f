"""A real browser in front of a served console: its owner signed in, and what axe has against a page."""

import os
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from served import Served

PASSWORD = "correct horse battery"
AXE = Path(__file__).parent / "assets" / "axe.min.js"
WIDTHS = (360, 1280)
PICTURES = os.environ.get("STENTOR_TEST_PICTURES")


def owner_of(served: Served, browser: Browser) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(served.told["owner_link"])
    for field, text in {"email": "olga@example.org", "name": "Olga", "password": PASSWORD, "again": PASSWORD}.items():
        page.fill(f"#{field}", text)
    page.click("button.primary")
    page.wait_for_url("**/console")
    return page


def barriers(page: Page) -> list[Any]:
    """What axe has against the page at each width, and whether the page scrolls sideways there."""
    found: list[Any] = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(AXE.read_text(encoding="utf-8"))
        told = page.evaluate("axe.run({resultTypes: ['violations']})")
        found += [
            (page.url, width, one["id"], [node["html"][:150] for node in one["nodes"]]) for one in told["violations"]
        ]
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found.append((page.url, width, "scrolls sideways"))
        if PICTURES:
            name = "-".join(page.url.partition("/brands/")[2].partition("?")[0].split("/")[1:3]) or "shared"
            page.screenshot(path=f"{PICTURES}/{name}-{width}.png", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 900})
    return found
