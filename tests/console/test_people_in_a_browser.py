"""A person is found, taken out of a topic and seen to be so, and a file with rejects is imported, in a real browser; no page has a barrier."""

from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, expect

from in_a_browser import barriers, owner_of
from served import serving
from stentor.cli.premises import temporary_directory

HOSTILE = "<b>Aino</b> שלום " + "x" * 150
FILE = b"external_id,email,locale\ncrm-2,bo@example.org,fi\ncrm-3,cy@example.org,no language\n"


@pytest.mark.prove
@pytest.mark.timeout(240)
def test_a_person_is_found_and_left_alone_and_a_file_comes_in_without_a_barrier(chromium: Browser):
    with temporary_directory() as data, serving(data) as served:
        served.native("POST", "/topics", json={"key": "team-42", "name": HOSTILE, "channels": ["email", "sms"]})
        person = {"external_id": "crm-1", "email": "aino@example.org", "attributes": {"first_name": HOSTILE}}
        served.native("POST", "/customers", json=person)
        served.native("PUT", "/customers/crm-1/subscriptions/team-42", json={"channels": ["email"]})
        page = owner_of(served, chromium)
        root = f"{served.told['url']}/console/brands/{served.told['group_id']}"
        refused: list[str] = []

        def note(told: ConsoleMessage) -> None:
            if told.type == "error":
                refused.append(told.text)

        page.on("console", note)
        found: list[Any] = []

        page.goto(f"{root}/customers")
        found += barriers(page)
        page.fill("#search", "AINO@example.org")
        page.press("#search", "Enter")
        page.click("#people a")
        found += barriers(page)
        page.click("button:has-text('Take out')")
        expect(page.locator(".timeline")).to_contain_text("here in the console, olga@example.org")
        expect(page.locator("main")).to_contain_text("The choice is in the ledger")
        here = page.url.partition("?")[0]
        for path in ("edit", "ledger", "timeline", "merge", "erase"):
            page.goto(f"{here}/{path}")
            found += barriers(page)

        page.goto(f"{root}/imports/new")
        found += barriers(page)
        page.set_input_files("#file", {"name": "crm.csv", "mimeType": "text/csv", "buffer": FILE})
        page.click("text=Look at it")
        expect(page.locator("main")).to_contain_text("This is no language tag")
        found += barriers(page)
        page.click("text=Import it")
        expect(page.locator("#standing")).to_contain_text("done")
        expect(page.locator("#standing")).to_contain_text("Line 3")
        found += barriers(page)
        page.goto(f"{root}/imports")
        found += barriers(page)

        assert found == []
        assert refused == []
