"""The links of an HTML message, listed beside its preview, in which nothing can be followed."""

from html.parser import HTMLParser
from urllib.parse import urlsplit

import msgspec

LINKS_MAX = 100
_FOLLOWED = {"http", "https", "mailto", "tel"}


class Link(msgspec.Struct, frozen=True):
    """One link: what it says, where it leads, and whether that is a place to go to."""

    text: str
    href: str
    can_be_followed: bool


def links_in(html: str) -> list[Link]:
    """The first 100 links of the message, in their order."""
    reader = _LinkReader()
    reader.feed(html)
    reader.close()
    return reader.links[:LINKS_MAX]


class _LinkReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[Link] = []
        self._href: str | None = None
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and (href := dict(attrs).get("href")):
            self._finish()
            self._href = href
        elif tag == "img" and self._href is not None:
            self._words.append(dict(attrs).get("alt") or "")

    def handle_data(self, data: str) -> None:
        if self._href is not None:
            self._words.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._finish()

    def close(self) -> None:
        super().close()
        self._finish()

    def _finish(self) -> None:
        if self._href is not None:
            href = self._href.strip()
            self.links.append(Link(" ".join("".join(self._words).split()), href, _scheme(href) in _FOLLOWED))
        self._href = None
        self._words = []


def _scheme(href: str) -> str:
    try:
        return urlsplit(href).scheme.lower()
    except ValueError:
        return ""
