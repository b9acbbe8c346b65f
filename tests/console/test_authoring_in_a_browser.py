"""A generator is made and tried, and the calendar's plan is moved, in a real browser; the pages beside them have no barrier."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from in_a_browser import barriers, owner_of
from served import Served, serving
from stentor.cli.premises import temporary_directory

HOSTILE = "<b>Match</b> שלום " + "x" * 150


def a_brand_with_plans(served: Served) -> None:
    """A topic, a campaign that calls run, one that schedules run, and two plans for one segment on one day of next week."""
    served.native("POST", "/topics", json={"key": "team-42", "name": HOSTILE, "channels": ["email"]})
    for number in range(3):
        person = {"external_id": f"fan-{number}", "email": f"fan{number}@example.org"}
        served.native("POST", "/customers", json=person)
        served.native("PUT", f"/customers/fan-{number}/subscriptions/team-42", json={})
    mail = {"subject": "{{ context.match | default: 'Match' }}", "html": "<p>Hi</p>", "text": "Hi"}
    template = {"name": HOSTILE, "channel": "email", "default_language": "en", "variants": {"en": mail}}
    made = served.native("POST", "/templates", json=template)
    route = {"channel": "email", "template_id": made["id"]}
    served.native("POST", "/campaigns", json={"name": "Called", "routes": [route]})
    planned = {"name": HOSTILE, "kind": "scheduled", "consent_basis": "channel", "routes": [route]}
    campaign = served.native("POST", "/campaigns", json=planned)
    served.native("POST", f"/campaigns/{campaign['id']}/publish")
    everybody = {"type": "sample", "share": 1}
    segment = served.native("POST", "/segments", json={"name": "All", "expression": everybody})
    at = f"{next_monday():%Y-%m-%d}T09:30"
    for name in ("Once", "Again"):
        plan = {"name": name, "campaign_id": campaign["id"], "segment_id": segment["id"], "at": at, "time_zone": "UTC"}
        served.native("POST", "/schedules", json=plan)


def next_monday() -> datetime:
    now = datetime.now(UTC)
    return now + timedelta(days=7 - now.weekday())


@pytest.mark.prove
@pytest.mark.timeout(240)
def test_authors_make_try_share_and_move_without_a_barrier(chromium: Browser):
    with temporary_directory() as data, serving(data) as served:
        a_brand_with_plans(served)
        page = owner_of(served, chromium)
        root = f"{served.told['url']}/console/brands/{served.told['group_id']}"
        refused: list[str] = []
        page.on("console", lambda told: refused.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: refused.append(str(error)))
        found: list[Any] = []

        page.goto(f"{root}/generators")
        found += barriers(page)
        page.click("text=New generator")
        page.fill("#name", HOSTILE)
        page.fill("#id", "match starts")
        page.select_option("#campaign_id", label="Called")
        page.fill("#f-0-name", "match")
        page.fill("#f-0-example", "Reds vs Blues")
        page.click("button[value=add]")
        page.fill("#f-1-name", "minute")
        page.select_option("#f-1-type", "integer")
        found += barriers(page)
        page.click("text=Make the generator")
        page.click("button:has-text('Publish')")
        page.click("text=Who would get it")
        expect(page.locator(".figure")).to_contain_text("3 people are meant")
        expect(page.locator("#calls")).to_contain_text("/event-generators/match%20starts/run")
        found += barriers(page)

        page.goto(f"{root}/catalogue")
        page.fill("#note", "Backend")
        page.click("text=Make a link")
        link = page.locator("#shares code").inner_text()
        found += barriers(page)
        stranger = chromium.new_page()
        stranger.goto(link)
        expect(stranger.locator("h1")).to_be_visible()
        found += barriers(stranger)
        assert not stranger.context.cookies()

        monday = next_monday().date()
        page.goto(f"{root}/calendar?view=week&at={monday}")
        expect(page.locator(".cal-day > small")).to_have_text(["Same people twice"])
        found += barriers(page)
        chip = page.locator(f'[data-day="{monday}"] [data-move]').first
        chip.drag_to(page.locator(f'[data-day="{monday + timedelta(days=2)}"]'))
        expect(page.locator(f'[data-day="{monday + timedelta(days=2)}"] [data-move]')).to_have_count(1)
        # The same by keyboard alone.
        page.locator("#what").focus()
        page.keyboard.press("Tab")
        page.locator("#to").fill(f"{monday + timedelta(days=3)}")
        page.keyboard.press("Enter")
        expect(page.locator(f'[data-day="{monday + timedelta(days=3)}"] [data-move]')).to_have_count(1)
        page.goto(f"{root}/calendar?at={monday}")
        found += barriers(page)

        page.goto(f"{root}/campaigns")
        page.locator(".list a").nth(1).click()
        found += barriers(page)
        here = page.url
        for part in ("experiment", "steps", "conditions/0", "before"):
            page.goto(f"{here}/{part}")
            if part == "steps":
                page.click("button[value=add]")
                page.click("button[value='condition 0']")
                expect(page.locator("#s-0-c-0-what")).to_be_visible()
            found += barriers(page)
        assert refused == []
        assert found == []
