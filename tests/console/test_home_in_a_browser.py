"""A brand's home in a real browser: it moves without being loaded anew, at every width, with nothing that axe objects to."""

import pytest
from playwright.sync_api import expect

from console_browser import WIDTHS, ConsoleBrowser
from served import make_campaign

FANS = 40


@pytest.mark.prove
@pytest.mark.timeout(180)
def test_home_moves_by_itself_and_can_be_read_by_everybody(console_browser: ConsoleBrowser):
    served, root = console_browser.served, console_browser.root
    first = console_browser.visit(root)
    first.click("text=Send the first message")
    first.click("button:has-text('Send the first message')")
    expect(first.locator("#arrived li")).to_have_count(3)
    assert console_browser.axe(first) == []
    make_campaign(served, "kickoffs")
    for number in range(FANS):
        fan = {"external_id": f"fan-{number}", "email": f"fan-{number}@example.com"}
        served.native("POST", "/customers", json=fan)
        served.native("PUT", f"/customers/fan-{number}/subscriptions/kickoffs", json={"channels": ["email"]})
    page = console_browser.visit(root)
    expect(page.locator("#home-day .fig").first).to_have_text("0")
    page.evaluate("window.isTheSame = true")

    served.run("kickoffs")

    expect(page.locator("#home-day .fig").first).to_have_text(str(FANS))
    assert page.evaluate("window.isTheSame") is True
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    for width in WIDTHS:
        for theme in ("light", "dark"):
            seen = console_browser.visit(root, width=width, theme=theme)
            assert console_browser.axe(seen) == [], (width, theme)
            assert not console_browser.is_wider_than_its_window(seen), width
    narrow = console_browser.visit(root, width=360)
    narrow.click("[popovertarget=side]")
    expect(narrow.locator("#side a[aria-current=page]")).to_be_visible()
    assert console_browser.axe(narrow) == []
    narrow.keyboard.press("Escape")
    expect(narrow.locator("#side")).not_to_be_visible()
    page.click("[data-theme-toggle]")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
