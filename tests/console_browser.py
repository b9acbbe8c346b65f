"""Mission Control in a real browser: one Stentor and one Chromium for all tests of a run, and what axe says of a page."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

from served import Served, serving
from stentor.cli.premises import temporary_directory

PASSWORD = "correct horse battery"
PATIENCE_MS = 60_000
WIDTHS = (360, 768, 1280)

_AXE = Path(__file__).parent.joinpath("assets", "axe.min.js")
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_ASK_AXE = """async (tags) => (await axe.run(document, {runOnly: tags, iframes: false})).violations.map(
    (one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 200)} (${node.any[0]?.message ?? ""})`).join(" | ")}`)"""
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class ConsoleBrowser:
    """A browser in which the first owner is signed in. `troubles` are errors that pages told of: scripts', and policies'."""

    def __init__(self, served: Served, browser: Browser) -> None:
        self.served = served
        self.troubles: list[str] = []
        self._browser = browser
        self._state: Any = None
        self._pages: list[Page] = []

    @property
    def root(self) -> str:
        """Where the first brand's pages begin."""
        return f"/console/brands/{self.served.told['group_id']}"

    def visit(self, path: str, *, width: int = 1280, theme: Literal["light", "dark"] = "light") -> Page:
        """That page, at that width and in that theme. It stays open until `close`."""
        page = self._opened(width=width, theme=theme, state=self._signed_in())
        answer = page.goto(self.served.told["url"] + path)
        assert isinstance(answer, Response)
        assert answer.status == 200, (path, answer.status)
        return page

    def axe(self, page: Page) -> list[str]:
        """What axe finds against WCAG 2.2 AA and its own good practice, one line a rule."""
        page.evaluate(_AXE.read_text("utf-8"))
        return page.evaluate(_ASK_AXE, _RULES)

    def is_wider_than_its_window(self, page: Page) -> bool:
        """Whether the page scrolls sideways."""
        return page.evaluate(_WIDER) > 0

    def close(self) -> None:
        """Closes all pages, which end their streams."""
        while self._pages:
            self._pages.pop().context.close()

    def _signed_in(self) -> Any:
        if self._state is None:
            page = self._opened(width=1280, theme="light", state=None)
            page.goto(self.served.told["owner_link"])
            told = {"email": "olga@example.org", "name": "Olga Grün", "password": PASSWORD, "again": PASSWORD}
            for field, text in told.items():
                page.fill(f"#{field}", text)
            page.click("button.primary")
            page.wait_for_url("**/console")
            self._state = page.context.storage_state()
        return self._state

    def _opened(self, *, width: int, theme: Literal["light", "dark"], state: Any) -> Page:
        context = self._browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, storage_state=state
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda told: self.troubles.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self._pages.append(page)
        return page


def launched() -> Iterator[Browser]:
    """Chromium, which is found on PATH, until the next one is asked for; without one nothing goes on.

    It is to be closed after each module: while it is open, its thread has a running event loop, in which no other test can begin one.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.exit("This needs a browser: apt-get install --yes chromium", returncode=2)
    # Its own sandbox cannot be had by root, as whom containers run.
    flags = ["--disable-background-networking", "--no-first-run", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


chromium = pytest.fixture(scope="module")(launched)


@pytest.fixture(scope="module")
def _served_console(chromium: Browser) -> Iterator[ConsoleBrowser]:
    with temporary_directory() as data, serving(data) as served:
        yield ConsoleBrowser(served, chromium)


@pytest.fixture
def console_browser(_served_console: ConsoleBrowser) -> Iterator[ConsoleBrowser]:
    """The browser; pages that a test opened are closed after it, and none may have told of trouble."""
    _served_console.troubles.clear()
    yield _served_console
    _served_console.close()
    assert _served_console.troubles == []
