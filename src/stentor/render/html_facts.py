"""What somebody can follow and see in an HTML message: its links and its pictures."""

from html.parser import HTMLParser

import msgspec


class Picture(msgspec.Struct, frozen=True):
    """An image. `alt` is None where it has no such attribute; an empty one says that there is nothing to tell."""

    src: str
    alt: str | None


class HtmlFacts(msgspec.Struct, frozen=True):
    """The `href` of every link, and every picture, in their order."""

    links: tuple[str, ...]
    pictures: tuple[Picture, ...]


def html_facts(html: str) -> HtmlFacts:
    """What the HTML has, whatever it looks like. Takes up to a second for a megabyte: call it in a thread."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return HtmlFacts(tuple(reader.links), tuple(reader.pictures))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.pictures: list[Picture] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag in {"a", "area"} and "href" in said:
            self.links.append(said["href"] or "")
        elif tag == "img":
            # An attribute without a value is there, and empty.
            self.pictures.append(Picture(said.get("src") or "", (said["alt"] or "") if "alt" in said else None))
