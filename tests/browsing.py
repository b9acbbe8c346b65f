"""A browser in front of our pages: it keeps cookies, and sends a page's own forms with what is hidden in them."""

import html
import re
from typing import Any

from httpx import AsyncClient, Response

HIDDEN = re.compile(r'<input type="hidden" name="form_token" value="([0-9a-f]+)">')


def form_token(page: Response) -> str:
    """What a form of that page carries."""
    found = HIDDEN.search(page.text)
    assert found is not None, page.text
    return found[1]


def all_scripts_are_ours(page: Response) -> bool:
    """Whether each script of the page is a module of ours, or the map of them, and has the nonce of its policy."""
    nonce = re.search(r"script-src 'nonce-([^']+)'(;|$)", page.headers["content-security-policy"])
    assert nonce is not None, page.headers
    own = rf'<script type="(importmap" nonce="{re.escape(nonce[1])}|module" nonce="{re.escape(nonce[1])}" src="/console/static/\w+/[\w.]+\.js)">'
    return all(re.fullmatch(own, tag) for tag in re.findall(r"<script[^>]*>", page.text))


def without_nonce(page: Response) -> str:
    """The text of a page as it is for everybody."""
    return re.sub(r'nonce="[^"]+"', "", page.text)


async def submit(at: AsyncClient, shown_at: str, action: str | None = None, **fields: Any) -> Response:
    """The answer to a form of the page at `shown_at`, posted to `action`, or there, with those fields."""
    page = await at.get(shown_at)
    headers = {"Origin": str(at.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    return await at.post(action or shown_at, data={"form_token": form_token(page), **fields}, headers=headers)


def links_in(page: Response, beginning: str) -> list[str]:
    """The addresses on a page that begin so, as its reader copies them."""
    return [html.unescape(each) for each in re.findall(rf'"({re.escape(beginning)}[^"]*)"', page.text)]
